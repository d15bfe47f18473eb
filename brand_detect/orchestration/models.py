"""Models for the escalations: which one answers, whether the settings allow it, and whether it is available."""

import json
from collections.abc import Mapping

import dagster as dg

from brand_detect.domain.contracts import Escalation, effective
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams
from brand_detect.domain.contracts.escalate_cloud import EscalateCloudParams
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams, VlmProvider
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.params import Params
from brand_detect.domain.protocols import Answerer, Budget
from brand_detect.domain.settings import Settings
from brand_detect.engines.calls import is_here, server_of, with_port
from brand_detect.engines.model_files import ModelRoots
from brand_detect.engines.prices import Price, listed_price
from brand_detect.engines.prompts import load_prompt
from brand_detect.engines.providers import Endpoint, ProviderAnswerer
from brand_detect.engines.vlm import TransformersAnswerer
from brand_detect.orchestration.resources import Services, find_models
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.spending import Spending
from brand_detect.storage.store import Store

OWN_SERVER = VlmProvider.openai_compatible.value
FREE = Price(0.0, 0.0)


def answerer(
    stage: str, params: Escalation, settings: Settings, store: Store, prompts: Mapping[str, str], run_id: str = ""
) -> Answerer | None:
    """The model that answers in ``stage``; None if it is off. It is loaded or called only when a question is asked.

    Paid answers count against the budget of the run ``run_id``, over all its tries and the runs that continue it.
    ``prompts`` are the user's own, contents by name.

    Raises:
        BadInput: the model is not named or has no price, or the settings forbid sending crops to it.
    """
    if params.provider.value != "off":
        check_may_be_asked(stage, params, settings)
    paid = isinstance(params, EscalateCloudParams)
    budget = Spending(store.blobs, params.max_usd, settings.daily_usd, run_id) if paid else None
    return model_of(stage, params, settings, prompts, budget)


def model_of(
    stage: str, params: Escalation, settings: Settings, prompts: Mapping[str, str], budget: Budget | None
) -> Answerer | None:
    """As ``answerer``, without the check whether it may be asked.

    Raises:
        BadInput: the model is not named or has no price.
    """
    provider = params.provider.value
    if provider == "off":
        return None
    if not params.model:
        raise BadInput(f"{stage}: the provider is {provider}, but no model is named.", f"set {stage}.model")
    prompt = load_prompt(params.prompt, prompts)
    if isinstance(params, EscalateVlmParams) and params.provider is VlmProvider.transformers:
        return TransformersAnswerer(
            params.model,
            ModelRoots(settings.model_roots).folder,
            prompt,
            max_output_tokens=params.max_output_tokens,
            batch_size=params.batch_size,
        )
    return ProviderAnswerer(
        endpoints(params),
        prompt,
        max_output_tokens=params.max_output_tokens,
        concurrency=params.concurrency,
        timeout_s=params.timeout_s,
        budget=budget,
    )


def check_may_be_asked(stage: str, params: Escalation, settings: Settings) -> None:
    """
    Raises:
        BadInput: crops would leave this machine, and the settings forbid it.
    """
    provider = params.provider.value
    if provider == OWN_SERVER:
        check_server(stage, params.base_url, settings)
    elif params.base_url:
        raise BadInput(f"{stage}: base_url is for {OWN_SERVER}, not for {provider}.", f"unset {stage}.base_url")
    if isinstance(params, EscalateCloudParams) and not settings.remote:
        leaves = [f for f in (provider, *(f.split(":")[0] for f in params.fallbacks)) if f != OWN_SERVER]
        if leaves or not is_here(params.base_url):
            raise BadInput(
                f"{stage}: crops would leave this machine, to {', '.join(leaves) or 'a server'}, "
                "but remote use is off.",
                "set BRAND_DETECT_REMOTE=1 where Dagster runs, to allow it",
            )


def check_models(params: Mapping[str, Params], services: Services) -> None:
    """Check that a run with ``params``, by stage, finds its models on this machine and may ask them.

    Raises:
        BadInput: a model is missing or not allowed.
    """
    engines, settings = services.engines, services.settings
    prompts = OwnFiles.read(settings).prompts
    try:
        for stage, own in params.items():
            if isinstance(own, DetectObjectsParams) and engines.models:
                find_models(engines.models, own)
            if isinstance(own, EscalateVlmParams | EscalateCloudParams) and not engines.answerer:
                answerer(stage, own, settings, services.store, prompts)
                if own.provider is VlmProvider.transformers:
                    ModelRoots(settings.model_roots).folder(own.model)
    except Permanent as e:  # before the run starts, the caller can fix it
        raise BadInput(str(e), e.hint) from e


def endpoints(params: Escalation) -> list[Endpoint]:
    """The provider's model and its fallbacks, each with its price; the user's own servers cost nothing.

    Raises:
        BadInput: a model's price is unknown.
    """
    if not isinstance(params, EscalateCloudParams):
        return [Endpoint(params.provider.value, params.model, params.base_url, FREE)]
    own = Price(params.input_usd_per_mtok, params.output_usd_per_mtok)
    named = [(params.provider.value, params.model), *(f.split(":", 1) for f in params.fallbacks)]
    found = []
    for i, (provider, model) in enumerate(named):
        is_told = i == 0 and (own != FREE or is_here(params.base_url))
        price = own if is_told else listed_price(provider, model)
        if price is None:
            raise BadInput(
                f"escalate_cloud: the price of {provider}:{model} is unknown.",
                "set escalate_cloud.input_usd_per_mtok and output_usd_per_mtok, or check the model's name",
            )
        found.append(Endpoint(provider, model, params.base_url if i == 0 else "", price))
    return found


def check_server(stage: str, url: str, settings: Settings) -> None:
    """
    Raises:
        BadInput: ``url`` is empty, or the settings forbid sending crops to that host and port.
    """
    if not url:
        raise BadInput(f"{stage}: no server is named.", f"set {stage}.base_url to http://host:port/v1")
    server = server_of(url)
    if server not in [with_port(host, url) for host in settings.model_hosts]:
        raise BadInput(
            f"{stage}: sending crops to {server} is not allowed.",
            f"add {server} to BRAND_DETECT_MODEL_HOSTS where Dagster runs, to allow it",
        )


@dg.sensor(
    default_status=dg.DefaultSensorStatus.STOPPED,
    required_resource_keys={"services"},
    description="Leave it off: clients evaluate it, with a run's params as cursor, to check for models.",
)
def model_check(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Skips with what is wrong and, on a second line, the hint; empty if models are available or it is unknown."""
    asked: dict[str, dict] = json.loads(context.cursor or "{}")
    if isinstance(context.instance.run_launcher, dg.DefaultRunLauncher):  # other launchers run on other machines
        try:
            check_models(
                {stage: effective(stage, params) for stage, params in asked.items()}, context.resources.services
            )
        except BadInput as e:
            return dg.SkipReason(e.full)
    return dg.SkipReason("")
