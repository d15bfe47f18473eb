"""The gallery of a catalogue: embeddings stored per snapshot and embedder; only new exemplars are embedded.

Those of the built-in embedder are made with the snapshot, so that no job waits for them.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from brand_detect.catalog.gallery import Entry, Gallery
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS, BrandCatalog, Exemplar
from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Artwork, Image, LogoEmbedder, Progress
from brand_detect.domain.tables import table
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.logo_embedder import distractors
from brand_detect.storage.store import Store

EXEMPLAR_PX = 160  # longest side of a rendered exemplar; embedders see less
UNKNOWN = ""
EDITION = 1  # raise it when ``views_of`` or the sheet of distractors changes: older embeddings are of other pictures
BATCH = 100  # pictures rendered and embedded at a time


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

    Raises:
        Permanent: others are needed, and ``make`` returns a different embedder.
    """

    def make_it() -> LogoEmbedder:
        made = make()
        if made is None or made.identity != embedder:
            raise Permanent(
                f"The embeddings are from {embedder}, but the embedder here is {made.identity if made else 'off'}.",
                "re-materialize detect_objects",
            )
        return made

    if not any(brand.exemplars for brand in catalog.brands):
        return None
    vectors = embedded(store, catalog, embedder, make_it, store.snapshots.exemplar, artwork, progress)
    ids = np.array(vectors["exemplar_id"].to_pylist())
    rows = vectors["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = rows.reshape(len(ids), -1).astype(np.float32)
    owners = {e.exemplar_id: brand for brand in catalog.brands for e in brand.exemplars}
    known = [i for i in ids.tolist() if i != UNKNOWN]
    entries = [Entry(owners[i].brand_id, owners[i].name, i) for i in known]
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

    ``make`` is called only for pictures that the latest snapshot with embeddings of that embedder lacks.
    """
    maker = f"{embedder}, edition {EDITION}"
    vectors = store.snapshots.get_embeddings(catalog.version, maker)
    if vectors is not None:
        return vectors
    exemplars = {e.exemplar_id: e for brand in catalog.brands for e in brand.exemplars}
    wanted, parts = {UNKNOWN, *exemplars}, []
    for version in reversed(store.snapshots.versions()):
        before = store.snapshots.get_embeddings(version, maker)
        if before is not None:
            parts = [before.filter(pa.array([i in wanted for i in before["exemplar_id"].to_pylist()], pa.bool_()))]
            wanted -= set(before["exemplar_id"].to_pylist())
            break
    if wanted:
        views = [partial(_views, exemplars[i], picture, artwork) for i in exemplars if i in wanted]
        if UNKNOWN in wanted:
            views += [partial(list, [(UNKNOWN, tile)]) for tile in distractors()]
        progress(0, len(views), "pictures of the catalogue")
        made = make()
        for begin in range(0, len(views), BATCH):
            parts.append(_encoded(made, [pair for of in views[begin : begin + BATCH] for pair in of()]))
            progress(min(begin + BATCH, len(views)), len(views), "pictures of the catalogue")
    vectors = pa.concat_tables(parts)
    store.snapshots.put_embeddings(catalog.version, maker, vectors)
    return vectors


def _views(exemplar: Exemplar, picture: Callable[[Exemplar], bytes], artwork: Artwork) -> list[tuple[str, Image]]:
    art = artwork.render(picture(exemplar), exemplar.suffix, EXEMPLAR_PX)
    return [(exemplar.exemplar_id, view) for view in views_of(art)]


def _encoded(embedder: LogoEmbedder, pictures: Sequence[tuple[str, Image]]) -> pa.Table:
    vectors = embedder.encode([picture for _, picture in pictures]).astype(np.float16)
    return table(
        EXEMPLAR_EMBEDDINGS, ({"exemplar_id": i, "embedding": v} for (i, _), v in zip(pictures, vectors, strict=True))
    )
