"""TF-IDF is what scikit-learn says it is; keyphraseness counts what authors chose."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from challenges.radix_neurips.cleaning import clean_text
from challenges.radix_neurips.lexical import (
    TITLE_WEIGHT,
    Keyphraseness,
    Tfidf,
    bm25_scores,
    count_terms,
    learn_keyphraseness,
    load_keyphraseness,
    split_words,
)
from challenges.radix_neurips.sample import generate
from common.models.text import SHIPPED

PAPERS = [(clean_text(paper.title)[0], clean_text(paper.abstract)[0]) for paper in generate(80)]


def terms_of(paper: tuple[str, str]) -> list[str]:
    return [term for term in count_terms(*paper).elements() if term.count(" ") < 2]


def test_tfidf_agrees_with_scikit_learn():
    oracle = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2).fit_transform(PAPERS)
    ours = Tfidf().fit(PAPERS).transform(PAPERS)
    assert ours.shape == oracle.shape
    np.testing.assert_allclose((ours @ ours.T).toarray(), (oracle @ oracle.T).toarray(), atol=1e-5)


def test_weights_are_the_vector_with_names():
    tfidf = Tfidf().fit(PAPERS)
    weights = tfidf.weights(*PAPERS[3])
    assert set(weights) <= set(count_terms(*PAPERS[3]))
    np.testing.assert_allclose(sorted(weights.values()), sorted(tfidf.transform([PAPERS[3]]).data), atol=1e-6)


def test_titles_count_for_more():
    assert count_terms("Bandits", "bandit arms")["bandit"] == TITLE_WEIGHT + 1
    assert count_terms("Bandits", "bandit arms")["bandit arm"] == 1


def test_words_without_plural_and_case():
    assert split_words("Queries of the CLASSES; analysis, nets, GANs_v2") == [
        "query",
        "classe",
        "analysis",
        "net",
        "gan",
        "v2",
    ]


def test_a_paper_without_known_words_is_all_zeros():
    vectors = Tfidf().fit(PAPERS).transform([("", ""), ("zzz qqq", ""), ("", "日本語 \x07 \ud800")])
    assert vectors.nnz == 0
    assert Tfidf().fit([]).transform([("a b", "c d")]).shape == (1, 0)
    assert Tfidf().weights("any", "thing") == {}


def strength_of(learned: Keyphraseness, term: str) -> float:
    return float(learned.of(np.array([crc32(term.encode())], np.uint32))[0])


def test_keyphraseness_is_the_share_of_users_that_choose_or_title_a_term():
    papers = [("Offline learning", "We learn."), ("Offline learning", "Again."), ("Other", "offline learning, we")]
    learned = learn_keyphraseness(papers, [{"offline learning"}, {"Offline Learning"}, {"new name"}])
    assert strength_of(learned, "offline learning") == pytest.approx((2 / 6) ** 0.5 + 0.5 * (2 / 6) ** 0.5)
    assert strength_of(learned, "new name") == pytest.approx((1 / 3) ** 0.5)
    assert strength_of(learned, "offline") == pytest.approx(0.5 * (2 / 6) ** 0.5)  # of titles alone
    assert strength_of(learned, "other") == strength_of(learned, "we") == 0  # of one paper; of no title
    weights = Tfidf().fit(papers, learned).weights("", "offline learning")
    assert weights["offline learning"] > weights["offline"]


def test_papers_without_keywords_teach_by_their_titles_only():
    papers = [("Offline learning", "We learn."), ("Offline learning", "Again."), ("Other", "offline learning, we")]
    learned = learn_keyphraseness(papers, [{"offline learning"}, None, None])
    assert strength_of(learned, "offline learning") == pytest.approx((1 / 4) ** 0.5 + 0.5 * (2 / 6) ** 0.5)


def test_encoder_off_the_shelf_has_no_keyphraseness(tmp_path: Path):
    assert load_keyphraseness(SHIPPED) is None


def test_bm25_finds_the_paper_of_the_words():
    scores = bm25_scores(PAPERS, PAPERS)
    assert scores.shape == (80, 80)
    assert (scores.argmax(axis=1) == np.arange(80)).mean() > 0.95


@pytest.mark.parametrize("noise", [str.upper, lambda t: t.replace(" ", "  \n"), lambda t: f"{t} "])
def test_case_and_space_change_nothing(noise):
    tfidf = Tfidf().fit(PAPERS)
    noisy = [(noise(title), noise(abstract)) for title, abstract in PAPERS]
    np.testing.assert_allclose(tfidf.transform(noisy).toarray(), tfidf.transform(PAPERS).toarray(), atol=1e-6)
