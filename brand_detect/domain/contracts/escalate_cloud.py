"""Params of ``escalate_cloud``."""

from enum import Enum

from pydantic import Field, field_validator

from brand_detect.domain.contracts.escalation import EscalateParams


class CloudProvider(Enum):
    off = "off"
    openai = "openai"
    anthropic = "anthropic"
    google = "google"
    groq = "groq"
    openai_compatible = "openai_compatible"


class EscalateCloudParams(EscalateParams):
    provider: CloudProvider = Field(CloudProvider.off, description="provider of the model; off = no model is asked")
    fallbacks: list[str] = Field([], description="asked if the provider fails: provider:model, in order of preference")
    max_usd: float = Field(
        1.0, ge=0, description="budget of a run and of those that execute its rest after a failure, in USD"
    )
    input_usd_per_mtok: float = Field(
        0.0, ge=0, description="USD per million input tokens, if the price list lacks the model"
    )
    output_usd_per_mtok: float = Field(
        0.0, ge=0, description="USD per million output tokens, if the price list lacks the model"
    )

    @field_validator("fallbacks")
    @classmethod
    def _known(cls, fallbacks: list[str]) -> list[str]:
        known = [p.value for p in CloudProvider if p not in (CloudProvider.off, CloudProvider.openai_compatible)]
        for fallback in fallbacks:
            provider, _, model = fallback.partition(":")
            if provider not in known or not model:
                raise ValueError(f"{fallback!r} is not of the form provider:model; providers are {', '.join(known)}")
        return fallbacks
