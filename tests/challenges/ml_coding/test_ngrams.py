"""n-grams against scikit-learn's counts and its naive Bayes, which smooths the same way; unseen tokens and edges."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from challenges.ml_coding.ngrams import END, START, UNKNOWN, NGramModel, ngrams

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=8), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(1, 4))
def test_ngrams_are_scikit_learns(tokens: list[str], n: int) -> None:
    assert len(list(ngrams(tokens, n))) == max(0, len(tokens) - n + 1)
    if len(tokens) < n:
        return
    vectorizer = CountVectorizer(ngram_range=(n, n), token_pattern=r"\w")
    counts = vectorizer.fit_transform([" ".join(tokens)]).toarray()[0]
    expected = dict(zip(vectorizer.get_feature_names_out(), counts, strict=True))
    assert Counter(" ".join(gram) for gram in ngrams(tokens, n)) == expected


@settings(deadline=None, max_examples=40)
@given(TEXTS, st.integers(1, 3), st.sampled_from([0.01, 1.0, 2.5]))
def test_probabilities_are_those_of_a_smoothed_naive_bayes(texts: list[list[str]], n: int, alpha: float) -> None:
    model = NGramModel(n, alpha).fit(texts)
    contexts = sorted(model.counts_)
    counts = np.array([[model.counts_[c][token] for token in model.vocabulary_] for c in contexts])
    theirs = MultinomialNB(alpha=alpha).fit(counts, np.arange(len(contexts))) if len(contexts) > 1 else None
    for row, context in enumerate(contexts):
        ours = [model.probability(token, context[context.count(START) :]) for token in model.vocabulary_]
        assert sum(ours) == pytest.approx(1)
        if theirs is not None:
            np.testing.assert_allclose(ours, np.exp(theirs.feature_log_prob_[row]))


@settings(deadline=None, max_examples=40)
@given(TEXTS, st.lists(st.sampled_from("abcxyz"), max_size=5), st.integers(1, 4))
def test_probabilities_add_up_after_anything(texts: list[list[str]], context: list[str], n: int) -> None:
    model = NGramModel(n).fit(texts)
    contexts_before = len(model.counts_)
    assert sum(model.probability(token, context) for token in model.vocabulary_) == pytest.approx(1)
    assert len(model.counts_) == contexts_before  # asking adds nothing


def test_counts_by_hand() -> None:
    model = NGramModel(2).fit([["a", "b"], ["a", "c", "a"], []])
    assert model.counts_ == {
        (START,): {"a": 2, END: 1},
        ("a",): {"b": 1, "c": 1, END: 1},
        ("b",): {END: 1},
        ("c",): {"a": 1},
    }
    assert model.vocabulary_ == sorted(["a", "b", "c", END, UNKNOWN])
    assert model.probability("a", []) == pytest.approx((2 + 1) / (3 + 5))
    assert model.probability("b", ["c", "a"]) == pytest.approx((1 + 1) / (3 + 5))  # only the last token counts
    assert model.log_probability(["a"]) == pytest.approx(math.log(3 / 8) + math.log(2 / 8))


def test_unseen_tokens_are_possible_and_alike() -> None:
    model = NGramModel(2).fit([["a", "b"]])
    assert model.probability("never", ["a"]) == model.probability(UNKNOWN, ["a"]) > 0
    assert model.probability("a", ["never"]) == pytest.approx(1 / 4)  # a context without counts: all alike
    assert math.isfinite(model.perplexity([["x", "y"]]))


def test_without_smoothing_the_unseen_is_impossible_or_unknown() -> None:
    model = NGramModel(2, alpha=0.0).fit([["a", "b"]])
    assert model.probability("b", ["a"]) == 1
    assert model.probability("a", ["a"]) == 0
    assert math.isnan(model.probability("a", ["never"]))
    assert model.log_probability(["a", "a"]) == -math.inf
    assert model.perplexity([["a", "a"]]) == math.inf


def test_rare_tokens_teach_what_follows_the_unknown() -> None:
    model = NGramModel(2, min_count=2).fit([["a", "rare", "a"], ["a", "odd", "a"]])
    assert model.counts_[("a",)] == {UNKNOWN: 2, END: 2}
    assert model.predict([["never"]]) == ["a"]


def test_single_tokens_ignore_the_context() -> None:
    model = NGramModel(1).fit([["a", "a", "b"]])
    assert list(model.counts_) == [()]
    assert model.probability("a", ["b", "b"]) == model.probability("a")
    assert model.predict([["b"], []]) == ["a", "a"]


def test_ties_of_a_prediction_go_to_the_first_in_the_alphabet() -> None:
    model = NGramModel(2).fit([["z", "b"], ["z", "a"]])
    assert model.predict([["z"]]) == ["a"]


def test_long_texts_do_not_underflow() -> None:
    model = NGramModel(2).fit([list("abcd")])
    assert model.log_probability(list("abcd") * 5000) < -1000
    assert 1 < model.perplexity([list("abcd") * 5000]) < 10


def test_no_sentences_have_no_perplexity() -> None:
    assert math.isnan(NGramModel().fit([["a"]]).perplexity([]))


def test_the_mark_of_the_start_in_a_text_is_an_unknown_token() -> None:
    model = NGramModel(n=2).fit([["<s>", "a"], ["b"]])
    assert model.vocabulary_ == ["</s>", "<unk>", "a", "b"]
    assert model.counts_["<s>",] == {"<unk>": 1, "b": 1}  # what follows it in the text does not begin a sentence


def test_equal_choices_are_as_many_as_the_perplexity() -> None:
    model = NGramModel(1, alpha=1e12).fit([list("abc")])
    assert model.perplexity([list("abc")]) == pytest.approx(5, rel=1e-6)


@pytest.mark.parametrize("parameters", [{"n": 0}, {"alpha": -1.0}, {"alpha": math.nan}])
def test_parameters_without_meaning_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))} "):
        NGramModel(**parameters).fit([["a"]])


@pytest.mark.parametrize("n", [0, -1])
def test_ngrams_have_a_token(n: int) -> None:
    with pytest.raises(ValueError, match=f"^n == {n}"):
        ngrams(["a", "b"], n)
