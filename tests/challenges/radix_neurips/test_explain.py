"""Reasons: sentences, shared phrases, highlights."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from challenges.radix_neurips.explain import Reason, explain, split_sentences
from challenges.radix_neurips.lexical import count_terms, split_words

TEXT = (
    "Exploration is hard, e.g. in sparse mazes. We study Policy Gradient methods (Williams et al. 1992) in detail! "
    "Is $O(n)$ enough? The policy-gradient estimator has low variance. [1] Experiments follow."
)


def sentences(text: str) -> list[str]:
    return [text[start:stop] for start, stop in split_sentences(text)]


def test_sentences_end_where_a_reader_ends_them():
    assert sentences(TEXT) == [
        "Exploration is hard, e.g. in sparse mazes.",
        "We study Policy Gradient methods (Williams et al. 1992) in detail!",
        "Is $O(n)$ enough?",
        "The policy-gradient estimator has low variance.",
        "[1] Experiments follow.",
    ]
    assert sentences("By J. Doe and Dr. Roe, vs. Fig. 3. Then") == ["By J. Doe and Dr. Roe, vs. Fig. 3.", "Then"]
    assert sentences("  ") == []


@given(st.text(st.sampled_from('ab .!?"(A1\n\\$'), max_size=60))
def test_sentences_lose_no_character_but_space(text: str):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def weights(title: str, abstract: str = "", **more: float) -> dict[str, float]:
    named = {name.replace("_", " "): weight for name, weight in more.items()}
    return dict.fromkeys(count_terms(title, abstract), 1.0) | named


def test_a_reason_names_shared_phrases_and_highlights_them_in_the_nearest_sentence():
    query = weights("policy gradients: an estimator", policy_gradient=1.5)
    reason = explain(query, weights("Low variance", TEXT, policy_gradient=1.5), "Low variance", TEXT)
    assert reason.shared_phrases == ("policy-gradient estimator",)
    assert reason.sentence == "The policy-gradient estimator has low variance."
    assert [reason.sentence[a:b] for a, b in reason.highlights] == ["policy-gradient estimator"]


def test_phrases_are_shown_as_the_paper_writes_them():
    query = weights("knapsack bandit query")
    paper = weights("Bandits with Knapsacks", "We study QUERIES.")
    reason = explain(query, paper, "Bandits with Knapsacks", "We study QUERIES.")
    assert reason.shared_phrases == ("bandits", "knapsacks", "queries")
    assert [reason.sentence[a:b] for a, b in reason.highlights] == ["QUERIES"]


def test_a_word_that_is_far_weightier_than_its_pair_stands_alone():
    weights = {"gan": 5.0, "deep gan": 0.1, "deep": 0.1}
    assert explain(weights, weights, "", "Deep GANs.").shared_phrases == ("gans",)


def test_a_word_and_its_plural_are_one_phrase():
    weights = {"bandit": 1.0}
    assert explain(weights, weights, "Categorized Bandits", "A bandit pulls.").shared_phrases == ("bandit",)


def test_nothing_shared_gives_the_first_sentence_and_no_highlight():
    assert explain({"x": 1.0}, {"y": 1.0}, "", "First one. Second.") == Reason((), "First one.", ())
    assert explain({}, {}, "", "") == Reason((), "", ())


@given(
    st.text(st.sampled_from("abé\U0001d49cİß .!?-A<&s"), max_size=80),
    st.text(st.sampled_from("abé\U0001d49cİ s"), max_size=40),
)
@example("bİbb", "bb")
def test_highlights_are_ascending_spans_of_words_the_query_has(text: str, asked: str):
    query, paper = weights(asked), weights("", text)
    reason = explain(query, paper, "", text)
    assert reason.sentence in text
    end = -1
    for start, stop in reason.highlights:
        assert end < start < stop <= len(reason.sentence)
        for word in re.findall(r"[^\W_]+", reason.sentence[start:stop]):  # in lower case İ parts a word in two
            assert not split_words(word) or {*split_words(word)} & {*split_words(asked)}
        end = stop
    assert len(reason.shared_phrases) <= 5
    assert not reason.shared_phrases or query.keys() & paper.keys()
