"""Params of ``escalate_vlm``."""

from enum import Enum

from pydantic import Field

from brand_detect.domain.contracts.escalation import EscalateParams
from brand_detect.domain.params import operational


class VlmProvider(Enum):
    off = "off"
    transformers = "transformers"
    openai_compatible = "openai_compatible"


class EscalateVlmParams(EscalateParams):
    provider: VlmProvider = Field(VlmProvider.off, description="provider of the model; off = no model is asked")
    batch_size: int = operational(4, ge=1, le=256, description="questions per batch, for transformers")
