"""The gallery of a catalogue: embeddings stored per snapshot and embedder; only new exemplars are embedded.

Those of the built-in embedder are made with the snapshot, so that no job waits for them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from brand_detect.catalog.gallery import Entry, Gallery
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS, BrandCatalog, Exemplar
from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Artwork, Image, LogoEmbedder, Progress
from brand_detect.domain.tables import table
from brand_detect.engines.exemplars import is_drawing, views_of
from brand_detect.engines.logo_embedder import distractors
from brand_detect.storage.store import Store

EXEMPLAR_PX = 160  # longest side of a rendered exemplar; embedders see less
UNKNOWN = ""
EDITION = 2  # raise it when ``views_of`` or the sheet of distractors changes: older embeddings are of other pictures
BATCH = 100  # pictures rendered and embedded at a time
SHIPPED = Path(__file__).parents[1] / "catalog" / "data" / "embeddings.parquet"
"""EXEMPLAR_EMBEDDINGS of the packaged logos and of the distractors; the file's metadata names their maker."""


class _OtherEmbedder(Permanent):
    """The embedder at hand is not the one of the embeddings."""


def load_gallery(
    store: Store,
    catalog: BrandCatalog,
    embedder: str,
    make: Callable[[], LogoEmbedder | None],
    artwork: Artwork,
    progress: Progress,
) -> Gallery | None:
    """The gallery of ``catalog`` for ``embedder``, an identity; None for a catalogue without logos.

    The snapshot has those of the built-in embedder; ``make`` is called only if others are needed.

    None too if ``make`` returns a different embedder and all brands with logos are ``packaged``: a job of an earlier
    release is then matched by text, as it was.

    Raises:
        Permanent: others are needed, and ``make`` returns a different embedder.
    """

    def make_it() -> LogoEmbedder:
        made = make()
        if made is None or made.identity != embedder:
            raise _OtherEmbedder(
                f"The embeddings are from {embedder}, but the embedder here is {made.identity if made else 'off'}.",
                "re-materialize detect_objects",
            )
        return made

    if not catalog.n_exemplars:
        return None
    try:
        vectors = embedded(store, catalog, embedder, make_it, store.snapshots.exemplar, artwork, progress)
    except _OtherEmbedder:
        if all(brand.packaged for brand in catalog.brands if brand.exemplars):
            return None
        raise
    return _gallery(catalog, embedder, vectors)


def known_gallery(store: Store, catalog: BrandCatalog, embedder: str) -> Gallery | None:
    """The gallery of ``catalog`` for ``embedder``, an identity, of embeddings at hand; None if some are missing.

    It makes and stores none.
    """
    maker = maker_of(embedder)
    vectors = store.snapshots.get_embeddings(catalog.version, maker)
    if vectors is None:
        parts, missing = _known(store, catalog, maker)
        if missing:
            return None
        vectors = pa.concat_tables(parts)
    return _gallery(catalog, embedder, vectors)


def _gallery(catalog: BrandCatalog, embedder: str, vectors: pa.Table) -> Gallery:
    ids = np.array(vectors["exemplar_id"].to_pylist())
    rows = vectors["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = rows.reshape(len(ids), -1).astype(np.float32)
    owners = {e.exemplar_id: brand for brand in catalog.brands for e in brand.exemplars}
    known = [i for i in ids.tolist() if i != UNKNOWN]
    entries = [Entry(owners[i].brand_id, owners[i].name, i, owners[i].packaged) for i in known]
    return Gallery(embedder, entries, matrix[ids != UNKNOWN], matrix[ids == UNKNOWN])


def embedded(
    store: Store,
    catalog: BrandCatalog,
    embedder: str,
    make: Callable[[], LogoEmbedder],
    picture: Callable[[Exemplar], bytes],
    artwork: Artwork,
    progress: Progress,
) -> pa.Table:
    """The EXEMPLAR_EMBEDDINGS of the catalogue's logos by ``embedder``, an identity; made and stored once.

    ``make`` is called only for pictures that are neither in the package's embeddings nor in the latest snapshot's with
    embeddings of that embedder.
    """
    maker = maker_of(embedder)
    vectors = store.snapshots.get_embeddings(catalog.version, maker)
    if vectors is not None:
        return vectors
    parts, missing = _known(store, catalog, maker)
    if missing:
        exemplars = {e.exemplar_id: e for brand in catalog.brands for e in brand.exemplars}
        some = [e for i, e in exemplars.items() if i in missing]
        parts.append(embeddings_of(some, picture, make(), artwork, progress, with_distractors=UNKNOWN in missing))
    vectors = pa.concat_tables(parts)
    store.snapshots.put_embeddings(catalog.version, maker, vectors)
    return vectors


def _known(store: Store, catalog: BrandCatalog, maker: str) -> tuple[list[pa.Table], set[str]]:
    """What the package and the latest snapshot have of the catalogue's EXEMPLAR_EMBEDDINGS, and the ids they lack."""
    missing, parts = {UNKNOWN, *(e.exemplar_id for brand in catalog.brands for e in brand.exemplars)}, []
    for known in (shipped, partial(_latest, store)):
        found = known(maker)
        if missing and found is not None:
            ids = found["exemplar_id"].to_pylist()
            parts.append(found.filter(pa.array([i in missing for i in ids], pa.bool_())))
            missing -= set(ids)
    return parts, missing


def maker_of(embedder: str) -> str:
    """What embeddings of exemplars depend on: the embedder, an identity, and the views."""
    return f"{embedder}, edition {EDITION}"


def shipped(maker: str) -> pa.Table | None:
    """The package's EXEMPLAR_EMBEDDINGS if they are by ``maker``."""
    file = pq.ParquetFile(SHIPPED)
    is_by = (file.schema_arrow.metadata or {}).get(b"maker") == maker.encode()
    return file.read().cast(EXEMPLAR_EMBEDDINGS) if is_by else None


def _latest(store: Store, maker: str) -> pa.Table | None:
    """The EXEMPLAR_EMBEDDINGS by ``maker`` of the latest snapshot that has some."""
    versions = reversed(store.snapshots.versions())
    return next((t for v in versions if (t := store.snapshots.get_embeddings(v, maker)) is not None), None)


def embeddings_of(
    exemplars: Sequence[Exemplar],
    picture: Callable[[Exemplar], bytes],
    embedder: LogoEmbedder,
    artwork: Artwork,
    progress: Progress,
    *,
    with_distractors: bool = True,
) -> pa.Table:
    """The EXEMPLAR_EMBEDDINGS of these exemplars, and of the distractors, made now."""
    views = [partial(_views, exemplar, picture, artwork) for exemplar in exemplars]
    if with_distractors:
        views += [partial(list, [(UNKNOWN, tile, False)]) for tile in distractors()]
    progress(0, len(views), "pictures of the catalogue")
    parts = []
    for begin in range(0, len(views), BATCH):
        shown = [view for of in views[begin : begin + BATCH] for view in of()]
        for drawn, encode in ((True, embedder.encode_drawings), (False, embedder.encode)):
            parts.append(_encoded(encode, [(i, picture) for i, picture, is_drawn in shown if is_drawn is drawn]))
        progress(min(begin + BATCH, len(views)), len(views), "pictures of the catalogue")
    return pa.concat_tables(parts)


def _views(exemplar: Exemplar, picture: Callable[[Exemplar], bytes], artwork: Artwork) -> list[tuple[str, Image, bool]]:
    """The exemplar's id, a view, and whether that is of a drawing."""
    art = artwork.render(picture(exemplar), exemplar.suffix, EXEMPLAR_PX)
    return [(exemplar.exemplar_id, view, is_drawing(art)) for view in views_of(art)]


def _encoded(
    encode: Callable[[Sequence[Image]], NDArray[np.float32]], pictures: Sequence[tuple[str, Image]]
) -> pa.Table:
    vectors = encode([picture for _, picture in pictures]).astype(np.float16)
    return table(
        EXEMPLAR_EMBEDDINGS, ({"exemplar_id": i, "embedding": v} for (i, _), v in zip(pictures, vectors, strict=True))
    )
