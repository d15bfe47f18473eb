"""The documentation is true: links lead somewhere, marked commands run, generated pages equal the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from brand_detect.domain.pipeline import LINE
from brand_detect_tests.support.forked import forking
from scripts import reference

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
TESTED = re.compile(r"^( *)```console\n\1# tested\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragment ids that a page's headings get."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if fragment:
            assert fragment in anchors(target), f"{link}: no such heading"


def marked_blocks() -> list[tuple[str, str]]:
    return [
        (str(p.relative_to(ROOT)), dedent(b)) for p in PAGES for _, b in TESTED.findall(p.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of the pages' shells."""
    plain = os.environ | {"NO_COLOR": "1", "COLUMNS": "160"}
    with forking(tmp_path_factory.mktemp("docs"), plain) as command:
        ours = f"{command.parent}{os.pathsep}{Path(sys.executable).parent}"
        yield plain | {"PATH": f"{ours}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize(("page", "block"), marked_blocks())
def test_marked_commands_do_what_the_page_says(page: str, block: str, environment: dict[str, str]) -> None:
    """Lines behind ``$`` are run; each other line must be among what they print."""
    lines = block.splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    printed = run.stdout + run.stderr
    assert commands, f"{page}: a tested block without a command"
    assert run.returncode == 0, printed
    for line in lines:
        assert line.startswith("$ ") or line.strip() in printed, f"{page}: {line!r} was not printed, but:\n{printed}"


@pytest.mark.parametrize("name", reference.PAGES)
def test_reference_equals_the_code(name: str, golden) -> None:
    golden(reference.FOLDER / name, reference.PAGES[name]())


def test_the_metrics_page_shows_the_scale_and_the_rules_of_the_code() -> None:
    """Its YAML blocks are the shipped scale without version and description, and the rules of the profile it names."""
    page = (ROOT / "docs" / "concepts" / "metrics.md").read_text(encoding="utf-8")
    scale, rules = (
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    )
    shipped = yaml.safe_load((ROOT / "brand_detect" / "quality" / "default.yaml").read_text(encoding="utf-8"))
    assert scale == {name: value for name, value in shipped.items() if name not in ("version", "description")}
    profile = (ROOT / "brand_detect" / "profiles" / "soccer_broadcast.yaml").read_text(encoding="utf-8")
    assert rules["placements"] == next(found for found in _values(yaml.safe_load(profile), "placements"))


def _values(tree: object, name: str) -> Iterator[object]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from [value] if key == name else _values(value, name)


def test_the_pipelines_page_describes_each_stage() -> None:
    page = (ROOT / "docs" / "concepts" / "pipeline.md").read_text(encoding="utf-8")
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(LINE)


def test_every_dependency_has_its_reason() -> None:
    """Each requirement of pyproject.toml has its row, and no row speaks of one that is gone."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = set(re.findall(r'^    "([a-z][a-z0-9-]*)[^"]*[><=][^"]*",$', project, re.MULTILINE))
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)) == required
