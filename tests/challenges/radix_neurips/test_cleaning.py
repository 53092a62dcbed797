"""Every rule mends what it is for, leaves what is right, and says so; no text breaks it."""

import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from challenges.radix_neurips.cleaning import MAX_CHARACTERS, clean_text, count_words

WORDS = """sensorineural implementation the problem learning neural networks network multi task and pre post training
auto encoder autoencoder hearing loss of model based therefore"""
VOCABULARY = dict.fromkeys(WORDS.split(), 50)
MARKS = st.sampled_from(
    """(cid:173)_|(cid:12)|\\alpha|\\textbf{|{|}|$|\\|~|-_|\u00ad|\ufb01|\x07|\n|Abstract:_|https://x.org/a|\\'e|\\cite{a}|sen-_|sorineural|
    |_the|problem|\\%|5|<jats:p>|</sub>|&amp;|#7;|lt;|\ud800""".replace("_", " ").split("|")
)


@pytest.mark.parametrize(
    ("text", "expected", "flaw"),
    [
        ("recog(cid:173) nition and applica(cid:173)\ntion", "recognition and application", "soft_hyphen"),
        ("a\u00adb", "ab", "soft_hyphen"),
        ("noise (cid:88) here", "noise here", "unknown_glyph"),
        ("e\ufb03cient \ufb01ts", "efficient fits", "ligature"),
        ("bell\x07 and\u200b zero", "bell and zero", "control_character"),
        ("\\textbf{Deep} \\emph{nets} in $\\mathcal{O}(n^2)$ time", "Deep nets in O(n^2) time", "latex"),
        ("rate $\\epsilon$-optimal, 5\\% of x\\alpha", "rate epsilon-optimal, 5% of x alpha", "latex"),
        ("Schr\\\"{o}dinger and Fr\\'echet~means", "Schrödinger and Fréchet means", "latex"),
        ("as shown \\cite{a,b} and \\citep[p. 3]{c}.", "as shown and .", "latex"),
        (
            "<jats:p>We use H<sub>2</sub>O.</jats:p><p>It <b id='x'>works</b>.<br /></p>",
            "We use H2O. It works.",
            "markup",
        ),
        ("x &lt; y &amp;amp; z&#233;", "x < y & z\u00e9", "markup"),
        ("Abstract: We learn.", "We learn.", "boilerplate"),
        ("We learn. Our code is available at https://a.b/c.", "We learn.", "boilerplate"),
        ("See https://example.org/x?y=1, please.", "See , please.", "url"),
        ("sen- sorineural hearing loss", "sensorineural hearing loss", "broken_word"),
        ("an implemen tation of", "an implementation of", "broken_word"),
        ("neuralnetworks of theproblem", "neural networks of the problem", "glued_words"),
    ],
)
def test_flaws_are_mended_and_counted(text: str, expected: str, flaw: str):
    cleaned, flaws = clean_text(text, VOCABULARY)
    assert cleaned == expected
    assert flaws[flaw] >= 1


@pytest.mark.parametrize(
    "text",
    [
        "pre- and post-training of multi- task models",
        "an auto encoder",  # both are words
        "The abstract notion of a group; abstract algebra.",
        "It costs $5 million.",
        "If a<b and c>d, then p & q; R&D.",
        "We use code switching, where code is found in speech and text.",
        "Bandits with knapsacks (BwK) in R^d: a 2-approximation, O(n log n), naïve Bayes & 50% of 日本語.",
    ],
)
def test_right_text_stays(text: str):
    cleaned, flaws = clean_text(text, VOCABULARY)
    assert cleaned == text
    assert not flaws


def test_without_a_vocabulary_no_word_is_touched():
    assert clean_text("sen- sorineural theproblem")[0] == "sen- sorineural theproblem"


def test_a_huge_text_is_cut():
    cleaned, flaws = clean_text("word " * 250_000)  # 1.25 MB
    assert len(cleaned) <= MAX_CHARACTERS
    assert flaws["cut"] == 1


@pytest.mark.parametrize("text", ["abstract:" * 2_222, "Code is available." * 1_111, "abstract:" * 99 + "a" * 19_000])
def test_cleaning_a_legal_text_is_quick(text: str):
    start = time.process_time()
    clean_text(text, VOCABULARY)
    assert time.process_time() - start < 1  # thousands of passes took five


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=8), MARKS), max_size=20).map("".join), st.booleans())
@example("\\(cid:173)alpha", True)
@example("\\{\\}$$\\$1", False)
@example("(ci\u00add:173) x", True)
def test_any_text_ends_clean_and_stays_so(text: str, with_vocabulary: bool):
    vocabulary = VOCABULARY if with_vocabulary else None
    cleaned, _ = clean_text(text, vocabulary)
    assert cleaned.isprintable()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert clean_text(cleaned, vocabulary)[0] == cleaned


def test_words_are_counted_by_text():
    assert count_words(["Deep deep nets", "nets of ap(cid:173) ples"]) == {"deep": 1, "nets": 2, "of": 1, "apples": 1}
