"""Photographs that someone has labelled: a folder with ``images`` and ``annotations.json``, which lists them."""

from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from brand_detect.domain.errors import BadInput


class Box(BaseModel):
    """In px, from the upper left corner of the photograph."""

    model_config = ConfigDict(allow_inf_nan=False)

    x: float
    y: float
    w: float = Field(ge=0)
    h: float = Field(ge=0)


class Word(Box):
    text: str
    ignore: bool = False  # it cannot be read, and need not be found


class Logo(Box):
    brand: str


class Photograph(BaseModel):
    SHAPE: ClassVar[str]
    """An example of the file, for hints."""

    image: str


class WithWords(Photograph):
    SHAPE = '[{"image": "1.jpg", "words": [{"text": "SHOPS", "x": 143, "y": 233, "w": 64, "h": 40}]}]'

    words: list[Word]


class WithLogos(Photograph):
    SHAPE = '[{"image": "1.jpg", "boxes": [{"brand": "Nike", "x": 221, "y": 20, "w": 255, "h": 242}]}]'

    boxes: list[Logo]


class WithLogosAndSize(WithLogos):
    SHAPE = WithLogos.SHAPE.replace('"boxes"', '"width": 500, "height": 375, "boxes"')

    width: int
    height: int


P = TypeVar("P", bound=Photograph)


def read_annotations(folder: Path, kind: type[P]) -> list[P]:
    """The photographs that ``folder/annotations.json`` lists.

    Raises:
        BadInput: the file is missing, or does not list photographs of that kind.
    """
    file = folder / "annotations.json"
    try:
        data = file.read_bytes()
    except OSError as e:
        raise BadInput(
            f"{file} cannot be read: {e.strerror}.", "give a folder with annotations.json and images/"
        ) from e
    try:
        return TypeAdapter(list[kind]).validate_json(data)  # pyright: ignore[reportInvalidTypeForm]
    except ValidationError as e:
        first = e.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise not_labelled(folder, f"has another shape: {where}{first['msg']}", kind) from e


def not_labelled(folder: Path, why: str, kind: type[Photograph]) -> BadInput:
    """The error of a file that ``why`` ends the sentence about, with an example of its shape."""
    return BadInput(f"{folder / 'annotations.json'} {why}.", f"the file has this shape: {kind.SHAPE}")
