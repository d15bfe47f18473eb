"""The documentation of what needs a running Dagster: its commands and operations are carried out against one.

Blocks whose first line is ``# served`` run in one shell per page, in order. Lines behind ``$`` are commands; each other
line must be printed, ``…`` standing for anything.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2
import pytest

from brand_detect_tests.support.forked import forking
from brand_detect_tests.support.pipeline import CATALOG, two_shot_clip
from brand_detect_tests.support.stack import BIN, CHECKOUT, Stack
from scripts import reference

SERVED = re.compile(r"^```(console|python)\n# served\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUICK = ("first-replay", "replay", "retry-off-peak", "submit-from-a-service", "work-in-the-browser")
"""Pages that ``make test`` carries out, and ``make test-slow`` all: their commands have tests of their own, too."""
PAGES = [
    pytest.param(page, id=page.stem, marks=() if page.stem in QUICK else pytest.mark.slow)
    for page in sorted((CHECKOUT / "docs").rglob("*.md"))
    if SERVED.search(page.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "inbox").mkdir()
    inbox = {"BRAND_DETECT_INBOX": str(folder / "inbox"), "BRAND_DETECT_INBOX_SETTLE_S": "2"}
    made = Stack(folder, environment=inbox, own_processes=False)
    two_shot_clip(made.folder / "match.mp4")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    """That of the pages' shells."""
    plain = stack.environment | {"COLUMNS": "200", "NO_COLOR": "1"}
    with forking(stack.folder, plain) as command:
        yield plain | {"PATH": f"{command.parent}:{BIN}:{plain['PATH']}"}


def script(page: Path) -> tuple[str, list[str]]:
    """The page's commands as one shell script, and the lines that must be printed."""
    commands, expected = ["set -euo pipefail"], []
    for language, block in SERVED.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            commands.append(f"python - <<'END'\n{dedent(block)}END")
            continue
        commands += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        expected += [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("$ ")]
    return "\n".join(commands), expected


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page: Path, stack: Stack, environment: dict[str, str]):
    (stack.folder / "brands.yaml").write_text(CATALOG, encoding="utf-8")
    commands, expected = script(page)
    for written, real in (("http://127.0.0.1:3000", stack.url), ("http://127.0.0.1:8000", stack.service_url)):
        commands = commands.replace(written, real)
    # each page begins with a job of its own, whatever the others left
    commands = re.sub(r"\bmatch\b(?!\.mp4)", page.stem, commands)
    done = subprocess.run(
        ["bash", "-c", commands], cwd=stack.folder, env=environment, capture_output=True, text=True, timeout=300
    )
    printed = re.sub(rf"\b{page.stem}\b", "match", done.stdout + done.stderr)
    assert done.returncode == 0, printed
    for line in expected:
        pattern = ".*".join(re.escape(part.strip()) + r"\s*" for part in line.split("…"))
        assert re.search(pattern, printed), f"{line!r} was not printed, but:\n{printed}"


def test_the_graphql_operations_are_answered_as_the_page_says(stack: Stack):
    """Word for word as they stand in docs/reference/graphql.md, with the variables that stand there."""
    page = (CHECKOUT / "docs" / "reference" / "graphql.md").read_text(encoding="utf-8")
    sections = re.findall(
        r"^## (\w+)\n\n.*?Answer: (.*?)\.\n\n```graphql\n(.*?)```\n(?:\n```json\n(.*?)```)?", page, re.M | re.S
    )
    assert [name for name, *_ in sections] == list(reference.OPERATIONS)
    run_id = ""
    with stack.client() as client:
        client.wait(client.submit(str(stack.folder / "match.mp4"), job_id="match").run_id)
    for name, answer, query, written in sections:
        variables = written.replace("brand_detect.definitions", "brand_detect_tests.support.served")
        said = _send(stack, query, json.loads(variables.replace("RUN_ID", run_id) or "{}"))
        kinds = re.findall(r"`(\w+)`", answer)
        assert any(f'"{kind}"' in json.dumps(said) for kind in kinds), f"{name}: {said}"
        if name == "launch":
            run_id = said["launchRun"]["run"]["runId"]
        if name == "failure":  # the replay that was launched above has ended before the next one is cancelled
            run_id = _held(stack)


def _held(stack: Stack) -> str:
    with stack.client() as client:
        return client.retry("match", delay_s=3600, key=str(time.time())).run_id


def _send(stack: Stack, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = httpx2.post(f"{stack.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert not answer.get("errors"), answer
    return answer["data"]
