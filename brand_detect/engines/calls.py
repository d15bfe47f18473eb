"""A call of a model behind a provider's API, through pydantic-ai: request, reply and failures."""

import ipaddress
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from brand_detect.domain.answers import BrandAnswer
from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.engines.prices import Price

if TYPE_CHECKING:
    from pydantic_ai.models import Model, ModelRequestParameters

KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "openai_compatible": ("BRAND_DETECT_MODEL_API_KEYS",),
}
"""Environment variables with each provider's key. Keys of your own servers are optional and share one variable, as
comma-separated ``host:port=key``, so that no server receives another's key."""
SENT = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
"""Headers kept in requests to your own servers, besides the key: OpenAI's library adds some meant for OpenAI."""
NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "groq": "Groq"}
MOST_TOKENS = 100_000_000
"""More than any model accepts: a reported usage above it is invalid."""
MOST_BYTES = 1_000_000
"""Largest reply, in bytes: ten times the longest answer. An endless reply would exhaust memory."""
LOGGERS = ("openai", "anthropic", "groq", "google_genai")
"""Libraries that log whole requests, pictures included, at low levels."""


@dataclass(frozen=True)
class Endpoint:
    """A model that can be called: ``provider`` is openai, anthropic, google, groq or openai_compatible."""

    provider: str
    model: str
    base_url: str  # openai_compatible only
    price: Price

    @property
    def who(self) -> str:
        """The provider's name for messages."""
        return NAMES.get(self.provider) or f"The server {urlsplit(self.base_url).netloc}"


@dataclass(frozen=True)
class Reply:
    text: str
    stopped: str  # why the reply is incomplete; "" = it is complete
    input_tokens: int
    output_tokens: int
    latency_s: float

    @property
    def metered(self) -> bool:
        """Whether the provider reported a plausible usage."""
        return 0 < self.input_tokens <= MOST_TOKENS and 0 <= self.output_tokens <= MOST_TOKENS


class Failure(Exception):
    """A failed call. The message is a sentence without keys or pictures."""

    def __init__(
        self,
        why: str,
        *,
        again: bool = False,
        billed: bool = False,
        wait_s: float = 0.0,
        ends: BrandDetectError | None = None,
    ) -> None:
        super().__init__(why)
        self.again = again  # the same call may succeed later
        self.billed = billed  # it may be billed
        self.wait_s = wait_s  # wait that the provider requests
        self.ends = ends  # error that ends all calls: each would fail alike


class Caller:
    """Calls one endpoint over an HTTP client that follows no redirects. Created and closed in the loop's thread."""

    def __init__(self, endpoint: Endpoint, *, max_output_tokens: int, timeout_s: float) -> None:
        """
        Raises:
            Permanent: the environment has no key, or an invalid one.
        """
        self._endpoint, self._key = endpoint, _key(endpoint)
        self._max_output_tokens, self._timeout_s = max_output_tokens, timeout_s
        self._client, self._model = _client_and_model(endpoint, self._key, timeout_s)
        for name in LOGGERS:  # after their import, which applies ANTHROPIC_LOG and the like
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))

    async def call(self, words: str, instructions: str = "", pictures: Sequence[bytes] = ()) -> Reply:
        """Sends one request; with ``instructions``, asks for the form of ``BrandAnswer`` if the model supports it.

        Raises:
            Failure: there is no reply.
        """
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart
        from pydantic_ai.settings import ModelSettings

        shown = [BinaryContent(p, media_type="image/jpeg") for p in pictures]
        request = ModelRequest([UserPromptPart([*shown, words])], instructions=instructions or None)
        settings = ModelSettings(
            max_retries=0,
            max_tokens=self._max_output_tokens,  # includes thinking, which counts towards these limits everywhere
            temperature=0.0,
            thinking=False,  # or as little as it can
            timeout=self._timeout_s,  # of each wait; the one below is of the whole request, in case a reply trickles in
            request_timeout=self._timeout_s,
        )
        started = time.monotonic()
        try:
            response = await model_request(
                self._model,
                [request],
                model_settings=settings,
                model_request_parameters=self._form() if instructions else None,
            )
            usage = response.usage
            text, given, answered = response.text or "", int(usage.input_tokens), int(usage.output_tokens)
        except Exception as e:  # on malformed replies the libraries raise anything
            raise _failure(e, self._endpoint) from None  # its message may contain the request
        stopped = {
            "length": f"the reply was cut short after {self._max_output_tokens} tokens",
            "content_filter": "the provider's content filter refused",
        }.get(response.finish_reason or "", "")
        return Reply(text, stopped, given, answered, time.monotonic() - started)

    def _form(self) -> "ModelRequestParameters | None":
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.output import OutputObjectDefinition

        if not self._model.profile.get("supports_json_schema_output"):
            return None  # the instructions describe the form too
        strict = None if self._endpoint.provider == "groq" else True  # the schema breaks Groq's rules for strict mode
        form = OutputObjectDefinition(BrandAnswer.model_json_schema(), name="brand_answer", strict=strict)
        return ModelRequestParameters(output_mode="native", output_object=form)

    async def close(self) -> None:
        await self._client.aclose()


def _key(endpoint: Endpoint) -> str:
    variables = KEYS[endpoint.provider]
    key = next(filter(None, (os.environ.get(v, "").strip() for v in variables)), "")
    if endpoint.provider == "openai_compatible":
        key = _key_of_server(key, endpoint)
    elif not key:
        raise Permanent(
            f"There is no key for {endpoint.who}.", f"set {' or '.join(variables)} in the environment of Dagster"
        )
    if not (key.isascii() and key.isprintable()):  # a library's own error would quote the key
        raise Permanent(f"The key for {endpoint.who} contains invalid characters.", f"check {' or '.join(variables)}")
    return key


def _key_of_server(keys: str, endpoint: Endpoint) -> str:
    server, found = server_of(endpoint.base_url), ""
    for entry in filter(None, (entry.strip() for entry in keys.split(","))):
        host, equals, key = entry.partition("=")
        if not equals:
            [variable] = KEYS[endpoint.provider]
            raise Permanent("A model server's key does not name its server.", f"set {variable} to host:port=key")
        if with_port(host.strip().lower(), endpoint.base_url) == server:
            found = key.strip()
    return found


def server_of(url: str) -> str:
    """``host:port`` of a plain web address."""
    return with_port(urlsplit(url).netloc.lower(), url)


def with_port(host: str, url: str) -> str:
    """``host``, with the default port of the protocol of ``url`` if it has none."""
    return host if re.search(r":\d+$", host) else f"{host}:{443 if url.startswith('https:') else 80}"


def is_here(url: str) -> bool:
    """Whether ``url`` points to this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _client_and_model(endpoint: Endpoint, key: str, timeout_s: float) -> "tuple[Any, Model]":
    """Creates the HTTP client and the model. Providers' base URLs come from their own variables: OPENAI_BASE_URL,
    ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL, GROQ_BASE_URL."""
    if endpoint.provider == "groq":  # its library uses the older HTTPX
        import httpx
        from pydantic_ai.models.groq import GroqModel
        from pydantic_ai.providers.groq import GroqProvider

        older = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, **_bounded(httpx))
        return older, GroqModel(endpoint.model, provider=GroqProvider(api_key=key, http_client=older))
    import httpx2

    here = urlsplit(endpoint.base_url).netloc if is_here(endpoint.base_url) else ""
    client = httpx2.AsyncClient(
        timeout=timeout_s,
        follow_redirects=False,
        mounts={f"all://{here}": None} if here else None,  # bypasses the environment's proxy, which may be remote
        **_bounded(httpx2),
    )
    if endpoint.provider == "openai_compatible":
        client.event_hooks["request"].append(partial(_strip, key))
    match endpoint.provider:
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            model = AnthropicModel(endpoint.model, provider=AnthropicProvider(api_key=key, http_client=client))
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            model = GoogleModel(endpoint.model, provider=GoogleProvider(api_key=key, http_client=client))
        case "openai":
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            model = OpenAIChatModel(endpoint.model, provider=OpenAIProvider(api_key=key, http_client=client))
        case _:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.profiles.openai import OpenAIModelProfile
            from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

            provider = OpenAICompatibleProvider(
                "openai_compatible",
                base_url=endpoint.base_url,
                http_client=client,
                # servers such as Ollama support only max_tokens; an ignored limit could exceed the reservation
                profile=OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
            )
            model = OpenAIChatModel(endpoint.model, provider=provider)
    return client, model


async def _strip(key: str, request: Any) -> None:
    """Strips from ``request`` all headers that your own servers should not receive, such as OPENAI_CUSTOM_HEADERS."""
    for name in {*request.headers} - SENT:
        del request.headers[name]
    if key:
        request.headers["authorization"] = f"Bearer {key}"


def _bounded(http: Any) -> dict[str, Any]:
    """Options for a client of ``http``, either version of HTTPX, that abort replies longer than ``MOST_BYTES``."""

    class Bounded(http.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > MOST_BYTES:
                    raise http.RemoteProtocolError("the reply is too long")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        response.stream = Bounded(response.stream)

    # a small compressed reply could expand to a huge one
    return {"event_hooks": {"response": [bound]}, "headers": {"Accept-Encoding": "identity"}}


def _failure(error: Exception, endpoint: Endpoint) -> Failure:
    """Classifies ``error``, from pydantic-ai or the libraries below it, for this call and further ones. Never quotes
    the reply: callers must not be able to read what an arbitrary address answers."""
    from pydantic_ai import exceptions as e

    who, wait_s = endpoint.who, getattr(error, "retry_after", None) or 0.0
    match error:
        case e.ModelAuthenticationError():
            hint = f"check {' or '.join(KEYS[endpoint.provider])}, and the key's permissions"
            return _end(Permanent(f"{who} refuses the key.", hint))
        case e.ModelNotFoundError():
            return _end(Permanent(f"{who} has no model {endpoint.model} for this key.", "check the model's name"))
        case e.ModelQuotaExceededError():
            return _end(
                Permanent(f"{who} reports that the quota or the credit is used up.", "check the account's limits")
            )
        case e.ModelRateLimitError():
            return Failure(f"{who} limits the rate of requests.", again=True, wait_s=wait_s)
        case e.ModelHTTPError(status_code=status) if status in (408, 409, 425) or status >= 500:
            return Failure(f"{who} failed with HTTP {status}.", again=True, wait_s=wait_s)
        case e.ModelHTTPError(status_code=status):
            return Failure(f"{who} rejects the request with HTTP {status}.")
        case e.ModelRequestRejectedError():
            return Failure(f"{who} rejects the request.")
        case e.ModelConnectionError(phase="pool" | "connect"):
            return Failure(f"{who} cannot be reached.", again=True)
        case e.ModelRequestTimeout() | e.ModelTimeoutError():
            return Failure(f"{who} did not answer in time.", again=True, billed=True)
        case e.ModelConnectionError():
            return Failure(f"The connection to {who} broke off.", again=True, billed=True)
        case _ if _is_redirect(error.__cause__):
            hint = "check the server's address"
            return _end(Permanent(f"{who} redirects to another address, which is not followed.", hint))
        case e.AgentRunError():
            return Failure(f"{who} answers in an unknown form.", again=True, billed=True)
        case _:
            why = f"{who} answers in an unknown form: {type(error).__name__}."
            return Failure(why, again=True, billed=True)


def _end(error: BrandDetectError) -> Failure:
    return Failure(str(error), ends=error)


def _is_redirect(cause: BaseException | None) -> bool:
    status = getattr(cause, "status_code", None) or getattr(cause, "code", None)
    return isinstance(status, int) and 300 <= status < 400
