"""What ``escalate_vlm`` takes."""

from enum import Enum

from pydantic import Field

from brand_detect.domain.contracts.escalation import EscalateParams
from brand_detect.domain.params import operational


class VlmProvider(Enum):
    off = "off"
    transformers = "transformers"
    openai_compatible = "openai_compatible"


class EscalateVlmParams(EscalateParams):
    provider: VlmProvider = Field(VlmProvider.off, description="who answers; off = nobody is asked")
    batch_size: int = operational(
        4, ge=1, le=256, description="questions that a model of transformers answers at a time"
    )
