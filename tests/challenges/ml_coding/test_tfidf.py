"""TF-IDF against scikit-learn, variant by variant, and by hand where scikit-learn has no such variant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import text

from challenges.ml_coding.tfidf import TfidfVectorizer

DOCUMENTS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=9), min_size=1, max_size=10).filter(any)
TF = {"natural": {}, "logarithm": {"sublinear_tf": True}, "boolean": {"binary": True}}
IDF = {"none": {"use_idf": False}, "plus_one": {"smooth_idf": False}, "smooth": {}}


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, DOCUMENTS, st.sampled_from(list(TF)), st.sampled_from(list(IDF)), st.sampled_from(["l1", "l2", None]))
def test_agrees_with_scikit_learn(
    documents: list[list[str]], others: list[list[str]], tf: str, idf: str, norm: str | None
) -> None:
    theirs = text.TfidfVectorizer(analyzer=list, norm=norm, **TF[tf], **IDF[idf]).fit(documents)
    ours = TfidfVectorizer(tf, idf, norm).fit(documents)
    assert list(ours.vocabulary_) == theirs.get_feature_names_out().tolist()
    for texts in (documents, others):  # others have terms that were not seen
        np.testing.assert_allclose(ours.transform(texts).toarray(), theirs.transform(texts).toarray(), atol=1e-12)


def test_variants_by_hand() -> None:
    documents = [["a", "b"], ["a", "b"], ["a", "b"], ["a", "c"]]
    expected = {
        "standard": [0, np.log(4 / 3), np.log(4)],
        "probabilistic": [0, 0, np.log(3)],  # b is in most documents: not below 0
        "none": [1, 1, 1],
    }
    for idf, values in expected.items():
        np.testing.assert_allclose(TfidfVectorizer(idf=idf).fit(documents).idf_, values, atol=1e-15)


def test_a_term_of_all_documents_is_dropped_by_the_standard_variant_alone() -> None:
    documents = [["a"], ["a", "a"]]
    assert TfidfVectorizer(idf="standard").fit_transform(documents).toarray().tolist() == [[0.0], [0.0]]
    assert TfidfVectorizer(idf="smooth").fit_transform(documents).toarray().tolist() == [[1.0], [1.0]]


def test_documents_without_known_terms_stay_zero() -> None:
    model = TfidfVectorizer().fit([["a", "b"]])
    found = model.transform([[], ["x"], ["b"]])
    assert found.shape == (3, 2)
    assert found.toarray().tolist() == [[0, 0], [0, 0], [0, 1]]
    assert model.transform([]).shape == (0, 2)


def test_a_document_counts_a_term_once_in_df() -> None:
    assert TfidfVectorizer(idf="standard").fit([["a", "a", "a"], ["b"]]).idf_ == pytest.approx(np.log([2, 2]))


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 2 documents"):
        TfidfVectorizer().fit([[], []])


@pytest.mark.parametrize("parameters", [{"tf": "log"}, {"idf": "smoothed"}, {"norm": "max"}])
def test_variants_that_are_not_offered_are_refused(parameters: dict[str, str]) -> None:
    name, value = next(iter(parameters.items()))
    with pytest.raises(ValueError, match=f"^{name} = '{value}' is none of '"):
        TfidfVectorizer(**parameters).fit([["a"]])
