"""The benchmark of vision-language models, on a tiny one."""

import pytest

from brand_detect.engines import vlm as engine
from brand_detect.evaluation.benchmarks import vlm
from brand_detect.evaluation.benchmarks.vlm import SIZES, Architecture, Tower, bench_vlm, random_model

TINY = Architecture(Tower(16, 32, 2, 2), Tower(16, 32, 2, 2), 1, 0, 32, 8, 2)


def test_each_batch_size_has_its_row(tmp_path, monkeypatch):
    sizes, replies = [], engine._replies

    def counting(loaded, chats, max_output_tokens):
        sizes.append(len(chats))
        return replies(loaded, chats, max_output_tokens)

    monkeypatch.setattr(engine, "_replies", counting)
    folder = random_model(tmp_path / "tiny", TINY)
    section = bench_vlm(str(folder), questions=3, max_output_tokens=5, batches=(1, 2))
    assert sizes == [1, 1, 1, 2, 1]
    assert "3 questions of" in section.title
    assert "replies of 5" in section.title
    one, two = section.to_json()["rows"]
    assert (one["at once"], two["at once"]) == ("1", "2")
    assert one["questions / min"] == pytest.approx(60 / one["s / question"])
    assert two["x of 1 at once"] == pytest.approx(two["questions / min"] / one["questions / min"])
    assert one["loading s"] > 0


def test_a_random_model_is_made_once(tmp_path):
    weights = random_model(tmp_path, TINY) / "model.safetensors"
    made = weights.stat().st_mtime_ns
    random_model(tmp_path, TINY)
    assert weights.stat().st_mtime_ns == made


def test_the_sizes_are_those_of_the_models_that_they_are_named_after():
    """Parameters as the model cards and the files of the checkpoints say, counted without making the weights."""
    import torch
    from transformers import Idefics3ForConditionalGeneration

    counts = {}
    for name, size in SIZES.items():
        with torch.device("meta"):
            network = Idefics3ForConditionalGeneration(vlm.config_of(size, {}, size.words, 0))
        counts[name] = sum(p.numel() for p in network.parameters()) / 1e6
    assert counts == pytest.approx({"256m": 256, "500m": 507, "2b": 2246}, rel=0.01)
    assert {name: size.picture_tokens for name, size in SIZES.items()} == {"256m": 64, "500m": 64, "2b": 81}
