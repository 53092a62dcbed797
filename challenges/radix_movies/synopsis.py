"""Synopses as people paste them: cleaned, and told apart from what is none."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

MIN_LETTERS: Final = 20
"""A synopsis with fewer letters says nothing: 'N/A', 'Coming soon', '-'."""
MIN_WORDS_TO_JUDGE: Final = 8
"""Shorter texts are never called foreign for want of English words."""
MIN_ENGLISH: Final = 0.025
"""Share of words that are common in English only, in a text taken for English: all real English synopses have more,
as a test asks; in other languages it is about 0."""

_TAG: Final = re.compile(r"<(?:!--.*?--|/?[a-zA-Z][^<>]{0,300})>", re.DOTALL)
_SCRIPT: Final = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
# Without those that other languages have too: an, at, by, for, had, have, her, of, or, to, was, will of Germanic and
# Slavic ones, a, are, but, has, on of Romance ones, he of Finnish; nor new, as in New York. A synopsis may be short of
# such words, so that common words of synopses are here as well.
_ENGLISH: Final = frozenset((
    "the", "and", "his", "their", "she", "it", "its", "they", "who", "with", "from", "that", "this", "when", "into",
    "after", "before", "were", "him", "them", "two", "about", "out", "must", "while", "where", "which", "what", "how",
    "why", "between", "through", "during", "than", "then", "there", "only", "own", "been", "being", "both", "each",
    "other", "another", "these", "those", "whose", "would", "could", "because", "without", "against", "together",
    "around", "however", "three", "four", "himself", "herself", "themselves", "young", "woman", "father", "mother",
    "daughter", "friends", "family", "years", "life", "world", "finds", "takes", "becomes", "gets", "goes", "comes",
    "turns", "tries", "falls", "begins", "discovers", "based", "scientist",
))  # fmt: skip


def clean_text(text: str) -> tuple[str, bool]:
    """Strip html and control characters and join white space; also tell whether there was html.

    >>> clean_text("<p>A  boy &amp; his dog</p>")
    ('A boy & his dog', True)
    """
    stripped = _TAG.sub(" ", _SCRIPT.sub(" ", text))
    unescaped = html.unescape(stripped)
    had_html = unescaped != text
    printable = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in unescaped)
    return " ".join(printable.split()), had_html


def is_empty(text: str) -> bool:
    """Whether a cleaned synopsis has too few letters to say anything."""
    return sum(map(str.isalpha, text)) < MIN_LETTERS


def is_foreign(text: str) -> bool:
    """Whether a cleaned synopsis is not English, which is all that the text encoder reads.

    It is foreign if most of its letters are not Latin, or if hardly any of its words is common in English only.
    """
    letters = [c for c in text if c.isalpha()]
    if sum(ord(c) > 0x24F for c in letters) > len(letters) / 2:
        return True
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) >= MIN_WORDS_TO_JUDGE and sum(word in _ENGLISH for word in words) < MIN_ENGLISH * len(words)
