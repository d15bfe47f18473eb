"""The rules of the house, read from the source: who imports whom, and what is never imported early."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from brand_detect import stages
from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.pipeline import CATALOG, LINE, STAGES
from brand_detect.orchestration import assets

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "brand_detect"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"cv2", "av", "torch", "transformers", "rapidocr", "openvino", "onnxruntime", "pytesseract", "PIL", "resvg_py"}
HEAVY_HOMES = {"engines", "evaluation", "training"}
EAGER = {  # networks and what trains them: nothing but pixels and weights in them; imported inside functions themselves
    "engines.logo_embedder_net",
    *(f"training.{name}" for name in ("calibration", "distortion", "distractors", "logo_embedder")),
}
SIBLINGS = {"stages", "engines", "storage", "catalog", "report"}
ALL = SIBLINGS | {"domain", "orchestration", "operations", "definitions", "client", "cli", "api", "evaluation"}
MAY_IMPORT = {  # besides itself
    "__init__": set(),
    "domain": set(),
    **{below: {"domain"} for below in SIBLINGS | {"client"}},
    "orchestration": SIBLINGS | {"domain"},
    "operations": SIBLINGS | {"domain", "orchestration"},
    "definitions": SIBLINGS | {"domain", "orchestration", "operations"},
    "cli": ALL,
    "api": ALL,
    "evaluation": ALL,
    "training": ALL,
}


def layer(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(node: ast.AST, *, early: bool = False) -> Iterator[str]:
    """Dotted names imported under ``node``; ``early`` leaves out those inside functions and for types alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (a.name for a in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from (f"{child.module}.{a.name}" for a in child.names)
        elif not (early and is_late(child)):
            yield from imports(child, early=early)


def is_late(node: ast.AST) -> bool:
    types_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return types_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_import_arrow_and_heavy_imports(module: Path) -> None:
    tree, here = ast.parse(module.read_text(encoding="utf-8")), layer(module)
    ours = {name.split(".")[1] for name in imports(tree) if name.startswith("brand_detect.")}
    heavy = {name.split(".")[0] for name in imports(tree)} & HEAVY
    early = {name.split(".")[0] for name in imports(tree, early=True)} & HEAVY
    assert not ours - MAY_IMPORT[here] - {here}, f"{here} must not import these layers"
    early_ours = {
        ".".join(name.split(".")[1:3]) for name in imports(tree, early=True) if name.startswith("brand_detect.")
    }
    eager = ".".join(module.relative_to(PACKAGE).with_suffix("").parts) in EAGER
    assert eager or not early | (early_ours & EAGER), "heavy modules are imported inside the functions that need them"
    assert not heavy or here in HEAVY_HOMES, f"heavy modules belong into {HEAVY_HOMES}"


def test_commands_leave_the_http_service_alone() -> None:
    """What both do lies in ``operations``; only the commands that start servers know the service."""
    modules = [path for path in (PACKAGE / "cli").glob("*.py") if path.name != "servers.py"]
    named = {path.name for path in modules for n in imports(ast.parse(path.read_text())) if "brand_detect.api" in n}
    assert named == set()


DAGSTER = [*(PACKAGE / "orchestration").rglob("*.py"), *(PACKAGE / "operations").rglob("*.py")]


@pytest.mark.parametrize("module", DAGSTER, ids=lambda m: m.name)
def test_no_postponed_annotations_where_dagster_reads_types(module: Path) -> None:
    assert "__future__.annotations" not in imports(ast.parse(module.read_text(encoding="utf-8")))


STORED = ("comparison", "corrections", "exports", "portfolio", "sweep")
"""Operations on stored reports, which the service and the command line carry out themselves."""


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (["definitions"], HEAVY),
        (["api", "cli", *(f"operations.{name}" for name in STORED)], HEAVY | {"dagster"}),
    ],
    ids=["Dagster's", "those without Dagster"],
)
def test_a_process_loads_only_what_it_needs(modules: list[str], without: set[str]) -> None:
    """The HTTP service and the commands on stored reports start twice as fast without Dagster."""
    code = (
        f"import sys, brand_detect.{', brand_detect.'.join(modules)}; print(sorted({without!r} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


def missing(stage: str) -> list[str]:
    """The parts of a stage that are not there."""
    tests = TESTS / "stages"
    parts = {
        "contract": stage in CONTRACTS and (PACKAGE / "domain" / "contracts" / f"{stage}.py").exists(),
        "stage": callable(getattr(stages, stage, None)),
        "asset": any(asset.key.path[-1] == stage for asset in assets.ASSETS),
        "tests": (tests / f"test_{stage}.py").exists() or any((tests / stage).glob("test_*.py")),
    }
    return [part for part, there in parts.items() if not there]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_all_its_parts(stage: str) -> None:
    assert missing(stage) == []


def test_contracts_and_assets_are_in_the_order_of_the_stages() -> None:
    assert tuple(CONTRACTS) == STAGES
    assert tuple(asset.key.path[-1] for asset in assets.ASSETS) == (CATALOG, *LINE)


def test_what_a_stage_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing("track_players") == ["contract", "stage", "asset", "tests"]
    monkeypatch.delattr(stages, "run_ocr")
    assert missing("run_ocr") == ["stage"]


def test_both_opencv_wheels_are_one_version() -> None:
    """rapidocr brings opencv-python-headless, which owns the same ``cv2`` folder as opencv-python."""
    pins = re.findall(r"^opencv-\S+==(\S+)$", (TESTS.parent / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert len(pins) == 2
    assert {*pins, version("opencv-python"), version("opencv-python-headless")} == {pins[0]}


def test_torch_is_the_pinned_release() -> None:
    assert version("torch").split("+")[0] == "2.13.0"
