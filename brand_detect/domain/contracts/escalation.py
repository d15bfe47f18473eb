"""Params that both escalation stages share."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from brand_detect.domain.params import SERVER, ModelName, Params, Unit, operational


class EscalateParams(Params):
    """Base of the params of both escalation stages."""

    model: ModelName = Field("", description="the model's id at the provider, or its folder")
    base_url: str = Field(
        "", description="URL of the server, for openai_compatible; BRAND_DETECT_MODEL_HOSTS must list its host"
    )
    prompt: str = Field("default", pattern=r"^[a-z0-9_-]{1,64}$", description="name of the prompt")
    max_questions: int = Field(200, ge=0, description="most clusters to ask about, longest on screen first")
    min_confidence: Unit = Field(0.5, description="answers below this confidence leave the cluster unresolved")
    ask_again: bool = Field(False, description="ask again even if the same model has answered the question before")
    max_crops: int = Field(
        3, ge=1, le=5, description="most crops shown per question; the more alike they are, the fewer are shown"
    )
    scene_px: int = Field(
        512, ge=0, le=2048, description="longest side of the whole frame, shown with the region outlined; 0 = not shown"
    )
    max_output_tokens: int = Field(300, ge=50, le=4096, description="most output tokens per answer")
    concurrency: int = operational(4, ge=1, le=64, description="concurrent questions to a server or provider")
    timeout_s: float = operational(60.0, gt=0, le=3600, description="time-out of one answer, in seconds")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, url: str) -> str:
        try:
            plain = urlsplit(url).port != 0 and SERVER.fullmatch(url)
        except ValueError:  # no such port
            plain = False
        if url and not plain:
            raise ValueError("this is not a plain address such as http://host:port/v1")
        return url
