"""One word per thing: identifiers that ``docs/concepts/glossary.md`` has a better word for stay out of the code.

Names and whole strings (columns, params, fields of JSON) are checked, not words of prose.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from brand_detect.domain.contracts import CONTRACTS
from scripts import reference

ROOT = Path(__file__).parents[1]
CODE = ("py", "js", "html", "graphql", "yaml", "toml")
PAGES = [page for page in ROOT.glob("docs/**/*.md") if page.name != "glossary.md"]

RETIRED = {
    "furniture furniture_s furniture_tracks is_furniture on_furniture Furniture": "overlay",
    "surfaces SURFACES Surface SurfaceRule surface_rules surface_of tells_surface": "placement",
    "solus solus_s Solus": "exclusive share",
    "OPEN_MARKS OpenMark open_marks marks_named OF_MARKS": "unresolved cluster",
    "MARKS MARK_KINDS MarkNet mark_net encode_marks score_marks MarkScore MarkIndex bench_marks": "logo, logo region",
    "mark_encoder MarkEncoder NetworkMarkEncoder image_encoder ImageEncoder train_encoder": "embedder",
    "unknown_marks UNKNOWN_MARKS": "distractors",
    "false_alarms logo_false_alarms": "false accept rate",
    "shown_by n_kept": "keyframe",
    "min_look_px max_unresolved_marks min_unresolved_mark_s": "min_logo_match_px, max_unresolved_logos",
    "fuzzy_score_again look_alikes LOOK_AGAIN_S LOOKS_AGAIN": "second pass, lookalikes",
    "INK INK_PERCENTILE ink inks inky LEAST_INK": "glyph boxes",
    "GROUNDS ground grounds on_ground other_ground OTHER_GROUND": "background",
    "LOT_ROWS _Lots Draft Night plan_night tonight": "table builder, attempt draft, off-peak batch",
}
"""Identifiers by what is written instead."""
WORDS = {name: instead for names, instead in RETIRED.items() for name in names.split()}

TOO_COMMON = {"surface": "placement", "mark": "logo type", "encoder": "embedder", "kept": "keyframe"}
"""Retired as names of columns and params alone: as words of the code they have other meanings, too."""


OTHER = re.compile(r"(?<![\w-])(?:[A-Za-z]+_\w+|[A-Za-z]\w*(?=[:=(]))")


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and identifiers: of Python its names and the strings that are one word; of other files, which hold prose,
    words with an underscore and those before a colon, an equals sign or a parenthesis."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string
            elif token.type == tokenize.STRING and (one := re.fullmatch(r"[rbuf]*(['\"])(\w+)\1", token.string)):
                yield token.start[0], one[2]
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            yield from ((number, word) for word in OTHER.findall(line))


def retired(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {word} is {WORDS[word]} here"
        for line, word in identifiers(path)
        if word in WORDS
    ]


@pytest.mark.parametrize("folder", ["brand_detect", "brand_detect_tests", "scripts"])
def test_retired_identifiers_stay_out(folder: str) -> None:
    found = [line for kind in CODE for path in (ROOT / folder).rglob(f"*.{kind}") for line in retired(path)]
    assert not [line for line in found if "test_vocabulary.py" not in line]


def test_columns_and_params_have_the_words_of_the_field() -> None:
    params = {name for kind in CONTRACTS.values() for name in kind.params.model_fields}
    columns = {name for schema in reference.schemas().values() for name in schema.names}
    assert not (params | columns) & (WORDS.keys() | TOO_COMMON.keys())


def test_the_pages_name_no_retired_param_or_column() -> None:
    """In code spans and blocks, which hold prose, too: words with an underscore, and those that were params."""
    found = [
        f"{page.relative_to(ROOT)}: {word} is {WORDS[word]} here"
        for page in PAGES
        for span in re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL)
        for word in re.findall(r"[A-Za-z]+_\w+|furniture|surfaces|solus", span)
        if word in WORDS
    ]
    assert not found
