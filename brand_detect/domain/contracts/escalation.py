"""The params that both escalations share."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from brand_detect.domain.params import SERVER, ModelName, Params, Unit, operational


class EscalateParams(Params):
    """What both escalation stages have in common."""

    model: ModelName = Field("", description="model's id or folder, as the provider names it")
    base_url: str = Field(
        "", description="address of the server, for openai_compatible; BRAND_DETECT_MODEL_HOSTS must name it"
    )
    prompt: str = Field("default", pattern=r"^[a-z0-9_-]{1,64}$", description="what models are told, by name")
    max_questions: int = Field(200, ge=0, description="most clusters asked about, by time on screen")
    min_confidence: Unit = Field(0.5, description="answers under this leave the cluster unresolved")
    ask_again: bool = Field(False, description="ask also what the same model has answered before")
    max_crops: int = Field(3, ge=1, le=5, description="most crops shown per question, the more alike the fewer")
    scene_px: int = Field(
        512, ge=0, le=2048, description="longest side of the whole frame, shown with the mark outlined; 0 = not shown"
    )
    max_output_tokens: int = Field(300, ge=50, le=4096, description="longest answer, in tokens")
    concurrency: int = operational(4, ge=1, le=64, description="questions under way at a time, to a server or provider")
    timeout_s: float = operational(60.0, gt=0, le=3600, description="longest wait for one answer, in seconds")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, url: str) -> str:
        try:
            plain = urlsplit(url).port != 0 and SERVER.fullmatch(url)
        except ValueError:  # no such port
            plain = False
        if url and not plain:
            raise ValueError("this is no plain address such as http://host:port/v1")
        return url
