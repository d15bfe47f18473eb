"""Documents that prove what they hold, and the small stores that are made of them."""

from pathlib import Path

import pytest

from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Permanent
from brand_detect.storage.answers import Answers
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.sealed import seal, unseal

FACTS = {"text": "Itaú “é”", "n": 1, "x": [0.1, None, True], "of": {"b": 2, "a": -1e300}}


def test_what_was_sealed_comes_back():
    assert unseal(seal(FACTS)) == FACTS
    assert unseal(seal({})) == {}


def test_of_all_damages_of_a_bit_none_is_read_as_other_facts():
    written = seal(FACTS)
    refused = 0
    for bit in range(8 * len(written)):
        damaged = bytearray(written)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert unseal(bytes(damaged)) == FACTS  # another white space, an e for an E
        except ValueError:
            refused += 1
    assert refused > 0.99 * 8 * len(written)


@pytest.mark.parametrize("data", [b"", b"null", b"[1]", b"{}", b'"digest"', b'{"digest": null}', seal(FACTS)[:-1]])
def test_what_is_no_sealed_document_is_refused(data: bytes):
    with pytest.raises(ValueError, match="digest"):
        unseal(data)


ANSWER = Answer("", AnswerStatus.answered, "Nike", 0.9, question_id="f" * 32)


def test_a_damaged_answer_is_named(tmp_path: Path):
    answers = Answers(Blobs(str(tmp_path)))
    answers.keep(ANSWER)
    [file] = tmp_path.rglob("*.json")
    assert answers.recall([ANSWER.question_id])
    written = file.read_bytes()
    for damaged in (written.replace(b"Nike", b"Nika"), written[:-2], b"[]"):
        file.write_bytes(damaged)
        with pytest.raises(Permanent, match=rf"{file.stem}.* is damaged") as error:
            answers.recall([ANSWER.question_id])
        assert "remove" in error.value.hint


def test_what_people_wrote_before_documents_had_a_digest_is_still_read():
    written = b'{"text": "Acme", "n": 2}'
    assert unseal(written, {"text", "n", "x"}) == {"text": "Acme", "n": 2}
    for known in ((), {"text"}):
        with pytest.raises(ValueError, match="digest"):
            unseal(written, known)
    with pytest.raises(ValueError, match="digest"):
        unseal(seal({"text": "Acme"}).replace(b"digest", b"dhgest"), {"text"})
