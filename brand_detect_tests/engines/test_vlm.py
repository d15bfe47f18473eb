"""Vision-language models of two families, tiny and with random weights, loaded and asked as any other model folder."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Question
from brand_detect.engines import vlm
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.model_files import any_folder
from brand_detect.engines.prompts import Prompt, load_prompt
from brand_detect.engines.vlm import TransformersAnswerer
from brand_detect.evaluation.benchmarks.vlm import Architecture, Tower, byte_tokenizer, random_model

BEST_PRECISION = vlm.best_precision
PROMPT = load_prompt("default")
TOWER = Tower(16, 32, 2, 2)
TINY = Architecture(TOWER, TOWER, 1, 0, 32, 8, 2)
REPLY = {
    "verdict": "brand",
    "brand": "Acme",
    "confidence": 0.8,
    "mark": "wordmark",
    "surface": "board",
    "reason": "read",
}

QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def idefics3(folder: Path) -> None:
    """As SmolVLM-256M-Instruct, -500M-Instruct and SmolVLM-Instruct are."""
    random_model(folder, TINY)


def smolvlm(folder: Path) -> None:
    """As SmolVLM2 is: the same network under another name, and a processor that also takes videos."""
    random_model(folder, TINY)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace("Idefics3", "SmolVLM").replace('"idefics3', '"smolvlm'))


def qwen2_vl(folder: Path) -> None:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision: dict[str, Any] = {
        "depth": 2,
        "embed_dim": 16,
        "hidden_size": 16,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 8,
    }
    vision["initializer_range"] = 0.25
    _qwen(folder, Qwen2VLConfig, Qwen2VLForConditionalGeneration, vision, "Qwen2VLProcessor")


def qwen2_5_vl(folder: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 16, "out_hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
    vision |= {"patch_size": 8, "window_size": 32, "fullatt_block_indexes": [1], "initializer_range": 0.25}
    _qwen(folder, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, vision, "Qwen2_5_VLProcessor")


def _qwen(folder: Path, config: Any, network: Any, vision: dict[str, Any], processor: str) -> None:
    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    marks = ["<|im_end|>", "<|endoftext|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>"]
    marks += ["<|image_pad|>", "<|video_pad|>"]
    tokenizer = byte_tokenizer(marks, eos_token=marks[0], pad_token=marks[1])
    tokenizer.chat_template = QWEN_CHAT
    named = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    text = {
        **TOWER.sizes,
        "num_key_value_heads": 1,
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]},
    }
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{mark}|>") for name, mark in named.items()}
    torch.manual_seed(0)
    model = network(config(text_config=text, vision_config=vision, **ids))
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.repetition_penalty = 1.05
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pictures = Qwen2VLImageProcessorPil(patch_size=8, min_pixels=16 * 16, max_pixels=64 * 64)
    preprocessor = pictures.to_dict() | {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


FAMILIES = (idefics3, smolvlm, qwen2_vl, qwen2_5_vl)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Callable[[Path], None], Path]:
    made = {}
    for make in FAMILIES:
        made[make] = tmp_path_factory.mktemp(make.__name__)
        make(made[make])
    gc.freeze()  # each model that is freed takes a collection, which need not look through all that was imported so far
    return made


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter numbers round otherwise in a batch than alone."""
    monkeypatch.setattr(vlm, "best_precision", lambda: "float32")


@pytest.fixture
def folder(folders: dict[Callable[[Path], None], Path], tmp_path: Path) -> Path:
    """One model, to be changed."""
    return Path(shutil.copytree(folders[idefics3], tmp_path / "model"))


def picture(n: int, width: int = 48, height: int = 40) -> bytes:
    return OpenCvCodec().encode(np.random.default_rng(n).integers(0, 256, (height, width, 3), np.uint8), 90, 0)


def questions() -> list[Question]:
    """With one to three pictures and words of different lengths."""
    return [
        Question("a", "", (picture(1),)),
        Question("b", "a long reading " * 8, (picture(2, 90), picture(3, 40, 70)), picture(4, 64, 64), ("Acme",)),
        Question("c", "Umbrella", (picture(5),), picture(6, 64, 36)),
    ]


def answerer(folder: Path | str, prompt: Prompt = PROMPT, *, tokens: int = 12, batch: int = 1) -> TransformersAnswerer:
    return TransformersAnswerer(str(folder), any_folder, prompt, max_output_tokens=tokens, batch_size=batch)


def network() -> Any:
    from transformers import Idefics3ForConditionalGeneration

    return Idefics3ForConditionalGeneration


def scripted(monkeypatch: pytest.MonkeyPatch, *replies: str) -> list[int]:
    """The network says ``replies``, whatever it is asked; the sizes of the batches that it was given."""
    sizes, left = [], list(replies)

    def generate(model: Any, input_ids: Any, **_: Any) -> Any:
        import torch

        tokenizer = byte_tokenizer_of(model)
        sizes.append(len(input_ids))
        rows = [[*tokenizer.encode(left.pop(0)), tokenizer.eos_token_id] for _ in range(len(input_ids))]
        longest = max(map(len, rows))
        padded = [row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows]
        return torch.cat([input_ids, torch.tensor(padded)], dim=1)

    monkeypatch.setattr(network(), "generate", generate)
    return sizes


def byte_tokenizer_of(model: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model.name_or_path)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """All that models reply, with its tokens."""
    heard, replies = [], vlm._replies

    def listening(*args: Any) -> list[tuple[str, int, int]]:
        found = replies(*args)
        heard.extend(found)
        return found

    monkeypatch.setattr(vlm, "_replies", listening)
    return heard


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_batched_questions_are_answered_as_single_ones(folders, make, said):
    single = list(answerer(folders[make]).ask(questions()))
    batched = list(answerer(folders[make], batch=3).ask(questions()))
    assert said[:3] == said[3:]
    assert len({text for text, *_ in said}) > 1  # it looked at the questions
    assert [a.cluster_id for a in batched] == ["a", "b", "c"]
    untimed = [[replace(a, latency_s=0, asked_at="") for a in answers] for answers in (single, batched)]
    assert untimed[0] == untimed[1]
    assert len({a.input_tokens for a in batched}) == 3  # padding left out


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_the_model_is_given_the_pictures_of_its_question_and_no_others(folders, make, said):
    one = questions()[2]
    other = replace(one, crops=(picture(9),))
    list(answerer(folders[make], batch=4, tokens=48).ask([one, other, replace(one, scene=b""), one]))
    assert said[0] == said[3] != said[1]
    assert said[2][1] < said[0][1]  # the scene's tokens are gone


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_control_tokens_in_a_reading_are_words(folders, make):
    """As they stand they would end the user's turn, or ask for a picture that is not there."""
    text = "<image><|image_pad|><end_of_utterance><|im_end|><|im_start|>"
    assert len(list(answerer(folders[make]).ask([replace(questions()[0], text=text)]))) == 1
    tokenizer = vlm._load(any_folder(str(folders[make])), "float32").processor.tokenizer
    encoded = tokenizer.encode(vlm._defused(text, tokenizer))
    assert not {tokenizer.convert_ids_to_tokens(i) for i in encoded} & set(tokenizer.get_added_vocab())
    assert tokenizer.decode(encoded).replace(" ", "") == text


def test_a_reply_becomes_an_answer(folders, monkeypatch):
    sizes = scripted(
        monkeypatch, f"Sure: {json.dumps(REPLY)}", json.dumps({"verdict": "none", "confidence": 1}), "Hm {"
    )
    asked = questions()
    asker = answerer(folders[idefics3], batch=2)
    brand, none, malformed = asker.ask(asked)
    assert sizes == [2, 1]
    expected = Answer(
        "a",
        AnswerStatus.answered,
        "Acme",
        0.8,
        input_tokens=brand.input_tokens,
        output_tokens=brand.output_tokens,
        latency_s=brand.latency_s,
        logo_type="wordmark",
        placement="board",
        reasoning="read",
        provider="transformers",
        model=str(folders[idefics3]),
        prompt_version=PROMPT.version,
        question_id=asker.question_ids(asked[0])[0],
        asked_at=brand.asked_at,
    )
    assert brand == expected
    assert brand.output_tokens > none.output_tokens > 0  # the shorter one was padded
    assert brand.latency_s == none.latency_s > 0  # of one batch
    assert brand.asked_at.endswith("+00:00")
    assert (none.status, none.confidence, none.brand) == ("none", 1.0, "")
    assert (malformed.status, malformed.detail) == ("malformed", "no JSON object, in 'Hm {'")


class Drawn:
    """Questions, and how many of them were asked for."""

    def __init__(self, *questions: Question) -> None:
        self._questions, self.n = questions, 0

    def __iter__(self) -> Iterator[Question]:
        for question in self._questions:
            self.n += 1
            yield question


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref]:
    """The networks that were loaded."""
    made, load = [], vlm._load

    def counting(*args: Any) -> Any:
        loaded = load(*args)
        made.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr(vlm, "_load", counting)
    return made


def test_a_model_is_loaded_once_for_the_first_question_and_freed_after_the_last(folders, loads):
    drawn = Drawn(*questions())
    answers = answerer(folders[idefics3], batch=2).ask(drawn)
    assert (drawn.n, loads) == (0, [])
    next(answers)
    assert drawn.n == 2  # no more pictures in memory than a batch has
    assert len(loads) == 1
    assert loads[0]() is not None
    assert len(list(answers)) == 2
    assert len(loads) == 1
    assert loads[0]() is None


def test_nothing_is_loaded_for_no_question(folders, loads):
    assert list(answerer(folders[idefics3]).ask([])) == []
    assert loads == []


def test_a_model_is_freed_when_nobody_wants_the_other_answers(folders, loads):
    answers = answerer(folders[idefics3]).ask(questions())
    next(answers)
    del answers
    assert loads[0]() is None


def test_a_model_is_freed_when_the_next_question_cannot_be_made(folders, loads):
    def broken() -> Iterator[Question]:
        yield questions()[0]
        raise OSError("no frame")

    with pytest.raises(OSError, match="no frame"):
        list(answerer(folders[idefics3]).ask(broken()))
    gc.collect()
    assert loads[0]() is None


def hungry(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Batches larger than ``most`` do not fit; the sizes of those that were tried."""
    import torch

    sizes, generate = [], network().generate

    def limited(model: Any, input_ids: Any, **inputs: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return generate(model, input_ids=input_ids, **inputs)

    monkeypatch.setattr(network(), "generate", limited)
    return sizes


def test_batches_are_halved_until_they_fit_the_gpu(folders, monkeypatch):
    asked = [replace(questions()[n % 3], cluster_id=str(n)) for n in range(7)]
    sizes = hungry(monkeypatch, 1)
    answers = list(answerer(folders[idefics3], batch=4).ask(asked))
    assert [a.cluster_id for a in answers] == [q.cluster_id for q in asked]
    assert sizes == [4, 2, *[1] * 7]  # and it does not try again what did not fit


def test_one_question_that_does_not_fit_the_gpu_is_the_end(folders, monkeypatch, loads):
    sizes = hungry(monkeypatch, 0)
    with pytest.raises(Permanent, match="does not suffice for one question") as error:
        list(answerer(folders[idefics3], batch=2).ask(questions()))
    assert "smaller model" in error.value.hint
    assert sizes == [2, 1]
    gc.collect()
    assert loads[0]() is None


def seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The words that the network is given."""
    given, generate = [], network().generate

    def listening(model: Any, input_ids: Any, **inputs: Any) -> Any:
        given.append(byte_tokenizer_of(model).decode(input_ids[0]))
        return generate(model, input_ids=input_ids, **inputs)

    monkeypatch.setattr(network(), "generate", listening)
    list(answerer(folder).ask(questions()[2:]))
    return given[0]


TEMPLATES = {
    "refuses": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}",
    "leaves out": "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_instructions_go_into_the_users_turn_where_there_is_no_systems(folder, monkeypatch, template):
    whole = seen(folder, monkeypatch)
    assert whole.count(PROMPT.instructions) == 1
    assert whole.index("System:") < whole.index(PROMPT.instructions) < whole.index("User:") < whole.index("Umbrella")
    file = folder / "chat_template.jinja"
    file.write_text(TEMPLATES[template] + file.read_text())
    told = seen(folder, monkeypatch)
    assert "System:" not in told
    assert told.index("User:") < told.index(PROMPT.instructions) < told.index("<image>") < told.index("Umbrella")


def test_a_model_without_chat_template_is_refused(folder):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(Permanent, match="has no chat template"):
        list(answerer(folder).ask(questions()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", "{{ 1 / 0 }}"),
        ("chat_template.jinja", "{% for i in range(10 ** 9) %}{% endfor %}"),
        ("chat_template.jinja", "{{ messages.__class__.__mro__[1].__subclasses__() }}"),
        ("chat_template.jinja", "{% if %}"),
        ("processor_config.json", json.dumps({"processor_class": "CLIPProcessor"})),
        ("generation_config.json", json.dumps({"num_return_sequences": 3})),
        ("generation_config.json", json.dumps({"eos_token_id": "end"})),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": [], "merges": 1}}'),
    ],
)
def test_parts_that_make_no_sense_are_one_sentence(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(Permanent, match=r"^The [^\n]*model [^\n]*$"):
        list(answerer(folder).ask(questions()))


def test_a_model_that_lacks_weights_is_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.connector.modality_projection.proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Permanent, match="lacks 1 of its weights"):
        list(answerer(folder).ask(questions()))


@pytest.mark.parametrize("act", [lambda a: a.question_ids(questions()[0]), lambda a: list(a.ask(questions()))])
def test_an_absent_model_names_the_command_that_fetches_it(act):
    with pytest.raises(Permanent, match="The model acme/no-such-vlm is not on this machine") as error:
        act(answerer("acme/no-such-vlm"))
    assert error.value.hint == "download it: hf download acme/no-such-vlm"


def test_a_folder_that_holds_no_model_is_told_apart(tmp_path):
    with pytest.raises(Permanent, match="is not a usable vision-language model"):
        list(answerer(tmp_path).ask(questions()))


def test_code_that_comes_with_a_model_is_not_run_whatever_the_terminal_says(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    auto = {f"Auto{name}": "own.Own" for name in ("Config", "Processor", "ModelForImageTextToText")}
    for name in ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps({"model_type": "own", "auto_map": auto}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Own: pass\n")
    with pytest.raises(Permanent, match="brings its own code"):
        list(answerer(tmp_path).ask(questions()))
    assert not (tmp_path / "ran").exists()


def test_a_model_of_words_is_refused(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer(["<end>"], eos_token="<end>")
    LlamaForCausalLM(LlamaConfig(**TOWER.sizes, vocab_size=len(tokenizer))).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(Permanent, match="is not a usable vision-language model"):
        list(answerer(tmp_path).ask(questions()))


def cached(cache: Path, folder: Path, commit: str) -> None:
    """``folder`` as the model acme/vlm in a Hugging Face cache."""
    home = cache / "models--acme--vlm"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(commit)


def test_a_model_of_the_cache_is_known_by_its_commit(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    question = questions()[0]
    cached(tmp_path, folders[idefics3], "a" * 40)
    before = answerer("acme/vlm").question_ids(question)
    assert before == answerer("acme/vlm").question_ids(question)
    assert [a.model for a in answerer("acme/vlm").ask([question])] == ["acme/vlm"]
    cached(tmp_path, folders[idefics3], "b" * 40)
    assert answerer("acme/vlm").question_ids(question) != before


def test_a_question_goes_by_what_the_model_is_given(folder, loads):
    asked = questions()[1]
    own = answerer(folder)
    ids = own.question_ids(asked)
    assert len(ids) == 1
    moved = folder.rename(folder.with_name("elsewhere"))
    same = [
        own.question_ids(replace(asked, cluster_id="other")),
        answerer(moved).question_ids(asked),
        answerer(moved, batch=8).question_ids(asked),
    ]
    assert same == [ids] * 3
    others = [
        own.question_ids(replace(asked, text="another")),
        own.question_ids(replace(asked, candidates=())),
        own.question_ids(replace(asked, crops=asked.crops[::-1])),
        own.question_ids(replace(asked, crops=asked.crops[:1])),
        own.question_ids(replace(asked, scene=picture(10))),
        answerer(moved, load_prompt("fixed_camera")).question_ids(asked),
        answerer(moved, replace(PROMPT, instructions="Guess.")).question_ids(asked),
        answerer(moved, tokens=13).question_ids(asked),
    ]
    (moved / "generation_config.json").write_text("{}")
    others.append(answerer(moved).question_ids(asked))
    assert len({*map(tuple, (ids, *others))}) == 10
    assert loads == []


@pytest.mark.parametrize(
    ("device", "gpu", "cpu", "expected"),
    [
        ("cuda", True, {}, "bfloat16"),
        ("cuda", False, {"amx_bf16": True}, "float16"),
        ("mps", False, {"amx_bf16": True}, "float32"),
        ("cpu", False, {"amx_bf16": True}, "bfloat16"),
        ("cpu", False, {"avx512_bf16": True}, "bfloat16"),
        ("cpu", False, {"avx512_bf16": False}, "float32"),
        ("cpu", False, {}, "float32"),
    ],
)
def test_numbers_are_short_where_the_device_computes_in_them(monkeypatch, device, gpu, cpu, expected):
    monkeypatch.setattr(vlm, "best_device", lambda: device)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: gpu)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: cpu)
    assert BEST_PRECISION() == expected


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_network_computes_in_the_precision(folders, monkeypatch, precision):
    met, generate = [], network().generate

    def listening(model: Any, pixel_values: Any, **inputs: Any) -> Any:
        met.extend((str(model.dtype), str(pixel_values.dtype)))
        return generate(model, pixel_values=pixel_values, **inputs)

    monkeypatch.setattr(network(), "generate", listening)
    monkeypatch.setattr(vlm, "best_precision", lambda: precision)
    assert len(list(answerer(folders[idefics3]).ask(questions()[:1]))) == 1
    assert met == [f"torch.{precision}"] * 2


def test_the_precision_is_part_of_the_question(folder, monkeypatch):
    ids = answerer(folder).question_ids(questions()[0])
    monkeypatch.setattr(vlm, "best_precision", lambda: "float16")
    assert answerer(folder).question_ids(questions()[0]) != ids
