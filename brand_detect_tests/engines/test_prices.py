import pytest

from brand_detect.domain.contracts.escalate_cloud import CloudProvider
from brand_detect.engines.prices import Price, listed_price


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-0"),
        ("google", "gemini-2.5-flash"),
        ("groq", "llama-3.1-8b-instant"),
    ],
)
def test_the_list_has_the_providers_models(provider: str, model: str):
    assert CloudProvider(provider)
    price = listed_price(provider, model)
    assert price is not None
    assert 0.01 < price.input_usd <= price.output_usd < 200, "USD for a million tokens"


def test_a_listed_price_is_the_one_that_the_provider_publishes():
    price = listed_price("openai", "gpt-4o-mini")
    assert price is not None
    assert (price.input_usd, price.output_usd) == pytest.approx((0.15, 0.60))


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "no-such-model"), ("nobody", "gpt-4o-mini"), ("groq", "gpt-4o-mini"), ("openai_compatible", "llava")],
)
def test_what_the_list_lacks_has_no_price(provider: str, model: str):
    assert listed_price(provider, model) is None


def test_a_call_costs_its_tokens():
    assert Price(2.0, 10.0).cost(1_000_000, 0) == 2.0
    assert Price(2.0, 10.0).cost(500, 100) == pytest.approx(0.002)
    assert Price(0.0, 0.0).cost(10**9, 10**9) == 0.0
