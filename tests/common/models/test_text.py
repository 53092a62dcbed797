"""The exported encoder says what the original says, of a text alone; and runs without torch."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.models.text import SHIPPED, TextEncoder, export_text_encoder, load_sentence_transformer, load_text_encoder

TEXTS = [
    "We study the convergence of stochastic gradient descent on non-convex objectives with heavy-tailed noise.",
    "Point clouds are sparse, unordered sets of points; we segment them with sparse convolutions (1.7x faster!).",
    "Brain-computer interfaces decode movement from motor cortex recordings of monkeys.",
    "fair ranking",
    "Wasserstein distances compare distributions. " * 12,
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder(n_threads=1)


def test_shipped_encoder_agrees_with_the_original(encoder: TextEncoder):
    original = load_sentence_transformer().encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert (encoder.encode(TEXTS) * original).sum(axis=1).min() >= 0.99
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 25_000_000


def test_one_text_is_not_taken_for_its_letters(encoder: TextEncoder):
    with pytest.raises(TypeError, match="put the one into a list"):
        encoder.encode("fair ranking")


def test_vector_depends_on_the_text_alone(encoder: TextEncoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1]), vectors[::-1])
    np.testing.assert_array_equal(encoder.encode(TEXTS[:1]), vectors[:1])
    np.testing.assert_array_equal(load_text_encoder(n_threads=3).encode(TEXTS * 9), np.tile(vectors, (9, 1)))
    np.testing.assert_array_equal(load_text_encoder(threads_per_text=2).encode(TEXTS), vectors)


def test_long_text_is_the_mean_of_its_windows(encoder: TextEncoder):
    words = ["paper"] * (encoder.max_tokens - 2) + ["model"] * 98  # one token a word, two a window for its ends
    whole = encoder.encode([" ".join(words)])[0]
    first, second = encoder.encode([" ".join(words[:-98]), " ".join(words[-98:])])
    expected = encoder.max_tokens * first + 100 * second
    np.testing.assert_allclose(whole, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("text", ["", " ", "\x00\x07", "\ud800", "日本語の論文", "🤖" * 50, "a" * 5000, "\u202e\u200d"])
def test_any_text_has_a_vector(encoder: TextEncoder, text: str):
    vector = encoder.encode([text])
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_nothing_to_encode_and_progress(encoder: TextEncoder):
    assert encoder.encode([]).shape == (0, encoder.dimensions)
    counts: list[int] = []
    encoder.encode(["a"] * 40, counts.append)
    assert sum(counts) == 40
    assert len(counts) > 1


def test_encoding_needs_no_torch():
    code = (
        "import sys; from common.models.text import load_text_encoder; load_text_encoder().encode(['x']);"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def tiny_model(folder: Path, pooling: str = "mean", kind: str = "bert"):
    """A random network of two layers with the tokenizer of the packaged one."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    packaged = load_sentence_transformer()
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = AutoConfig.for_model(kind, vocab_size=30522, max_position_embeddings=64, **size)
    AutoModel.from_config(config).save_pretrained(folder)
    packaged.tokenizer.save_pretrained(folder)
    module = Transformer(str(folder))
    return SentenceTransformer(modules=[module, Pooling(32, pooling_mode=pooling)], device="cpu")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_any_bert_encoder_can_be_exported(tmp_path: Path, pooling: str):
    model = tiny_model(tmp_path / "source", pooling)
    exported = export_text_encoder(model, tmp_path / "plain")
    texts = TEXTS[:4]
    original = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert (exported.encode(texts) * original).sum(axis=1).min() >= 0.99
    assert (exported.dimensions, exported.max_tokens) == (32, 64)

    rng = np.random.default_rng(0)
    mean, matrix = rng.normal(size=32).astype(np.float32) / 10, rng.normal(size=(32, 7)).astype(np.float32)
    adapted = export_text_encoder(model, tmp_path / "adapted", adapter=(mean, matrix))
    expected = (exported.encode(texts) - mean) @ matrix
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(adapted.encode(texts), expected, atol=1e-5)
    assert adapted.dimensions == 7
    assert adapted.fingerprint != exported.fingerprint


def test_other_networks_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="give a BERT encoder"):
        export_text_encoder(tiny_model(tmp_path / "source", kind="electra"), tmp_path / "out")
    with pytest.raises(UserError, match="all-MiniLM-L6-v2"):
        load_sentence_transformer(tmp_path / "nothing")


def test_damaged_encoder_is_refused(tmp_path: Path):
    shutil.copytree(SHIPPED, tmp_path / "copy")
    with (tmp_path / "copy" / "model.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match="damaged"):
        load_text_encoder(tmp_path / "copy")
