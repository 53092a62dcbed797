"""Trained layers stand on what production computes, losses pull what belongs together, an artifact comes out."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.evaluate import check_unseen
from challenges.radix_neurips.lexical import load_keyphraseness, split_words
from challenges.radix_neurips.sample import Paper, generate
from challenges.radix_neurips.train import (
    Recipe,
    UpperLayers,
    even_out,
    fit,
    keyword_batches,
    keyword_loss,
    neighbour_batches,
    prepare,
    read_lower,
    similarity_mask,
    title_loss,
    train,
)
from common.errors import UserError
from common.models.text import load_sentence_transformer, load_text_encoder

RECIPE = Recipe(keyword_steps=3, title_steps=2, batch=8, last_years=2)
PAPERS = generate(48)


def corpus_of(papers: list[Paper]) -> Corpus:
    years = np.array([2021 + i % 2 for i in range(len(papers))], np.int32)
    ids = np.array([p.paper_id for p in papers])
    return Corpus(ids, years, [p.title for p in papers], [p.abstract for p in papers], {})


CORPUS = corpus_of(PAPERS)
KEYWORDS = {paper.paper_id: frozenset({paper.topic}) for paper in PAPERS}


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.mark.slow
def test_training_starts_where_the_encoder_stands_and_ends_in_an_artifact(tmp_path: Path):
    model = load_sentence_transformer()
    texts = [*CORPUS.titles[:4], *CORPUS.abstracts[:4]]
    states = read_lower(model, texts, RECIPE, lambda n: None)
    upper = UpperLayers(model, RECIPE).eval()
    with torch.inference_mode():
        start = upper(*states.batch(range(8))).numpy()
    assert (start * load_text_encoder().encode(texts)).sum(axis=1).min() > 0.99

    encoder = train(CORPUS, KEYWORDS, tmp_path, data_fingerprint="x", held_out=2022, recipe=RECIPE)
    vectors = encoder.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.fingerprint != load_text_encoder().fingerprint
    # Evened out: directions of like strength, where MiniLM's differ by an order.
    some = encoder.encode([*CORPUS.titles, *CORPUS.abstracts])
    assert np.linalg.norm(some.mean(axis=0)) < 0.2
    phrases = load_keyphraseness(tmp_path)
    assert phrases is not None
    keywords = np.array([crc32(" ".join(split_words(paper.topic)).encode()) for paper in PAPERS], np.uint32)
    assert (phrases.of(keywords) > 0.5).all()

    check_unseen(tmp_path, CORPUS, 2022)
    with pytest.raises(UserError, match="has learned from keywords of these very papers of 2021"):
        check_unseen(tmp_path, CORPUS, 2021)

    years = prepare(CORPUS, KEYWORDS, 2022, model, RECIPE)
    assert [bool(year.similar) for year in years] == [True, False]
    before = {name: weight.clone() for name, weight in upper.named_parameters()}
    losses = fit(upper, years, RECIPE)
    assert all(np.isfinite(loss) for loss in losses.values())
    assert any(not torch.equal(before[name], weight) for name, weight in upper.named_parameters())

    year, rows = next(keyword_batches([years[0]], 8, np.random.default_rng(0)))
    assert len(set(rows)) == len(rows) <= 8
    assert similarity_mask(year, rows).any()
    _, near = next(neighbour_batches(years, 8, np.random.default_rng(0)))
    assert len(set(near)) == len(near) == 8


def test_nothing_to_learn_from_is_the_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("challenges.radix_neurips.train.load_sentence_transformer", lambda name: None)
    with pytest.raises(UserError, match="share a rare keyword"):
        train(CORPUS, {}, tmp_path, data_fingerprint="x", recipe=RECIPE)


def test_keyword_loss_falls_when_one_similar_paper_comes_close():
    vectors = unit(6, 16)
    similar = torch.zeros(6, 6, dtype=torch.bool)
    similar[0, 1] = similar[1, 0] = similar[0, 2] = similar[2, 0] = True
    far = keyword_loss(vectors, vectors, similar, RECIPE)
    close = vectors.clone()
    close[1] = F.normalize(close[0] + 0.1 * close[1], dim=0)
    assert keyword_loss(close, close, similar, RECIPE) < far
    nobody = keyword_loss(vectors, vectors, torch.zeros(6, 6, dtype=torch.bool), RECIPE)
    assert torch.isfinite(nobody)


def test_title_loss_is_the_cross_entropy_of_both_directions():
    title, abstract = unit(5, 8), unit(5, 8).flip(0)
    probability = torch.softmax(title @ abstract.T / 0.1, dim=1).diagonal()
    back = torch.softmax(abstract @ title.T / 0.1, dim=1).diagonal()
    expected = -(probability.log().mean() + back.log().mean()) / 2
    assert torch.allclose(title_loss(title, abstract, 0.1), expected, atol=1e-5)
    ignored = ~torch.eye(5, dtype=torch.bool)
    assert title_loss(title, abstract, 0.1, ignored) < 1e-6


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_directions_are_evened_out(evenness: float):
    rng = np.random.default_rng(0)
    strength = np.array([8.0, 4.0, 2.0, 1.0])
    vectors = (rng.normal(size=(4000, 4)) * strength + 3).astype(np.float32)
    mean, matrix = even_out(vectors, evenness)
    even = (vectors - mean) @ matrix
    np.testing.assert_allclose(even.mean(axis=0), 0, atol=1e-4)
    spread = even.std(axis=0)
    np.testing.assert_allclose(spread / spread[-1], strength ** (1 - evenness), rtol=0.1)
