"""Estimates a question's input tokens before asking: as documented by providers, else rounded up."""

import io
import json
import math
from collections.abc import Iterator

from brand_detect.domain.answers import BrandAnswer
from brand_detect.domain.protocols import Question
from brand_detect.engines.calls import Endpoint
from brand_detect.engines.prompts import Prompt

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 per token in ordinary text; providers state about four letters of English."""
LEAST_BYTES_PER_TOKEN = 2
FRAMING_TOKENS = 500
"""Upper bound of tokens around the text: roles, and what providers add to enforce a form."""
TILES = (85, 170)
"""OpenAI: tokens per picture and per tile; ``PATCH_FACTOR`` bounds models with patches."""
TILES_OF_MINI = (2833, 5667)
"""The same for gpt-4o-mini, whose cheap tokens are offset by more tokens per picture."""
PATCH_FACTOR = 2.46
"""OpenAI: most tokens per patch of 32 px, as for the nano models."""
GOOGLE_TILE, GOOGLE_PICTURE = 258, 1120
"""Google: tokens per tile, and per picture of any size since Gemini 3."""
MOST_FOR_LLAMA = 6404
"""Most tokens per picture of Llama's encoders (four tiles of 1601); patches bound other open models."""


def input_token_bound(endpoint: Endpoint, prompt: Prompt, question: Question) -> int:
    """Upper bound of the question's input tokens: the basis of reservations."""
    words = _bytes(prompt, question) / LEAST_BYTES_PER_TOKEN
    return math.ceil(words) + FRAMING_TOKENS + sum(_picture_bound(endpoint, *size) for size in _sizes(question))


def input_token_estimate(endpoint: Endpoint, prompt: Prompt, question: Question) -> int:
    """Estimate of the question's input tokens: the basis of plans."""
    words = _bytes(prompt, question) / BYTES_PER_TOKEN
    return math.ceil(words) + sum(_picture_estimate(endpoint, *size) for size in _sizes(question))


def text_token_bound(text: str) -> int:
    """Upper bound of the input tokens of a request with only ``text``."""
    return math.ceil(len(text.encode()) / LEAST_BYTES_PER_TOKEN) + FRAMING_TOKENS


def _bytes(prompt: Prompt, question: Question) -> int:
    form = json.dumps(BrandAnswer.model_json_schema())
    return sum(len(text.encode()) for text in (prompt.instructions, prompt.words(question), form))


def _sizes(question: Question) -> Iterator[tuple[int, int]]:
    from PIL import Image

    for picture in (*question.crops, question.scene):
        if picture:
            with Image.open(io.BytesIO(picture)) as image:  # reads only the header
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
    """Tokens after scaling down to 2048 px, then to 768 px on the shorter side; tiles are 512 px."""
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return tokens[0] + tokens[1] * _patches(512, math.ceil(width * scale), math.ceil(height * scale))


def _google_tiles(width: int, height: int) -> int:
    """Tokens for one tile up to 384 px; else for tiles of two thirds of the shorter side, 256 to 768 px."""
    if max(width, height) <= 384:
        return GOOGLE_TILE
    return GOOGLE_TILE * _patches(max(256, min(768, int(min(width, height) / 1.5))), width, height)


def _patches(side: int, width: int, height: int) -> int:
    return math.ceil(width / side) * math.ceil(height / side)
