"""Providers, against a server of this machine that speaks their protocols and misbehaves."""

import base64
import io
import json
import logging
import random
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from brand_detect.domain.contracts.verdicts import Answer, Cluster
from brand_detect.domain.errors import BrandDetectError, Permanent, Transient
from brand_detect.domain.protocols import Budget, OverBudget, Question
from brand_detect.engines import calls, providers
from brand_detect.engines.prices import Price
from brand_detect.engines.prompts import load_prompt
from brand_detect.engines.providers import Endpoint, ProviderAnswerer
from brand_detect.engines.tokens import FRAMING_TOKENS, input_token_bound, input_token_estimate
from brand_detect.stages.escalation import Pictures, _answers
from brand_detect.storage.answers import Answers
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.spending import MICRO, Spending
from brand_detect.storage.store import Store
from brand_detect_tests.support import model_server
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.model_server import (
    INPUT_TOKENS,
    MANY_TOKENS,
    OUTPUT_TOKENS,
    ModelServer,
    key_of,
    serving,
    use,
)

PRICE = Price(1.0, 10.0)
USD = PRICE.cost(INPUT_TOKENS, OUTPUT_TOKENS)
"""What a reply costs."""
OPENAI = Endpoint("openai", "gpt-4o", "", PRICE)
CLAUDE = Endpoint("anthropic", "claude-haiku-4-5", "", PRICE)
GEMINI = Endpoint("google", "gemini-2.5-flash", "", PRICE)
GROQ = Endpoint("groq", "meta-llama/llama-4-scout-17b-16e-instruct", "", PRICE)
ALL = pytest.mark.parametrize("endpoint", [OPENAI, CLAUDE, GEMINI, GROQ], ids=lambda e: e.provider)
PROMPT = load_prompt("default")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as state:
        use(state, monkeypatch)
        yield state


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(providers, "LONGEST_WAIT_S", 0.2)


def jpeg(shade: int, size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 128)).save(out, "JPEG")
    return out.getvalue()


def question(number: int = 0) -> Question:
    return Question(f"c{number}", f"Brand {number}", (jpeg(number), jpeg(number + 1)), jpeg(number, (96, 54)))


def asks(*endpoints: Endpoint, budget: Budget | None = None, **settings: Any) -> ProviderAnswerer:
    defaults = {"max_output_tokens": 300, "concurrency": 4, "timeout_s": 6.0}
    return ProviderAnswerer(endpoints, PROMPT, budget=budget, **(defaults | settings))


def one(answerer: ProviderAnswerer) -> Answer:
    (answer,) = answerer.ask([question()])
    return answer


def spending(folder: Path, usd: float) -> Spending:
    return Spending(Blobs(str(folder)), usd, 1000)


def spent(budget: Spending) -> float:
    return budget.spent_micro(datetime.now(UTC).date().isoformat()) / MICRO


@ALL
def test_a_question_is_one_request_with_its_pictures_then_its_words(server: ModelServer, endpoint: Endpoint) -> None:
    answerer = asks(endpoint)
    answer = one(answerer)
    assert (answer.status, answer.brand, answer.confidence) == ("answered", "Brand 0", 0.9)
    assert (answer.logo_type, answer.placement, answer.reasoning) == ("wordmark", "board", "the letters")
    assert (answer.provider, answer.model) == (endpoint.provider, endpoint.model)
    assert answer.prompt_version == PROMPT.version
    assert answer.question_id == answerer.question_ids(question())[0]
    assert (answer.input_tokens, answer.output_tokens) == (2 * INPUT_TOKENS, 2 * OUTPUT_TOKENS)  # and the preflight's
    assert answer.cost_usd == pytest.approx(2 * USD)
    assert 0 < answer.latency_s < 5
    assert datetime.fromisoformat(answer.asked_at).tzinfo is not None

    preflight, asked = server.asked
    assert preflight.pictures == []
    assert len(preflight.raw) < 1000
    assert asked.pictures == [*question().crops, question().scene]
    assert asked.raw.index("Text that was read") > asked.raw.rindex("image/jpeg")
    assert PROMPT.instructions.splitlines()[0] in asked.raw
    assert key_of(endpoint.provider) in str(asked.headers)
    assert key_of(endpoint.provider) not in asked.raw


@pytest.mark.parametrize(
    ("endpoint", "form"),
    [
        (OPENAI, "json_schema"),
        (CLAUDE, "output_config"),
        (GEMINI, "responseJsonSchema"),
        (GROQ, "json_schema"),
        (Endpoint("anthropic", "claude-3-5-haiku-latest", "", PRICE), ""),
    ],
)
def test_the_form_is_asked_for_where_the_model_knows_how(server: ModelServer, endpoint: Endpoint, form: str) -> None:
    assert one(asks(endpoint)).status == "answered"
    sent = server.questions[0].raw
    assert form in sent if form else "schema" not in sent
    assert sent.count("how sure the verdict is") == (2 if form else 1)


def test_models_that_take_no_temperature_are_sent_none(server: ModelServer) -> None:
    assert one(asks(Endpoint("openai", "o3", "", PRICE))).status == "answered"
    assert one(asks(OPENAI)).status == "answered"
    assert ["temperature" in a.body for a in server.questions] == [False, True]


OWN_KEYS = "BRAND_DETECT_MODEL_API_KEYS"


def own(server: ModelServer) -> Endpoint:
    return Endpoint("openai_compatible", "qwen2.5vl:7b", f"{server.url}/v1", Price(0, 0))


@pytest.mark.parametrize("keys", ["", "gpu-box:8000=sk-other", "127.0.0.1=sk-other, 127.0.0.1:1=sk-other,"])
def test_a_server_of_ones_own_needs_no_key_and_is_sent_none_of_others(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    """Of its host, but another port, too; and nothing that OpenAI's library finds in the environment."""
    monkeypatch.setenv(OWN_KEYS, keys)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-proxy\nX-Proxy-Key: sk-proxy")
    for name in ("ORG_ID", "PROJECT_ID", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "sk-openai")
    answer = one(asks(own(server)))
    assert (answer.status, answer.cost_usd, answer.input_tokens) == ("answered", 0, 2 * INPUT_TOKENS)
    assert server.questions[0].body["max_tokens"] == 300
    assert "sk-" not in str(server.questions[0].headers)
    assert "authorization" not in server.questions[0].headers


def test_a_server_is_sent_its_own_key(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN_KEYS, f"gpu-box:8000=sk-other, 127.0.0.1:{server.port} = sk-own=0123\n")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-proxy")
    assert one(asks(own(server))).status == "answered"
    assert server.questions[0].headers["authorization"] == "Bearer sk-own=0123"


def test_a_key_that_does_not_say_whose_it_is_is_sent_to_nobody(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OWN_KEYS, "sk-secret-0123456789")
    with pytest.raises(Permanent, match="does not name its server") as e:
        one(asks(own(server)))
    assert e.value.hint == f"set {OWN_KEYS} to host:port=key"
    assert server.asked == []


def test_what_a_server_sends_us_to_is_not_asked(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN_KEYS, f"127.0.0.1:{server.port}=sk-own")
    server.preflights = ["redirect"]
    with pytest.raises(Permanent, match="redirects to another address"):
        one(asks(own(server)))
    assert [a.path for a in server.asked] == ["/v1/chat/completions"]


@pytest.mark.parametrize("fault", ["400", "500", "401", "404", "429", "quota", "no json", "odd"])
def test_nothing_of_a_reply_that_is_no_answer_is_repeated(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """What answers may be a service inside that the caller cannot reach by itself."""
    secret = "the database's password is tulip"
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(model_server, "ERRORS", {k: (*v[:2], secret) for k, v in model_server.ERRORS.items()})
    monkeypatch.setattr(model_server, "ODD", json.dumps({"choices": secret, "error": {"message": secret}}).encode())
    server.answers, server.then = ["good"], fault
    told = list(asks(own(server), concurrency=1).ask([question(0), question(1)]))
    assert [a.status for a in told] == ["answered", "failed"]
    assert told[1].detail
    server.then, server.preflights = "good", [fault] * 9
    with pytest.raises(BrandDetectError) as e:
        one(asks(own(server)))
    said = "".join(traceback.format_exception(e.value)) + e.value.hint + caplog.text + repr(told)
    assert "tulip" not in said


@pytest.mark.parametrize(
    ("endpoint", "name", "variable"),
    [
        (OPENAI, "OpenAI", "OPENAI_API_KEY"),
        (CLAUDE, "Anthropic", "ANTHROPIC_API_KEY"),
        (GEMINI, "Google", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        (GROQ, "Groq", "GROQ_API_KEY"),
    ],
)
def test_nothing_leaves_without_a_key(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, name: str, variable: str
) -> None:
    monkeypatch.delenv(variable.split()[0])
    with pytest.raises(Permanent, match=f"There is no key for {name}.") as e:
        one(asks(endpoint))
    assert variable in e.value.hint
    assert server.asked == []


def test_a_key_is_sent_without_the_blanks_around_it(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that keys are read from end in a line break, which no header takes."""
    monkeypatch.setenv("OPENAI_API_KEY", f" {key_of('openai')}\n")
    assert one(asks(OPENAI)).status == "answered"
    assert server.asked[0].headers["authorization"] == f"Bearer {key_of('openai')}"


@ALL
@pytest.mark.parametrize("odd", ["…", "\r\nX-More: 1", "\x7f"])
def test_a_key_that_cannot_be_sent_is_refused_and_logged_nowhere(
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    endpoint: Endpoint,
    odd: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(f"{endpoint.provider.upper()}_API_KEY", f"sk-secret{odd}secret")
    with pytest.raises(Permanent, match="contains invalid characters") as e:
        one(asks(endpoint))
    assert "secret" not in "".join(traceback.format_exception(e.value)) + e.value.hint + caplog.text
    assert server.asked == []


def test_a_server_of_this_machine_is_asked_past_the_proxy(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or crops would leave the machine after all."""
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert one(asks(Endpoint("openai_compatible", "m", f"{server.url}/v1", Price(0, 0)))).status == "answered"
        assert proxy.asked == []
    assert len(server.asked) == 2


def test_google_takes_the_key_of_either_name(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY")
    monkeypatch.setenv("GEMINI_API_KEY", "sk-gemini-0123456789abc")
    assert one(asks(GEMINI)).status == "answered"
    assert "sk-gemini-0123456789abc" in str(server.asked[0].headers)


@ALL
@pytest.mark.parametrize("fault", ["429", "500", "503", "529", "no json", "cut"])
def test_what_may_pass_is_tried_again(server: ModelServer, endpoint: Endpoint, fault: str) -> None:
    server.answers = [fault, fault]
    answer = one(asks(endpoint))
    assert (answer.status, answer.brand) == ("answered", "Brand 0")
    assert server.did == ["good", fault, fault, "good"]


@ALL
@pytest.mark.parametrize(
    "odd",
    [
        b"5",
        b"[" * 100_000,
        b'{"usage": ' + b"9" * 5000 + b"}",
        b'{"choices": [], "candidates": 5, "content": null, "usage": {}, "usageMetadata": {}}',
        b'{"choices": [null], "candidates": [5], "content": [null], "usage": {"prompt_tokens": 1.5}}',
    ],
)
def test_a_reply_of_a_form_that_breaks_the_library_is_tried_again(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, odd: bytes
) -> None:
    monkeypatch.setattr(model_server, "ODD", odd)
    server.answers = ["good", "odd", "good", *["odd"] * 4]
    answers = list(asks(endpoint, concurrency=1).ask(map(question, range(3))))
    assert [a.status for a in answers] == ["answered", "answered", "failed"]
    assert "answers in an unknown form" in answers[2].detail


def test_tokens_are_whole(server: ModelServer) -> None:
    """As the table of answers has them."""
    server.answers = ["half a token"]
    answer = one(asks(GROQ))
    assert (answer.status, answer.output_tokens) == ("answered", 2 * OUTPUT_TOKENS)
    assert isinstance(answer.output_tokens, int)


@ALL
def test_an_answer_that_drips_comes_to_an_end(server: ModelServer, endpoint: Endpoint) -> None:
    server.answers = ["drip"]
    started = time.monotonic()
    assert one(asks(endpoint, timeout_s=0.5)).status == "answered"
    assert server.did == ["good", "drip", "good"]
    assert time.monotonic() - started < 10  # the whole answer would take longer


@ALL
def test_a_reply_without_end_is_broken_off_before_it_fills_the_memory(server: ModelServer, endpoint: Endpoint) -> None:
    server.answers = ["endless"]
    assert one(asks(endpoint, timeout_s=3)).status == "answered"
    assert server.did == ["good", "endless", "good"]
    assert calls.MOST_BYTES < server.sent < 20 * calls.MOST_BYTES, "as much as lies in buffers on the way"
    assert all(a.headers["accept-encoding"] == "identity" for a in server.asked)


def test_the_wait_that_a_provider_asks_for_is_kept_up_to_a_limit(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    wait_s = providers._wait_s
    monkeypatch.setattr(providers, "_wait_s", lambda state: waits.append(wait_s(state)) or waits[-1])
    monkeypatch.setattr(providers, "LONGEST_WAIT_S", 1.2)
    server.answers, server.retry_after_s = ["429", "429 after"], "1"
    assert one(asks(OPENAI)).status == "answered"
    assert waits[0] < 0.1
    assert 1 <= waits[1] < 1.1
    waits.clear()
    server.answers, server.retry_after_s = ["429 after"], "3600"
    assert one(asks(OPENAI)).status == "answered"
    assert waits == [1.2]


@ALL
def test_no_more_than_four_tries(server: ModelServer, endpoint: Endpoint) -> None:
    server.answers = ["good", *["503"] * 9]
    first, second = asks(endpoint, concurrency=1).ask([question(0), question(1)])
    assert (first.status, second.status) == ("answered", "failed")
    assert "failed with HTTP 503" in second.detail
    assert server.did[2:] == ["503"] * 4


@ALL
def test_a_rejected_question_fails_alone(server: ModelServer, endpoint: Endpoint) -> None:
    server.answers = ["good", "400", "good"]
    answers = list(asks(endpoint, concurrency=1).ask(map(question, range(3))))
    assert [a.status for a in answers] == ["answered", "failed", "answered"]
    assert "rejects the request with HTTP 400." in answers[1].detail
    assert len(server.questions) == 3


@ALL
@pytest.mark.parametrize(
    ("fault", "says"),
    [("401", "refuses the key"), ("403", "refuses the key"), ("404", "has no model"), ("redirect", "another address")],
)
def test_a_preflight_finds_out_before_a_picture_leaves(
    server: ModelServer, endpoint: Endpoint, fault: str, says: str
) -> None:
    server.preflights = [fault]
    with pytest.raises(Permanent, match=says):
        one(asks(endpoint))
    assert [a.is_preflight for a in server.asked] == [True]


def test_a_used_up_quota_is_permanent(server: ModelServer) -> None:
    server.preflights = ["quota"]
    with pytest.raises(Permanent, match="quota"):
        one(asks(OPENAI))
    assert len(server.asked) == 1


def test_nobody_there_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as gone:
        use(gone, monkeypatch)
    with pytest.raises(Transient, match="OpenAI cannot be reached"):
        one(asks(OPENAI))


def test_an_endpoint_that_ends_in_the_middle_fails_the_rest(server: ModelServer) -> None:
    server.answers, server.then = ["good", "401"], "401"
    answers = list(asks(OPENAI, concurrency=1).ask(map(question, range(5))))
    assert [a.status for a in answers] == ["answered"] + ["failed"] * 4
    assert all("OpenAI refuses the key." in a.detail for a in answers[1:])
    assert len(server.questions) == 2  # and asks no more


def test_an_endpoint_whose_answers_fail_in_a_row_is_out(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MOST_IN_VAIN", 2)
    server.answers, server.then = ["good"], "503"
    answers = list(asks(OPENAI, concurrency=1).ask(map(question, range(9))))
    assert [a.status for a in answers] == ["answered"] + ["failed"] * 8
    assert len(server.questions) == 1 + 2 * providers.TRIES


def test_with_nothing_answered_an_endpoint_that_is_out_raises(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "MOST_IN_VAIN", 2)
    server.then = "503"
    with pytest.raises(Transient, match="HTTP 503"):
        list(asks(OPENAI, concurrency=1).ask(map(question, range(9))))
    server.then = "400"
    with pytest.raises(Permanent, match="rejects"):
        list(asks(OPENAI, concurrency=1).ask(map(question, range(9))))


def test_a_fallback_stands_in_for_an_endpoint_that_is_out(server: ModelServer) -> None:
    server.preflights = ["401"]
    answerer = asks(OPENAI, CLAUDE)
    answers = list(answerer.ask(map(question, range(3))))
    assert {(a.status, a.provider, a.model) for a in answers} == {("answered", CLAUDE.provider, CLAUDE.model)}
    assert all(a.detail == "openai/gpt-4o: OpenAI refuses the key." for a in answers)
    assert {a.question_id for a in answers} == {answerer.question_ids(question(n))[1] for n in range(3)}
    assert sum(a.is_preflight for a in server.asked) == 2


def test_a_fallback_stands_in_for_a_single_question(server: ModelServer) -> None:
    server.answers = ["good", *["500"] * 4, "good", "good"]
    answers = list(asks(OPENAI, CLAUDE, concurrency=1).ask(map(question, range(3))))
    assert [a.provider for a in answers] == ["openai", "anthropic", "openai"]
    assert "HTTP 500" in answers[1].detail
    assert answers[2].detail == ""


def test_the_last_fallback_s_trouble_is_raised(server: ModelServer) -> None:
    server.preflights = ["401", "404"]
    with pytest.raises(Permanent, match="Anthropic has no model"):
        one(asks(OPENAI, CLAUDE))


@ALL
def test_a_malformed_reply_is_asked_for_once_more(server: ModelServer, endpoint: Endpoint) -> None:
    server.answers = ["prose"]
    again = one(asks(endpoint))
    assert (again.status, again.detail) == ("answered", "")
    assert again.cost_usd == pytest.approx(3 * USD)
    assert again.output_tokens == 3 * OUTPUT_TOKENS
    server.answers = ["prose", "prose"]
    twice = one(asks(endpoint))
    assert twice.status == "malformed"
    assert "no JSON object" in twice.detail
    assert twice.question_id
    assert twice.cost_usd == pytest.approx(3 * USD)
    assert len(server.questions) == 4


@ALL
@pytest.mark.parametrize(("fault", "says"), [("length", "cut short after 300 tokens"), ("filter", "content filter")])
def test_a_reply_that_was_stopped_is_not_asked_for_again(
    server: ModelServer, endpoint: Endpoint, fault: str, says: str
) -> None:
    server.answers = [fault]
    answer = one(asks(endpoint))
    assert answer.status == "malformed"
    assert says in answer.detail
    assert len(server.questions) == 1
    assert answer.cost_usd == pytest.approx(2 * USD)


def test_lies(server: ModelServer) -> None:
    """A brand that nobody has is for the catalogue to know; a confidence of 7 is in no form."""
    server.answers = ["unknown brand"]
    assert one(asks(OPENAI)).brand == "Zzyzx Holdings"
    server.answers = ["confidence 7", "confidence 7"]
    assert one(asks(OPENAI)).status == "malformed"


@ALL
@pytest.mark.parametrize("lie", ["zero usage", "absurd usage"])
def test_usage_that_cannot_be_counts_as_what_was_set_aside(
    server: ModelServer, tmp_path: Path, endpoint: Endpoint, lie: str
) -> None:
    server.answers, budget = [lie], spending(tmp_path, 1)
    answer = one(asks(endpoint, budget=budget))
    bound = PRICE.cost(input_token_bound(endpoint, PROMPT, question()), 300)
    assert answer.cost_usd == pytest.approx(USD + bound)
    assert (answer.status, answer.input_tokens) == ("answered", INPUT_TOKENS)  # the preflight's
    assert spent(budget) == pytest.approx(answer.cost_usd, abs=2 / MICRO)


def test_no_usage_at_all(server: ModelServer) -> None:
    server.answers = ["no usage"]
    assert one(asks(OPENAI)).cost_usd > USD


def test_a_call_that_costs_more_than_was_set_aside_is_settled_at_its_cost(server: ModelServer, tmp_path: Path) -> None:
    server.answers, budget = ["many tokens"], spending(tmp_path, 1)
    answer = one(asks(OPENAI, budget=budget))
    assert answer.cost_usd == pytest.approx(USD + PRICE.cost(INPUT_TOKENS, MANY_TOKENS))
    assert spent(budget) == pytest.approx(answer.cost_usd, abs=2 / MICRO)


@pytest.mark.parametrize(
    ("fault", "kept_aside"), [("429", False), ("500", False), ("no json", True), ("cut", True), ("slow", True)]
)
def test_what_may_have_been_billed_stays_set_aside(
    server: ModelServer, tmp_path: Path, fault: str, kept_aside: bool
) -> None:
    server.answers, server.slow_s, budget = [fault], 3, spending(tmp_path, 1)
    answer = one(asks(OPENAI, budget=budget, timeout_s=1.0))
    bound = PRICE.cost(input_token_bound(OPENAI, PROMPT, question()), 300)
    assert answer.cost_usd == pytest.approx(2 * USD)
    assert spent(budget) == pytest.approx(2 * USD + (bound if kept_aside else 0), abs=4 / MICRO)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_does_not_fit_is_put_off(server: ModelServer, tmp_path: Path, concurrency: int) -> None:
    """As long as a reservation fits, however many are under way."""
    bound = PRICE.cost(input_token_bound(OPENAI, PROMPT, question()), 300)
    budget = spending(tmp_path, 6 * USD + bound)  # preflight and 6 questions, and not quite the 7th
    answers = list(asks(OPENAI, budget=budget, concurrency=concurrency).ask(map(question, range(20))))
    statuses = [a.status for a in answers]
    assert sorted(statuses) == ["answered"] * 6 + ["deferred"] * 14
    assert all("budget of" in a.detail and a.cost_usd == 0 for a in answers if a.status == "deferred")
    assert len(server.questions) == 6
    assert spent(budget) == pytest.approx(7 * USD, abs=7 / MICRO)


class ForgetfulBudget:
    """Grants ``grants`` reservations, the preflight's among them, and does not learn what became of them."""

    def __init__(self, grants: int, refusal: BrandDetectError) -> None:
        self.grants, self.refusal = grants, refusal

    def reserve(self, usd: float) -> str:  # noqa: ARG002
        self.grants -= 1
        if self.grants < 0:
            raise self.refusal
        return str(self.grants)

    def charge(self, reservation: str, usd: float) -> None:  # noqa: ARG002
        raise Transient("The store did not answer.")


@pytest.mark.usefixtures("server")
def test_an_answer_whose_cost_cannot_be_noted_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    budget = ForgetfulBudget(3, OverBudget("No more."))
    answers = list(asks(OPENAI, budget=budget).ask(map(question, range(3))))
    assert sorted(a.status for a in answers) == ["answered", "answered", "deferred"]
    assert [r.getMessage() for r in caplog.records if r.name == providers.__name__] == [
        "The cost of a call was not noted: The store did not answer."
    ] * 3


def test_answers_under_way_arrive_before_a_fault_is_raised(server: ModelServer) -> None:
    server.then = "slow"
    answers = asks(OPENAI, budget=ForgetfulBudget(3, Transient("The store did not answer."))).ask(
        map(question, range(9))
    )
    assert {next(answers).brand, next(answers).brand} < {f"Brand {n}" for n in range(4)}
    with pytest.raises(Transient, match="The store did not answer"):
        next(answers)
    assert len(server.questions) == 2


def test_nothing_is_sent_without_money(server: ModelServer, tmp_path: Path) -> None:
    assert one(asks(OPENAI, budget=spending(tmp_path, 0))).status == "deferred"
    assert server.asked == []


def test_so_many_at_a_time_drawn_as_they_are_needed(server: ModelServer) -> None:
    server.then, server.slow_s = "slow", 0.2
    drawn: list[int] = []

    def questions() -> Iterator[Question]:
        for number in range(12):
            drawn.append(number)
            yield question(number)

    answers = asks(OPENAI, concurrency=3).ask(questions())
    first = next(answers)  # whichever that is
    assert len(drawn) <= 3
    assert {first.brand, *(a.brand for a in answers)} == {f"Brand {n}" for n in range(12)}
    assert server.most_at_once == 3


@pytest.mark.parametrize("way", ["close", "raise"])
def test_nothing_is_left_behind_when_the_caller_stops(server: ModelServer, way: str) -> None:
    before = set(threading.enumerate())
    server.answers, server.then, server.slow_s = ["good"], "slow", 20

    def questions() -> Iterator[Question]:
        yield from map(question, range(4))
        raise LookupError("no frame")

    started = time.monotonic()
    answers = asks(OPENAI, concurrency=4 if way == "close" else 8).ask(questions())
    if way == "close":
        next(answers)
        cast("Any", answers).close()
    else:
        with pytest.raises(LookupError):
            list(answers)
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 5
    while (left := [t for t in set(threading.enumerate()) - before if "process_request" not in t.name]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert left == []


def test_no_question_asks_nobody(server: ModelServer) -> None:
    assert list(asks(OPENAI).ask([])) == []
    assert server.asked == []


@ALL
def test_keys_and_pictures_are_nowhere(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, endpoint: Endpoint
) -> None:
    """Not even where everything is logged, and the provider sends them back."""
    key, picture = key_of(endpoint.provider), base64.b64encode(question().crops[0]).decode()
    echo = f"You sent {key} and {picture}, which is wrong."
    monkeypatch.setitem(model_server.ERRORS, "400", (400, "invalid_request_error", echo))
    caplog.set_level(logging.DEBUG)
    server.answers = ["good", "400"]
    good, bad = asks(endpoint, concurrency=1).ask([question(0), question(1)])
    assert "rejects the request with HTTP 400." in bad.detail
    for text in (str(good), str(bad), caplog.text):
        assert key not in text
        assert picture[:60] not in text
        assert "which is wrong" not in text
    server.preflights = ["400"]
    with pytest.raises(Permanent) as e:
        one(asks(endpoint))
    told = "".join(traceback.format_exception(e.value))
    assert key not in told
    assert picture[:60] not in told


@pytest.mark.usefixtures("server")
def test_libraries_that_are_told_to_log_requests_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """They read ANTHROPIC_LOG and its like when they are imported, with the first call."""
    make, logger = calls._client_and_model, logging.getLogger("anthropic")

    def imported(*args: Any) -> Any:
        logger.setLevel(logging.DEBUG)
        return make(*args)

    monkeypatch.setattr(calls, "_client_and_model", imported)
    assert one(asks(CLAUDE)).status == "answered"
    assert logger.level == logging.WARNING


def test_bounds_of_tokens() -> None:
    """Figures from the providers' documentation, for a picture of 1024 x 1024."""
    asked, blind = Question("c", "", (jpeg(1, (1024, 1024)),)), Question("c", "", ())

    def of_picture(provider: str, model: str) -> tuple[int, int]:
        endpoint = Endpoint(provider, model, "", PRICE)
        counts = [
            count(endpoint, PROMPT, q) for count in (input_token_bound, input_token_estimate) for q in (asked, blind)
        ]
        assert counts[0] > counts[2]
        assert counts[1] > counts[3] + FRAMING_TOKENS
        return counts[0] - counts[1], counts[2] - counts[3]

    slack = 8  # its words differ by a few letters
    for provider, model, bound, estimate in [
        ("openai", "gpt-4o", 2520, 765),
        ("openai", "gpt-4o-mini", 25501, 25501),
        ("anthropic", "claude-haiku-4-5", 1399, 1399),
        ("google", "gemini-2.5-flash", 1120, 1120),
        ("groq", "meta-llama/llama-4-scout-17b-16e-instruct", 6404, 1369),
    ]:
        got = of_picture(provider, model)
        assert got == (pytest.approx(bound, abs=slack), pytest.approx(estimate, abs=slack)), provider


FAULTS = ["429", "429 after", "500", "503", "400", "no json", "cut", "slow", "prose", "length", "zero usage", "401"]


class Drawn:
    """Pictures of clusters that are numbered."""

    def question(self, cluster: Cluster) -> Question:
        return question(int(cluster.cluster_id[1:]))


def campaign(seed: int, folder: Path, passes: int) -> dict[str, float]:
    """Sixty questions to two endpoints that fail at random, in passes that may each spend little or break off.

    The last pass is a calm one. All share a store; what each pass does is checked as it goes. Each pass has a server of
    its own: a request that the client gave up may be read late, and must not count in the next pass.
    """
    chance, store, pictures = random.Random(seed), Store(str(folder)), cast("Pictures", Drawn())
    memory = Answers(store.blobs)
    clusters = [Cluster(**p.cluster(n, "", p.region(n, "t"), cluster_id=f"c{n}")) for n in range(60)]
    settled: set[str] = set()
    n_requests, n_questions, billed_usd = 0, 0, 0.0
    allowed_usd, deferred, fullest = 0.0, 0, 0.0
    for last in [False] * (passes - 1) + [True]:
        replies = [] if last else chance.choices(["good", *FAULTS], [60, *[4] * (len(FAULTS) - 1), 0.3], k=400)
        preflights = [] if last else chance.choices(["good", "503", "401"], [8, 1, 1], k=20)
        stops_after = 60 if last else chance.choice([10, 30, 60])
        run_usd = 5.0 if last else chance.uniform(0.02, 0.08)
        budget = Spending(store.blobs, run_usd, 1000)
        before_usd, known = spent(budget), set(settled)
        answerer = asks(OPENAI, CLAUDE, budget=budget, concurrency=chance.choice([1, 4, 9]), timeout_s=0.4)
        ended: list[str] = []
        with pytest.MonkeyPatch.context() as patch, serving() as server:
            use(server, patch)
            server.answers, server.preflights, server.slow_s, server.retry_after_s = replies, preflights, 1.0, "0"
            coming = cast("Any", _answers(clusters, pictures, answerer, memory))
            try:
                for answer in coming:
                    ended.append(answer.cluster_id)
                    assert answer.remembered == (answer.cluster_id in known)
                    assert answer.status != "answered" or answer.brand == f"Brand {answer.cluster_id[1:]}"
                    deferred += answer.status == "deferred"
                    if answer.status in ("answered", "malformed"):
                        settled.add(answer.cluster_id)
                    if len(ended) == stops_after:
                        break
                assert len(ended) == len(set(ended)) == stops_after
            except (Permanent, Transient):
                assert not settled & set(ended) - known
            finally:
                coming.close()
        pass_usd, counted_usd = sum(PRICE.cost(*usage) for usage in server.billed), spent(budget) - before_usd
        assert pass_usd <= counted_usd + 1e-9
        assert counted_usd <= run_usd + 1e-9
        fullest = max(fullest, counted_usd / run_usd)
        assert not {f"c{a.brand[6:]}" for a in server.questions} & known
        allowed_usd, billed_usd = allowed_usd + run_usd, billed_usd + pass_usd
        n_requests, n_questions = n_requests + len(server.asked), n_questions + len(server.questions)
    assert settled == {c.cluster_id for c in clusters}
    budget = Spending(store.blobs, 1, 1000)
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        use(server, patch)
        final = list(_answers(clusters, pictures, asks(OPENAI, CLAUDE, budget=budget), memory))
    assert server.asked == []
    assert all(a.remembered for a in final)
    return {
        "requests": n_requests,
        "more than questions": n_questions - 60,
        "billed_usd": round(billed_usd, 4),
        "counted_usd": spent(budget),
        "allowed_usd": round(allowed_usd, 4),
        "fullest": round(fullest, 3),
        "deferred": deferred,
        "in answers_usd": round(sum(a.cost_usd for a in final), 4),
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_campaign(tmp_path: Path, seed: int) -> None:
    """Nothing is lost, nothing is asked twice, and no more is billed than was allowed."""
    figures = campaign(seed, tmp_path, passes=4)
    print(figures)
    assert figures["more than questions"] > 10
    assert figures["deferred"] > 10
    assert figures["fullest"] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 30))
def test_long_campaign(tmp_path: Path, seed: int) -> None:
    print(campaign(seed, tmp_path, passes=8))
