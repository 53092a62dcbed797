"""An answer's clauses, each of which may have a theme of its own: 'too expensive and I am moving'."""

from __future__ import annotations

import re
from typing import Final

MIN_WORDS: Final = 2
"""A part of fewer words stays with the one before it: 'my wife and I', 'slow, really'."""
MAX_CLAUSES: Final = 30
"""The rest of a longer answer is its last clause."""
_BREAK: Final = re.compile(
    r"(?<=[.!?;])\s+|\s*[\n;\u2022|]\s*|,\s+|\s+[-\u2013\u2014]+\s+|\s*[()]\s*"
    # Conjunctions of the languages that surveys here come in: en, de, fr, es, it, nl, pt.
    r"|\s+(?=(?:and|but|also|plus|und|aber|auch|et|mais|aussi|pero|tambi\u00e9n|ma|anche|"
    r"maar|ook|mas|tamb\u00e9m)\b)",
    re.IGNORECASE,
)
_LEADING: Final = re.compile(
    r"^(?:(?:and|but|also|plus|und|aber|auch|et|mais|aussi|pero|tambi\u00e9n|ma|anche|maar|ook|mas|tamb\u00e9m)\b[\s,]*)+",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"\w+")


def split_clauses(answer: str) -> tuple[str, ...]:
    """The clauses in order; the answer itself where it has but one.

    >>> split_clauses("Too expensive and I am moving. Slow, really!")
    ('Too expensive', 'I am moving.', 'Slow, really!')
    >>> split_clauses("my wife and I")
    ('my wife and I',)
    """
    clauses: list[str] = []
    start = 0
    for end, following in [(m.start(), m.end()) for m in _BREAK.finditer(answer)] + [(len(answer), len(answer))]:
        whole = answer[start:end].strip(" ,")
        enough = len(_WORD.findall(_LEADING.sub("", whole))) >= MIN_WORDS
        rest = len(_WORD.findall(_LEADING.sub("", answer[following:].strip())))
        if (enough and rest >= MIN_WORDS and len(clauses) < MAX_CLAUSES - 1) or end == len(answer):
            clauses.append(_LEADING.sub("", whole) or whole)
            start = following
    return tuple(clauses) if len(clauses) > 1 else (answer,)
