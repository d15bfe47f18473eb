"""Protocols for what stages need from outside; engines, storage and report implement them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.contracts.verdicts import Answer, Rule
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.job import Probe
from brand_detect.domain.lattice import Lattice, Step

Image = NDArray[np.uint8]
"""A picture, shape (height, width, 3), uint8, channels B, G, R as in OpenCV."""
Luma = NDArray[np.uint8]
"""A grey picture, shape (height, width)."""
Rgba = NDArray[np.uint8]
"""A picture with transparency, shape (height, width, 4), uint8, channels R, G, B, A, not premultiplied."""
Quad = NDArray[np.float32]
"""Four corners in px, shape (4, 2), clockwise from the top left of the reading direction."""


class Progress(Protocol):
    """Receives a stage's progress. ``total`` 0 means unknown."""

    def __call__(self, done: float, total: float, unit: str) -> None: ...


class Media(Protocol):
    """Opens videos by URI, within the allowed roots and schemes."""

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Opens a seekable binary file.

        Raises:
            BadInput: the URI is outside the allowed roots or schemes, or does not exist.
            Transient: the store did not respond.
        """
        ...


Interval = tuple[float, float]
"""Start and end, in seconds."""
MOST_PICTURES = 18
"""Pictures of a stretch, those at both ends included: half a second of 30 a second."""


class DamagedTail(BrandDetectError):
    """Decoding cannot continue; everything before is good. ``at_s`` is where the last good picture ends."""

    def __init__(self, message: str, at_s: float) -> None:
        super().__init__(message)
        self.at_s = at_s


@dataclass(frozen=True)
class DecodedFrame:
    """A decoded picture. Only sampled pictures have an ``image``; all have ``luma``, a small thumbnail."""

    t_s: float
    end_s: float  # when the next one is shown, or the pictures end
    luma: NDArray[np.uint8]  # THUMBNAIL_SHAPE
    image: Image | None


@dataclass(frozen=True)
class Picture:
    """A decoded picture. When called, ``luma`` gives its luma upright with square pixels, shape (height, width), and
    ``thumbnail`` that of THUMBNAIL_SHAPE, as of a ``DecodedFrame``."""

    t_s: float
    next_s: float  # when the picture after it is shown
    luma: Callable[[], Luma]
    thumbnail: Callable[[], Luma]


class Decoder(Protocol):
    """Probes and decodes a video in one sequential pass."""

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
        ...

    def probe(self, file: BinaryIO) -> Probe: ...

    def decode(self, file: BinaryIO, sample_fps: float, start_s: float, end_s: float) -> Iterator[DecodedFrame]:
        """Yields every picture of ``[start_s, end_s)`` in presentation order, the sampled ones with their image.

        Raises:
            DamagedTail: after the last good picture of a video whose tail is damaged.
        """
        ...

    def stretches(
        self, file: BinaryIO, choose: Callable[[Sequence[float]], Sequence[Interval]]
    ) -> Iterator[tuple[Interval, list[Picture]]]:
        """The pictures from start to end, both included, of each interval that ``choose`` names; these are in order and
        share no more than an end.

        ``choose`` is told the times that decoding can reach at once, in order: 0 alone if the container has no index.
        Of a stretch at most ``MOST_PICTURES`` are kept, spread evenly. Damage gives stretches without pictures.
        Every picture is good until the next stretch is asked for.
        """
        ...


Draw = Callable[[float, Image], Image]
"""Draws on a picture, given its time in seconds from the first; keeps the size."""


@dataclass(frozen=True)
class Rewritten:
    """Result of a rewrite. ``sound`` is the codec of the sound in it, "" for none."""

    frames: int
    seconds: float
    sound: str
    notes: tuple[str, ...]


class VideoRewriter(Protocol):
    """Draws on every picture of a video, or of a part of it, and makes copies for browsers."""

    def rewrite(
        self, file: BinaryIO, target: Path, draw: Draw | None, progress: Progress, part: Interval = (0.0, inf)
    ) -> Rewritten:
        """Writes ``target``, an MP4 with the upright pictures of ``file`` drawn on, at their times, and its sound.

        Pictures before and after ``part`` are left out; its first one is shown at 0.

        Raises:
            BadInput: the file is not a video.
            Transient: there is no room for the target.
        """
        ...

    def copy(self, file: BinaryIO, target: Path, first_picture_s: float, progress: Progress) -> Rewritten:
        """Writes ``target``, a copy of ``file`` that every browser plays and seeks in quickly.

        It is H.264 (yuv420p, at most 720 pixels high, a key picture a second) and AAC in an MP4 that begins with its
        index. All upright pictures are there at their times; the first one is shown at ``first_picture_s``.

        Raises:
            As ``rewrite``.
        """
        ...


class ImageCodec(Protocol):
    """Encodes and decodes stored frames, and measures pixels for the stages."""

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
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
        """Background colour of lettering, shape (3,): the median of the picture's rim; NaN if the rim is not plain."""
        ...

    def glyph_boxes(self, image: Image) -> list[tuple[float, float, float, float]]:
        """Boxes of the stretches of lettering on a line, left to right, separated by background.

        Each is left, top, right and bottom as shares of the picture's sides. Empty if the rim is too varied.
        """
        ...

    def rectify(self, image: Image, quad: Quad) -> Image:
        """Warps a quadrilateral of the image to an upright rectangle."""
        ...


class Artwork(Protocol):
    """Renders pictures of logos, both vector drawings and photographs."""

    @property
    def identity(self) -> str:
        """Libraries and versions, recorded in manifests."""
        ...

    def render(self, data: bytes, suffix: str, longest_side_px: int) -> Rgba:
        """Renders a picture without its transparent margin; ``suffix`` is svg, png or jpeg.

        Vector drawings get ``longest_side_px`` exactly, unless they are a speck on their page; smaller raster pictures
        are not enlarged.

        Raises:
            BadInput: the picture cannot be rendered, is too large, or is blank.
        """
        ...


Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""


@dataclass(frozen=True)
class Shape:
    """A closed polygon, filled or outlined; corners in px."""

    corners: Sequence[tuple[float, float]]
    color: Color
    line_px: int = 0  # 0 = filled


@dataclass(frozen=True)
class Label:
    """A line of text with its top left corner at ``x``, ``y``, truncated at ``max_width_px``.

    ``background`` adds a plate of that colour, slightly larger than the text and a little transparent.
    """

    x: float
    y: float
    text: str
    size_px: int
    color: Color
    max_width_px: float = float("inf")
    background: Color | None = None


class Canvas(Protocol):
    """Draws on copies of pictures."""

    def resize(self, image: Image, width_px: int, height_px: int) -> Image: ...

    def draw(self, image: Image, shapes: Sequence[Shape | Label]) -> Image:
        """Returns ``image`` with ``shapes`` drawn on it, in order."""
        ...


@dataclass(frozen=True)
class BlobRef:
    """Location of a stored blob inside its attempt."""

    shard: str
    offset: int
    size_bytes: int
    crc32: int


class BlobSink(Protocol):
    """Writes blobs and files into an attempt draft."""

    def append(self, t_s: float, data: bytes) -> BlobRef:
        """Appends the frame at ``t_s``; frames come in order of time."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Writes one whole file."""
        ...


class FrameReader(Protocol):
    """Reads stored frames by ordinal."""

    def read(self, frame: int) -> Image:
        """Reads one frame.

        Raises:
            Permanent: it is damaged or missing.
        """
        ...

    def in_order(self, frames: Sequence[int]) -> Iterator[Image]:
        """Reads ``frames`` in the order given, the next ones while the caller works on one; errors as ``read``.

        Stages that know what they will read use this: neighbouring frames share a request to the store and are decoded
        in other threads. Memory holds up to three decoded frames besides the caller's. A frame may come twice.

            for frame, image in zip(chosen, frames.in_order(chosen), strict=True):
        """
        return map(self.read, frames)


@dataclass(frozen=True)
class Region:
    """A region that a detector found on one picture."""

    kind: RegionKind
    label: str
    score: float
    quad: Quad


@dataclass(frozen=True)
class Area:
    """A part of a picture, in px; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class RegionDetector(Protocol):
    """Finds regions of one kind on a picture."""

    @property
    def kind(self) -> RegionKind: ...

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
        ...

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        """Detects the picture's regions; with ``areas``, at least those whose centre lies in one of them.

        Two threads may ask at once. Detectors that need the whole picture may ignore ``areas``.
        """
        ...


Transform = NDArray[np.float64]
"""Maps homogeneous points (x, y, 1) of one picture to another, shape (3, 3)."""


NOT_COMPARED = -1.0
"""In place of a correlation."""


class CameraMotion(Protocol):
    """Estimates camera motion between two pictures, and what else changed."""

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
        ...

    def look(self, image: Image | Luma) -> Luma:
        """Reduces a picture to the small grey one by which pictures are compared."""
        ...

    def between(self, before: Luma, after: Luma) -> Transform | None:
        """The transform from ``before`` to ``after``, in px of the small pictures; None if they share no content."""
        ...

    def changed(self, before: Luma, after: Luma, motion: Transform) -> list[Area]:
        """Areas of ``after``, in px of the small picture, that differ from ``before`` moved by ``motion``."""
        ...

    def agreement(self, before: Luma, after: Luma, motion: Transform) -> float:
        """Share of what both pictures show that is alike once ``before`` is moved by ``motion``, 0 to 1."""
        ...

    def unseen(self, before: Sequence[Luma], after: Luma, motions: Sequence[Transform]) -> list[Area]:
        """Areas of ``after``, in px of the small picture, outside all of ``before``, each moved by its motion."""
        ...

    def locate(
        self, before: Image | Luma, quads: Sequence[Quad], after: Image | Luma, motions: Sequence[Transform]
    ) -> list[tuple[Quad, float]]:
        """Where parts of ``before`` are on ``after``: corrected quads, each with the correlation of its pixels.

        Every quad is tried at the position that each of ``motions``, in px of the pictures, gives, and a few px around
        it; the best counts. The correlation is normalised, -1 to 1, or ``NOT_COMPARED`` where the first motion leads
        out of the picture or the part is too plain to compare, and it is not found elsewhere.
        """
        ...


@dataclass(frozen=True)
class Reading:
    text: str
    confidence: float
    char_positions: tuple[float, ...] = ()
    """Centre of each character of ``text``, spaces included, as a share of the crop's width; empty = unknown."""
    steps: tuple[Step, ...] | None = None
    """The steps along the line; None = unknown, empty = every character is all but certain."""


class TextReader(Protocol):
    """Reads single-line crops."""

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
        ...

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        """Reads each crop, in order; a crop without legible text gives an empty text and confidence 0."""
        ...


class LogoEmbedder(Protocol):
    """Embeds crops of logo regions; the inner product of two embeddings is their similarity."""

    @property
    def identity(self) -> str:
        """Library, version and model, recorded in manifests."""
        ...

    @property
    def dimensions(self) -> int: ...

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Embeddings of unit length, shape (crops, dimensions); crops may be of any size."""
        ...

    def encode_drawings(self, drawings: Sequence[Image], /) -> NDArray[np.float32]:
        """Embeddings of drawings, to be compared with those of crops: their length may be another."""
        ...


@dataclass(frozen=True)
class Question:
    """A question to a model about one cluster."""

    cluster_id: str
    text: str  # the text that was read; "" for a logo region without text
    crops: tuple[bytes, ...]  # JPEG, best first
    scene: bytes = b""  # JPEG of the frame with the region outlined; b"" = not shown
    candidates: tuple[str, ...] = ()  # catalogue brands that it resembles, most similar first


class Answerer(Protocol):
    """A vision-language model, local or remote, with its fallbacks."""

    provider: str
    model: str
    prompt_version: str

    def question_ids(self, question: Question) -> Sequence[str]:
        """Ids of the question, one for each model that may answer it, first choice first.

        Equal ids mean equal input: pictures, text, prompt, model and settings.
        """
        ...

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Yields answers as they arrive, in any order; each question is answered exactly once.

        Raises:
            BadInput, Permanent: no question can be asked: no key, no such model.
            Transient: no model can be reached for now.
        """
        ...


class AnswerMemory(Protocol):
    """Stored answers of models, shared across jobs."""

    def recall(self, question_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Known answers, by question id; their ``cluster_id`` is empty."""
        ...

    def keep(self, answer: Answer) -> None:
        """Stores an answer under its ``question_id``, replacing an earlier one.

        Raises:
            Transient: the store did not respond.
        """
        ...


class OverBudget(BrandDetectError):
    """The budget is exhausted; the message names the limit and the remainder."""


class Budget(Protocol):
    """A spending limit with reservations."""

    def reserve(self, usd: float) -> str:
        """Reserves ``usd``, the most that a call may cost; returns the reservation's id.

        Raises:
            OverBudget: less than ``usd`` is left.
        """
        ...

    def charge(self, reservation: str, usd: float) -> None:
        """Replaces a reservation by the actual cost; an unsettled reservation counts as spent."""
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

    def find(
        self, text: str, *, fuzzy_score: float, min_fuzzy_length: int, certain: bool = False, expected: bool = False
    ) -> list[Hit]:
        """Every brand in ``text``, best first, no two overlapping.

        Args:
            certain: no letter of the text may be another one.
            expected: names in the text are known to be in the video: they may be short and stand beside other words.
        """
        ...

    def by_chance(self, name: str) -> float:
        """Share, 0..1, of texts cut off to the length of ``name``, a name of the catalogue, that are one by chance."""
        ...

    def crowding(self, name: str) -> float:
        """How many times more names may match approximately, Latin ones or others as ``name`` is, than limits were
        measured for: a logarithm, 0 or more."""
        ...

    def find_occluded(
        self, text: str, keys: tuple[str, ...], *, fuzzy_score: float, min_fuzzy_length: int
    ) -> list[Hit]:
        """Matches ``text`` to a name among ``keys`` with one contiguous run of characters occluded; at most one hit."""
        ...

    def find_occluded_between(
        self,
        before: str,
        after: str,
        keys: tuple[str, ...],
        *,
        fuzzy_score: float,
        min_fuzzy_length: int,
        cut: tuple[bool, bool],
    ) -> list[Hit]:
        """Matches the texts beside an occluder, joined by a space, to a name among ``keys``; at most one hit.

        ``cut`` says whether the picture's edge may hide more of the name before the first, and after the second.
        """
        ...

    def find_likely(self, lattice: Lattice) -> list[Hit]:
        """The names that ``lattice`` may spell, one per brand, best first; they may overlap.

        ``score`` is the name's likelihood relative to that of the reader's best characters, as the geometric mean over
        the letters.
        """
        ...

    def find_abridged(self, first: Lattice, last: Lattice) -> list[Hit]:
        """The names that two lines spell but for a short word between them, best first: HAARE, GLATZE."""
        ...

    def find_joined(self, lattices: Sequence[Lattice], begins: Iterable[str], ends: Iterable[str]) -> list[Hit]:
        """The names that lines, joined by spaces, spell together, a word each or more, as ``find_likely``.

        Args:
            lattices: the lines, in reading order.
            begins: first words of names that the first line may hold.
            ends: last words of names that the last line may hold.
        """
        ...

    def may_hold(self, lattice: Lattice) -> tuple[Collection[str], Collection[str]]:
        """The first words, and the last words, of names of several words that ``lattice`` may hold."""
        ...

    def is_excluded(self, text: str) -> bool:
        """Whether the catalogue excludes this text as no brand."""
        ...

    def may_begin(self, text: str) -> bool:
        """Whether the end of ``text`` may begin a longer name: BNP, of BNP Paribas."""
        ...

    def may_end(self, text: str) -> bool:
        """Whether the beginning of ``text`` may end a longer name: PARIBAS, of BNP Paribas."""
        ...

    def named(self, name: str) -> Hit | None:
        """Looks up a brand by name or alias, ``logo_only`` ones too; None if there is none."""
        ...

    def near(self, text: str, limit: int) -> list[str]:
        """Names of brands similar to ``text`` but below the bar of ``find``; best first, at most ``limit``."""
        ...


@dataclass(frozen=True)
class Likeness:
    """A catalogue brand that a logo region looks like."""

    brand_id: str
    brand: str
    exemplar_id: str  # the most similar exemplar
    score: float  # similarity, plus the lead over the next brand
    false_accept_rate: float  # share of distractors that reach the score, 0..1
    probability: float  # that the region shows the brand, 0..1
    by_packaged: bool = False  # the brand has the package's own logos alone


class LogoGallery(Protocol):
    """Finds catalogue brands by the embeddings of their logos."""

    embedder: str
    """Identity of the embedder whose vectors it accepts."""

    def recognise(
        self,
        vectors: NDArray[np.float32],
        track: NDArray[np.int64],
        *,
        best: int = 5,
        max_false_accept_rate: float = 1.0,
    ) -> list[list[Likeness]]:
        """The ``best`` brands that each track resembles, best first.

        Args:
            vectors: embeddings of views, shape (views, dimensions), of unit length.
            track: index of each view's track, 0 to tracks - 1.
            max_false_accept_rate: brands above it are left out.
        """
        ...
