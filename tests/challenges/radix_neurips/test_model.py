"""The ranking: what is equal is first, what is itself is never found, noise hardly moves it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from challenges.radix_neurips.cleaning import clean_text
from challenges.radix_neurips.lexical import Tfidf
from challenges.radix_neurips.model import Vectors, best, combine, encode_papers, hybrid_scores, represent
from challenges.radix_neurips.sample import generate
from common.models.text import TextEncoder, load_text_encoder

PAPERS = [(paper.title, clean_text(paper.abstract)[0]) for paper in generate(75)]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder()


@pytest.fixture(scope="module")
def tfidf() -> Tfidf:
    return Tfidf().fit(PAPERS)


@pytest.fixture(scope="module")
def papers(encoder: TextEncoder, tfidf: Tfidf) -> Vectors:
    return represent(PAPERS, tfidf, encoder)


def test_own_text_is_first_with_a_score_of_one(papers: Vectors):
    scores = hybrid_scores(papers, papers)
    rows, values = best(scores, 1)
    assert rows[:, 0].tolist() == list(range(len(PAPERS)))
    np.testing.assert_allclose(values, 1, atol=1e-5)


def test_own_abstract_alone_is_first(encoder: TextEncoder, tfidf: Tfidf, papers: Vectors):
    alone = represent([("", abstract) for _, abstract in PAPERS], tfidf, encoder)
    assert best(hybrid_scores(alone, papers), 1)[0][:, 0].tolist() == list(range(len(PAPERS)))


@pytest.mark.parametrize(
    "noise",
    [
        str.upper,
        lambda text: text.replace(" ", "  \n"),
        lambda text: text.replace("We ", "\\textbf{We} ").replace(" on ", " on~") + " $\\mathcal{O}(1)$",
        lambda text: text.replace("learning", "learn(cid:173) ing").replace("fi", "\ufb01"),
    ],
    ids=["case", "space", "latex", "hyphens"],
)
def test_noise_hardly_moves_the_first_ten(noise, encoder: TextEncoder, tfidf: Tfidf, papers: Vectors):
    asked = np.arange(0, 75, 5)
    noisy = represent([(PAPERS[i][0], clean_text(noise(PAPERS[i][1]))[0]) for i in asked], tfidf, encoder)
    before, _ = best(hybrid_scores(papers.select(asked), papers), 10, asked)
    after, _ = best(hybrid_scores(noisy, papers), 10, asked)
    kept = [len(set(a) & set(b)) for a, b in zip(before, after, strict=True)]
    assert np.mean(kept) >= 9


def test_a_missing_part_leaves_the_other_alone(encoder: TextEncoder):
    title, abstract = PAPERS[0]
    both = encode_papers([(title, ""), ("", abstract), ("", "")], encoder)
    np.testing.assert_allclose(both[:2], encoder.encode([title, abstract]), atol=1e-6)
    assert not both[2].any()
    assert np.linalg.norm(combine(both[:1], both[1:2])) == pytest.approx(1, abs=1e-5)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.integers(0, 5).map(float)),
    st.integers(1, 15),
    st.data(),
)
def test_best_is_a_stable_sort(scores, k: int, data):
    n_queries, n_papers = scores.shape
    own = np.array(data.draw(st.lists(st.integers(-1, n_papers - 1), min_size=n_queries, max_size=n_queries)))
    rows, values = best(scores, k, own)
    assert rows.shape == (n_queries, min(k, n_papers - int((own >= 0).any())))
    for query in range(n_queries):
        expected = sorted((-scores[query, row], row) for row in range(n_papers) if row != own[query])
        assert rows[query].tolist() == [row for _, row in expected][: rows.shape[1]]
    np.testing.assert_array_equal(values, np.take_along_axis(scores, rows, axis=1))
