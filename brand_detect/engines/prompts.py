"""What vision-language models are told: versioned files, and the name that a question goes by."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from brand_detect.domain.answers import BrandAnswer, plain
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Question

LONGEST_TEXT = 200
"""Letters of a reading that a model is told: what a mark says is a hint, and may be anything."""
_FORM = re.compile(r"---\nversion: (?P<version>\S+)\n---\n(?P<instructions>.+)\n---\n(?P<question>.+)", re.S)
_PLACES = {"text", "candidates", "pictures"}


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt: the instructions, the same for every question, and the question's own words."""

    name: str
    version: str  # as the file says, and the hash of its content
    instructions: str
    question: Template

    def words(self, question: Question) -> str:
        """What is said beside the pictures of ``question``. Texts of others are quoted, as JSON strings."""
        crops = len(question.crops)
        return self.question.substitute(
            text=json.dumps(plain(question.text, LONGEST_TEXT), ensure_ascii=False) if question.text else "nothing",
            candidates=", ".join(json.dumps(c, ensure_ascii=False) for c in question.candidates) or "none",
            pictures=("The mark, closely" if crops == 1 else f"The mark, closely, {crops} times")
            + ("; last, the whole frame with the mark outlined." if question.scene else "."),
        ).strip()


def load_prompt(name: str, folder: str = "") -> Prompt:
    """The prompt ``name`` of ``folder``, or of the package where there is none.

    Raises:
        BadInput: there is no such prompt, or it lacks a part.
    """
    package = resources.files("brand_detect") / "prompts"
    own = Path(folder) / f"{name}.md" if folder else None
    there = {f.name.removesuffix(".md") for f in (*package.iterdir(), *(Path(folder).glob("*.md") if folder else ()))}
    if name not in there:
        raise BadInput(f"There is no prompt {name!r}.", f"prompts: {', '.join(sorted(there))}")
    source = own if own and own.is_file() else package / f"{name}.md"
    try:
        content = source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        content = ""
    found = _FORM.fullmatch(content)
    template = Template(found["question"]) if found else Template("")
    if not found or not template.is_valid() or set(template.get_identifiers()) - _PLACES:
        raise BadInput(
            f"The prompt {name} is not in the form of a prompt.",
            "it has a version, instructions and a question with $text, $candidates, $pictures: docs/guides/escalate.md",
        )
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    form = json.dumps(BrandAnswer.model_json_schema()["properties"], ensure_ascii=False)
    instructions = (
        f"{found['instructions'].strip()}\n\nAnswer with one JSON object of these fields and nothing else:\n{form}"
    )
    return Prompt(name, f"{name} {found['version']} {digest}", instructions, template)


def question_id(model: Sequence[str], prompt: Prompt, question: Question) -> str:
    """The name of a question: a hash of all that the model is given, and of ``model``, its identity and settings."""
    pictures = [hashlib.sha256(p).hexdigest() for p in (*question.crops, question.scene)]
    told = [*model, prompt.version, prompt.instructions, prompt.words(question), *pictures]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
