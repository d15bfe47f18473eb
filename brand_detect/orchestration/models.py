"""Which models answer in the escalations, what has to be switched on before they may, and whether models are there."""

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
from brand_detect.storage.spending import Spending
from brand_detect.storage.store import Store

OWN_SERVER = VlmProvider.openai_compatible.value
FREE = Price(0.0, 0.0)


def answerer(stage: str, params: Escalation, settings: Settings, store: Store, run_id: str = "") -> Answerer | None:
    """Who answers in ``stage``; None when it is off. Nothing is loaded, and nobody is called, before it is asked.

    What is paid comes from the budget of the run ``run_id``, all its tries together.

    Raises:
        BadInput: the model is not named or not priced, or crops would go where the settings do not let them.
    """
    if params.provider.value != "off":
        check_may_be_asked(stage, params, settings)
    paid = isinstance(params, EscalateCloudParams)
    budget = Spending(store.blobs, params.max_usd, settings.daily_usd, run_id) if paid else None
    return model_of(stage, params, settings, budget)


def model_of(stage: str, params: Escalation, settings: Settings, budget: Budget | None) -> Answerer | None:
    """As ``answerer``, whether it may be asked or not.

    Raises:
        BadInput: the model is not named or not priced.
    """
    provider = params.provider.value
    if provider == "off":
        return None
    if not params.model:
        raise BadInput(f"{stage}: {provider} is to answer, and no model is named.", f"set {stage}.model")
    prompt = load_prompt(params.prompt, settings.prompts)
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
        BadInput: crops would leave this machine, and the settings do not let them.
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
                "and remote use is off.",
                "set BRAND_DETECT_REMOTE=1 where Dagster runs, if they may",
            )


def check_models(params: Mapping[str, Params], services: Services) -> None:
    """Whether a run with ``params``, by stage, finds its models on this machine and may ask them.

    Raises:
        BadInput: it does not, or may not.
    """
    engines, settings = services.engines, services.settings
    try:
        for stage, own in params.items():
            if isinstance(own, DetectObjectsParams) and engines.models:
                find_models(engines.models, own)
            if isinstance(own, EscalateVlmParams | EscalateCloudParams) and not engines.answerer:
                answerer(stage, own, settings, services.store)
                if own.provider is VlmProvider.transformers:
                    ModelRoots(settings.model_roots).folder(own.model)
    except Permanent as e:  # before the run, it is the caller's to mend
        raise BadInput(str(e), e.hint) from e


def endpoints(params: Escalation) -> list[Endpoint]:
    """The provider's model and those that stand in for it, each with its price; servers of one's own cost nothing.

    Raises:
        BadInput: a model's price is not known.
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
                f"escalate_cloud: nobody knows what {provider}:{model} costs.",
                "set escalate_cloud.input_usd_per_mtok and output_usd_per_mtok, or check the model's name",
            )
        found.append(Endpoint(provider, model, params.base_url if i == 0 else "", price))
    return found


def check_server(stage: str, url: str, settings: Settings) -> None:
    """
    Raises:
        BadInput: there is no ``url``, or crops may not go to that host and port.
    """
    if not url:
        raise BadInput(f"{stage}: no server is named.", f"set {stage}.base_url to http://host:port/v1")
    server = server_of(url)
    if server not in [with_port(host, url) for host in settings.model_hosts]:
        raise BadInput(
            f"{stage}: crops may not go to {server}.",
            f"add {server} to BRAND_DETECT_MODEL_HOSTS where Dagster runs, if they may",
        )


@dg.sensor(
    default_status=dg.DefaultSensorStatus.STOPPED,
    required_resource_keys={"services"},
    description="Leave it off: clients run it dry, with a run's params as cursor, to learn whether models are there.",
)
def model_check(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """The reason is what is wrong, with its hint on a line of its own; nothing = they are, or it cannot be known."""
    asked: dict[str, dict] = json.loads(context.cursor or "{}")
    if isinstance(context.instance.run_launcher, dg.DefaultRunLauncher):  # else runs work on other machines
        try:
            check_models(
                {stage: effective(stage, params) for stage, params in asked.items()}, context.resources.services
            )
        except BadInput as e:
            return dg.SkipReason(e.full)
    return dg.SkipReason("")
