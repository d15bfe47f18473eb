import gzip
import json
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.catalog import catalog_from_json, catalog_to_json, entries, load_catalog, parse_catalog, source
from brand_detect.catalog.source import COMPILED, STARTER
from brand_detect.domain.catalog import BrandKind
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.text import brand_id_of
from brand_detect_tests.support.logos import svg, write

YAML = """
- name: Itaú
  aliases: [Banco Itaú, ITAU]
  categories: [bank]
  excluded_texts: [Itaú de Minas]
  min_length: 6
- Rolex
- {name: On, aliases: On Running}
- {name: 3}
""".encode()
CSV = """\ufeffName;Aliases;categories;excluded texts;min_length
Itaú;Banco Itaú|ITAU;bank;"Itaú de Minas";6
Rolex
On;"On Running"

3;;
""".encode()


def test_yaml_and_csv_say_the_same():
    from_yaml, from_csv = parse_catalog(YAML, "b.yaml"), parse_catalog(CSV, "b.csv")
    assert from_yaml == from_csv
    brands = {b.brand_id: b for b in from_yaml.brands}
    assert list(brands) == ["3", "itau", "on", "rolex"]
    itau = brands["itau"]
    assert (itau.name, itau.aliases, itau.categories) == ("Itaú", ("Banco Itaú", "ITAU"), ("bank",))
    assert (itau.excluded_texts, itau.min_length) == (("Itaú de Minas",), 6)


@pytest.mark.parametrize(
    "data",
    [
        b"name,aliases\nRolex,Crown;Rolex SA\n",
        b"name\taliases\r\nRolex\tRolex SA|Crown\r\n",
        "name,aliases\nRolex,Crown|Rolex SA\n".encode("utf-16"),
    ],
)
def test_separators_and_encodings(data):
    assert parse_catalog(data, "b.csv").brands[0].aliases == ("Crown", "Rolex SA")


def test_a_cell_may_span_lines_and_the_line_named_is_the_one_it_begins_on():
    data = b'name,aliases\nRolex,"Crown|\nRolex SA"\n,x\n'
    with pytest.raises(BadInput, match=r"b.csv, line 4: a brand has no name"):
        parse_catalog(data, "b.csv")


@pytest.mark.parametrize(
    ("source", "data", "message"),
    [
        ("b.yaml", "- Rolex\n- rolex", "line 2: the brand 'rolex' is already on line 1"),
        ("b.yaml", "- Rolex\n- {name: X1, aliases: [RÓLEX]}", "'RÓLEX' of 'X1' is also 'Rolex' of 'Rolex' on line 1"),
        ("b.yaml", "- name: ''", "line 1: a brand has no name"),
        ("b.yaml", "- name:", "line 1: a brand has no name"),
        ("b.yaml", "- {aliases: [x]}", "line 1: a brand has no name"),
        ("b.yaml", "- '!!!'", "line 1: '!!!' has no letter or digit"),
        ("b.yaml", "- Rolex\n- name: Tudor\n  alias: x", "line 3: 'alias' is not a known column"),
        ("b.yaml", "- name: Tudor\n  aliases: {a: b}", "line 2: 'aliases' is neither a text nor a list of texts"),
        ("b.yaml", "- name: [a, b]", "line 1: 'name' is a list"),
        ("b.yaml", "- {name: a, name: b}", "line 1: 'name' appears twice"),
        ("b.yaml", "- {name: Tudor, min_length: many}", "line 1: min_length is 'many'"),
        ("b.yaml", "- {name: Tudor, min_length: -1}", "line 1: min_length is '-1'"),
        ("b.yaml", "- {name: Tudor, whole_line: [x]}", "line 1: whole_line lists 'x'"),
        ("b.yaml", "- {name: Tudor, excluded_texts: [TUDOR]}", "line 1: 'TUDOR' is both a name and an excluded text"),
        ("b.yaml", "- C&A\n- C and A", "line 2: the id 'c-and-a' of 'C and A' is also that of 'C&A' on line 1"),
        ("b.yaml", "Rolex", "line 1: this is not a list of brands"),
        ("b.yaml", "", "line 1: this is not a list of brands"),
        ("b.yaml", "- a\n- [b]", "line 2: this is a list instead of a brand"),
        ("b.yaml", "- a\n- {b", "this is not YAML"),
        ("b.yaml", "- a\x07", "this is not YAML"),
        ("b.yaml", '- Rolex\n- "a\\x07b"', "line 2: 'a\\x07b' has a control character"),
        ("b.csv", "name,owner\na,b\x9fc", "line 2: 'b\\x9fc' has a control character"),
        ("b.yaml", "- {name: A, excluded_texts: [x], included_texts: [X]}", "'x' is both a name and an excluded text"),
        ("b.yaml", "- Rolex\n- {name: Tudor, included_texts: [ROLEX]}", "line 2: 'ROLEX' of 'Tudor' is also 'Rolex'"),
        ("b.yaml", "- {name: Tudor, included_texts: ['?']}", "line 1: '?' has no letter or digit"),
        ("b.yaml", "- {name: Tudor, owner: [a, b]}", "line 1: 'owner' is a list"),
        ("b.yaml", "- {name: Tudor, colours: [red]}", "line 1: 'red' is not a colour"),
        ("b.yaml", "- name: Tudor\n  colours: #e30613", "line 2: a colour is missing: # begins a comment"),
        ("b.yaml", "- {name: Tudor, logo_only: maybe}", "line 1: logo_only is 'maybe'"),
        ("b.yaml", "- {name: Tudor, logos: [t.svg]}", "line 1: the logo t.svg is listed, but the list is not a file"),
        ("b.yaml", "- {name: Tudor, kind: team}", "line 1: the kind 'team' is unknown"),
        ("b.yaml", "- {name: Tudor, kind: [club, league]}", "line 1: 'kind' is a list"),
        ("b.yaml", "- Rolex\n- {name: Tudor, country: UK}", "line 2: 'UK' is no country's code"),
        ("b.yaml", "- {name: Tudor, sports: [golf, Tennis]}", "line 1: the sport 'Tennis' has a capital letter"),
        ("b.csv", "", "line 1: the file is empty"),
        ("b.csv", "Rolex\nTudor", "line 1: there is no column 'name'"),
        ("b.csv", "name,colour\na,b", "line 1: 'colour' is not a known column"),
        ("b.csv", "name,name\na,b", "line 1: the column 'name' appears twice"),
        ("b.csv", "name,aliases\na,b\nc,d,e", "line 3: 3 cells under 2 columns"),
        ("b.csv", 'name\n"a', "this is not CSV"),
        ("b.txt", "Rolex", "b.txt has an unknown format"),
        ("b.json", '["Rolex", "rolex"]', "the brand 'rolex' is already on line 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_and_line(source, data, message):
    with pytest.raises(BadInput) as e:
        parse_catalog(data.encode(), source)
    assert message in str(e.value)
    assert source in str(e.value)
    assert e.value.hint


def test_all_columns_in_yaml_and_csv():
    from_yaml = parse_catalog(
        b"- {name: Acme, owner: 'Acme, Inc', included_texts: [We do it], colours: ['#E30613', 00ff00], logo_only: yes,"
        b" kind: public body, country: no, sports: [ice hockey, golf], excluded: yes}",
        "b.yaml",
    )
    from_csv = parse_catalog(
        b"name,owner,included texts,colours,logo_only,kind,country,sports,excluded\n"
        b'Acme,"Acme, Inc",We do it,#e30613|00FF00,yes,Public body,NO,golf|ice hockey,true\n',
        "b.csv",
    )
    assert from_yaml == from_csv
    brand = from_yaml.brands[0]
    assert (brand.owner, brand.included_texts, brand.logo_only) == ("Acme, Inc", ("We do it",), True)
    assert brand.excluded
    assert brand.colours == ("#e30613", "#00ff00")
    assert (brand.kind, brand.country, brand.sports) == (BrandKind.public_body, "NO", ("golf", "ice hockey"))
    assert catalog_from_json(catalog_to_json(from_yaml), from_yaml.version) == from_yaml


def test_a_list_without_later_columns_keeps_its_version_and_its_snapshot():
    was = (
        b'{"brands":[{"aliases":["Crown"],"brand_id":"rolex","categories":["watches"],"excluded_texts":[],'
        b'"min_length":0,"name":"Rolex","whole_line":["Crown"]}],"version":"%s"}'
    )
    catalog = parse_catalog(b"- {name: Rolex, aliases: [Crown], categories: [watches], kind: brand}", "b.yaml")
    assert catalog.version == "92d59561c9ab85d8"
    assert catalog_to_json(catalog) == was % catalog.version.encode()
    assert catalog_from_json(was % catalog.version.encode(), catalog.version) == catalog


def test_text_that_is_not_utf8_is_refused_with_its_line():
    with pytest.raises(BadInput, match="line 2: the text is not UTF-8"):
        parse_catalog("name\nItaú".encode("latin-1"), "b.csv")


@pytest.mark.parametrize(
    ("written", "half"), [(r'"\ud83d"', "d83d"), (r'"\uDE00\ud83d"', "uDE00"), (r'"\\\ud83d x"', "d83d")]
)
def test_half_a_character_is_refused_with_its_line(written, half):
    with pytest.raises(BadInput, match=rf"b\.json, line 2: \\.*{half} is half a character"):
        parse_catalog(f'["Rolex",\n{written}]'.encode(), "b.json")


def test_an_escaped_backslash_begins_no_character():
    assert parse_catalog(rb'["\\ud83d\\ude00", "\\\ud83d\ude00 a"]', "b.json").brands[1].name == r"\ud83d\ude00"


def test_decomposed_names_are_those_composed():
    names = ["삼성", "Itaú", "ঢাকো"]
    apart = [unicodedata.normalize("NFD", name) for name in names]
    composed = parse_catalog(json.dumps(names).encode(), "b.json")
    csv = "name,aliases\n" + "".join(f"{name},\n" for name in apart)
    lists = {"b.json": json.dumps(apart), "b.yaml": "".join(f"- {name}\n" for name in apart), "b.csv": csv}
    for name, text in lists.items():
        assert parse_catalog(text.encode(), name) == composed
    with pytest.raises(BadInput, match="line 2: the brand '삼성' is already on line 1"):
        parse_catalog(f"- {names[0]}\n- {apart[0]}".encode(), "b.yaml")


def test_the_file_of_a_logo_keeps_its_name(tmp_path):
    logo = unicodedata.normalize("NFD", "logos/itaú.svg")
    folder = write(tmp_path, {"brands.yaml": f"- {{name: Itaú, logos: [{logo}]}}\n", logo: svg("disc")})
    assert load_catalog(str(folder)).catalog.n_exemplars == 1


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        load_catalog(str(tmp_path / "none.yaml"))


def test_a_file_is_loaded(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(CSV)
    assert load_catalog(str(path)).catalog == parse_catalog(YAML, "b.yaml")


def test_the_version_follows_the_content_not_the_order():
    one = parse_catalog(b"- {name: Rolex, aliases: [a, b]}\n- Tudor", "b.yaml")
    same = parse_catalog(b"- name: Tudor\n# a comment\n- {aliases: [b, a], name: Rolex}", "b.yaml")
    other = parse_catalog(b"- {name: Rolex, aliases: [a, c]}\n- Tudor", "b.yaml")
    assert one.version == same.version != other.version


def test_the_compiled_starter_list_is_that_of_the_yaml(request, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # where no list is cached
    source._merged.cache_clear()
    listed = load_catalog(str(STARTER))
    data = catalog_to_json(listed.catalog)
    if request.config.getoption("--golden"):
        COMPILED.write_bytes(gzip.compress(data, mtime=0))
    assert gzip.decompress(COMPILED.read_bytes()) == data, (
        "the list or its logos have changed: `make golden` compiles them"
    )
    compiled = load_catalog()
    assert catalog_to_json(compiled.catalog) == data
    assert compiled.files == listed.files


def test_a_snapshot_gives_the_catalogue_back():
    catalog = parse_catalog(YAML, "b.yaml")
    data = catalog_to_json(catalog)
    read = catalog_from_json(data, catalog.version)
    assert read == catalog
    assert catalog_to_json(read) == data


@pytest.mark.parametrize("damage", [lambda d: d[:-5], lambda d: d.replace(b"Rolex", b"Rolax"), lambda _: b"[]"])
def test_a_damaged_snapshot_is_refused(damage):
    catalog = parse_catalog(YAML, "b.yaml")
    with pytest.raises(Permanent, match=f"{catalog.version} of the brand catalogue is damaged") as error:
        catalog_from_json(damage(catalog_to_json(catalog)), catalog.version)
    assert f"_catalog/{catalog.version}/catalog.json" in error.value.hint


def test_a_snapshot_in_the_place_of_another_is_refused():
    catalog, other = parse_catalog(b"- Rolex", "b.yaml"), parse_catalog(b"- Tudor", "b.yaml")
    with pytest.raises(Permanent):
        catalog_from_json(catalog_to_json(other), catalog.version)


@pytest.mark.parametrize(
    ("name", "brand_id"),
    [
        ("Itaú", "itau"),
        ("H&M", "h-and-m"),
        ("Disney+", "disney-plus"),
        ("7-Eleven", "7-eleven"),
        ("McDonald's", "mcdonalds"),
        ("华为", "华为"),
        ("E\u0301lan Vital", "elan-vital"),
        ("अमूल", "अमूल"),
        ("№", "no"),
        ("Crypto.com", "crypto-com"),
    ],
)
def test_brand_ids(name, brand_id):
    assert brand_id_of(name) == brand_id


@given(st.text(max_size=20).filter(lambda name: name.isprintable() and any(c.isalnum() for c in name)))
def test_any_name_survives_yaml_and_the_snapshot(name):
    catalog = parse_catalog(json.dumps([{"name": name}], ensure_ascii=False).encode(), "b.yaml")
    assert [b.name for b in catalog.brands] == [unicodedata.normalize("NFC", name.strip())]
    assert parse_catalog(json.dumps([{"name": name}]).encode(), "b.json") == catalog
    assert all(b.brand_id for b in catalog.brands)
    assert catalog_from_json(catalog_to_json(catalog), catalog.version) == catalog


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{name: Head, aliases: [Head Tennis, HP]}", ("Head", "HP")),  # an everyday word, and a short one
        ("{name: Head, whole_line: false}", ()),
        ("{name: Rolex, aliases: [Crown Watch], whole_line: true}", ("Rolex", "Crown Watch")),
        ("{name: Rolex, aliases: [Crown Watch], whole_line: [Crown Watch]}", ("Crown Watch",)),
        ("'888'", ("888",)),
        ("华为", ()),
    ],
)
def test_what_needs_a_line_of_its_own(written, expected):
    assert parse_catalog(f"- {written}".encode(), "b.yaml").brands[0].whole_line == expected


ODD_LAYOUTS = (
    "# by hand\n\n- Rolex\n# watches\n- {name: Omega, aliases: [Omega SA]}\n- name: Tissot\n  aliases:\n    - Ti\n",
    "brands:\n- Rolex\n- name: Omega\n- Tissot\n",
    "---\n- Rolex\n- Omega\n- Tissot\n...\n",
    "- Rolex\n...\n- Omega\n- Tissot\n",
    "- Rolex\n---\n- Omega\n- Tissot\n",
    "- {name: &a Rolex}\n- {name: Omega, owner: *a}\n- Tissot\n",
    "- {name: &a Rolex}\n- {name: &a Omega}\n- Tissot\n",
    "- Marks & Spencer\n- H&M\n- AT&T\n",
    '- "Rolex\n- Omega"\n- Tissot\n- {name: Rado, nonsense: 1}\n',
    "- {name: Rolex, aliases: [one,\n- two]}\n- Omega\n- Tissot\n",
    "- name: Rolex\r\n  owner: X\r\n- Omega\r\n- {name: Tissot, colours: [#e30613]}\r\n",
    "- Rolex\u2028- Omega\n- Tissot\n",
    "- Rolex\r- Omega\n- Tissot\n",
    "- Rolex\n- Omega\n- [a list]\n",
    "-\n  name: Rolex\n- Omega\n- Tissot\n- {name: Rado, name: Rado}\n",
    "- |\n  Rolex\n- >\n  Omega\n\n- Tissot\n- {\n",
    "%YAML 1.1\n---\n- Rolex\n- Omega\n",
    "[Rolex, Omega,\n- Tissot]\n",
    "- Rolex\n- Omega\nother: 1\n",
    "- Rolex\n  - Omega\n- Tissot\n",
)


@pytest.mark.parametrize("text", ODD_LAYOUTS)
def test_a_list_read_by_parts_reads_as_a_whole(text: str, monkeypatch: pytest.MonkeyPatch):
    def read(part: int) -> object:
        monkeypatch.setattr(entries, "PART", part)
        entries.entries_of.cache_clear()
        try:
            return [(e.source, e.line, e.cells) for e in entries.entries_of(text.encode(), "a.yaml")]
        except BadInput as e:
            return str(e), e.hint

    whole = read(1000)
    assert read(1) == read(2) == whole


@pytest.mark.parametrize("text", ["brands:\n  - Rolex\n  - Omega\n  - Tissot\n", '["Rolex", "Omega", "Tissot"]'])
def test_the_versions_of_a_list_without_parts_are_not_all_kept(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(entries, "PART", 1)
    kept = entries._entries_of_part.cache_info().currsize
    assert len(entries.entries_of(text.encode(), "a.yaml")) == 3
    assert entries._entries_of_part.cache_info().currsize == kept


def test_after_a_change_only_the_part_that_it_touches_is_read_again(monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    compose = yaml.compose

    def noted(text: str, **how: object) -> object:
        read.append(text)
        return compose(text, **how)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(yaml, "compose", noted)
    monkeypatch.setattr(entries, "PART", 2)
    text = "".join(f"- Parted {n}\n" for n in range(9))
    entries.entries_of(text.encode(), "a.yaml")
    assert len(read) == 5
    read.clear()
    changed = entries.entries_of(text.replace("Parted 3", "Parted 3\n# more").encode(), "a.yaml")
    assert read == ["- Parted 2\n- Parted 3\n# more\n"]
    assert [entry.line for entry in changed] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
