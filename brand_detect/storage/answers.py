"""What models said, ``{root}/_answers/``: a file for each question, shared by all jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from brand_detect.domain.contracts.verdicts import Answer
from brand_detect.domain.errors import Permanent
from brand_detect.storage.sealed import seal, unseal
from brand_detect.storage.store import Store

OF_A_JOB = ("cluster_id", "brand_id", "remembered")
STORED = {field.name: field.name for field in fields(Answer) if field.name not in OF_A_JOB}
STORED |= {"logo_type": "mark", "placement": "surface"}
"""Fields of an answer, and their names in files: those of the first version, for what was paid for is not rewritten."""


class Answers:
    """The ``AnswerMemory`` of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recall(self, question_ids: Sequence[str]) -> Mapping[str, Answer]:
        """The answers that are known, by question, without a cluster.

        Raises:
            Permanent: one of them is damaged.
        """
        found = self._store.get_answers(question_ids)
        return {name: _read(name, data) for name, data in found.items()}

    def keep(self, answer: Answer) -> None:
        """Keep an answer under its ``question_id``, in place of an earlier one."""
        said = asdict(answer)
        self._store.put_answer(answer.question_id, seal({stored: said[name] for name, stored in STORED.items()}))


def answer_from_json(data: bytes) -> Answer:
    """A kept answer.

    Raises:
        ValueError: it is damaged.
    """
    facts = unseal(data, STORED.values())
    if not facts.keys() <= set(STORED.values()):
        raise ValueError("it is no answer")
    return Answer("", **{name: facts[stored] for name, stored in STORED.items() if stored in facts})


def _read(name: str, data: bytes) -> Answer:
    try:
        return answer_from_json(data)
    except (ValueError, TypeError) as e:
        raise Permanent(f"The kept answer {name} is damaged.", f"remove _answers/{name[:2]}/{name}.json") from e
