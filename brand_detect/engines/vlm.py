"""Local vision-language models that transformers' Auto classes load (SmolVLM, Qwen-VL and the like)."""

import gc
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Any

from brand_detect.domain.answers import read_reply
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Question
from brand_detect.engines.model_files import ModelFolder
from brand_detect.engines.pretrained import Pretrained, best_device, failures_of, load_pretrained
from brand_detect.engines.prompts import Prompt, question_id

WHAT = "vision-language model"


class TransformersAnswerer:
    """The ``Answerer`` of a pretrained image-text-to-text model. Downloads nothing.

    The model is loaded at the first question and freed after the last. Decoding is greedy, so that answers are
    reproducible.

    Args:
        model: the model's name.
        find: resolves the name to a folder, at the first question.
        batch_size: questions answered at once; halved while GPU memory is short.

    Raises, at the first question:
        BadInput: the name points outside the model roots.
        Permanent: the model is not on this machine, is not a vision-language model, may not be loaded, lacks weights or
            a chat template, or does not fit into the memory of the GPU.
    """

    provider = "transformers"

    def __init__(
        self,
        model: str,
        find: Callable[[str], ModelFolder],
        prompt: Prompt,
        *,
        max_output_tokens: int,
        batch_size: int,
    ) -> None:
        self.model, self._find, self._prompt = model, find, prompt
        self.prompt_version = prompt.version
        self._max_output_tokens, self._batch_size = max_output_tokens, batch_size

    def question_ids(self, question: Question) -> Sequence[str]:
        return [question_id(self._identity, self._prompt, question)]

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:
        drawn, size = iter(questions), self._batch_size
        waiting = list(islice(drawn, size))
        if not waiting:
            return
        loaded = _load(self._folder, self._precision)
        try:
            with failures_of(self._folder, WHAT):
                instructed = _takes_instructions(loaded.processor, self._folder, self._prompt.instructions)
            while waiting:
                answers = self._answers(loaded, waiting[:size], instructed)
                if answers is None:
                    size = self._less(size)
                    continue
                yield from answers
                waiting = waiting[size:]
                waiting += islice(drawn, max(0, size - len(waiting)))
        finally:
            del loaded
            _free()

    @cached_property
    def _folder(self) -> ModelFolder:
        return self._find(self.model)

    @cached_property
    def _precision(self) -> str:
        return best_precision()

    @cached_property
    def _identity(self) -> list[str]:
        """Everything but the question that determines the answer; location and hardware do not."""
        return [self.provider, self._folder.revision, self._precision, str(self._max_output_tokens)]

    def _answers(self, loaded: Pretrained, questions: Sequence[Question], instructed: bool) -> list[Answer] | None:
        """One answer per question; None if GPU memory is short."""
        import torch

        asked_at, start = datetime.now(UTC), time.perf_counter()
        chats = [self._chat(question, loaded.processor.tokenizer, instructed) for question in questions]
        try:
            with failures_of(self._folder, WHAT):
                replies = _replies(loaded, chats, self._max_output_tokens)
        except torch.OutOfMemoryError:
            return None
        seconds = (time.perf_counter() - start) / len(questions)
        return [
            self._answer(question, *reply, seconds, asked_at.isoformat(timespec="seconds"))
            for question, reply in zip(questions, replies, strict=True)
        ]

    def _answer(self, question: Question, reply: str, n_in: int, n_out: int, seconds: float, asked_at: str) -> Answer:
        answer = Answer(
            question.cluster_id,
            AnswerStatus.malformed,
            input_tokens=n_in,
            output_tokens=n_out,
            latency_s=seconds,
            provider=self.provider,
            model=self.model,
            prompt_version=self.prompt_version,
            question_id=self.question_ids(question)[0],
            asked_at=asked_at,
        )
        try:
            read = read_reply(reply)
        except ValueError as e:
            return replace(answer, detail=str(e))
        return replace(
            answer,
            status=read.status,
            brand=read.name,
            confidence=read.confidence,
            logo_type=read.logo_type,
            placement=read.placement,
            reasoning=read.reasoning,
        )

    def _chat(self, question: Question, tokenizer: Any, instructed: bool) -> list[dict[str, Any]]:
        pictures = [_picture(data) for data in (*question.crops, question.scene) if data]
        return _conversation(
            self._prompt.instructions, pictures, _defused(self._prompt.words(question), tokenizer), instructed
        )

    def _less(self, size: int) -> int:
        """The next smaller batch size; frees the memory of the last batch."""
        if size == 1:
            raise Permanent(
                f"The memory of the GPU does not suffice for one question to {self.model}.",
                "use a smaller model, lower max_crops or scene_px, or stop other programs on the GPU",
            )
        _free()
        return size // 2


def _load(model: ModelFolder, precision: str) -> Pretrained:
    """Loads the model and its processor, ready for batches.

    Raises:
        Permanent: as ``load_pretrained``, or the checkpoint lacks weights.
    """
    loaded = load_pretrained(
        model,
        WHAT,
        processor="AutoProcessor",
        network="AutoModelForImageTextToText",
        precision=precision,
        backend="pil",
    )
    if loaded.missing:
        raise Permanent(
            f"The model {model.name} lacks {len(loaded.missing)} of its weights.", f"{min(loaded.missing)}, for one"
        )
    with failures_of(model, WHAT):
        tokenizer = loaded.processor.tokenizer
    tokenizer.padding_side = "left"  # replies must follow their questions directly
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded


def best_precision() -> str:
    """The fastest suitable precision on this machine.

    bfloat16, in which such models are trained, on GPUs and CPUs that support it; float16 on other CUDA GPUs; elsewhere
    float32. On a Xeon with AMX, bfloat16 takes 0.28 of float32's time to encode pictures and the question, and the same
    time per token of the reply (SmolVLM-256M's architecture, one thread).
    """
    import torch

    if best_device() == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    able = torch.cpu.get_capabilities()
    quick = best_device() == "cpu" and (able.get("amx_bf16") or able.get("avx512_bf16"))
    return "bfloat16" if quick else "float32"


def _replies(
    loaded: Pretrained, chats: Sequence[list[dict[str, Any]]], max_output_tokens: int
) -> list[tuple[str, int, int]]:
    """The reply to each chat, with the number of input and output tokens, without padding."""
    import torch

    model, processor = loaded.model, loaded.processor
    inputs = processor.apply_chat_template(
        list(chats),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    ).to(loaded.device, model.dtype)
    with torch.inference_mode():
        rows = model.generate(
            **inputs,
            max_new_tokens=max_output_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,  # some checkpoints set one, which would penalise the form's words in the question
        )
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    replies = []
    for row, mask in zip(rows[:, inputs["input_ids"].shape[1] :].tolist(), inputs["attention_mask"], strict=True):
        n_out = next((n for n, token in enumerate(row, 1) if token in ends), len(row))
        text = processor.tokenizer.decode(row[:n_out], skip_special_tokens=True)
        replies.append((text, int(mask.sum()), n_out))
    return replies


def _conversation(instructions: str, pictures: Sequence[Any], words: str, instructed: bool) -> list[dict[str, Any]]:
    """A question in the form for chat templates; ``instructed`` puts the instructions into a system turn."""
    system = {"type": "text", "text": instructions}
    asked = [*({"type": "image", "image": picture} for picture in pictures), {"type": "text", "text": words}]
    if instructed:
        return [{"role": "system", "content": [system]}, {"role": "user", "content": asked}]
    return [{"role": "user", "content": [system, *asked]}]


def _takes_instructions(processor: Any, model: ModelFolder, instructions: str) -> bool:
    """Whether the model's chat template supports a system turn; some reject it, some drop it silently.

    Raises:
        Permanent: the model has no chat template, or one that drops the instructions.
    """
    from jinja2 import TemplateError

    if not getattr(processor, "chat_template", None):
        raise Permanent(
            f"The model {model.name} has no chat template.", "use one that was trained to follow instructions"
        )
    for instructed in (True, False):
        try:
            chat = _conversation(instructions, [""], "?", instructed)
            if instructions in processor.apply_chat_template(chat, add_generation_prompt=True):
                return instructed
        except (TemplateError, TypeError):
            continue
    raise Permanent(
        f"The chat template of the model {model.name} does not support pictures with text.", "use another model"
    )


def _defused(words: str, tokenizer: Any) -> str:
    """Breaks the model's control tokens in ``words`` with a space: readings may contain them."""
    tokens = sorted((t for t in tokenizer.get_added_vocab() if len(t) > 1 and not t.isspace()), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, tokens)), lambda m: f"{m[0][0]} {m[0][1:]}", words) if tokens else words


def _picture(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


def _free() -> None:
    """Frees unreferenced memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
