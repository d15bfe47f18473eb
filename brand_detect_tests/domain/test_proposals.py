from typing import Any

import pytest

from brand_detect.domain.contracts.compile_report import REPORT_UNRESOLVED
from brand_detect.domain.contracts.verdicts import ANSWERS, AnswerStatus
from brand_detect.domain.proposals import MOST_CLUSTERS, Decision, Proposal, proposed, still_open
from brand_detect.domain.tables import table
from brand_detect_tests.support import payloads as p

PLACE = {"frame": 7, "t_s": 3.5, "x_px": 10.0, "y_px": 20.0, "w_px": 30.0, "h_px": 40.0}
NOWHERE: dict[str, Any] = dict.fromkeys(PLACE)


def mark(
    cluster_id: str, text: str, rank: int = 1, hashes: tuple[int, ...] = (1,), place: dict[str, Any] = PLACE
) -> dict[str, Any]:
    return {
        "cluster_id": cluster_id,
        "rank": rank,
        "text": text,
        "track_ids": ["a"],
        "n_regions": 4,
        "seconds": 10.0 / rank,
        "area_frac": 0.01,
        "crop_hashes": list(hashes),
        "best_region_id": "r",
        "reason": "no_rule",
        "candidates": [],
        "alike": [],
        **place,
    }


def answer(
    cluster_id: str, brand: str, brand_id: str = "", status: AnswerStatus = AnswerStatus.answered
) -> dict[str, Any]:
    return p.answer(cluster_id, status, answer=brand, brand_id=brand_id)


def of(
    marks: list[dict[str, Any]],
    answers: list[dict[str, Any]] | None = None,
    job_id: str = "match",
    brands: tuple[str, ...] = (),
    brand_s: float = 1.0,
) -> list[Proposal]:
    """What is proposed beside ``brands`` that were on screen for ``brand_s`` seconds."""
    shown = dict.fromkeys(brands, brand_s)
    return list(proposed(table(REPORT_UNRESOLVED, marks), table(ANSWERS, answers or []), shown, job_id, "run-0"))


def test_clusters_propose_their_text_and_carry_their_evidence():
    [proposal] = of([mark("c1", "ACME")])
    assert (proposal.name, proposal.proposer, proposal.text, proposal.cluster_id) == ("ACME", "cluster", "ACME", "c1")
    assert (proposal.frame, proposal.t_s, proposal.box) == (7, 3.5, (10.0, 20.0, 30.0, 40.0))
    assert (proposal.job_id, proposal.frames, proposal.seconds) == ("match", "run-0", 10.0)
    [nowhere] = of([mark("c1", "ACME", place=NOWHERE)])
    assert (nowhere.frame, nowhere.box) == (None, None)


def test_only_the_first_clusters_are_proposed():
    assert len(of([mark(f"c{n}", f"TEXT{n}", n) for n in range(1, 30)])) == MOST_CLUSTERS


def test_what_is_cut_off_names_that_the_report_shows_whole_is_not_proposed():
    texts = ("ZYMVORA", "ola", "vora", "EDEX", "ACME TOOLS", "Acme", "", "Cola Cola", "oca-Col")
    marks = [mark(f"c{n}", text, n) for n, text in enumerate(texts, 1)]
    found = of(marks, brands=("Coca-Cola", "FedEx"))
    assert [proposal.text for proposal in found] == ["ZYMVORA", "ACME TOOLS", "Acme", "", "Cola Cola"]


@pytest.mark.parametrize(
    ("text", "brand"),
    [("ING", "Booking.com"), ("ING", "Boeing"), ("Emirates", "Fly Emirates Arena"), ("UPS", "Startups United")],
)
def test_a_name_of_its_own_is_proposed_though_letters_of_a_longer_one_are_alike(text: str, brand: str):
    assert [proposal.text for proposal in of([mark("c1", text)], brands=(brand,))] == [text]


@pytest.mark.parametrize(
    ("text", "brand", "brand_s", "proposed"),
    [
        ("COLA", "Coca-Cola", 60.0, False),
        ("Bull", "Red Bull", 10.0, False),
        ("COLA", "Coca-Cola", 9.9, True),
        ("STAR", "Star Alliance", 4.0, True),
        ("Red Bull", "Red Bull Racing", 60.0, True),
        ("COL", "Coca-Cola", 4.0, False),
    ],
)
def test_a_word_of_a_brand_is_proposed_only_if_it_was_on_screen_for_longer(
    text: str, brand: str, brand_s: float, proposed: bool
):
    found = of([mark("c1", text)], brands=("Zymvora", brand), brand_s=brand_s)
    assert [proposal.text for proposal in found] == [text] * proposed


def test_a_short_misreading_hides_no_name_that_is_longer_on_screen():
    assert [found.text for found in of([mark("c1", "ACME"), mark("c2", "ACMEI", 2)])] == ["ACME", "ACMEI"]
    assert [found.text for found in of([mark("c1", "ACMEI"), mark("c2", "ACME", 2)])] == ["ACMEI"]


def test_models_propose_brands_that_the_catalogue_does_not_have():
    marks = [mark("c1", "", 20), mark("c2", "Z", 21)]
    answers = [
        answer("c1", "Zymvora"),
        answer("c2", "Nike", "nike"),
        answer("c2", "", status=AnswerStatus.none),
        answer("gone", "Acme"),
        answer("c2", "?"),
        answer("c2", "appears to be a contemporary brand"),
    ]
    [proposal] = of(marks, answers)
    assert (proposal.name, proposal.proposer, proposal.model, proposal.text) == (
        "Zymvora",
        "model",
        "openai_compatible/llava",
        "",
    )


def test_one_name_is_one_proposal_in_all_jobs():
    one, two = of([mark("c1", "Acme")]), of([mark("c9", "ACME!", 2)], job_id="other")
    again = of([mark("c1", "")], [answer("c1", "acme")])
    [item] = still_open([*one, *two, *again[1:]], [])
    assert (item.jobs, item.seconds, item.proposal.job_id) == (("match", "other"), 15.0, "match")


def decide(proposal: Proposal, verdict: Any = "rejected", **said: Any) -> Decision:
    return Decision(proposal_id=proposal.proposal_id, verdict=verdict, created="2026-01-01T00:00:00+00:00", **said)


def test_what_was_decided_or_is_known_is_not_open():
    acme, widgets = of([mark("c1", "Acme"), mark("c2", "Widgets", 2)])
    assert [o.proposal for o in still_open([acme, widgets], [])] == [acme, widgets]
    assert [o.proposal for o in still_open([acme, widgets], [decide(acme)])] == [widgets]
    assert [o.proposal for o in still_open(of([mark("c7", "ACME")], job_id="later"), [decide(acme)])] == []
    assert [o.proposal for o in still_open([acme, widgets], [], {"widgets"})] == [acme]


def test_a_mark_without_a_name_is_known_again_by_its_look():
    [swoosh] = of([mark("c1", "", hashes=(0b1111, 0xFFFF_0000_0000_0000))])
    rejected = [decide(swoosh, crop_hashes=swoosh.crop_hashes)]
    later = of([mark("c5", "", hashes=(0xFFFF_0000_0000_00FF,)), mark("c6", "", 2, hashes=(0x00FF_00FF_00FF_00FF,))])
    assert [o.proposal.cluster_id for o in still_open(later, rejected)] == ["c6"]
    assert len(still_open(later, [])) == 2
