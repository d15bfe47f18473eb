"""What the stages need from the outside world; engines, storage and report implement it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.contracts.verdicts import Answer, Rule
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.job import Probe

Image = NDArray[np.uint8]
"""A picture, shape (height, width, 3), uint8, channels B, G, R as in OpenCV."""
Rgba = NDArray[np.uint8]
"""A picture with transparency, shape (height, width, 4), uint8, channels R, G, B, A, not premultiplied."""
Quad = NDArray[np.float32]
"""Four corners in px, shape (4, 2), clockwise from the top left of the reading direction."""


class Progress(Protocol):
    """Told how far a stage is. ``total`` 0 means unknown."""

    def __call__(self, done: float, total: float, unit: str) -> None: ...


class Media(Protocol):
    """Opens videos by URI, within the allowed roots and schemes."""

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """A seekable binary file.

        Raises:
            BadInput: the URI is outside the allowed roots or schemes, or nothing is there.
            Transient: the store did not answer.
        """
        ...


class DamagedTail(BrandDetectError):
    """Decoding cannot go on; what came before is good. ``at_s`` is where the last good picture stands."""

    def __init__(self, message: str, at_s: float) -> None:
        super().__init__(message)
        self.at_s = at_s


@dataclass(frozen=True)
class DecodedFrame:
    """One decoded picture. ``image`` is set on sampled pictures only; ``luma`` is a small thumbnail on all."""

    t_s: float
    luma: NDArray[np.uint8]  # THUMBNAIL_SHAPE
    image: Image | None


class Decoder(Protocol):
    """Probes and decodes a video in one sequential pass."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    def probe(self, file: BinaryIO) -> Probe: ...

    def decode(self, file: BinaryIO, sample_fps: float, start_s: float, end_s: float) -> Iterator[DecodedFrame]:
        """Every picture of ``[start_s, end_s)`` in presentation order, the sampled ones with their image.

        A damaged tail raises ``DamagedTail`` after the last good picture.
        """
        ...


Draw = Callable[[float, Image], Image]
"""Draws on the picture at a time in seconds from the first; the size stays."""


@dataclass(frozen=True)
class Rewritten:
    """A video that was decoded, drawn on and encoded again. ``sound`` is the codec that was copied, "" for none."""

    frames: int
    seconds: float
    sound: str
    notes: tuple[str, ...]


class VideoRewriter(Protocol):
    """Draws on every picture of a video."""

    def rewrite(self, file: BinaryIO, target: Path, draw: Draw, progress: Progress) -> Rewritten:
        """Write ``target``, a new MP4 with the pictures of ``file`` upright, at their times, and its sound as it is.

        Raises:
            BadInput: the file is no video.
        """
        ...


class ImageCodec(Protocol):
    """Encodes and decodes stored frames, and looks at pixels on behalf of the stages."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    def encode(self, image: Image, quality: int, longest_side_px: int) -> bytes:
        """JPEG bytes; ``longest_side_px`` 0 keeps the size."""
        ...

    def decode(self, data: bytes) -> Image: ...

    def phash(self, luma: NDArray[np.uint8]) -> int:
        """64-bit DCT perceptual hash of a grey picture of any size."""
        ...

    def sharpness(self, image: Image) -> float:
        """Variance of the Laplacian of the grey picture."""
        ...

    def contrast(self, image: Image) -> float:
        """RMS contrast of the grey picture (Peli 1990): its standard deviation over 255, 0..0.5."""
        ...

    def background(self, image: Image) -> NDArray[np.float64]:
        """The colour (3,) that lettering stands on, the median of the picture's rim; NaN where that is not plain."""
        ...

    def glyph_boxes(self, image: Image) -> list[tuple[float, float, float, float]]:
        """What stands out from a line's background, from left to right, in stretches with background between them.

        Each is left, top, right and bottom as shares of the picture's sides. None where the rim is restless.
        """
        ...

    def rectify(self, image: Image, quad: Quad) -> Image:
        """The quadrilateral as an upright rectangle."""
        ...


class Artwork(Protocol):
    """Renders pictures of logos, drawn ones and photographs."""

    @property
    def identity(self) -> str:
        """Libraries and versions: what a manifest says did the work."""
        ...

    def render(self, data: bytes, suffix: str, longest_side_px: int) -> Rgba:
        """The picture without its transparent margin; ``suffix`` is svg, png or jpeg.

        A drawing gets ``longest_side_px`` exactly, unless it is a speck on its page; a picture of pixels that is
        smaller stays as small as it is.

        Raises:
            BadInput: it cannot be rendered, is too large, or shows nothing.
        """
        ...


Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""


@dataclass(frozen=True)
class Shape:
    """A closed polygon, filled or outlined, with corners in px."""

    corners: Sequence[tuple[float, float]]
    color: Color
    line_px: int = 0  # 0 = filled


@dataclass(frozen=True)
class Label:
    """One line of text with its top left corner at ``x``, ``y``; what is wider than ``max_width_px`` is cut short.

    With ``background`` it stands on a plate of that colour, which reaches a little beyond the letters.
    """

    x: float
    y: float
    text: str
    size_px: int
    color: Color
    max_width_px: float = float("inf")
    background: Color | None = None


class Canvas(Protocol):
    """Draws on pictures. Never changes the picture that it was given."""

    def resize(self, image: Image, width_px: int, height_px: int) -> Image: ...

    def draw(self, image: Image, shapes: Sequence[Shape | Label]) -> Image:
        """``image`` with ``shapes`` on it, in order."""
        ...


@dataclass(frozen=True)
class BlobRef:
    """Where one stored blob lies inside its attempt."""

    shard: str
    offset: int
    size_bytes: int
    crc32: int


class BlobSink(Protocol):
    """Writes into the attempt that is being made."""

    def append(self, data: bytes) -> BlobRef:
        """Append one frame to the current shard."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write one whole file."""
        ...


class FrameReader(Protocol):
    """Reads stored frames by their ordinal, each by byte range."""

    def read(self, frame: int) -> Image: ...


@dataclass(frozen=True)
class Region:
    """What a detector found on one picture."""

    kind: RegionKind
    label: str
    score: float
    quad: Quad


@dataclass(frozen=True)
class Area:
    """A part of a picture, in px: ``left`` to ``right`` and ``top`` to ``bottom``, the ends not included."""

    left: int
    top: int
    right: int
    bottom: int


class RegionDetector(Protocol):
    """Finds text, logo or object regions on a picture."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        """The regions of the picture; with ``areas``, at least those whose centre lies in one of them.

        A detector that needs the whole picture may ignore ``areas``.
        """
        ...


Luma = NDArray[np.uint8]
"""A small grey picture, shape (height, width)."""
Transform = NDArray[np.float64]
"""Takes homogeneous points (x, y, 1) of one picture to another, shape (3, 3)."""


class CameraMotion(Protocol):
    """Tells how the camera moved between two pictures, and what else changed."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    def look(self, image: Image) -> Luma:
        """What is kept of a picture for comparing it with others."""
        ...

    def between(self, before: Luma, after: Luma) -> Transform | None:
        """Where points of ``before`` lie in ``after``, in px of the small pictures; None when they share nothing."""
        ...

    def changed(self, before: Luma, after: Luma, motion: Transform) -> list[Area]:
        """The areas of ``after``, in px of the small picture, that ``before`` moved by ``motion`` does not show."""
        ...


@dataclass(frozen=True)
class Reading:
    text: str
    confidence: float
    char_positions: tuple[float, ...] = ()
    """The middle of each character of ``text``, spaces too, as a share of the crop's width; empty = unknown."""


class TextReader(Protocol):
    """Reads single-line crops."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        """One reading per crop, in order; a crop without legible text gives an empty text and confidence 0."""
        ...


class LogoEmbedder(Protocol):
    """Turns crops of logo regions into embeddings; the inner product of two says how alike they are."""

    @property
    def identity(self) -> str:
        """Library, version and model: what a manifest says did the work."""
        ...

    @property
    def dimensions(self) -> int: ...

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """One row of unit length per crop, shape (crops, dimensions); crops are of any size."""
        ...


@dataclass(frozen=True)
class Question:
    """One cluster of look-alikes put to a model."""

    cluster_id: str
    text: str  # what was read; "" for a logo region without text
    crops: tuple[bytes, ...]  # JPEG, best first
    scene: bytes = b""  # JPEG of the frame with the region outlined; b"" = not shown
    candidates: tuple[str, ...] = ()  # catalogue brands that it resembles, likest first


class Answerer(Protocol):
    """A vision-language model, local or remote, and those that stand in for it."""

    provider: str
    model: str
    prompt_version: str

    def question_ids(self, question: Question) -> Sequence[str]:
        """A name of the question for each model that may answer it, first choice first.

        Equal names mean that nothing that the model is given differs: pictures, words, prompt, model and settings.
        """
        ...

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers as they come, in any order; each question is answered exactly once.

        Raises:
            BadInput, Permanent: nothing can be asked at all: no key, no such model.
            Transient: nobody is there to be asked, for now.
        """
        ...


class AnswerMemory(Protocol):
    """The answers of models, across jobs."""

    def recall(self, question_ids: Sequence[str]) -> Mapping[str, Answer]:
        """The answers that are known, by question, without a cluster."""
        ...

    def keep(self, answer: Answer) -> None:
        """Keep an answer under its ``question_id``, in place of an earlier one."""
        ...


class OverBudget(BrandDetectError):
    """The money does not reach: the sentence says which limit, and what is left."""


class Budget(Protocol):
    """What may still be spent."""

    def reserve(self, usd: float) -> str:
        """Set ``usd`` aside before a call that may cost as much; the reservation's name.

        Raises:
            OverBudget: there is not as much left.
        """
        ...

    def settle(self, reservation: str, usd: float) -> None:
        """What the call cost in the end; a reservation that is never settled counts as spent."""
        ...


@dataclass(frozen=True)
class Hit:
    """A catalogue brand found in a text. ``start`` and ``end`` are character positions in the text as given."""

    brand_id: str
    brand: str
    alias: str
    rule: Rule  # exact, alias or fuzzy
    score: float  # 0..1
    start: int
    end: int


class BrandIndex(Protocol):
    """Finds catalogue brands in texts."""

    version: str

    def find(self, text: str, *, fuzzy_score: float, min_fuzzy_length: int) -> list[Hit]:
        """Every brand in ``text``, best first, no two overlapping."""
        ...

    def find_occluded(
        self, text: str, keys: tuple[str, ...], *, fuzzy_score: float, min_fuzzy_length: int
    ) -> list[Hit]:
        """The name among ``keys`` that ``text`` is with one contiguous run of characters occluded; at most one."""
        ...

    def is_excluded(self, text: str) -> bool:
        """Whether the catalogue says that this text is no brand at all."""
        ...

    def may_begin(self, text: str) -> bool:
        """Whether the end of ``text`` may be the first part of a longer name: BNP, of BNP Paribas."""
        ...

    def may_end(self, text: str) -> bool:
        """Whether the beginning of ``text`` may be the last part of a longer name."""
        ...

    def named(self, name: str) -> Hit | None:
        """The brand of that name or alias, also where it counts by its logo alone; None for anything else."""
        ...

    def near(self, text: str, limit: int) -> list[str]:
        """Names of the brands most like ``text``, too unlike it for ``find``; likest first, at most ``limit``."""
        ...


@dataclass(frozen=True)
class Likeness:
    """A catalogue brand that a logo region looks like."""

    brand_id: str
    brand: str
    exemplar_id: str  # the picture that it is most like
    score: float  # how far the similarity stands out from that of distractors
    false_accept_rate: float  # share of distractors that reach the score, 0..1
    probability: float  # that it is the brand, 0..1


class LogoGallery(Protocol):
    """Finds catalogue brands by their logos' embeddings."""

    embedder: str
    """Identity of the embedder whose vectors it takes."""

    def recognise(self, vectors: NDArray[np.float32], track: NDArray[np.int64]) -> list[list[Likeness]]:
        """The brands that each track looks like, best first, at most five.

        Args:
            vectors: embeddings of views, shape (views, dimensions), of unit length.
            track: the number of each view's track, 0 to tracks - 1.
        """
        ...
