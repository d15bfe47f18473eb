"""Measures how fast a vision-language model loads and answers on this machine, one by one and in batches.

Speed does not depend on the weights: without a model, one with SmolVLM's architecture and random
weights is created.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brand_detect.domain.protocols import Question
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.model_files import any_folder
from brand_detect.engines.pretrained import best_device
from brand_detect.engines.prompts import load_prompt
from brand_detect.engines.vlm import TransformersAnswerer, best_precision
from brand_detect.evaluation.benchmarks.common import Section

CROP_PX, SCENE_PX = 384, 768

CHAT = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Shortened form of the chat template in SmolVLM's checkpoints."""


@dataclass(frozen=True)
class Tower:
    """The sizes of a transformer."""

    width: int
    inner: int
    layers: int
    heads: int

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of a transformers configuration, with the spread of random weights."""
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        sizes = dict(zip(names, (self.width, self.inner, self.layers, self.heads), strict=True))
        # with the usual 0.02 a tiny network attends only to the last word
        return {**sizes, "initializer_range": self.width**-0.5}


@dataclass(frozen=True)
class Architecture:
    """The sizes of a SmolVLM-like model. A picture is one square of ``image_px``."""

    vision: Tower
    language: Tower
    kv_heads: int
    words: int  # vocabulary size
    image_px: int
    patch_px: int
    shuffle: int  # ``shuffle``² patches become one token

    @property
    def picture_tokens(self) -> int:
        return (self.image_px // self.patch_px // self.shuffle) ** 2


SIZES = {  # as the configurations of SmolVLM-256M-Instruct, SmolVLM-500M-Instruct and SmolVLM-Instruct
    "256m": Architecture(Tower(768, 3072, 12, 12), Tower(576, 1536, 30, 9), 3, 49280, 512, 16, 4),
    "500m": Architecture(Tower(768, 3072, 12, 12), Tower(960, 2560, 32, 15), 5, 49280, 512, 16, 4),
    "2b": Architecture(Tower(1152, 4304, 27, 16), Tower(2048, 8192, 24, 32), 32, 49280, 384, 14, 3),
}


def bench_vlm(model: str, *, questions: int, max_output_tokens: int, batches: Sequence[int]) -> Section:
    """Questions that ``model`` answers per minute at each batch size, and the seconds that loading it takes.

    Args:
        model: a folder, or the id of a model in the Hugging Face cache.
        questions: number of questions, each with one crop and a scene.
        batches: batch sizes; the first is the baseline.
    """
    asked = [_question(n) for n in range(questions)]
    rows, answers = [], []
    for batch in batches:
        answerer = TransformersAnswerer(
            model, any_folder, load_prompt("default"), max_output_tokens=max_output_tokens, batch_size=batch
        )
        answerer.question_ids(asked[0])  # reads the folder, which does not count as loading
        start = time.perf_counter()
        answers = list(answerer.ask(asked))
        answering_s = sum(answer.latency_s for answer in answers)
        loading_s = time.perf_counter() - start - answering_s
        rows.append((str(batch), 60 * questions / answering_s, answering_s / questions, loading_s))
    read, written = (sum(getattr(a, f"{way}_tokens") for a in answers) / questions for way in ("input", "output"))
    first = rows[0][1]
    return Section(
        f"{model} on {best_device()} in {best_precision()}: {questions} questions of {read:.0f} tokens, "
        f"replies of {written:.0f}",
        ("at once", "questions / min", "s / question", "loading s", f"x of {batches[0]} at once"),
        [(*row, row[1] / first) for row in rows],
    )


def random_model(folder: Path, size: Architecture) -> Path:
    """Create a checkpoint with random weights in ``folder``, once, with the layout of a downloaded one.

    Weights are stored in bfloat16, as SmolVLM's are.
    """
    import torch
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    if (folder / "model.safetensors").is_file():
        return folder
    marks = ["<end_of_utterance>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>", "<global-img>"]
    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokenizer = byte_tokenizer([*marks, *places], eos_token=marks[0], bos_token=marks[1], pad_token=marks[2])
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = config_of(size, ids, max(size.words, len(tokenizer)), tokenizer.convert_tokens_to_ids("<image>"))
    torch.manual_seed(0)
    network: Any = Idefics3ForConditionalGeneration(config)
    network.to(torch.bfloat16).save_pretrained(folder)
    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": size.image_px}, max_image_size={"longest_edge": size.image_px}, do_image_splitting=False
    )
    Idefics3Processor(pictures, tokenizer, image_seq_len=size.picture_tokens, chat_template=CHAT).save_pretrained(
        folder
    )
    return folder


def config_of(size: Architecture, ids: Mapping[str, int], words: int, image_token: int) -> Any:
    """The transformers configuration for ``size``; ``ids`` are the special tokens' ids by role."""
    import transformers

    config: Any = transformers.Idefics3Config
    language = {**size.language.sizes, **ids, "num_key_value_heads": size.kv_heads, "vocab_size": words}
    return config(
        text_config={**language, "max_position_embeddings": 8192},
        vision_config={**size.vision.sizes, "image_size": size.image_px, "patch_size": size.patch_px},
        scale_factor=size.shuffle,
        image_token_id=image_token,
        pad_token_id=ids.get("pad_token_id"),
    )


def byte_tokenizer(special: Sequence[str], **roles: str) -> Any:
    """A tokenizer for any text, trained on the default prompt to need as few tokens as a real one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([load_prompt("default").instructions], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def _question(n: int) -> Question:
    random, codec = np.random.default_rng(n), OpenCvCodec()
    crop, scene = (
        codec.encode(random.integers(0, 256, (side * 9 // 16, side, 3), np.uint8), 90, 0)
        for side in (CROP_PX, SCENE_PX)
    )
    return Question(str(n), f"reading {n}", (crop,), scene, ("Acme", "Umbrella"))
