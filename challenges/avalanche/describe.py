"""Themes in words a person reads: a label of phrases that distinguish, a line that counts them, quotes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.language import HOLLOW, WORD, log_odds

MAX_WORDS: Final = 4
"""Of a phrase."""
PRIOR: Final = 10.0
"""Clauses that the prior weighs as much as: a phrase that one clause has by chance does not distinguish."""
LONGER: Final = 0.35
"""Each further word adds this share to a phrase's score: 'price increase' says more than 'price'."""
LONE_WORD: Final = 0.25
"""A word alone tells of a theme only if it is in this share of its clauses."""
WIDEN: Final = 0.1
"""A phrase stands for its word if it is in this share of the word's clauses."""
MAX_LABEL: Final = 60
"""Characters."""
N_QUOTES: Final = 5
QUOTE_LENGTH: Final = (15, 200)
"""Characters: other answers are quoted only where there are not enough of these."""
VARIETY: Final = 0.7
"""How much a quote's likeness to one chosen before weighs against its likeness to the theme."""


@dataclass(frozen=True)
class Wording:
    """A theme in words."""

    label: str
    phrases: tuple[tuple[str, int], ...]  # the most telling first, each with the number of clauses that have it


def word_themes(clauses: Sequence[str], themes: NDArray[np.int64], n_themes: int) -> list[Wording]:
    """Find the phrases of each theme that others have seldom.

    A phrase of one to four words is scored by its log-odds in the theme's clauses against all others, under a prior
    that is how all speak, over its standard error (Monroe, Colaresi and Quinn, Fightin' Words, Political Analysis 16,
    2008). The next phrase has to tell something of clauses that the ones before do not cover.

    Args:
        clauses: N texts.
        themes: (N,) theme of each, 0 to n_themes - 1.
        n_themes: T.
    """
    in_clauses: dict[tuple[str, ...], set[int]] = defaultdict(set)
    spellings: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for number, clause in enumerate(clauses):
        for key, spelling in _phrases(clause):
            in_clauses[key].add(number)
            spellings[key][spelling] += 1
    by_theme = np.bincount(themes, minlength=n_themes)
    wordings: list[Wording] = []
    candidates: list[dict[tuple[str, ...], set[int]]] = [{} for _ in range(n_themes)]
    for key, found in in_clauses.items():
        if len(found) < 2:  # what one person says once tells nothing of a theme
            continue
        for theme, n in Counter(themes[list(found)].tolist()).items():
            if n >= 2:
                candidates[theme][key] = {number for number in found if themes[number] == theme}
    for theme, own in enumerate(candidates):
        z = _scores(own, {key: len(in_clauses[key]) for key in own}, int(by_theme[theme]), len(clauses))
        telling = {key: s for key, s in z.items() if len(key) > 1 or len(own[key]) >= LONE_WORD * by_theme[theme]}
        chosen = dict.fromkeys(_widen(key, own) for key in _cover(own, telling or z, n_phrases=4))
        phrases = tuple((spellings[key].most_common(1)[0][0], len(own[key])) for key in chosen)
        wordings.append(Wording(_label(phrases, int(by_theme[theme])), phrases))
    return _tell_apart(wordings)


def _phrases(clause: str) -> list[tuple[tuple[str, ...], str]]:
    """The phrases of a clause: words without plural endings to count them by, and as they are spelt."""
    words = [(m.start(), m.end(), m.group().lower().replace("\u2019", "'")) for m in WORD.finditer(clause)]
    found = []
    for first in range(len(words)):
        for last in range(first, min(first + MAX_WORDS, len(words))):
            if words[first][2] in HOLLOW or words[last][2] in HOLLOW:
                continue
            key = tuple(_stem(word) for _, _, word in words[first : last + 1])
            found.append((key, " ".join(clause[words[first][0] : words[last][1]].lower().split())))
    return found


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _scores(
    own: dict[tuple[str, ...], set[int]], n_all: dict[tuple[str, ...], int], n_theme: int, n_clauses: int
) -> dict[tuple[str, ...], float]:
    """How surely each phrase tells a theme's clauses from all others: z of its log-odds, more for longer ones."""
    mine = np.array([len(found) for found in own.values()], dtype=np.float64)  # (P,)
    others = np.array([n_all[key] for key in own], dtype=np.float64) - mine
    prior = PRIOR * (mine + others) / n_clauses
    # Half a clause without the phrase keeps one that every clause has finite.
    estimate, error = log_odds(mine, n_theme, others, n_clauses - n_theme, prior, PRIOR + 0.5)
    longer = 1 + LONGER * (np.array([len(key) for key in own]) - 1)
    return dict(zip(own, (longer * estimate / error).tolist(), strict=True))


def _cover(
    own: dict[tuple[str, ...], set[int]], z: dict[tuple[str, ...], float], n_phrases: int
) -> list[tuple[str, ...]]:
    """Choose phrases one after another by score, each discounted for the clauses that are covered already."""
    chosen: list[tuple[str, ...]] = []
    covered: set[int] = set()
    left = {key: score for key, score in z.items() if score > 0}
    while left and len(chosen) < n_phrases:
        best = max(left, key=lambda key: (left[key] * len(own[key] - covered) / len(own[key]), len(key), key))
        if len(own[best] - covered) == 0:
            break
        chosen.append(best)
        covered |= own[best]
        left = {key: score for key, score in left.items() if not set(key) & set(best)}
    return chosen


def _widen(key: tuple[str, ...], own: dict[tuple[str, ...], set[int]]) -> tuple[str, ...]:
    """A phrase in the place of a lone word, the one that most of the word's clauses have, if it is not too rare."""
    if len(key) > 1:
        return key
    enough = max(2, WIDEN * len(own[key]))
    wider = [phrase for phrase in own if len(phrase) > 1 and key[0] in phrase and len(own[phrase]) >= enough]
    return max(wider, key=lambda phrase: (len(own[phrase]), len(phrase), phrase), default=key)


def _label(phrases: Sequence[tuple[str, int]], n_clauses: int) -> str:
    """The first phrase, and the second where the first leaves out most clauses."""
    if not phrases:
        return ""
    label = phrases[0][0]
    if len(label) > MAX_LABEL:  # of words without spaces between them, or the address of a page
        label = label[: MAX_LABEL - 1].rstrip() + "\u2026"
    if len(phrases) > 1 and phrases[0][1] < n_clauses / 2 and len(label) + len(phrases[1][0]) + 3 <= MAX_LABEL:
        label += " / " + phrases[1][0]
    return label[0].upper() + label[1:]


def _tell_apart(wordings: list[Wording]) -> list[Wording]:
    """No two labels alike: the later one gets its next phrase, or a number."""
    seen: set[str] = set()
    told: list[Wording] = []
    for wording in wordings:
        label = wording.label or "Theme without a phrase of its own"
        for phrase, _ in wording.phrases[1:]:
            if label in seen and phrase not in label:
                label += " / " + phrase
        plain, number = label, 2
        while label in seen:
            label, number = f"{plain} ({number})", number + 1
        seen.add(label)
        told.append(Wording(label, wording.phrases))
    return told


def describe_theme(wording: Wording) -> str:
    """One line: what its answers say, and in how many clauses; how many answers it has changes as people code."""
    said = ", ".join(f"'{phrase}' ({n})" for phrase, n in wording.phrases)
    return f"Said most distinctly: {said}" if said else ""


def choose_quotes(
    texts: Sequence[str], vectors: NDArray[np.float32], probabilities: NDArray[np.floating], n: int = N_QUOTES
) -> list[int]:
    """Answers that are central to their theme and unlike each other (maximal marginal relevance).

    Carbonell and Goldstein, The use of MMR (SIGIR 1998).

    Args:
        texts: N answers of one theme.
        vectors: (N, D) of unit length.
        probabilities: (N,) of the theme.
        n: quotes at most.
    """
    centre = vectors.mean(axis=0)
    centre = centre / max(float(np.linalg.norm(centre)), 1e-9)
    fits = np.array([QUOTE_LENGTH[0] <= len(text) <= QUOTE_LENGTH[1] for text in texts])
    relevance = vectors @ centre + 0.2 * probabilities - np.where(fits, 0.0, 0.5)  # (N,)
    chosen: list[int] = []
    likeness = np.zeros(len(texts))
    said: set[str] = set()
    for _ in range(min(n, len(texts))):
        score = relevance - VARIETY * likeness
        score[[i for i, text in enumerate(texts) if text.lower() in said]] = -np.inf
        best = int(np.argmax(score))
        if not np.isfinite(score[best]):
            break
        chosen.append(best)
        said.add(texts[best].lower())
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return chosen
