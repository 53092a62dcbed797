"""TF-IDF against scikit-learn's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from challenges.radix_movies.lexicon import Lexicon, fit_lexicon, n_grams
from challenges.radix_movies.sample import GRAMMAR

TEXTS = [f"{who} {does} {where}" for words in GRAMMAR.values() for who, does, where in zip(*words[:3], strict=True)]
REFERENCE = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)


def test_rows_are_those_of_scikit_learn():
    expected = REFERENCE.fit_transform(TEXTS)
    lexicon = fit_lexicon(TEXTS)
    assert sorted(lexicon.terms) == sorted(REFERENCE.vocabulary_)
    columns = [REFERENCE.vocabulary_[term] for term in lexicon.terms]
    np.testing.assert_allclose(lexicon.matrix(TEXTS).toarray(), expected.toarray()[:, columns], atol=1e-6)


@given(st.text(alphabet="ab cdé-'.\n", max_size=60))
def test_n_grams_are_those_of_scikit_learn(text: str):
    assert sorted(n_grams(text)) == sorted(REFERENCE.build_analyzer()(text))


def test_unknown_and_empty_texts_are_rows_of_zeros():
    lexicon = Lexicon({"abc": 0}, np.ones(1, np.float32))
    assert lexicon.matrix(["", "xyz", "abc"]).toarray().ravel().tolist() == [0, 0, 1]
