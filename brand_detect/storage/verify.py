"""Verifies that a store's files are complete and unchanged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.domain.pipeline import CATALOG as BRAND_CATALOG
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.proposals import Decision, Proposal
from brand_detect.domain.protocols import Progress
from brand_detect.storage.answers import Answers, answer_from_json
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import Blobs, concurrently
from brand_detect.storage.faults import Missing, OtherVersion
from brand_detect.storage.manifest import NAME
from brand_detect.storage.own_files import OWN, OwnFiles
from brand_detect.storage.own_files import versions as versions_of_own_files
from brand_detect.storage.proposals import Proposals, event_from_json, is_proposal
from brand_detect.storage.reviews import Reviews, review_from_json
from brand_detect.storage.shards import SHARD_PREFIX
from brand_detect.storage.snapshots import CATALOG, EXEMPLARS
from brand_detect.storage.store import Store

OTHER_VERSION = "other version"


@dataclass(frozen=True)
class Damage:
    """A damaged, missing or unreadable file, or an attempt that this program cannot read for its schema version."""

    file: str
    """Path within the store."""
    damage: str
    """damaged | missing | unreadable | other version"""
    what: str
    hint: str


def verify_jobs(store: Store, jobs: Sequence[str], progress: Progress) -> Iterator[Damage]:
    """Check the files of checkpoints and corrections of ``jobs``.

    A missing ancestor or catalogue of a checkpoint is damage, too. If all frames of an attempt are missing, retention
    removed them, which is not.
    """
    refs = [ref for job_id in jobs for stage in LINE for ref in store.folders(job_id, stage)]
    finished: set[AttemptRef] = set()
    read: set[AttemptRef] = set()
    catalogs: set[str] = set()
    for n, (ref, looked) in enumerate(zip(refs, concurrently(partial(_of_attempt, store), refs), strict=True), 1):
        if looked is not None:
            finished.add(ref)
            read |= looked.read
            catalogs.add(looked.catalog)
            yield from looked.damaged
        progress(n, len(refs), "checkpoints")
    for ref in sorted(read - finished, key=str):
        yield from _look(f"{ref}/{NAME}", partial(store.manifest, ref))
    for version in sorted(catalogs - {*store.snapshots.versions(), ""}):
        yield from _look(f"{CATALOG}/{version}/catalog.json", partial(store.snapshots.read, version))
    for job_id in jobs:
        for path in Reviews(store.blobs, job_id).paths():
            yield from _sealed(store.blobs, path, review_from_json)


def verify_shared(
    store: Store, read_catalog: Callable[[bytes, str], BrandCatalog], progress: Progress
) -> Iterator[Damage]:
    """Check the shared files: the catalogue's snapshots with pictures and embeddings, own files, answers, proposals."""
    snapshots, blobs = store.snapshots, store.blobs
    exemplars = {}
    versions = snapshots.versions()
    for n, version in enumerate(versions, 1):
        try:
            catalog = read_catalog(snapshots.read(version), version)
            exemplars |= {e.exemplar_id: e for brand in catalog.brands for e in brand.exemplars}
        except BrandDetectError as e:
            yield _damage(f"{CATALOG}/{version}/catalog.json", e)
        for name in snapshots.vectors(version):
            yield from _look(f"{CATALOG}/{version}/{name}", partial(snapshots.vectors_file, version, name))
        progress(n, len(versions), "snapshots")
    for exemplar in exemplars.values():
        yield from _look(f"{EXEMPLARS}/{exemplar.file_name}", partial(snapshots.exemplar, exemplar))
    for version in versions_of_own_files(blobs):
        yield from _look(f"{OWN}/{version}.json", partial(OwnFiles.load, blobs, version))
    for path in Proposals(blobs).paths():
        kind: type[Proposal | Decision] = Proposal if is_proposal(path) else Decision
        yield from _sealed(blobs, path, partial(event_from_json, kind=kind))
    for path in Answers(blobs).paths():
        yield from _sealed(blobs, path, answer_from_json)


@dataclass(frozen=True)
class _Looked:
    damaged: list[Damage]
    read: frozenset[AttemptRef] = frozenset()
    """Its ancestors."""
    catalog: str = ""
    """Version of its catalogue, if it was made with one."""


def _of_attempt(store: Store, ref: AttemptRef) -> _Looked | None:
    """Check one attempt; None if it is unfinished."""
    try:
        if not store.exists(ref):
            return None
        manifest = store.manifest(ref)
        shards = store.frame_shards(ref)
    except BrandDetectError as e:
        return _Looked([_damage(f"{ref}/{NAME}", e)])
    files = [file for file in manifest.files if shards or not file.name.startswith(SHARD_PREFIX)]
    damaged = [found for file in files for found in _look(f"{ref}/{file.name}", partial(store.prove, ref, file))]
    read = (AttemptRef(ref.job_id, stage, name) for stage, name in manifest.upstream.items() if stage in LINE)
    return _Looked(damaged, frozenset(read), manifest.upstream.get(BRAND_CATALOG, ""))


def _sealed(blobs: Blobs, path: str, parse: Callable[[bytes], object]) -> Iterator[Damage]:
    def look() -> None:
        data = blobs.read(path)
        try:
            parse(data)
        except (ValueError, TypeError) as e:
            raise Permanent(f"{path} is damaged: {e}.", "restore it, or remove it") from e

    return _look(path, look)


def _look(path: str, look: Callable[[], object]) -> Iterator[Damage]:
    try:
        look()
    except BrandDetectError as e:
        yield _damage(path, e)


def _damage(path: str, error: BrandDetectError) -> Damage:
    kinds = ((Missing, "missing"), (OtherVersion, OTHER_VERSION), (Permanent, "damaged"))
    kind = next((kind for of, kind in kinds if isinstance(error, of)), "unreadable")
    return Damage(path, kind, str(error), error.hint)
