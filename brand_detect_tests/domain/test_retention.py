"""Retention over trees of attempts as replays, branches and retries grow them: nothing reachable is ever removed."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from brand_detect.domain.pipeline import LINE, downstream_of, upstream_of
from brand_detect.domain.retention import DAY_S, Removal, Retention, Stored, removal

Name = tuple[str, str]


@dataclass
class Job:
    """Grows a job's attempts as runs would."""

    stored: list[Stored] = field(default_factory=list)
    now_s: float = 0.0

    def run(
        self, start: str, parent: Stored | None = None, continues: str = "", stops_after: int = 9, frames_bytes: int = 5
    ) -> None:
        """``start`` and what is below, on ``parent``; killed after so many stages."""
        run_id = f"run{len(self.stored)}"
        upstream = {**parent.upstream, parent.stage: parent.attempt} if parent else {}
        for stage in downstream_of(start)[:stops_after]:
            made = Stored(
                stage=stage,
                attempt=f"{run_id}-0",
                run_id=run_id,
                created_s=self.now_s,
                upstream=dict(upstream),
                continues=continues if stage == start else "",
                size_bytes=10,
                data_version="a",
                frames_bytes=frames_bytes if stage == "extract_frames" else 0,
            )
            upstream[stage] = made.attempt
            self.stored.append(made)
            self.now_s += 1.0

    def of(self, stage: str) -> list[Stored]:
        return [a for a in self.stored if a.stage == stage]


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    job = Job()
    job.run(LINE[0])
    for _ in range(draw(st.integers(0, 7))):
        job.now_s += draw(st.sampled_from([0.0, DAY_S, 20 * DAY_S]))
        stops = draw(st.integers(1, 9))
        if draw(st.booleans()):
            start = draw(st.sampled_from(LINE[1:]))
            parents = job.of(upstream_of(start)[-1])
            if parents:
                kept = draw(st.sampled_from([0, 5]))
                job.run(start, draw(st.sampled_from(parents)), stops_after=stops, frames_bytes=kept)
        elif clouds := job.of("escalate_cloud"):
            cloud = draw(st.sampled_from(clouds))
            matched = next(a for a in job.stored if a.name == ("match_brands", cloud.upstream["match_brands"]))
            job.run("escalate_vlm", matched, continues=cloud.attempt, stops_after=stops)
    return job


retentions = st.builds(
    Retention, st.integers(1, 3), st.sampled_from([0.0, 1.5, 30.0]), st.sampled_from([0.0, 0.5, 10.0])
)


def named_by(attempt: Stored) -> set[Name]:
    """What an attempt names, told apart from the code under test."""
    continued: set[Name] = {("escalate_cloud", attempt.continues)} if attempt.continues else set()
    return {*attempt.upstream.items(), *continued}


def needed_by(attempt: Stored, known: dict[Name, Stored]) -> set[Name]:
    """What it names, and where its pictures have gone the newest attempt that has the same."""
    frames = [a for a in known.values() if a.stage == "extract_frames" and a.frames_bytes]
    lacks = attempt.stage == "extract_frames" and not attempt.frames_bytes
    return named_by(attempt) | ({max(frames, key=lambda a: a.created_s).name} if lacks and frames else set())


def reachable(roots: set[Name], known: dict[Name, Stored]) -> set[Name]:
    found = set(roots)
    while more := {n for name in found if name in known for n in needed_by(known[name], known) if n in known} - found:
        found |= more
    return found & known.keys()


@settings(max_examples=300, deadline=None)
@given(jobs(), retentions, st.data())
def test_nothing_reachable_is_ever_removed_and_all_else_is(job: Job, limits: Retention, data: st.DataObject):
    names = [a.name for a in job.stored]
    pinned = set(data.draw(st.lists(st.sampled_from(names), max_size=2)))
    latest = set(data.draw(st.lists(st.sampled_from(names), max_size=2)))
    runs = set(data.draw(st.lists(st.sampled_from([a.run_id for a in job.stored]), max_size=1)))
    now_s = job.now_s + data.draw(st.sampled_from([0.0, 2 * DAY_S, 60 * DAY_S]))
    goes = removal(job.stored, limits, now_s, latest=latest, pinned=pinned, runs=runs)

    known = {a.name: a for a in job.stored}
    roots = pinned | latest | {a.name for a in job.stored if a.run_id in runs}
    roots |= {a.name for a in job.stored if now_s - a.created_s < limits.days * DAY_S}
    for stage in LINE:
        roots |= {a.name for a in sorted(job.of(stage), key=lambda a: a.created_s)[-limits.keep :]}
    stays = reachable(roots, known)
    assert {a.name for a in goes.attempts} == known.keys() - stays

    left = dict(known)
    for attempt in goes.attempts:  # a kill after any of them
        del left[attempt.name]
        assert all(n not in known or n in left for a in left.values() for n in named_by(a))

    held = reachable(pinned | {a.name for a in job.stored if a.run_id in runs}, known)
    assert {a.name for a in goes.frames} <= {a.name for a in job.of("extract_frames")} & stays - held
    if not limits.frames_days:
        assert not goes.frames

    again = removal(list(left.values()), limits, now_s, latest=latest, pinned=pinned, runs=runs)
    assert again.attempts == ()


def test_pictures_go_by_their_own_age_and_their_attempt_stays():
    job = Job()
    job.run(LINE[0])
    goes = removal(job.stored, Retention(keep=1, days=365, frames_days=7), 8 * DAY_S)
    assert goes == Removal(frames=(job.of("extract_frames")[0],))
    assert goes.size_bytes == 5
    assert not removal(job.stored, Retention(keep=1, days=365, frames_days=9), 8 * DAY_S)
    assert not removal(job.stored, Retention(frames_days=7), 8 * DAY_S, pinned={job.of("run_ocr")[0].name})


def test_a_report_that_failed_its_check_takes_no_good_one_s_place():
    job = Job()
    job.run(LINE[0])
    good = job.stored[-1]
    for _ in range(3):
        job.run(LINE[-1], job.of(LINE[-2])[-1])
        job.stored[-1] = replace(job.stored[-1], failed=True)
    gone = removal(job.stored, Retention(keep=1, days=0), job.now_s)
    assert [a.name for a in gone.attempts] == [a.name for a in job.of(LINE[-1])[2:0:-1]]
    assert good not in gone.attempts
