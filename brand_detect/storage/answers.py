"""Answers of models, ``{root}/_answers/``: one file per question, shared by all jobs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from brand_detect.domain.contracts.verdicts import Answer
from brand_detect.domain.errors import Permanent
from brand_detect.storage.blobs import Blobs, concurrently
from brand_detect.storage.faults import Missing
from brand_detect.storage.sealed import seal, unseal

ANSWERS = "_answers"
OF_A_JOB = ("cluster_id", "brand_id", "remembered")
STORED = {field.name: field.name for field in fields(Answer) if field.name not in OF_A_JOB}
STORED |= {"logo_type": "mark", "placement": "surface"}
"""Fields of an answer and their names in files, unchanged since the first version to keep paid answers valid."""


class Answers:
    """The ``AnswerMemory`` of a store, of questions asked ``since`` a second, UTC in ISO 8601."""

    def __init__(self, blobs: Blobs, since: str = "") -> None:
        self._blobs, self._since = blobs, since

    def recall(self, question_ids: Sequence[str]) -> Mapping[str, Answer]:
        """The stored answers, by question, without a cluster.

        Raises:
            Permanent: one of them is damaged.
        """
        found = zip(question_ids, concurrently(self._read, question_ids), strict=True)
        return {name: answer for name, answer in found if answer is not None and answer.asked_at >= self._since}

    def keep(self, answer: Answer) -> None:
        """Store an answer under its ``question_id``, replacing an earlier one."""
        values = asdict(answer)
        self._blobs.put(_path(answer.question_id), seal({stored: values[name] for name, stored in STORED.items()}))

    def paths(self) -> Iterator[str]:
        """The files of all answers."""
        for folder in self._blobs.paths(ANSWERS):
            yield from self._blobs.paths(folder)

    def _read(self, name: str) -> Answer | None:
        path = _path(name)
        try:
            return answer_from_json(self._blobs.read(path))
        except Missing:
            return None
        except (ValueError, TypeError) as e:
            if self._since:  # the question is asked again
                return None
            raise Permanent(f"The stored answer {name} is damaged.", f"remove {path}") from e


def answer_from_json(data: bytes) -> Answer:
    """Parse a stored answer.

    Raises:
        ValueError: it is damaged.
    """
    facts = unseal(data, STORED.values())
    if not facts.keys() <= set(STORED.values()):
        raise ValueError("it is not an answer")
    return Answer("", **{name: facts[stored] for name, stored in STORED.items() if stored in facts})


def _path(name: str) -> str:
    return f"{ANSWERS}/{name[:2]}/{name}.json"
