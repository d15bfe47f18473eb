import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.engines import drawing
from brand_detect.engines.drawing import Drawing
from brand_detect_tests.support.logos import svg

PLAIN = svg("triangle").decode()
PANICKING = svg(extra='<path stroke="#000" stroke-width="1e30" d="M0 0L1e30 1e30C1e20 1e-20 1e10 3 4 5"/>').decode()


def masks(depth: int) -> str:
    """Each mask is drawn with the next, ten times: 10 ** ``depth`` paths."""
    paths = (10 * f'<path fill="#fff" d="M0 0h9v9z" mask="url(#m{i + 1})"/>' for i in range(depth))
    made = "".join(f'<mask id="m{i}">{path}</mask>' for i, path in enumerate(paths))
    return svg(extra=f'{made}<path d="M0 0h9v9z" mask="url(#m0)"/>').decode()


def markers(corners: int) -> str:
    """A path with a hundred paths on each of its corners."""
    marker = 100 * '<path d="M0 0h9v9z"/>'
    path = f'<path marker-mid="url(#m)" d="M0 0{"h1v1" * (corners // 2)}"/>'
    return svg(extra=f'<marker id="m" overflow="visible">{marker}</marker>{path}').decode()


@pytest.mark.parametrize(
    ("text", "limit", "value", "what"),
    [
        (masks(20), "LONGEST_S", 1.0, "it takes over 1 s"),
        (markers(10_000), "MOST_BYTES", 2**28, r"it ended the process that drew it, which may take 0\.25 GiB"),
        (PANICKING, "LONGEST_S", 10.0, "it ended the process that drew it"),
    ],
    ids=["time", "memory", "panic"],
)
def test_what_asks_for_too_much_is_refused_and_the_next_drawing_is_drawn(
    text: str, limit: str, value: float, what: str, monkeypatch: pytest.MonkeyPatch
):
    drawn = Drawing()
    with monkeypatch.context() as patched:
        patched.setattr(drawing, limit, value)
        with pytest.raises(ValueError, match=what):
            drawn.png(text, 64)
    assert drawn.png(PLAIN, 64).startswith(drawing.PNG)


def test_resvgs_complaint_is_handed_on_and_the_child_stays():
    drawn = Drawing()
    first = drawn.png(PLAIN, 64)
    child = drawn._child
    with pytest.raises(ValueError, match="SVG"):
        drawn.png("<html/>", 64)
    assert drawn.png(PLAIN, 64) == first
    assert drawn._child is child


def process_of(drawn: Drawing) -> subprocess.Popen[bytes]:
    assert drawn._child
    return drawn._child._process


def test_a_child_that_was_killed_while_idle_is_no_fault_of_the_drawing():
    drawn = Drawing()
    first = drawn.png(PLAIN, 64)
    killed = process_of(drawn)
    killed.kill()
    killed.wait()
    assert drawn.png(PLAIN, 64) == first


def test_what_ends_a_child_is_refused_though_it_was_idle_before():
    drawn = Drawing()
    drawn.png(PLAIN, 64)
    with pytest.raises(ValueError, match="it ended the process"):
        drawn.png(PANICKING, 64)


def test_ctrl_c_in_the_terminal_does_not_end_the_child():
    drawn = Drawing()
    drawn.png(PLAIN, 64)
    child = process_of(drawn)
    child.send_signal(signal.SIGINT)
    assert drawn.png(PLAIN, 64)
    assert process_of(drawn) is child


def test_a_lower_limit_of_memory_holds_for_the_child_and_it_draws():
    """Of a whole process, because a hard limit cannot be raised again."""
    script = """if True:
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        from brand_detect.engines.drawing import Drawing
        sys.stdout.buffer.write(Drawing().png(sys.argv[1], 64))
    """
    done = subprocess.run([sys.executable, "-c", script, PLAIN], capture_output=True, check=False)
    assert done.stdout.startswith(drawing.PNG), done.stderr.decode()


def test_a_child_that_ends_before_it_is_ready_is_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    broken = tmp_path / "broken.py"
    broken.write_text("raise ImportError('no resvg_py')")
    drawn = Drawing()
    with monkeypatch.context() as patched:
        patched.setattr(drawing, "__file__", str(broken))
        with pytest.raises(Permanent, match=r"could not be started: ImportError: no resvg_py\.$") as e:
            drawn.png(PLAIN, 64)
    assert e.value.hint == "reinstall the package"
    assert drawn.png(PLAIN, 64)


def test_the_start_of_the_child_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drawing, "START_S", 0.0)
    with pytest.raises(Permanent, match="could not be started"):
        Drawing().png(PLAIN, 64)


def test_a_forked_process_has_a_child_of_its_own():
    drawn = Drawing()
    drawn.png(PLAIN, 64)
    child = drawn._child
    is_own = False
    if not (forked := os.fork()):
        try:
            is_own = drawn._child is None and bool(drawn.png(PLAIN, 64))
        finally:
            os._exit(not is_own)
    assert os.waitpid(forked, 0)[1] == 0
    assert drawn._child is child
