"""Pixel operations through OpenCV: JPEG, perceptual hash, sharpness and rectified crops."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.geometry import box_of, quad_of
from brand_detect.domain.protocols import Image, Quad

LUMA_STEPS = 1.25 * np.array(
    [
        *(8, 16, 19, 22, 26, 27, 29, 34),
        *(16, 16, 22, 24, 27, 29, 34, 37),
        *(19, 22, 26, 27, 29, 34, 34, 38),
        *(22, 22, 26, 27, 29, 34, 37, 40),
        *(22, 26, 27, 29, 32, 35, 40, 48),
        *(26, 27, 29, 32, 35, 40, 48, 58),
        *(26, 27, 29, 34, 38, 46, 56, 69),
        *(27, 29, 35, 38, 46, 56, 69, 83),
    ]
)
"""Quantisation of luma at quality 50: MPEG-2's (ISO 13818-2), which keeps more of high frequencies than JPEG's, and so
of the edges of letters."""
CHROMA_STEPS = np.full((8, 8), 160.0)
CHROMA_STEPS[:4, :4] = 1.6 * np.array([(17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99)])
"""Quantisation of chroma at quality 50: somewhat coarser than JPEG's (ISO 10918-1, K.2)."""
LEAST_CONTRAST = 24.0
"""Least difference of lettering from its background in grey levels: less is coding noise."""
UPRIGHT_PX = 0.5
"""Most by which a corner may differ from an upright rectangle in whole px, which is cut out as it is, not warped."""
GLYPH_ROWS = 64
"""Height in px to which lines are scaled: a precision of 1.5 % is enough for glyph boxes."""
PEAK_PERCENTILE = 95.0
"""Percentile of differences from the background taken as the lettering's: robust to stray pixels."""
MOST_CROSSED = 0.2
"""Most of a line's box that people and borders cover; anything larger is another background."""
RESTLESS = 0.45
"""Most of the rim that may differ from the background: people occlude lines, emblems reach into their boxes."""
OTHER_COLOR = 40
"""Difference in grey levels above which a pixel of the rim is not background."""
MOST_OTHER = 0.15
"""Largest share of such pixels in the rim of a plain background: allows a player's head in front of a board, but not
the scene behind a watermark or the edge of a shadow. Of 15 boards of generated footage that changed name and colour in
a track, one had more."""


class OpenCvCodec:
    """The ``ImageCodec`` of the project."""

    @property
    def identity(self) -> str:
        import cv2
        import PIL
        import simplejpeg

        return f"opencv {cv2.__version__}, pillow {PIL.__version__}, simplejpeg {simplejpeg.__version__}"

    def encode(self, image: Image, quality: int, longest_side_px: int) -> bytes:
        import cv2
        from PIL import Image as Pillow

        height, width = image.shape[:2]
        if longest_side_px and max(height, width) > longest_side_px:
            scale = longest_side_px / max(height, width)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportAssignmentType]
        rows = np.ascontiguousarray(image)
        picture = Pillow.frombuffer("RGB", rows.shape[1::-1], rows, "raw", "BGR", 0, 1)
        scale = 50 / quality if quality < 50 else 2 - quality / 50  # as libjpeg scales its tables
        steps = [np.clip(np.round(scale * t.ravel()), 1, 255).astype(int).tolist() for t in (LUMA_STEPS, CHROMA_STEPS)]
        jpeg = io.BytesIO()
        try:
            picture.save(jpeg, "JPEG", qtables=steps, subsampling="4:2:0", optimize=True)
        except OSError as e:
            raise Permanent(f"A picture of {width}x{height} px could not be stored as JPEG.") from e
        return jpeg.getvalue()

    def decode(self, data: bytes) -> Image:
        import simplejpeg  # decodes in less than half of OpenCV's time, to the same pixels

        try:
            return simplejpeg.decode_jpeg(data, colorspace="BGR")
        except ValueError:
            raise Permanent("A stored frame is not a readable JPEG.", "re-materialize extract_frames") from None

    def phash(self, luma: NDArray[np.uint8]) -> int:
        import cv2

        small = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        low = cv2.dct(small)[:8, :8].ravel()
        bits = low > np.median(low[1:])  # the first coefficient is just the mean brightness
        return int.from_bytes(np.packbits(bits).tobytes(), "big")

    def sharpness(self, image: Image) -> float:
        import cv2

        return _std(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F)) ** 2

    def contrast(self, image: Image) -> float:
        import cv2

        return _std(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)) / 255

    def background(self, image: Image) -> NDArray[np.float64]:
        rim = _rim(image).astype(np.float64)
        background = np.median(rim, axis=0)
        other = np.abs(rim - background).max(axis=1) > OTHER_COLOR
        return background if other.mean() <= MOST_OTHER else np.full(3, np.nan)

    def glyph_boxes(self, image: Image) -> list[tuple[float, float, float, float]]:
        import cv2

        scale = min(1.0, GLYPH_ROWS / image.shape[0])
        if min(image.shape[:2]) < 3 or not round(image.shape[1] * scale):  # a vertical rule is found as a line of text
            return []
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        height, width = small.shape[:2]
        background = np.median(_rim(small), axis=0).astype(np.uint8)
        away = cv2.absdiff(small, np.broadcast_to(background, small.shape)).max(axis=2)
        peak = float(np.percentile(away, PEAK_PERCENTILE))
        if peak < LEAST_CONTRAST or (_rim(away) > peak / 2).mean() > RESTLESS:
            return []
        glyphs = away > peak / 2
        crosses = _crosses(glyphs)
        if crosses.mean() > MOST_CROSSED:
            return []
        glyphs &= ~crosses
        edges = np.flatnonzero(np.diff(np.r_[False, glyphs.any(axis=0), False]))
        stretches = []
        for left, right in edges.reshape(-1, 2).tolist():
            rows = np.flatnonzero(glyphs[:, left:right].any(axis=1))
            stretches.append((left / width, rows[0] / height, right / width, (rows[-1] + 1) / height))
        return stretches

    def rectify(self, image: Image, quad: Quad) -> Image:
        import cv2

        left, top, right, bottom = np.round(box_of(quad)).astype(int).tolist()
        upright = np.abs(quad - quad_of((left, top, right, bottom))).max() <= UPRIGHT_PX
        if upright and 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]:
            return image[top:bottom, left:right].copy()  # a view would keep the whole picture in memory
        width = max(1, round(max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]))))
        height = max(1, round(max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]))))
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        transform = cv2.getPerspectiveTransform(quad.astype(np.float32), corners)
        return cv2.warpPerspective(  # pyright: ignore[reportReturnType]
            image, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )


def _std(picture: Any) -> float:
    """Standard deviation; NumPy's takes five times as long."""
    import cv2

    return float(cv2.meanStdDev(picture)[1][0, 0])


def read_photograph(file: Path) -> Image:
    """The picture in a file of any usual format, upright.

    Raises:
        BadInput: there is no such file, or it is no picture.
    """
    import cv2

    try:
        data = file.read_bytes()
    except OSError as e:
        raise BadInput(f"{file} cannot be read: {e.strerror}.", "check the path") from e
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise BadInput(f"{file} is not a picture that can be read.", "use JPEG, PNG or WebP")
    return image  # pyright: ignore[reportReturnType]


def _rim(picture: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels of ``picture`` (h, w, ...), concatenated."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _crosses(glyphs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask of the shapes in ``glyphs`` (h, w) that touch its upper or lower edge.

    A line's box leaves a margin around letters, so these are people in front of it, or the board's border.
    """
    import cv2

    _, shape = cv2.connectedComponents(glyphs.astype(np.uint8))
    return glyphs & np.isin(shape, np.unique(shape[[0, -1]]))
