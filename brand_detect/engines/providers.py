"""Vision-language models behind providers' APIs and servers that speak OpenAI's protocol."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from brand_detect.domain.protocols import Answer, Budget, Question
from brand_detect.engines.prices import Price
from brand_detect.engines.prompts import Prompt, question_id


@dataclass(frozen=True)
class Endpoint:
    """A model that can be called: ``provider`` is openai, anthropic, google, groq or openai_compatible."""

    provider: str
    model: str
    base_url: str  # of openai_compatible alone
    price: Price


class ProviderAnswerer:
    """The ``Answerer`` over one or several endpoints: the first that can answers."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        prompt: Prompt,
        *,
        max_output_tokens: int,
        concurrency: int,
        timeout_s: float,
        budget: Budget | None,
    ) -> None:
        self._endpoints, self._prompt = tuple(endpoints), prompt
        self.provider, self.model = endpoints[0].provider, endpoints[0].model
        self.prompt_version = prompt.version
        self._max_output_tokens, self._concurrency, self._timeout_s = max_output_tokens, concurrency, timeout_s
        self._budget = budget

    def question_ids(self, question: Question) -> Sequence[str]:
        return [
            question_id([e.provider, e.model, e.base_url, str(self._max_output_tokens)], self._prompt, question)
            for e in self._endpoints
        ]

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        raise NotImplementedError
