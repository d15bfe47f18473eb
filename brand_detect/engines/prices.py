"""Prices of providers' models, from the list in the package genai-prices."""

from dataclasses import dataclass

MTOK = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million input and output tokens."""

    input_usd: float
    output_usd: float

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Cost of one call, in USD."""
        return (self.input_usd * input_tokens + self.output_usd * output_tokens) / MTOK


def listed_price(provider: str, model: str) -> Price | None:
    """List price of a provider's model, for short calls at the standard tier; None if unlisted."""
    from genai_prices import Usage, calc_price

    try:
        given, answered = (
            float(calc_price(usage, model_ref=model, provider_id=provider).total_price)
            for usage in (Usage(input_tokens=1000, output_tokens=0), Usage(input_tokens=0, output_tokens=1000))
        )
    except LookupError:
        return None
    return Price(given * 1000, answered * 1000)
