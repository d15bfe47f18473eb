"""A whole store, damaged at random: everything is read as it was written, or refused in words."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from brand_detect.catalog import catalog_from_json, catalog_to_json, parse_catalog
from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS, BrandCatalog
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage import own_files
from brand_detect.storage.answers import Answers
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import pipeline

QUESTION = "f" * 32
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
CATALOG = parse_catalog(b"- {name: Rolex, aliases: [Crown]}\n- Tudor\n", "brands.yaml")
Reads = dict[str, Callable[[], object]]
"""What is read of a store, by the path that its files begin with."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one of everything."""
    folder = tmp_path_factory.mktemp("damage")
    with pipeline(folder) as built:
        finished(built)
    store = Store(str(folder / "store"))
    store.snapshots.add(CATALOG.version, catalog_to_json(CATALOG), [exemplar_of(LOGO, "svg")], lambda _: LOGO)
    vectors = [{"exemplar_id": "a", "embedding": np.linspace(0, 1, 256).astype(np.float16)}]
    store.snapshots.put_embeddings(CATALOG.version, "embedder", table(EXEMPLAR_EMBEDDINGS, vectors))
    Answers(store.blobs).keep(Answer("", AnswerStatus.answered, "Nike", 0.9, "a “detail”", question_id=QUESTION))
    Reviews(store.blobs, "match").add(review_of(correction_of({"action": "accept", "brand_id": "nike", "user": "Ann"})))
    return folder / "store"


def reads(store: Store) -> Reads:
    """Everything that can be read."""

    def snapshot(version: str) -> BrandCatalog:
        return catalog_from_json(store.snapshots.read(version), version)

    found: Reads = {
        f"_catalog/{CATALOG.version}/catalog.json": lambda: snapshot(CATALOG.version),
        f"_catalog/{CATALOG.version}/vectors-": lambda: store.snapshots.get_embeddings(CATALOG.version, "embedder"),
        "_catalog/exemplars/": lambda: store.snapshots.exemplar(exemplar_of(LOGO, "svg")),
        "_answers/": lambda: Answers(store.blobs).recall([QUESTION]),
        "_proposals/": lambda: _proposals(store),
        "match/_reviews/": lambda: _corrections(store),
    }
    for version in own_files.versions(store.blobs):
        found[f"_own/{version}.json"] = lambda version=version: OwnFiles.load(store.blobs, version)
    for version in store.snapshots.versions():
        found[f"_catalog/{version}/catalog.json"] = lambda version=version: snapshot(version)
    for stage in LINE:
        for ref in store.folders("match", stage):
            found[f"{ref}/"] = lambda ref=ref: list(_attempt(store, ref))
    return found


def _proposals(store: Store) -> object:
    *events, damaged = Proposals(store.blobs).read()
    if damaged:
        raise BrandDetectError(damaged[0])  # one that is damaged is left out, and the list says so
    return events


def _corrections(store: Store) -> object:
    events, damaged = Reviews(store.blobs, "match").read()
    if damaged:
        raise BrandDetectError(damaged[0])  # a correction that is damaged is left out, and the report says so
    return events


def _attempt(store: Store, ref: AttemptRef) -> Iterator[object]:
    manifest = store.manifest(ref)
    yield manifest
    value = store.load(ref)
    yield value
    if isinstance(value, ExtractedFrames):
        frames = StoredFrames(store, ref, value.frames, OpenCvCodec())
        yield [frames.read(n).tobytes() for n in range(value.frames.num_rows)]
    yield [store.read(ref, file.name) for file in manifest.files if not file.name.startswith("frames-")]


def damages(files: list[Path], bits: int, cuts: int, seed: int) -> Iterator[tuple[Path, bytes]]:
    """Files with what damage makes of them: ``bits`` with a bit another, ``cuts`` truncated. Each file in its turn."""
    rng = random.Random(seed)
    rng.shuffle(files)
    for n in range(bits + cuts):
        file = files[n % len(files)]
        damaged = bytearray(file.read_bytes())
        if n < bits:
            bit = rng.randrange(8 * len(damaged))
            damaged[bit // 8] ^= 1 << bit % 8
        else:
            del damaged[rng.randrange(len(damaged)) :]
        yield file, bytes(damaged)


@pytest.mark.parametrize(
    ("bits", "cuts", "seed"), [(80, 20, 0), pytest.param(1000, 200, 1, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_what_is_damaged_is_read_as_it_was_or_refused_in_words(root: Path, bits: int, cuts: int, seed: int):
    truth = {prefix: read() for prefix, read in reads(Store(str(root))).items()}
    counts: Counter[str] = Counter()
    for file, damaged in damages(sorted(p for p in root.rglob("*") if p.is_file()), bits, cuts, seed):
        written, name = file.read_bytes(), str(file.relative_to(root))
        file.write_bytes(damaged)
        looked = [(prefix, read) for prefix, read in reads(Store(str(root))).items() if name.startswith(prefix)]
        assert looked, f"nothing reads {name}"
        for prefix, read in looked:
            try:
                assert read() == truth[prefix], f"{name} is read as other values"
                counts["as it was"] += 1
            except BrandDetectError:
                counts["refused"] += 1
        file.write_bytes(written)
    print(dict(counts))
    assert counts.total() == bits + cuts
    assert counts["refused"] > 0.9 * counts.total(), "tar headers and white space are a small part"
