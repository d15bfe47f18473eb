"""Which files a name of a model opens, and which folders are loaded: hostile names, hostile content."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.engines import model_files
from brand_detect.engines.image_embedder import ImageEmbedder
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.engines.model_files import ModelFolder, ModelRoots, any_folder
from brand_detect.engines.weights import MOST_BYTES

SECRET = "hidden.safetensors"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A model root; beside it lies what no name may open."""
    outside, root = tmp_path / "outside", tmp_path / "models"
    for folder in (outside, root, root / "mine"):
        folder.mkdir()
        (folder / SECRET).write_bytes(b"x")
        (folder / "config.json").write_text("{}")
    (root / "link").symlink_to(outside)
    (root / "link.safetensors").symlink_to(outside / SECRET)
    (root / "dangling").symlink_to(outside / "gone")
    (root / "circle").symlink_to(root / "circle")
    return root


OUTSIDE = (
    *("/", "/dev/zero", "/etc/passwd", "/etc/none", "..", "../outside", "../none", f"../outside/{SECRET}"),
    *(f"link/{SECRET}", "link", "link.safetensors", "dangling", "mine/../../outside", "a\0b", "x" * 5000, "circle"),
    *("mine/../mine", "/proc/self/cwd"),
)


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_what_lies_outside_is_refused_in_words_that_do_not_tell_whether_it_is_there(root: Path, name: str) -> None:
    with pytest.raises(BadInput) as e:
        ModelRoots([root]).folder(name)
    assert str(e.value) == f"{name} is outside all model roots."
    assert "BRAND_DETECT_MODEL_ROOTS" in e.value.hint


def test_names_are_looked_for_below_the_roots_in_their_order(root: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    (second / "mine").mkdir(parents=True)
    (second / "other").mkdir()
    models = ModelRoots([root, second])
    assert models.folder("mine").path == models.folder(str(root / "mine")).path == root / "mine"
    assert models.folder("other").path == second / "other"
    assert models.folder("mine/").name == "mine/"


def test_what_is_no_folder_may_be_a_model_of_the_cache(root: Path) -> None:
    with pytest.raises(Permanent, match="The model acme/none is not on this machine") as e:
        ModelRoots([root]).folder("acme/none")
    assert e.value.hint == "download it: hf download acme/none"
    with pytest.raises(Permanent, match=f"There is no model folder {root}/none"):
        ModelRoots([root]).folder(f"{root}/none")


def test_a_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(root)
    assert ModelRoots([tmp_path / "linked"]).folder("mine").path == root / "mine"


def cached(cache: Path, folder: Path) -> Path:
    """``folder`` as acme/model in a Hugging Face cache: a snapshot of links to blobs."""
    home, commit = cache / "models--acme--model", "a" * 40
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for n, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, home / "blobs" / str(n))
        (snapshot / file.name).symlink_to(Path("../../blobs", str(n)))
    return snapshot


def test_an_id_is_a_snapshot_whose_links_stay_in_its_own_part_of_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = cached(tmp_path / "cache", root / "mine")
    found = ModelRoots([root]).folder("acme/model")
    assert (found.path, found.revision) == (snapshot, "a" * 40)
    found.check()
    (snapshot / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(Permanent, match="not a readable file of its own"):
        ModelRoots([root]).folder("acme/model").check()


@pytest.fixture
def folder(root: Path) -> ModelFolder:
    return ModelRoots([root]).folder("mine")


@pytest.mark.parametrize(
    "make",
    [
        lambda at: at.symlink_to("/dev/zero"),
        lambda at: at.symlink_to("/etc/passwd"),
        lambda at: at.symlink_to("/etc"),
        lambda at: at.symlink_to("gone"),
        lambda at: at.symlink_to(at),
        os.mkfifo,
    ],
    ids=["device", "file outside", "folder outside", "dangling", "circle", "pipe"],
)
@pytest.mark.parametrize("use", [lambda f: f.check(), lambda f: f.revision], ids=["check", "revision"])
def test_a_folder_holds_plain_files_of_its_own(
    folder: ModelFolder, make: Callable[[Path], object], use: Callable[[ModelFolder], object]
) -> None:
    make(folder.path / "odd")
    with pytest.raises(Permanent, match="The model mine contains an entry that is not a readable file of its own") as e:
        use(folder)
    assert e.value.hint == "remove odd from it"


@pytest.mark.parametrize(
    ("limit", "most", "says"), [("FILES", 1, "more than 1 files"), ("BYTES", 2, "more than 0 GiB")]
)
def test_a_folder_is_of_a_size_that_can_be_read(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, says: str
) -> None:
    monkeypatch.setattr(model_files, f"MOST_{limit}", most)
    with pytest.raises(Permanent, match=says):
        _ = folder.revision


KERNEL = "acme/kernel:run"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", {"auto_map": {"AutoModel": "own.Own"}}, "its own code"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}, "its own code"),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "a/b--own.Own"}}}, "its own code"),
        ("config.json", {"_attn_implementation": KERNEL}, "attention"),
        ("config.json", {"attn_implementation": "flash_attention_2"}, "attention"),
        ("config.json", {"vision_config": {"_attn_implementation_internal": KERNEL}}, "attention"),
        ("config.json", {"attn_implementation": {"text_config": KERNEL}}, "attention"),
        ("generation_config.json", {"attn_implementation": KERNEL}, "attention"),
        ("config.json", {"quantization_config": {"quant_method": "fp8"}}, "quantised"),
        ("config.json", {"transformers_weights": "adapter_model.bin"}, "not its own safetensors"),
        ("config.json", {"transformers_weights": "../../outside/hidden.safetensors"}, "not its own safetensors"),
        ("model.safetensors.index.json", {"weight_map": {"a": "pytorch_model.bin"}}, "not its own safetensors"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../hidden.safetensors"}}, "not its own safetensors"),
        ("model.safetensors.index.json", {"weight_map": {"a": ["x"]}}, "not JSON"),
        ("model.safetensors.index.json", {"weight_map": SECRET + "x"}, "not its own safetensors"),
        ("adapter_config.json", {"base_model_name_or_path": "acme/other"}, "adapter"),
        ("config.json", [], "that is not a config"),
    ],
)
def test_a_config_that_asks_for_code_or_other_files_is_refused(
    folder: ModelFolder, file: str, content: object, says: str
) -> None:
    (folder.path / file).write_text(json.dumps(content))
    with pytest.raises(Permanent, match=says) as e:
        folder.check()
    assert e.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"", b"[" * 100_000, b"{'a': 1}"])
def test_a_config_of_rubbish_is_refused(folder: ModelFolder, content: bytes) -> None:
    (folder.path / "config.json").write_bytes(content)
    with pytest.raises(Permanent, match=r"The model mine has a config\.json that is not JSON"):
        folder.check()


def test_a_config_of_more_than_a_config_takes_is_not_read(folder: ModelFolder) -> None:
    with (folder.path / "config.json").open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(Permanent, match="more than 16 MiB"):
        folder.check()


def test_what_is_usual_in_configs_passes(folder: ModelFolder) -> None:
    usual = {"attn_implementation": None, "text_config": {"_attn_implementation": "sdpa"}, "auto_map": {}}
    usual |= {"_attn_implementation_autoset": True, "quantization_config": None, "transformers_weights": None}
    (folder.path / "config.json").write_text(json.dumps(usual))
    (folder.path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": SECRET}}))
    folder.check()


# --- folders that only transformers can tell: a real one, damaged in every way ----------------------------------------


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    made = tmp_path_factory.mktemp("vit")
    sizes: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(made)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(made)
    return made


class Exploit:
    """What runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._proof),)


def edited(folder: Path, name: str, **changes: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Exploit(folder / "ran")))


def pickled_shard(folder: Path) -> None:
    """transformers takes the index as one of safetensors and opens whatever it names."""
    pickled(folder)
    index = {"metadata": {}, "weight_map": {"layernorm.weight": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def header(content: bytes, size: int = 0, data: bytes = b"") -> Callable[[Path], None]:
    packed = struct.pack("<Q", size or len(content)) + content + data
    return lambda folder: void((folder / "model.safetensors").write_bytes(packed))


def config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edited(folder, "config.json", **changes)


def processor(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edited(folder, "preprocessor_config.json", **changes)


def void(_: object) -> None:
    """For a lambda that is to answer nothing."""


HOSTILE: dict[str, Callable[[Path], None]] = {
    "pickle": pickled,
    "pickle as a shard": pickled_shard,
    "truncated": truncated,
    "giant header": header(b"{", size=1 << 62),
    "long header": header(b"{" + b" " * 1000, size=200 << 20),
    "rubbish header": header(b"{\xff\xff\xff\xff\xff\xff}"),
    "unknown numbers": header(b'{"layernorm.weight":{"dtype":"X9","shape":[1],"data_offsets":[0,1]}}', data=b"x"),
    "numbers of four bits": header(b'{"layernorm.weight":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', data=b"x"),
    "no bytes for a tensor": header(b'{"layernorm.weight":{"dtype":"F32","shape":[8],"data_offsets":[0,0]}}'),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "another type": config(model_type="none"),
    "no type": config(model_type=None),
    "type of a list": config(model_type=["vit"]),
    "words for numbers": config(hidden_size="many"),
    "negative": config(hidden_size=-8),
    "zero heads": config(num_attention_heads=0),
    "other size": config(hidden_size=16),
    "huge": config(hidden_size=1 << 40),
    "odd activation": config(hidden_act="__import__"),
    "odd dtype": config(dtype="os.system"),
    "odd fusion": config(fusion_config={"patch_embeddings": "acme/kernel"}),
    "a list for a map": config(id2label=[1, 2]),
    "no picture size": processor(size="large"),
    "no means": processor(image_mean="red"),
    "another processor": processor(image_processor_type="OwnProcessor"),
    "a processor of a number": processor(image_processor_type=7),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_every_failure_of_loading_is_one_sentence_and_runs_nothing(embedder: Path, tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(embedder, tmp_path / "vit"))
    HOSTILE[harm](folder)
    with pytest.raises(Permanent, match=r"^The model [^\n]*$") as e:
        ImageEmbedder(any_folder(str(folder)))
    assert "\n" not in e.value.hint
    assert not (folder / "ran").exists()


def test_the_folder_that_is_harmed_above_loads(embedder: Path) -> None:
    assert ImageEmbedder(any_folder(str(embedder))).dimensions == 8


def test_while_a_model_is_loaded_nothing_is_fetched(embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    ImageEmbedder(any_folder(str(embedder)))
    with pytest.raises(OfflineModeIsEnabled):
        huggingface_hub.HfApi().model_info("acme/model")


# --- the project's own networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda at: at.symlink_to("/dev/zero"),
        os.mkfifo,
        os.mkdir,
        lambda at: at.write_bytes(b""),
        lambda at: at.write_bytes(pickle.dumps({"a": 1})),
        lambda at: at.write_bytes(struct.pack("<Q", 1 << 62) + b"{"),
        lambda at: at.write_bytes(struct.pack("<Q", 8) + b"{}      "),
        lambda at: os.truncate(os.open(at, os.O_CREAT | os.O_RDWR), MOST_BYTES + 1),
    ],
    ids=["device", "pipe", "folder", "empty", "pickle", "giant header", "no weights", "too large"],
)
def test_weights_are_a_plain_file_of_safetensors(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "w.safetensors")
    with pytest.raises(Permanent, match=r"^The weights w\.safetensors cannot be used: [^\n]*$"):
        BuiltInLogoEmbedder(tmp_path / "w.safetensors")
