"""The gallery of a catalogue's marks: vectors kept per snapshot and encoder, so that a new brand costs one picture."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from brand_detect.catalog.gallery import Entry, Gallery
from brand_detect.domain.errors import Permanent
from brand_detect.domain.model import VECTORS, BrandCatalog, Exemplar, table
from brand_detect.domain.protocols import Artwork, Image, MarkEncoder, Progress
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.mark_encoder import unknown_marks
from brand_detect.storage.store import Store

EXEMPLAR_PX = 160  # longest side of a rendered exemplar; encoders see less
UNKNOWN = ""
EDITION = 1  # raised when ``views_of`` or the sheet of unknown marks changes: vectors made before are of other pictures
BATCH = 100  # exemplars that are rendered and encoded at a time


def load_gallery(
    store: Store,
    catalog: BrandCatalog,
    encoder: str,
    make: Callable[[], MarkEncoder | None],
    artwork: Artwork,
    progress: Progress,
) -> Gallery | None:
    """The gallery of ``catalog`` for vectors made by ``encoder``, an identity; None for a catalogue without logos.

    ``make`` is called only where pictures are to be encoded that no earlier snapshot had.

    Raises:
        Permanent: that is needed, and ``make`` gives another encoder.
    """
    exemplars = {e.exemplar_id: e for brand in catalog.brands for e in brand.exemplars}
    if not exemplars:
        return None
    maker = f"{encoder}, edition {EDITION}"
    vectors = store.get_vectors(catalog.version, maker)
    if vectors is None:
        vectors = _vectors(store, exemplars, encoder, maker, make, artwork, progress)
        store.put_vectors(catalog.version, maker, vectors)
    ids = np.array(vectors["exemplar_id"].to_pylist())
    rows = vectors["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = rows.reshape(len(ids), -1).astype(np.float32)
    owners = {e.exemplar_id: brand for brand in catalog.brands for e in brand.exemplars}
    known = [i for i in ids.tolist() if i != UNKNOWN]
    entries = [Entry(owners[i].brand_id, owners[i].name, i) for i in known]
    return Gallery(encoder, entries, matrix[ids != UNKNOWN], matrix[ids == UNKNOWN])


def _vectors(
    store: Store,
    exemplars: Mapping[str, Exemplar],
    encoder: str,
    maker: str,
    make: Callable[[], MarkEncoder | None],
    artwork: Artwork,
    progress: Progress,
) -> pa.Table:
    """The VECTORS of ``exemplars``, as far as possible from the latest snapshot that has any."""
    wanted = {UNKNOWN, *exemplars}
    parts = []
    for version in reversed(store.catalogs()):
        before = store.get_vectors(version, maker)
        if before is not None:
            parts = [before.filter(pa.array([i in wanted for i in before["exemplar_id"].to_pylist()], pa.bool_()))]
            wanted -= set(before["exemplar_id"].to_pylist())
            break
    if wanted:
        made = make()
        if made is None or made.identity != encoder:
            raise Permanent(
                f"The marks of this job are vectors of {encoder}, and here is {made.identity if made else 'none'}.",
                "re-materialize detect_objects",
            )
        missing = [i for i in exemplars if i in wanted]
        for begin in range(0, len(missing), BATCH):
            progress(begin, len(missing), "pictures of the catalogue")
            parts.append(
                _encoded(
                    made, [p for i in missing[begin : begin + BATCH] for p in _pictures(store, exemplars[i], artwork)]
                )
            )
        if UNKNOWN in wanted:
            parts.append(_encoded(made, [(UNKNOWN, picture) for picture in unknown_marks()]))
    return pa.concat_tables(parts)


def _pictures(store: Store, exemplar: Exemplar, artwork: Artwork) -> list[tuple[str, Image]]:
    art = artwork.render(store.exemplar(exemplar), exemplar.suffix, EXEMPLAR_PX)
    return [(exemplar.exemplar_id, view) for view in views_of(art)]


def _encoded(encoder: MarkEncoder, pictures: Sequence[tuple[str, Image]]) -> pa.Table:
    vectors = encoder.encode([picture for _, picture in pictures]).astype(np.float16)
    return table(VECTORS, ({"exemplar_id": i, "vector": v} for (i, _), v in zip(pictures, vectors, strict=True)))
