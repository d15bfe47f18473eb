"""What the documentation says of a running Dagster: its commands and operations, to be carried out against one.

Blocks whose first line is ``# served`` run in one shell per page, in order. Lines behind ``$`` are commands; each other
line must be printed, ``…`` standing for anything.
"""

import re
from pathlib import Path
from textwrap import dedent

from brand_detect_tests.support.stack import CHECKOUT

SERVED = re.compile(r"^```(console|python)\n# served\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted((CHECKOUT / "docs").rglob("*.md")) if SERVED.search(page.read_text(encoding="utf-8"))]


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


def operations() -> list[tuple[str, str, str, str]]:
    """Of docs/reference/graphql.md: the name of each operation, what it answers, its query and its variables."""
    page = (CHECKOUT / "docs" / "reference" / "graphql.md").read_text(encoding="utf-8")
    return re.findall(
        r"^## (\w+)\n\n.*?Answer: (.*?)\.\n\n```graphql\n(.*?)```\n(?:\n```json\n(.*?)```)?", page, re.M | re.S
    )
