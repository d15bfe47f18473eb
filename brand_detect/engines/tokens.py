"""How many tokens a question takes, before it is asked: what providers document, rounded up where they do not."""

import io
import json
import math
from collections.abc import Iterator

from brand_detect.domain.answers import BrandAnswer
from brand_detect.domain.protocols import Question
from brand_detect.engines.calls import Endpoint
from brand_detect.engines.prompts import Prompt

BYTES_PER_TOKEN = 4
"""Of UTF-8, in usual text; providers give about four letters of English."""
LEAST_BYTES_PER_TOKEN = 2
FRAMING_TOKENS = 500
"""Bound of what is around the words: roles, and what providers put in front to have an answer in a form."""
TILES = (85, 170)
"""OpenAI: tokens of a picture and of each of its tiles; models with patches are bounded by ``PATCH_FACTOR``."""
TILES_OF_MINI = (2833, 5667)
"""The same of gpt-4o-mini, whose cheap tokens make a picture cost what it costs elsewhere."""
PATCH_FACTOR = 2.46
"""OpenAI: most tokens of a patch of 32 px, those of the nano models."""
GOOGLE_TILE, GOOGLE_PICTURE = 258, 1120
"""Google: tokens of a tile, and of any picture for models since Gemini 3."""
MOST_FOR_LLAMA = 6404
"""Most that Llama's encoders make of a picture (four tiles of 1601); other open models are bounded by patches."""


def input_token_bound(endpoint: Endpoint, prompt: Prompt, question: Question) -> int:
    """More tokens than the question will take: what is set aside for it before a call."""
    words = _bytes(prompt, question) / LEAST_BYTES_PER_TOKEN
    return math.ceil(words) + FRAMING_TOKENS + sum(_picture_bound(endpoint, *size) for size in _sizes(question))


def input_token_estimate(endpoint: Endpoint, prompt: Prompt, question: Question) -> int:
    """About as many tokens as the question will take: what a plan is made with."""
    words = _bytes(prompt, question) / BYTES_PER_TOKEN
    return math.ceil(words) + sum(_picture_estimate(endpoint, *size) for size in _sizes(question))


def text_token_bound(text: str) -> int:
    """More tokens than a request of ``text`` alone will take."""
    return math.ceil(len(text.encode()) / LEAST_BYTES_PER_TOKEN) + FRAMING_TOKENS


def _bytes(prompt: Prompt, question: Question) -> int:
    form = json.dumps(BrandAnswer.model_json_schema())
    return sum(len(text.encode()) for text in (prompt.instructions, prompt.words(question), form))


def _sizes(question: Question) -> Iterator[tuple[int, int]]:
    from PIL import Image

    for picture in (*question.crops, question.scene):
        if picture:
            with Image.open(io.BytesIO(picture)) as image:  # reads the header alone
                yield image.size


def _picture_bound(endpoint: Endpoint, width: int, height: int) -> int:
    match endpoint.provider:
        case "openai" if endpoint.model.startswith("gpt-4o-mini"):
            return _openai_tiles(TILES_OF_MINI, width, height)
        case "openai":
            return max(_openai_tiles(TILES, width, height), math.ceil(PATCH_FACTOR * _patches(32, width, height)))
        case "anthropic":
            return max(math.ceil(width * height / 750), _patches(28, width, height))
        case "google":
            return max(_google_tiles(width, height), GOOGLE_PICTURE)
        case _:
            return max(MOST_FOR_LLAMA, _patches(14, width, height))


def _picture_estimate(endpoint: Endpoint, width: int, height: int) -> int:
    match endpoint.provider:
        case "openai" if not endpoint.model.startswith("gpt-4o-mini"):
            return _openai_tiles(TILES, width, height)
        case "openai" | "anthropic" | "google":
            return _picture_bound(endpoint, width, height)
        case _:
            return _patches(28, width, height)


def _openai_tiles(tokens: tuple[int, int], width: int, height: int) -> int:
    """Scaled down into 2048 px, then to 768 px on the shorter side; never up. Tiles are of 512 px."""
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return tokens[0] + tokens[1] * _patches(512, math.ceil(width * scale), math.ceil(height * scale))


def _google_tiles(width: int, height: int) -> int:
    """One tile up to 384 px; else tiles of two thirds of the shorter side, within 256 to 768 px."""
    if max(width, height) <= 384:
        return GOOGLE_TILE
    return GOOGLE_TILE * _patches(max(256, min(768, int(min(width, height) / 1.5))), width, height)


def _patches(side: int, width: int, height: int) -> int:
    return math.ceil(width / side) * math.ceil(height / side)
