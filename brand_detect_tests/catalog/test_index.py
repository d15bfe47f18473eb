import math
import unicodedata
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brand_detect.catalog import LexiconIndex, load_catalog, parse_catalog
from brand_detect.catalog.source import is_everyday_word
from brand_detect.domain.catalog import Brand, BrandCatalog, BrandKind
from brand_detect.domain.lattice import Step, lattice_of, spelled
from brand_detect.domain.text import key_of
from brand_detect_tests.support.matching import crowded

BRANDS = """
- {name: Itaú, aliases: [Banco Itaú]}
- {name: Emirates, aliases: [Fly Emirates], excluded_texts: [Emirtes]}
- FedEx
- Tennis TV
- BNP Paribas
- Rolex
- Peugeot
- Lacoste
- OPPO
- Turkish Airlines
- Disney
- {name: Disney+, aliases: [Disney Plus]}
- {name: Plus500}
- {name: H&M}
- {name: Huawei, aliases: [华为]}
- {name: KIA, whole_line: false}
- {name: Hewlett-Packard, aliases: [HP]}
- Head
- Gap
- Total
- {name: Target, excluded_texts: [Target Road]}
- {name: Orange, excluded_texts: [Orange County]}
- Shell
- Visa
- {name: Renault, min_length: 9}
- Tesla
- Air New Zealand
- San Sebastian
- 삼성바이오로직스
"""
STARTER = load_catalog().catalog
CROWDED_LIST = crowded()
CROWDED = LexiconIndex(CROWDED_LIST)


@pytest.fixture(scope="module")
def index():
    return LexiconIndex(parse_catalog(BRANDS.encode(), "b.yaml"))


@pytest.fixture(scope="module")
def starter():
    return LexiconIndex(STARTER)


def find(index, text, fuzzy_score=0.88, min_fuzzy_length=5):
    return index.find(text, fuzzy_score=fuzzy_score, min_fuzzy_length=min_fuzzy_length)


def names(index, text, **params):
    return [h.brand for h in find(index, text, **params)]


@pytest.mark.parametrize(
    ("text", "brand", "rule"),
    [
        ("ITAU", "Itaú", "exact"),
        ("Itaú", "Itaú", "exact"),
        ("BANCO ITAU", "Itaú", "alias"),
        ("fly emirates", "Emirates", "alias"),
        ("FLYEMIRATES", "Emirates", "alias"),
        ("FED EX", "FedEx", "exact"),
        ("FedEx.", "FedEx", "exact"),
        ("TENNISTV", "Tennis TV", "exact"),
        ("TENNI STV", "Tennis TV", "exact"),
        ("R0LEX", "Rolex", "fuzzy"),
        ("ERNIRATES", "Emirates", "fuzzy"),
        ("EMlRATES", "Emirates", "fuzzy"),
        ("0PP0", "OPPO", "fuzzy"),
        ("K1A", "KIA", "fuzzy"),
        ("TURKISH AIRLIMES", "Turkish Airlines", "fuzzy"),
        ("PLUSS00", "Plus500", "fuzzy"),
        ("h & m", "H&M", "exact"),
        ("华为手机", "Huawei", "alias"),
        (unicodedata.normalize("NFD", "삼성바이오로직스"), "삼성바이오로직스", "exact"),
        ("DISNEY+", "Disney+", "exact"),
        ("Disney plus", "Disney+", "alias"),
        ("WWW.SHELL.COM", "Shell", "exact"),
        ("HEAD HEAD", "Head", "exact"),
        ("HEAD®", "Head", "exact"),
        ("HP", "Hewlett-Packard", "alias"),
        ("V1SA", "Visa", "fuzzy"),
        ("MIRATES", "Emirates", "fuzzy"),
        ("TENNIST", "Tennis TV", "fuzzy"),
    ],
)
def test_one_brand(index, text, brand, rule):
    hits = find(index, text)
    assert {(h.brand, h.rule) for h in hits} == {(brand, rule)}
    assert all((h.score == 1) == (rule != "fuzzy") for h in hits)


@pytest.mark.parametrize(
    "text",
    [
        "HEADLINES", "HEAD COACH", "MIND THE GAP", "TOTAL 3-2", "TOTAL 3", "ON TARGET", "SHELLFISH", "HPV", "HP 12",
        "KIARA", "ZODIAKIA", "NOKIAN", "KLA", "TARGETS", "TOTAL TARGET", "ORANGES", "SHELF", "VISAGE", "FED", "EX",
        "TV", "TENNIS", "PLUS", "FED UP WITH EX", "0990", "", "...", "PLUSSOO", "BNP", "ROLFX", "LA COSTA",
        "LACOST", "EMIRATIS", "DISNE", "THE MIRATES CUP",
    ],
)  # fmt: skip
def test_no_brand(index, text):
    assert names(index, text) == []


def test_an_included_text_says_its_brand_and_only_as_it_is_written():
    index = LexiconIndex(
        parse_catalog(b"- {name: Emirates, included_texts: [Fly Better], aliases: [Skywards]}", "b.yaml")
    )
    [hit] = find(index, "TO FLY BETTER!")
    assert (hit.brand, hit.alias, hit.rule) == ("Emirates", "Fly Better", "alias")
    assert names(index, "FLYBETTER") == names(index, "EMIRATES FLY BETTER")[:1] == ["Emirates"]
    assert names(index, "SKYWARD") == ["Emirates"], "an alias is found when a letter is lost"
    assert names(index, "FLY BETTE") == names(index, "FLY 8ETTER") == names(index, "BUTTERFLY BETTERS") == []


def test_the_texts_of_a_brand_that_counts_by_its_logo_alone_are_not_looked_for():
    index = LexiconIndex(parse_catalog(b"- {name: Mercury, logo_only: true}\n- Mercury Records", "b.yaml"))
    assert names(index, "MERCURY") == names(index, "MERCVRY") == []
    assert names(index, "MERCURY RECORDS") == ["Mercury Records"]


def test_a_plus_that_follows_without_a_space_makes_another_name():
    index = LexiconIndex(parse_catalog(b"- Disney", "b.yaml"))
    assert names(index, "DISNEY+") == []
    assert names(index, "DISNEY + ROLEX") == ["Disney"]


@pytest.mark.parametrize(
    ("text", "brands"),
    [
        ("EMIRATES FLY BETTER", {"Emirates": "EMIRATES"}),
        ("EMIRATESFLYBETTER", {"Emirates": "EMIRATES"}),
        ("the R0LEX clock", {"Rolex": "R0LEX"}),
        ("ROLEX   BNP - PARIBAS", {"Rolex": "ROLEX", "BNP Paribas": "BNP - PARIBAS"}),
        ("KIATENNISTV", {"KIA": "KIA", "Tennis TV": "TENNISTV"}),
        ("ROLEXPEUGEOT", {"Rolex": "ROLEX", "Peugeot": "PEUGEOT"}),
        ("«Itaú» LACOSTE", {"Itaú": "Itaú", "Lacoste": "LACOSTE"}),
        ("ROLEX HEAD", {"Rolex": "ROLEX", "Head": "HEAD"}),  # nothing but names on the line
        ("ROLEX HEAD START", {"Rolex": "ROLEX"}),
        ("the new KIA", {"KIA": "KIA"}),
    ],
)
def test_brands_in_a_longer_line_with_their_places(index, text, brands):
    assert {h.brand: text[h.start : h.end] for h in find(index, text)} == brands


def test_excluded_texts(index):
    assert index.is_excluded("ORANGE COUNTY")
    assert index.is_excluded("0range C0unty")
    assert not index.is_excluded("ORANGE")
    assert names(index, "ORANGE COUNTY") == []
    street = LexiconIndex(parse_catalog(b"- {name: Rolex, excluded_texts: [Rolex Street]}", "b.yaml"))
    assert names(street, "12 ROLEX STREET") == []
    assert names(street, "ROLEX, 12 STREET") == ["Rolex"]


def test_the_longer_name_wins(starter):
    assert names(starter, "RAI PLAY") == ["Rai Play"]
    assert names(starter, "GARANTI BBVA") == ["Garanti BBVA"]


def test_a_number_does_not_stand_for_letters():
    index = LexiconIndex(
        parse_catalog(b"[{name: Lenor}, {name: Shell}, {name: Google}, {name: Studio 100}, {name: Lotto}]", "b.yaml")
    )
    for text in ("37:13 NOR", "37:13NOR", "13 NOR", "13NOR", "GER 13NOR"):
        assert names(index, text) == []
    for text in ("L E N 0 R", "1ENOR", "LEN0R"):
        assert names(index, text) == ["Lenor"]
    assert names(index, "SHE11") == ["Shell"]
    assert names(index, "G00GLE") == ["Google"]
    assert names(index, "STUDI0 100") == ["Studio 100"]
    assert names(index, "10TTO") == ["Lotto"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("LONDON 2012", "London 2012"),
        ("L0NDON 2O12", "London 2012"),
        ("LONDON 2017", ""),
        ("LOND0N 2019", ""),
        ("LIGUF 1", "Ligue 1"),
        ("LIGUE 2", ""),
    ],
)
def test_a_digit_is_never_another_one(text: str, found: str):
    index = LexiconIndex(parse_catalog(b"[{name: London 2012}, {name: Ligue 1}]", "b.yaml"))
    limits = {"fuzzy_score": 0.8, "min_fuzzy_length": 5}
    assert [hit.brand for hit in index.find(text, **limits, expected=True)] == [found] * bool(found)


def test_min_length_is_the_brands_own_or_the_params(index):
    assert names(index, "RENAU1T") == []  # Renault asks for 9 letters
    assert names(index, "R0LEX", min_fuzzy_length=6) == ["Rolex"]  # a digit for a letter needs no length
    assert names(index, "PEUGFOT", fuzzy_score=0.8) == ["Peugeot"]
    assert names(index, "PEUGFOT", fuzzy_score=0.8, min_fuzzy_length=8) == []


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("OPEUGEOT", "PEUGEOT"),
        ("the PEUGEOTO", "PEUGEOT"),
        ("PPEUGEOT", "PEUGEOT"),
        ("PEUGFOT", "PEUGFOT"),
        ("EUGEOT", "EUGEOT"),
    ],
)
def test_letters_around_a_name_are_none_of_it(index, text, cut):
    [hit] = find(index, text, fuzzy_score=0.8)
    assert (hit.brand, text[hit.start : hit.end]) == ("Peugeot", cut)


def test_a_name_matches_approximately_as_a_whole_line_or_if_it_is_expected(index):
    limits = {"fuzzy_score": 0.8, "min_fuzzy_length": 5}
    assert [h.brand for h in index.find("PEUGFOT", **limits)] == ["Peugeot"]
    assert [h.brand for h in index.find("www.PEUGFOT.com", **limits)] == ["Peugeot"]
    assert index.find("PEUGFOT cars", **limits) == []
    assert [h.brand for h in index.find("PEUGFOT ROLEX", **limits)] == ["Rolex"]
    assert [h.brand for h in index.find("PEUGFOT cars", **limits, expected=True)] == ["Peugeot"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("PEUGFOT", []), ("EUGEOT", ["Peugeot"]), ("OPEUGEOT", ["Peugeot"]), ("PEUGE0T", ["Peugeot"]), ("PEUGEQT", [])],
)
def test_in_a_certain_text_no_letter_is_taken_for_another(index, text, found):
    hits = index.find(text, fuzzy_score=0.8, min_fuzzy_length=5, certain=True)
    assert [h.brand for h in hits] == found


def test_how_often_a_short_name_arises_by_chance_follows_from_the_catalogue():
    few = LexiconIndex(parse_catalog("- KIA\n- NOKIA\n- 김정수\n".encode(), "b.yaml"))
    assert (few.by_chance("KIA"), few.crowding("KIA")) == (0.001, 0.0)
    assert few.by_chance("김정수") == 0.0
    short, long = (next(b.name for b in CROWDED_LIST.brands if len(b.name) == n) for n in (3, 6))
    assert CROWDED.by_chance(short) == pytest.approx(0.1, abs=0.03)  # a tenth of the beginnings and few ends are names
    assert CROWDED.by_chance(long) == 0.0
    assert 0.5 < CROWDED.crowding(long) < 0.7  # 4,400 names


@pytest.mark.parametrize(
    ("names", "short", "share"),
    [
        ("- Zymvora Kravik\n- XKravik\n- Kravik", "Kravik", 0.001),  # of XKravik; words are seen whole
        ("- Xshell\n- Shell", "Shell", 0.0),  # an everyday word
        ("- {name: Nokia, aliases: [Kia]}", "Kia", 0.0),  # the brand itself
    ],
)
def test_what_is_left_of_a_name_is_another_by_chance_only_within_a_word_and_of_another_brand(names, short, share):
    assert LexiconIndex(parse_catalog(names.encode(), "b.yaml")).by_chance(short) == share


def test_how_often_a_name_arises_by_chance_depends_on_no_name_unlike_it():
    further = [Brand(f"zz{n}", f"{name}zz") for n, name in enumerate(b.name for b in CROWDED_LIST.brands[:1000])]
    many = [*CROWDED_LIST.brands, *further]
    unlike = Brand("000", "김정수")
    short = next(brand.name for brand in CROWDED_LIST.brands if len(brand.name) == 3)
    few, more = LexiconIndex(BrandCatalog("x", many)), LexiconIndex(BrandCatalog("y", [unlike, *many]))
    assert few.by_chance(short) == more.by_chance(short)


def test_a_name_that_is_not_rare_stands_among_its_like():
    brands = [replace(brand, rare=True) for brand in CROWDED_LIST.brands]
    common = replace(brands[0], rare=False)
    index = LexiconIndex(BrandCatalog("x", [common, *brands[1:]]))
    assert (index.by_chance(common.name), index.crowding(common.name)) == (0.0, 0.0)
    short = next(brand.name for brand in brands if len(brand.name) == 3)
    assert index.by_chance(short) > 0.03
    assert index.crowding(short) == CROWDED.crowding(short)


def test_a_name_is_crowded_by_what_may_match_approximately_and_is_latin_as_it_is_or_not():
    slogans = [replace(b, included_texts=(f"{b.name} zymvora",)) for b in CROWDED_LIST.brands]
    korean = [Brand(f"k{n}", chr(0xAC00 + n // 90) + chr(0xB000 + n % 90) + "가") for n in range(4600)]
    index = LexiconIndex(BrandCatalog("x", [*slogans, *korean]))
    latin = CROWDED_LIST.brands[0].name
    assert index.crowding(latin) == CROWDED.crowding(latin) > 0
    assert index.crowding(korean[0].name) == pytest.approx(math.log(2))  # twice as many as limits were measured for


def test_a_short_name_of_a_long_list_matches_approximately_only_if_it_is_expected():
    limits = {"fuzzy_score": 0.6, "min_fuzzy_length": 3}
    name = next(brand.name for brand in CROWDED_LIST.brands if len(brand.name) == 3)
    assert CROWDED.find(f"{name[:2]}y", **limits) == []
    [hit] = CROWDED.find(f"{name[:2]}y", **limits, expected=True)
    assert hit.brand[:2] == name[:2]


@pytest.mark.parametrize(
    "emblem", ["Δ", "Λ", "口", "ロ", "\N{GREEK SMALL LETTER OMICRON}", "\N{CYRILLIC SMALL LETTER O}"]
)
def test_an_emblem_beside_an_everyday_name_makes_no_sentence_of_it(index, emblem):
    assert names(index, f"{emblem} Visa") == ["Visa"]


def test_a_letter_that_the_reader_split_in_two_is_all_of_the_name(starter):
    [hit] = find(starter, "TELEKORN")
    assert (hit.brand, hit.start, hit.end) == ("Deutsche Telekom", 0, 8)


@pytest.mark.parametrize("name", ["ธนาคารกสิกรไทย", "スターバックスコーヒー"])
def test_a_name_may_have_more_words_than_most(name):
    brands = f"- {name}\n- {{name: Rolex, excluded_texts: [{name} Rolex]}}"
    index = LexiconIndex(parse_catalog(brands.encode(), "b.yaml"))
    assert [h.brand for h in index.find(f"Visit {name}", fuzzy_score=0.88, min_fuzzy_length=5)] == [name]
    assert [h.brand for h in index.find(f"{name} Rolex", fuzzy_score=0.88, min_fuzzy_length=5)] == [name]


def test_vowel_signs_tell_names_apart():
    index = LexiconIndex(parse_catalog("- अमूल".encode(), "b.yaml"))
    assert [h.brand for h in index.find("अमूल दूध", fuzzy_score=0.88, min_fuzzy_length=5)] == ["अमूल"]
    assert index.find("अमल", fuzzy_score=0.88, min_fuzzy_length=5) == []


def test_a_longer_name_is_seen_behind_several_that_fold_alike():
    index = LexiconIndex(parse_catalog(b"- {name: BNP, aliases: [8NP]}\n- BNP Paribas", "b.yaml"))
    assert index.may_begin("BNP")


def test_may_begin_and_may_end(index):
    assert index.may_begin("BNP")
    assert index.may_begin("welcome BNP")
    assert index.may_end("PAR1BAS")
    assert index.may_end("PARIBAS OPEN")
    assert not index.may_begin("PARIBAS")
    assert not index.may_end("BNP")
    assert not index.may_begin("ROLEX X")


def test_every_starter_name_is_found_as_itself_and_alone(starter):
    for brand in STARTER.brands:
        for text in (brand.name, *brand.aliases):
            for read in {text, text.upper(), "".join(text.split())}:
                assert [h.brand_id for h in find(starter, read)] == [brand.brand_id], read


def test_a_name_that_is_repeated_without_spaces_is_found_each_time():
    index = LexiconIndex(parse_catalog(b"[TIM, Bonbon, Bon]", "b.yaml"))
    assert [(h.brand, h.start, h.end) for h in find(index, "TIMTIM")] == [("TIM", 0, 3), ("TIM", 3, 6)]
    assert [h.brand for h in find(index, "TIM TIMTIM")] == ["TIM"] * 3
    assert [h.brand for h in find(index, "BONBON")] == ["Bonbon"]
    assert find(index, "TIMTIMS") == []


class _Without(LexiconIndex):
    """An index that does not know one brand."""

    left_out = ""

    def _candidates(self, line, fuzzy_score, min_fuzzy_length, certain):
        candidates = super()._candidates(line, fuzzy_score, min_fuzzy_length, certain)
        return (f for f in candidates if f.spelling.brand.brand_id != self.left_out)


def test_without_a_brand_its_name_is_no_other_brand():
    """Only a name that another name is a part of, word for word (Emirates in Emirates NBD), may say that other."""
    index = _Without(STARTER)
    for brand in STARTER.brands:
        index.left_out = brand.brand_id
        for text in (brand.name, *brand.aliases):
            for hit in find(index, text.upper()):
                part = hit.end - hit.start < len(text)
                assert hit.rule in ("exact", "alias"), f"{text} is taken for {hit}"
                assert part, f"{text} is taken for {hit}"


def test_leaving_out_is_the_same_as_not_having_it():
    without = _Without(STARTER)
    without.left_out = "rai-play"
    real = LexiconIndex(BrandCatalog("x", [b for b in STARTER.brands if b.brand_id != "rai-play"]))
    for text in ("RAI PLAY", "RAIPLAY", "RAI", "RAl PLAY"):
        assert find(without, text) == find(real, text)


def test_an_index_without_a_brand_is_that_of_the_list_without_it():
    more = "- {name: Kia Motors, included_texts: [Kia way]}\n- {name: Mercury, logo_only: true}\n- Zymvorx\n"
    alike = "- {name: Zymvora, aliases: [Zymvorb, Zymvorc, Zymvord, Zymvore]}\n"
    parts = "- Nokia\n- Zymvornokia of Zymvornokia\n- {name: Krz, rare: true}\n- {name: Dakrz, rare: true}\n"
    catalog = parse_catalog((BRANDS + more + alike + parts).encode(), "b.yaml")
    whole = LexiconIndex(catalog)
    keys = tuple(sorted(key_of(text) for b in catalog.brands for text in (b.name, *b.aliases)))
    texts = [t for b in catalog.brands for t in (b.name, *b.aliases, *b.excluded_texts, *b.included_texts)]
    texts += [
        "R0LEX",
        "PEUGEO",
        "ROLE",
        "HUAWEIKIA",
        "8NP PARIBAS",
        "NEW ZEALAND",
        "TURKISHAIRLNES",
        "TOTAL VISA",
        "ZYMVORQ",
        "ZYMVORNOKIA",
    ]

    def seen(index):
        for text in texts:
            read = lattice_of(text, [Step((letter,), (0.0,)) for letter in text])
            limits = {"fuzzy_score": 0.7, "min_fuzzy_length": 3}
            yield text, index.find(text, **limits), index.find(text, **limits, expected=True, certain=True)
            yield index.rivals(text, **limits), index.find_occluded(text, keys, **limits), index.near(text, 1)
            yield index.find_occluded_between(text[:3], text[-3:], keys, **limits, cut=(False, False))
            yield index.named(text), index.is_excluded(text), index.may_begin(text), index.may_end(text)
            yield index.find_likely(read), index.may_hold(read), index.find_abridged(read, read)
            yield index.find_joined([read, read], *index.may_hold(read))
        yield [(index.by_chance(s.key), index.crowding(s.key)) for s in index._by_key.values()]

    before = list(seen(whole))
    for brand in catalog.brands:
        rest = BrandCatalog("x", [b for b in catalog.brands if b is not brand])
        assert list(seen(whole.without(brand))) == list(seen(LexiconIndex(rest))), brand.name
    assert list(seen(whole)) == before


def test_the_starter_catalogue_is_broad():
    ids = {b.brand_id for b in STARTER.brands}
    assert len(ids) >= 30_000
    assert {b.kind for b in STARTER.brands} == {*BrandKind}
    assert len({b.country for b in STARTER.brands}) > 150
    everyday = {"visa", "head", "gap", "orange", "total", "shell", "target", "hp", "kia", "oppo", "claro", "itau"}
    assert everyday <= ids
    assert all(b.categories for b in STARTER.brands)
    assert not [a for b in STARTER.brands for a in b.aliases if is_everyday_word(key_of(a))]


def test_no_event_of_the_starter_catalogue_takes_its_sponsors_name():
    """Under ``sport`` no text holds a brand of another category, and no alias of an event is a part of its name."""
    sponsors = LexiconIndex(BrandCatalog("x", [b for b in STARTER.brands if "sport" not in b.categories]))
    for event in (b for b in STARTER.brands if "sport" in b.categories):
        for text in (event.name, *event.aliases):
            assert names(sponsors, text.upper()) == [], text
        for alias in event.aliases if event.kind is BrandKind.event else ():
            index = LexiconIndex(BrandCatalog("x", [replace(event, name=alias, aliases=(), whole_line=())]))
            assert names(index, event.name) == [], f"{alias} is a part of {event.name}"


@pytest.mark.parametrize(
    ("title", "sponsor"),
    [
        ("ROLEX PARIS MASTERS", "Rolex"),
        ("BNP PARIBAS OPEN", "BNP Paribas"),
        ("ERSTE BANK OPEN", "Erste Bank"),
        ("MUTUA MADRID OPEN", "Mutua Madrileña"),
        ("INTERNAZIONALI BNL D'ITALIA", "BNL"),
        ("BARCELONA OPEN BANC SABADELL", "Banco Sabadell"),
        ("NITTO ATP FINALS", "Nitto"),
        ("CARABAO CUP", "Carabao"),
        ("EMIRATES FA CUP", "Emirates"),
        ("SERIE A TIM", "TIM"),
        ("SERIE A ENILIVE", "Enilive"),
        ("LIGUE 1 McDonald's", "McDonald's"),
        ("LALIGA EA SPORTS", "Electronic Arts"),
        ("JUPILER PRO LEAGUE", "Jupiler"),
        ("TATA IPL", "Tata Motors"),
        ("ROSHN SAUDI LEAGUE", "Roshn"),
        ("TotalEnergies AFCON", "Total"),
        ("TURKISH AIRLINES EUROLEAGUE", "Turkish Airlines"),
        ("DP WORLD TOUR", "DP World"),
        ("UAE TEAM EMIRATES", "Emirates"),
    ],
)
def test_a_title_credits_its_sponsor_by_the_sponsors_own_letters(starter, title, sponsor):
    hits = find(starter, title)
    own = [h for h in hits if h.brand == sponsor]
    assert len(own) == 1, hits
    assert not [h for h in hits if h.brand != sponsor and h.start < own[0].end and own[0].start < h.end]


@pytest.mark.parametrize("bare", ["BNL", "NITTO", "BANC SABADELL", "MUTUA", "CARABAO", "ROLEX", "ENILIVE", "ROSHN"])
def test_a_sponsors_bare_name_says_no_event(starter, bare):
    [hit] = find(starter, bare)
    assert "sport" not in next(b.categories for b in STARTER.brands if b.brand_id == hit.brand_id)


ENGLISH = """
The manager said that the first half was decided by a goal from the head of a defender who had come forward
There is a total of three points between the teams at the top of the league and they meet again next Saturday evening
She took the orange juice and the apple from the table and put the shell of the egg into the bin by the door
Visitors need a visa for a stay of more than ninety days, and must apply at an embassy before they travel
The gap between the platform and the train may be wide, so please stand behind the yellow line until it stops
A strong wind from the north turned the match into a fight against the weather, and neither side was on target
Doctors warn that the amount of sugar in soft drinks continues to grow, while the price has hardly changed
He has played in every round since the beginning of spring and his service has never been better than now
Police closed several streets around the station for the parade and opened the parking area beside the river
Scientists found a new kind of butterfly in the forest, no bigger than a coin and as blue as the open sky
"""


ON_SCREEN = """
HALF TIME, HALFTIME, FULL TIME, EXTRA TIME, KICK OFF, SUBSTITUTION, POSSESSION, SHOTS ON TARGET, CORNERS, OFFSIDE,
FOULS, YELLOW CARD, RED CARD, PENALTY, GOAL, OWN GOAL, ASSIST, GOALKEEPER, DEFENDER, MIDFIELDER, FORWARD, MANAGER,
COACH, REFEREE, VAR CHECK, ATTENDANCE, MATCH STATS, LINE UP, STARTING XI, BENCH, HEAD TO HEAD, GROUP STAGE,
QUARTER FINAL, SEMI FINAL, FINAL, ROUND OF 16, MATCHDAY, STANDINGS, TABLE, RESULTS, FIXTURES, NEXT MATCH, UP NEXT,
COMING UP, LIVE, REPLAY, SLOW MOTION, BREAKING NEWS, EXCLUSIVE, HIGHLIGHTS, POWERED BY, PRESENTED BY, SPONSORED BY,
OFFICIAL PARTNER, OFFICIAL SPONSOR, IN ASSOCIATION WITH, ADVERTISEMENT, SUBSCRIBE, FOLLOW US, LIKE AND SHARE,
COMMENT, WATCH NOW, DOWNLOAD NOW, SWIPE UP, LINK IN BIO, TERMS APPLY, 18+, GAMBLE RESPONSIBLY, SERVE SPEED,
FIRST SERVE, SECOND SERVE, ACES, DOUBLE FAULTS, BREAK POINTS, BREAK POINT, SET POINT, MATCH POINT, GAME, SET,
TIEBREAK, TIE BREAK, DEUCE, ADVANTAGE, CHALLENGE, WINNERS, UNFORCED ERRORS, OVERS, WICKETS, RUN RATE, REQUIRED,
PARTNERSHIP, STRIKE RATE, ECONOMY, FOURS, SIXES, POWERPLAY, POWER PLAY, INNINGS, BATTING, BOWLING, EXTRAS, LBW,
FREE HIT, NO BALL, WIDE, STUMPS, LUNCH, TEA, DRINKS, RAIN DELAY, DLS, WON THE TOSS, ELECTED TO BAT, FACE OFF, ICING,
SHOTS, SAVES, GOALIE, PERIOD, OVERTIME, SHOOTOUT, EMPTY NET, DELAYED PENALTY, ROUND, ROUND 1, ROUND 2, FIGHTER,
REACH, HEIGHT, WEIGHT, RECORD, KNOCKOUT, SUBMISSION, DECISION, UNANIMOUS, TAKEDOWNS, SIGNIFICANT STRIKES,
TALE OF THE TAPE, CO-MAIN EVENT, MAIN EVENT, LIGHTWEIGHT, WELTERWEIGHT, MIDDLEWEIGHT, HEAVYWEIGHT, FEATHERWEIGHT,
BANTAMWEIGHT, FLYWEIGHT, CHAMPION, CONTENDER, LAP, LAPS, FASTEST LAP, PIT STOP, PIT LANE, SAFETY CAR, INTERVAL,
LEADER, TYRES, SOFT, MEDIUM, HARD, BOX BOX, SECTOR 1, POLE POSITION, FORMATION LAP, GRID, FINISH, START, KM TO GO,
BREAKAWAY, YELLOW JERSEY, CLIMB, STAGE 12, HOLE, PAR, BIRDIE, EAGLE, BOGEY, LEADERBOARD, THRU, TEE, FAIRWAY, GREEN,
BUNKER, DRIVE, PUTT, QUARTER, 1ST QUARTER, 2ND HALF, 3RD PERIOD, DOWN, YARDS, TOUCHDOWN, FIELD GOAL, TIMEOUT,
TIME OUT, REBOUNDS, ASSISTS, TURNOVERS, STEALS, BLOCKS, FREE THROWS, THREE POINTERS, EXIT, ENTRANCE, OPEN, CLOSED,
SALE, NO PARKING, NO ENTRY, ONE WAY, STOP, BUS STOP, TAXI, POLICE, AMBULANCE, FIRE, HOSPITAL, PHARMACY, BAKERY,
RESTAURANT, HOTEL, BANK, MARKET, PARKING, TOILET, EMERGENCY EXIT, PUSH, PULL, WELCOME, THANK YOU, FOR RENT, FOR SALE,
COFFEE, PIZZA, BURGER, NOODLES, SUSHI, KEBAB, FRESH JUICE, ICE CREAM, CAR WASH, SERVICE, REPAIR, MOBILE, INTERNET,
TRAVEL AGENCY, CURRENCY EXCHANGE, JEWELLERY, OPTICIAN, DENTIST, BARBER, BEAUTY SALON, LAUNDRY, SUPERMARKET,
WINE SHOP, BOOKS, FLOWERS, SHOES, FASHION, OUTLET, DISCOUNT, SPECIAL OFFER, BUY ONE GET ONE FREE, NEW COLLECTION,
HAPPY HOUR, CENTRE, STATION, AIRPORT, PLATFORM, GATE, TICKETS, INFORMATION, MUSEUM, UNIVERSITY, LIBRARY, SCHOOL,
CITY HALL, TOWN HALL, CHURCH, MOSQUE, TEMPLE, BRIDGE, STREET, ROAD, AVENUE, PARK, BEACH, AUSGANG, EINGANG, GEÖFFNET,
GESCHLOSSEN, APOTHEKE, BÄCKEREI, METZGEREI, SORTIE, ENTRÉE, BOULANGERIE, PHARMACIE, USCITA, FARMACIA, SALIDA,
ENTRADA, PANADERÍA, FARMÁCIA, PADARIA, APTEKA, SKLEP, ECZANE, МАГАЗИН, АПТЕКА, ВХОД, ВЫХОД,
出口, 入口, 药店, 酒店, 银行, 超市, 餐厅, 停车场, 薬局, 銀行, 駅, 病院, 약국, 은행, 병원, 출구
"""


def test_what_graphics_and_signs_say_names_no_brand(starter):
    texts = [text.strip() for text in ON_SCREEN.split(",")]
    assert {text: found for text in texts if (found := names(starter, text))} == {}


def test_ordinary_english_names_no_brand(starter):
    for line in ENGLISH.strip().splitlines():
        assert names(starter, line) == []
        for a, b in pairwise(line.split()):
            assert names(starter, f"{a} {b}".upper()) == []


@given(text=st.text("ROLEX0PEUGT 1&+é为", max_size=24), score=st.sampled_from([0.6, 0.8, 0.88, 1.0]))
def test_candidates_are_in_range_apart_and_repeatable(index, text, score):
    hits = find(index, text, fuzzy_score=score)
    assert hits == find(index, text, fuzzy_score=score)
    for hit in hits:
        assert 0 <= hit.start < hit.end <= len(text)
        assert min(score, 0.95) <= hit.score <= 1
    placed = sorted(hits, key=lambda h: h.start)
    assert all(a.end <= b.start for a, b in pairwise(placed))


@example(brand=next(b for b in STARTER.brands if b.name == "AC Hotels"), dress="www.{}.com")
@given(brand=st.sampled_from(STARTER.brands), dress=st.sampled_from(["{}", " {} ", "{}.", "«{}»", "www.{}.com"]))
def test_a_name_dressed_up_is_still_found(starter, brand, dress):
    """Unless the rest of the address makes another name with it: www.AC Hotels.com has Hotels.com."""
    text = dress.format(brand.name)
    hits, end = find(starter, text), text.index(brand.name) + len(brand.name)
    assert brand.brand_id in [h.brand_id for h in hits] or any(h.end > end and h.score == 1 for h in hits)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("www.fender.com", ["Fender"]),  # and not Finder.com
        ("www.Khaadi.com/sale", ["Khaadi"]),  # and not Shaadi.com
        ("honey.co.uk", []),  # and not Money.co.uk: an everyday word is spelled right too
        ("www.kiwi.com", ["Kiwi.com"]),  # not Kiwi: the longer name's own letters
        ("www.bookinq.com", ["Booking.com"]),  # a host that is no word may be one misread
    ],
)
def test_a_host_that_is_spelled_right_is_no_other_name(starter, text, found):
    assert [h.brand for h in find(starter, text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("swiss.com", []),
        ("Swisscom", ["Swisscom"]),
        ("swisscom.ch", ["Swisscom"]),
        ("www.forti.net", []),
        ("trans.com", []),
        ("Transcom", ["Transcom"]),
        ("www.voda.com/offers", []),
        ("booking.com", ["Booking.com"]),  # a word of its own
        ("www.fubo.tv", ["FuboTV"]),  # TV is part of names
    ],
)
def test_the_end_of_an_address_is_not_that_of_a_name(starter, text, found):
    assert [h.brand for h in find(starter, text)] == found
    likely = [h.brand for h in starter.find_likely(spelled(text, certain=True))]
    assert likely in (found, [])  # booking is an everyday word


PARSED = parse_catalog(
    """
- {name: Lacoste, logo_only: true, aliases: [La Chemise Lacoste]}
- {name: Delta Air Lines, aliases: [Delta]}
- {name: Itaú, aliases: [Banco Itaú, Itau Unibanco]}
- Emirates
- {name: Orange, excluded_texts: [Orange County]}
""".encode(),
    "b.yaml",
)
FAUCET = Brand("delta-faucet", "Delta Faucet", aliases=("Delta",))  # lists that were layered may share names
KEYS = ("emirates", "fedex", "renault", "shell", "target", "orange", "visa", "bnpparibas", "plus500", "tesla")
KEYS += ("turkishairlines", "airnewzealand", "sansebastian", "삼성바이오로직스")
KEYS += ("rolex", "unheardof")


@pytest.mark.parametrize(
    ("text", "brand", "score"),
    [
        ("IRATES", "Emirates", 0.8),  # EM is hidden
        ("Emires", "Emirates", 0.8),
        ("EMIRAT", "Emirates", 0.8),
        ("R0EX", "Rolex", 0.8),  # and one letter was confused, as the reader does
        ("EM1RAT", None, 0.0),  # which is too much with two hidden ones
        ("TURKISHAINES", "Turkish Airlines", 0.84),
        ("BNP BAS", None, 0.0),  # more than a quarter is
        ("AIR NEW ZEAD", "Air New Zealand", 0.815385),
        ("NEW ZEALAND", None, 0.0),  # a word that is not there was not hidden
        ("SEBASTIAN", None, 0.0),  # and not either where s + ebastian would do
        ("삼성바이오로", "삼성바이오로직스", 0.8),  # where each letter counts as a word, letters may be hidden
        ("EIRAES", None, 0.0),  # two runs are
        ("EMIRATEST", None, 0.0),
        ("EMIRATES", None, 0.0),  # nothing is: that is a matter of find
        ("FdEx", "FedEx", 0.84),
        ("VIS", None, 0.0),  # of a name of less than min_fuzzy_length
        ("RENAUL", None, 0.0),  # or less than the brand asks for
        ("PLUSO", None, 0.0),  # of a number no digit
        ("73:51", None, 0.0),  # a clock says no Tesla
        ("TARGE ROAD", None, 0.0),
        ("EMIRTES", None, 0.0),  # excluded
        ("RANGE", None, 0.0),  # an everyday word, as is the name
        ("HELL", None, 0.0),
        ("LACOST", None, 0.0),  # not among the keys
        ("", None, 0.0),
    ],
)
def test_a_name_is_known_by_all_but_one_run_of_its_letters(index, text, brand, score):
    hits = index.find_occluded(text, KEYS, fuzzy_score=0.8, min_fuzzy_length=5)
    assert [(h.brand, h.rule, round(h.score, 6)) for h in hits] == ([(brand, "fuzzy", score)] if brand else [])


def test_a_lower_limit_takes_what_is_hidden_and_confused_as_well(index):
    (hit,) = index.find_occluded("EM1RAT", KEYS, fuzzy_score=0.75, min_fuzzy_length=5)
    assert (hit.brand, hit.score) == ("Emirates", pytest.approx(0.775))


def test_what_may_be_a_part_of_two_brands_is_part_of_neither():
    index = LexiconIndex(parse_catalog(b"[Zarvaro, Zartaro, {name: Zarvar Oil}]", "b.yaml"))
    limits = {"fuzzy_score": 0.8, "min_fuzzy_length": 5}
    assert [h.brand for h in index.find_occluded("ZARARO", ("zarvaro",), **limits)] == ["Zarvaro"]
    assert index.find_occluded("ZARARO", ("zarvaro", "zartaro"), **limits) == []


@pytest.mark.parametrize(
    ("before", "after", "cut", "brand", "score"),
    [
        ("EM", "TES", "", "Emirates", 0.7),
        ("EM", "ATE5", "", "Emirates", 0.8),  # S read as 5
        ("EMI", "ES", "", "Emirates", 0.7),
        ("EM", "IRATES", "", "", 0),  # nothing is hidden
        ("EM", "RAT", "", "", 0),
        ("EM", "RAT", "after", "Emirates", 0.9),  # what the edge cuts off is not hidden
        ("MI", "TES", "", "", 0),
        ("MI", "TES", "before", "Emirates", 0.8),
        ("MI", "TES", "after", "", 0),
        ("EM", "RAX", "after", "", 0),
        ("E", "RATES", "", "", 0),  # a single letter
        ("EM", "ES", "", "", 0),  # too little is seen
        ("TES", "EM", "", "", 0),
    ],
)
def test_a_name_is_known_by_what_stands_before_and_behind_an_occluder(before, after, cut, brand, score):
    index = LexiconIndex(parse_catalog(b"- Emirates\n- {name: Rather, excluded_texts: [RA ER]}", "b.yaml"))
    at_edge = cut == "before", cut == "after"
    hits = index.find_occluded_between(
        before, after, ("emirates", "rather"), fuzzy_score=0.6, min_fuzzy_length=5, cut=at_edge
    )
    found = [(h.brand, round(h.score, 6), h.start, h.end) for h in hits]
    assert found == ([(brand, score, 0, len(f"{before} {after}"))] if brand else [])


@pytest.mark.parametrize(
    ("name", "before", "after", "found"),
    [
        ("Air New Zealand", "AIR", "ZEALAND", False),  # a whole word is no occlusion
        ("Air New Zealand", "AIR NEW", "ALAND", True),
        ("Under Armour", "UNDER", "OUR", False),  # everyday words
        ("Toshiba", "70", "184", False),  # numbers
        ("Plus500", "PL", "SOO", False),  # no digit is read of a name that has some
        ("{name: Emirates, min_length: 8}", "EM", "RATES", False),
        ("{name: Emirates, whole_line: true}", "EM", "RATES", False),
        ("{name: Emirates, excluded_texts: [EM RATES]}", "EM", "RATES", False),
        ("{name: Faucet, included_texts: [Emirates]}", "EM", "RATES", False),
        ("Emirate", "EM", "ATE", True),
        ("Emir", "EM", "R", False),
    ],
)
def test_what_stands_beside_an_occluder_may_be_no_name(name, before, after, found):
    index = LexiconIndex(parse_catalog(f"- {name}".encode(), "b.yaml"))
    keys = tuple(s.key for s in index._spellings)
    limits = {"fuzzy_score": 0.6, "min_fuzzy_length": 5, "cut": (False, False)}
    assert bool(index.find_occluded_between(before, after, keys, **limits)) == found


def test_of_a_brands_names_the_likeliest_stands_beside_an_occluder():
    index = LexiconIndex(parse_catalog(b"- {name: Emirates, aliases: [Emirszates]}", "b.yaml"))
    limits = {"fuzzy_score": 0.6, "min_fuzzy_length": 5, "cut": (False, False)}
    for keys in (("emirates", "emirszates"), ("emirszates", "emirates")):
        assert [h.alias for h in index.find_occluded_between("EMIR", "TES", keys, **limits)] == ["Emirates"]


def test_what_stands_beside_an_occluder_may_be_two_names():
    index = LexiconIndex(parse_catalog(b"[Zarvaro, Zartaro]", "b.yaml"))
    limits = {"fuzzy_score": 0.6, "min_fuzzy_length": 5, "cut": (False, False)}
    assert [h.brand for h in index.find_occluded_between("ZAR", "RO", ("zarvaro",), **limits)] == ["Zarvaro"]
    assert index.find_occluded_between("ZAR", "RO", ("zarvaro", "zartaro"), **limits) == []


OWN_NAMES = LexiconIndex(BrandCatalog("1", (*PARSED.brands, FAUCET)))


@pytest.mark.parametrize(
    ("name", "brand", "rule"),
    [
        ("Lacoste", "Lacoste", "exact"),  # no text is taken for it
        ("LACOSTE", "Lacoste", "exact"),
        ("la chemise lacoste", "Lacoste", "alias"),
        ("Itau\u0301", "Itaú", "exact"),
        ("Banco Itau", "Itaú", "alias"),
        ("Delta Air Lines", "Delta Air Lines", "exact"),
        ("Orange", "Orange", "exact"),
    ],
)
def test_a_brand_is_known_by_its_name(name, brand, rule):
    hit = OWN_NAMES.named(name)
    assert hit is not None
    assert (hit.brand, hit.rule, hit.alias, hit.score) == (brand, rule, name, 1.0)
    assert (hit.start, hit.end) == (0, len(name))


@pytest.mark.parametrize("name", ["", "?", "Delta", "Lacoste polo", "Emirate", "Ernirates", "Orange County"])
def test_anything_else_names_none_and_neither_does_what_two_brands_share(name):
    assert OWN_NAMES.named(name) is None


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("EMIRAT", "Emirates"),
        ("BANC0 ITA", "Itaú"),
        ("LACOSTA", "Lacoste"),
        ("DELTA AIRLN", "Delta Air Lines"),
    ],
)
def test_near_misses_are_named_likest_first(text, first):
    names = OWN_NAMES.near(text, 3)
    assert names[0] == first
    assert len(names) == len(set(names)) <= 3


@pytest.mark.parametrize("text", ["", "?!", "XYZZYX", "12:45", "1TAU", "EMI", "CASTORS", "REMITTEES", "FEDERATES"])
def test_what_is_like_nothing_is_near_nothing(text):
    assert OWN_NAMES.near(text, 5) == []


def test_both_brands_of_one_name_are_near_and_no_more_than_asked_for():
    assert set(OWN_NAMES.near("DELTAA", 5)[:2]) == {"Delta Air Lines", "Delta Faucet"}
    assert len(OWN_NAMES.near("DELTAA", 1)) == 1
    assert OWN_NAMES.near("ITAU UNIBANC", 5).count("Itaú") == 1, "it is near by all its names"
