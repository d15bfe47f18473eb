"""Vision-language models that transformers' Auto classes load, by model id or local folder."""

from collections.abc import Iterable, Iterator, Sequence

from brand_detect.domain.protocols import Answer, Question
from brand_detect.engines.prompts import Prompt


class TransformersAnswerer:
    """The ``Answerer`` of a pretrained image-text-to-text model. Nothing is fetched at run time."""

    provider = "transformers"

    def __init__(self, model: str, prompt: Prompt, *, max_output_tokens: int, batch_size: int) -> None:
        self.model, self._prompt = model, prompt
        self.prompt_version = prompt.version
        self._max_output_tokens, self._batch_size = max_output_tokens, batch_size

    def question_ids(self, question: Question) -> Sequence[str]:
        raise NotImplementedError

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        raise NotImplementedError
