"""Answers that are kept for all jobs, on a disk and on S3."""

from dataclasses import replace
from pathlib import Path

import pytest

from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Permanent
from brand_detect.storage.answers import Answers
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.sealed import seal

ID = "0123456789abcdef0123456789abcdef"
ANSWER = Answer(
    "cluster-1",
    AnswerStatus.answered,
    "Itaú",
    0.9,
    "a “detail”\nof two lines",
    120,
    30,
    0.00025,
    1.5,
    "wordmark",
    "board",
    "the letters are orange",
    "openai",
    "gpt",
    "default 1 abcd1234",
    ID,
    "2026-05-01T12:00:00+00:00",
)


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "store")
    request.getfixturevalue("s3")
    return f"s3://bucket/{tmp_path.name}"


def test_what_is_kept_is_recalled_without_its_cluster_by_whoever_asks(root: str):
    answers = Answers(Blobs(root))
    assert answers.recall([ID]) == {}
    answers.keep(ANSWER)
    other = replace(ANSWER, question_id="f" * 32, brand="Nike", cluster_id="cluster-2")
    answers.keep(other)
    elsewhere = Answers(Blobs(root))
    assert elsewhere.recall([]) == {}
    assert elsewhere.recall(["e" * 32, ID, "f" * 32]) == {
        ID: replace(ANSWER, cluster_id=""),
        "f" * 32: replace(other, cluster_id=""),
    }


def test_what_was_paid_for_under_earlier_names_is_recalled(tmp_path: Path):
    blobs = Blobs(str(tmp_path))
    facts = {"status": "answered", "brand": "Itaú", "mark": "wordmark", "surface": "board", "question_id": ID}
    blobs.put(f"_answers/{ID[:2]}/{ID}.json", seal(facts))
    found = Answers(blobs).recall([ID])[ID]
    assert (found.brand, found.logo_type, found.placement) == ("Itaú", "wordmark", "board")


def test_a_later_answer_takes_the_place_of_an_earlier_one(root: str):
    answers = Answers(Blobs(root))
    for brand in ("Itaú", "Nike"):
        answers.keep(replace(ANSWER, brand=brand))
    assert answers.recall([ID])[ID].brand == "Nike"


def test_answers_since_a_second_are_recalled(root: str):
    answers = Answers(Blobs(root))
    answers.keep(ANSWER)
    assert Answers(Blobs(root), ANSWER.asked_at).recall([ID]).keys() == {ID}
    assert Answers(Blobs(root), "2026-05-01T12:00:01+00:00").recall([ID]) == {}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"5", b'{"status": "none", "colour": "red"}', b"{}"])
def test_a_damaged_one_is_named_with_what_to_do(tmp_path: Path, data: bytes):
    answers = Answers(Blobs(str(tmp_path)))
    answers.keep(ANSWER)
    file = tmp_path / "_answers" / "01" / f"{ID}.json"
    file.write_bytes(data)
    with pytest.raises(Permanent, match=f"The stored answer {ID} is damaged") as error:
        answers.recall(["e" * 32, ID])
    assert error.value.hint == f"remove _answers/01/{ID}.json"
    assert Answers(Blobs(str(tmp_path)), "2026").recall([ID]) == {}, "it is asked again"
    file.unlink()
    assert answers.recall([ID]) == {}
