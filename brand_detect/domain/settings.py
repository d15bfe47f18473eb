"""Deployment settings: the ``BRAND_DETECT_*`` environment variables."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from brand_detect.domain.catalog import OWN_LIST
from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.kubernetes import StageResources
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.params import HOST, SERVER
from brand_detect.domain.pipeline import LINE, Stage, downstream_of

API_KEY = "BRAND_DETECT_API_KEY"
"""Variable with the key of the HTTP service; unset means no key is required."""
PROVIDER_KEYS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY")
"""Variables with the keys of providers, which runs read where they are executed."""


def state_dir() -> Path:
    """The folder for all written data: ``$DAGSTER_HOME/.state``, else ``./.state``."""
    return Path(os.environ.get("DAGSTER_HOME") or ".").resolve() / ".state"


class Settings(BaseSettings):
    """Read once, at the composition root. Secrets are not settings: they stay in the providers' own variables."""

    model_config = SettingsConfigDict(env_prefix="BRAND_DETECT_", frozen=True, extra="forbid", env_ignore_empty=True)

    store_root: str = Field(
        default_factory=lambda: str(state_dir() / "checkpoints"),
        description="where checkpoints are stored: a folder, or a URI such as s3://bucket/prefix",
    )
    media_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=lambda: (str(Path.home()), str(state_dir().parent)),
        description="comma-separated folders and URI prefixes (s3://bucket/prefix) that videos may come from",
    )
    max_pixels: int = Field(
        default=VideoLimits.max_pixels,
        ge=1,
        description="most pixels per picture of a video; a pixel of more than 24 bits counts as proportionally more",
    )
    max_duration_s: float = Field(
        default=VideoLimits.max_duration_s, gt=0, allow_inf_nan=False, description="longest video, in seconds"
    )
    catalog: str = Field(
        default="",
        description="the brand list, where the sensors run: a YAML or CSV file or a folder; empty = the one that "
        "the page of the brand list makes in the store, else the packaged list",
    )
    inbox: str = Field(
        default="", description="a folder or URI within the media roots whose videos become jobs; empty = off"
    )
    inbox_settle_s: float = Field(
        default=10.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds without a change after which a file counts as complete",
    )
    uploads: str = Field(
        default_factory=lambda: str(state_dir() / "uploads"),
        description="where the HTTP service puts uploaded videos: a folder or an s3:// prefix within the media roots, "
        "outside the inbox; the default one is off where it lies outside them",
    )
    upload_max_bytes: int = Field(default=50_000_000_000, ge=1, description="largest uploaded video, in bytes")
    offpeak: bool = Field(
        default=False, description="retry jobs with open questions off peak; can also be switched on in the UI"
    )
    offpeak_cron: str = Field(
        default="0 1 * * *", description="when off-peak retries are launched, as a cron expression"
    )
    offpeak_timezone: str = Field(default="UTC", description="time zone of the cron expressions, such as Europe/Rome")
    offpeak_overrides: Overrides = Field(
        default={}, description='params of the retries, as JSON: {"escalate_vlm": {"provider": …}}'
    )
    offpeak_max_jobs: int = Field(default=100, ge=1, description="most jobs retried per night, oldest first")
    offpeak_max_usd: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="most that a night's retries may cost, as estimated, in USD; 0 = no paid models",
    )
    keep_attempts: int = Field(
        default=3, ge=1, description="retention: number of newest attempts per stage that always stay"
    )
    keep_days: float = Field(
        default=30.0, ge=0, allow_inf_nan=False, description="retention: attempts younger than this many days stay"
    )
    keep_frames_days: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="retention: frames younger than this many days stay; 0 = as long as their attempt",
    )
    prune: bool = Field(
        default=False, description="prune by these limits every night; can also be switched on in the UI"
    )
    prune_cron: str = Field(
        default="30 3 * * *", description="when to prune, as a cron expression in BRAND_DETECT_OFFPEAK_TIMEZONE"
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated hosts, or host:port, that notifications may be sent to; empty = none are sent",
    )
    remote: bool = Field(
        default=False, description="let escalate_cloud send crops to the provider that a run's config names"
    )
    model_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=lambda: (str(state_dir() / "models"),),
        description="comma-separated folders that models may be loaded from; the package's own weights and ids in the "
        "Hugging Face cache need no entry",
    )
    model_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated host:port of the model servers that crops may be sent to, including local ones",
    )
    prompts: str = Field(
        default="", description="a folder of your own prompts, where the sensors run; empty = the package's only"
    )
    quality: str = Field(
        default="", description="a folder of your own quality scales, where the sensors run; empty = the package's only"
    )
    inventory: str = Field(
        default="",
        description="a folder of inventories, the named assets of your properties, where the sensors run",
    )
    daily_usd: float = Field(
        default=10.0,
        ge=0,
        allow_inf_nan=False,
        description="most that all runs together may spend on models per day (UTC), in USD",
    )
    gpu_slots: int = Field(
        default=1, ge=1, description="most steps that use a GPU (escalate_vlm) at a time, over all machines"
    )
    cloud_slots: int = Field(
        default=1, ge=1, description="most steps that ask paid models (escalate_cloud) at a time, over all machines"
    )
    dagster_url: str = Field(default="http://127.0.0.1:3000", description="Dagster's webserver, for clients")
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description=(
            "comma-separated host names, or host:port, under which browsers and services call the HTTP service and "
            "Dagster's webserver, in addition to 127.0.0.1 and localhost"
        ),
    )
    proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="comma-separated addresses or networks of the proxies in front of the HTTP service, such as "
        "127.0.0.1: its limits of requests and log-ins then count the client that X-Forwarded-For names, not the proxy",
    )
    service_url: str = Field(
        default="",
        description="public address of the HTTP service, such as https://brands.example.org: Dagster's UI and "
        "notifications then link to each report's page; empty = no link",
    )
    run_resources: dict[str, StageResources] = Field(
        default={},
        description="what a run's pod asks of Kubernetes, by stage, as JSON: "
        '{"compile_report": {"cpu": 0.5, "memory_gib": 1}, "escalate_vlm": {"gpu": 1}}; cores and memory count in runs '
        "all of whose stages are named; others ask for what the launcher gives every run",
    )
    max_held_runs: int = Field(default=1000, ge=0, description="most runs on hold at a time")
    api_rate: str = Field(default="600/minute", description="rate limit of the HTTP service per client address")
    api_max_body_bytes: int = Field(
        default=1_000_000,
        ge=1,
        description="largest request body that the HTTP service accepts, in bytes; parts of uploads, and brands with "
        "logos, may have 8 MiB",
    )

    @property
    def brand_list(self) -> str:
        """Where the brand list is now: as ``catalog`` says, else ``own_list`` once somebody has made it, else empty,
        for the packaged list. Look again whenever the list is read: processes go on while it is made."""
        made = self.own_list and (self.own_list / OWN_LIST).is_file()
        return self.catalog or (str(self.own_list) if made else "")

    @property
    def own_list(self) -> Path | None:
        """The folder that the deployment's own brand list is made in: in the store, which all processes share. None if
        the store is no folder, for then they share no disk."""
        return None if "://" in self.store_root else Path(self.store_root) / "_own_catalog"

    @property
    def video_limits(self) -> VideoLimits:
        return VideoLimits(self.max_pixels, self.max_duration_s)

    @field_validator("media_roots", "webhook_hosts", "model_roots", "model_hosts", "hosts", "proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("store_root", "catalog", "inbox", "uploads", "prompts", "quality", "inventory")
    @classmethod
    def _absolute(cls, value: str) -> str:
        """Makes a local path absolute: other processes run in other folders."""
        return value if not value or "://" in value else str(Path(value).expanduser().absolute())

    @field_validator("media_roots", "model_roots")
    @classmethod
    def _all_absolute(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cls._absolute, roots))

    @field_validator("webhook_hosts", "model_hosts", "hosts")
    @classmethod
    def _named(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host; write names, or host:port, without a scheme or wildcards")
        return tuple(host.lower() for host in hosts)

    @field_validator("proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ip_network(proxy)
        return proxies

    @field_validator("service_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url and not SERVER.fullmatch(url):
            raise ValueError(f"{url!r} is not a plain address such as https://brands.example.org")
        return url.rstrip("/")

    @field_validator("offpeak_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError) as e:
            raise ValueError(f"there is no time zone {value!r}") from e
        return value

    @field_validator("offpeak_overrides")
    @classmethod
    def _offpeak(cls, value: Overrides) -> Overrides:
        try:
            check_overrides(value)
        except BadInput as e:
            raise ValueError(e.full) from e
        if set(value) - set(downstream_of(Stage.escalate_vlm)):
            raise ValueError("a retry runs from escalate_vlm down")
        return value

    @field_validator("run_resources")
    @classmethod
    def _stages(cls, needs: dict[str, StageResources]) -> dict[str, StageResources]:
        if unknown := set(needs) - set(LINE):
            raise ValueError(f"{sorted(unknown)[0]!r} is not a stage; write one of {', '.join(LINE)}")
        return needs

    @classmethod
    def load(cls) -> "Settings":
        """Reads the settings from the environment.

        Raises:
            BadInput: a variable has an invalid value.
        """
        try:
            return cls()
        except ValidationError as e:
            first = e.errors()[0]
            name = f"BRAND_DETECT_{first['loc'][0]}".upper()
            raise BadInput(f"{name}: {first['msg']}.", "see docs/reference/settings.md") from e
        except SettingsError as e:  # a value that should be JSON is not
            raise BadInput(f"{e}: it is not JSON.", "see docs/reference/settings.md") from e


def check_api_key(key: str) -> str:
    """The service's ``key``, if clients can send it as a header.

    Raises:
        BadInput: they cannot.
    """
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise BadInput(
            f"{API_KEY} cannot be sent as a header.",
            "use letters without accents, digits and punctuation, without spaces around them",
        )
    return key
