"""Prompts of vision-language models, from versioned files, and ids of questions."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from types import MappingProxyType

from brand_detect.domain.answers import BrandAnswer, plain
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Question

LONGEST_TEXT = 200
"""Most characters of a reading in a prompt: the text is only a hint, and may be anything."""
_FORM = re.compile(r"---\nversion: (?P<version>\S+)\n---\n(?P<instructions>.+)\n---\n(?P<question>.+)", re.S)
_PLACES = {"text", "candidates", "pictures"}


@dataclass(frozen=True)
class Prompt:
    """A version of a prompt: instructions, equal for every question, and the template of the question."""

    name: str
    version: str  # name, the file's own version, and the hash of its content
    instructions: str
    question: Template

    def words(self, question: Question) -> str:
        """The text that accompanies the pictures of ``question``. Untrusted texts are quoted as JSON strings."""
        crops = len(question.crops)
        return self.question.substitute(
            text=json.dumps(plain(question.text, LONGEST_TEXT), ensure_ascii=False) if question.text else "nothing",
            candidates=", ".join(json.dumps(c, ensure_ascii=False) for c in question.candidates) or "none",
            pictures=("The mark, closely" if crops == 1 else f"The mark, closely, {crops} times")
            + ("; last, the whole frame with the mark outlined." if question.scene else "."),
        ).strip()


def load_prompt(name: str, own: Mapping[str, str] = MappingProxyType({})) -> Prompt:
    """Loads the prompt ``name`` from ``own``, contents by name, else from the package.

    Raises:
        BadInput: there is no such prompt, or it lacks a part.
    """
    package = resources.files("brand_detect") / "prompts"
    there = {*own, *(f.name.removesuffix(".md") for f in package.iterdir())}
    if name not in there:
        raise BadInput(f"There is no prompt {name!r}.", f"prompts: {', '.join(sorted(there))}")
    content = own[name] if name in own else (package / f"{name}.md").read_text(encoding="utf-8")
    found = _FORM.fullmatch(content)
    template = Template(found["question"]) if found else Template("")
    if not found or not template.is_valid() or set(template.get_identifiers()) - _PLACES:
        raise BadInput(
            f"The prompt {name} is malformed.",
            "it needs a version, instructions and a question of $text, $candidates, $pictures: docs/guides/escalate.md",
        )
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    form = json.dumps(BrandAnswer.model_json_schema()["properties"], ensure_ascii=False)
    instructions = (
        f"{found['instructions'].strip()}\n\nAnswer with one JSON object of these fields and nothing else:\n{form}"
    )
    return Prompt(name, f"{name} {found['version']} {digest}", instructions, template)


def question_id(model: Sequence[str], prompt: Prompt, question: Question) -> str:
    """The id of a question: a hash of the model's whole input, and of ``model``, its identity and settings."""
    pictures = [hashlib.sha256(p).hexdigest() for p in (*question.crops, question.scene)]
    parts = [*model, prompt.version, prompt.instructions, prompt.words(question), *pictures]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
