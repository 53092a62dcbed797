"""Why two papers are similar: the phrases they share, and the sentence nearest to the query."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from challenges.radix_neurips.lexical import LONGEST_TERM, split_words

Span = tuple[int, int]
"""From a character to the one behind the last, counted as Python counts them (by code points)."""
Weights = Mapping[str, float]
"""TF-IDF weight by term, a word or a run of words, as `challenges.radix_neurips.lexical.Tfidf.weights` has them."""

_Term = tuple[str, int, int]
"""A word or run of words as the query has it, and its span."""

MOST_PHRASES = 5
_MOST_TERMS = 12  # that make up phrases and are highlighted
_LONGEST_PHRASE = 5  # words; longer ones stand in copied sentences
_SHORT_SENTENCE = 6  # words, without the small ones
_TELLING = 0.1  # of the weight that the weightiest shared term has

_WORD = re.compile(r"[^\W_]+")
_WITHIN_PHRASE = re.compile(r"[\w '\u2019-]*")  # between its words
_SENTENCE_END = re.compile(r"[.!?][\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[$]*[A-Z0-9\\])")
_ABBREVIATION = re.compile(
    r"(?:\b(?i:e\.g|i\.e|et al|etc|vs|cf|resp|fig|eq|sec|approx|w\.r\.t|i\.i\.d|a\.k\.a|dr|prof)|\b[A-Z])\.\W*$"
)


@dataclass(frozen=True)
class Reason:
    """Why a paper was found."""

    shared_phrases: tuple[str, ...]  # the weightiest of both texts first, as the paper writes them
    sentence: str  # of the found paper, the nearest to the query
    highlights: tuple[Span, ...]  # what of the sentence the query shares; ascending, apart from each other


def explain(query: Weights, paper: Weights, title: str, abstract: str) -> Reason:
    """Say what a query and a paper have in common.

    Args:
        query: the query's terms.
        paper: the paper's terms.
        title: the paper's.
        abstract: the paper's.
    """
    shared = {term: query[term] * paper[term] for term in query.keys() & paper.keys()}
    least = _TELLING * max(shared.values(), default=0.0)
    strongest = sorted((t for t in shared if shared[t] >= least), key=lambda t: (-shared[t], t))[:_MOST_TERMS]
    telling = {term: shared[term] for term in strongest}
    words = _words(abstract)
    terms = _terms(abstract, words, query)
    phrases: dict[str, float] = {}
    for text, its_terms in ((title, _terms(title, _words(title), query)), (abstract, terms)):
        phrases |= {phrase: weight for phrase, weight in _phrases(text, its_terms, telling) if phrase not in phrases}
    first, last = _nearest_sentence(query, split_sentences(abstract), words, terms)
    spans = _join([(a - first, b - first) for term, a, b in terms if term in telling and first <= a < last])
    return Reason(_distinct(phrases)[:MOST_PHRASES], abstract[first:last], spans)


def split_sentences(text: str) -> list[Span]:
    """Return the spans of a text's sentences, without the space around them; an abbreviation ends none."""
    ends = [end.end() for end in _SENTENCE_END.finditer(text)]
    found, start = [], len(text) - len(text.lstrip())
    for end in [*ends, len(text)]:
        if end == len(text) or not _ABBREVIATION.search(text, start, end):
            stop = start + len(text[start:end].rstrip())
            if stop > start:
                found.append((start, stop))
            start = end
    return found


def _words(text: str) -> list[_Term]:
    """The words of a text that are terms, each with its span."""
    return [(term, *word.span()) for word in _WORD.finditer(text) for term in _split_word(word[0])]


def _terms(text: str, words: Sequence[_Term], query: Weights) -> list[_Term]:
    """The query's terms among the words of a text and the runs of them that stand in one phrase, each with its span.

    What lies between two words belongs to the run: small words, a hyphen.
    """
    found: list[_Term] = []
    for i, (term, start, stop) in enumerate(words):
        if term not in query:  # then no run that it begins is either: a run's words are known wherever the run is
            continue
        found.append((term, start, stop))
        for word, word_start, word_stop in words[i + 1 : i + LONGEST_TERM]:
            if not _WITHIN_PHRASE.fullmatch(text, stop, word_start):
                break
            term, stop = f"{term} {word}", word_stop
            if term in query:
                found.append((term, start, stop))
    return found


@lru_cache(maxsize=1 << 16)
def _split_word(word: str) -> tuple[str, ...]:
    return tuple(split_words(word))


def _phrases(text: str, terms: Sequence[_Term], telling: Weights) -> list[tuple[str, float]]:
    """What telling terms make up together, in lower case, and the weight of them: of 'a b' and 'b c', 'a b c'."""
    spans = _join([(start, stop) for term, start, stop in terms if term in telling])
    found: list[tuple[str, float]] = []
    for first, last in spans:
        inside = {term: (a, b) for term, a, b in terms if first <= a < last and term in telling}
        if len(_WORD.findall(text, first, last)) <= _LONGEST_PHRASE:
            found.append((text[first:last].lower(), sum(telling[term] for term in inside)))
        else:
            found += [(text[a:b].lower(), telling[term]) for term, (a, b) in inside.items()]
    return found


def _distinct(weight: Weights) -> tuple[str, ...]:
    """The phrases, weightiest first, without those whose words are all in one before them."""
    kept: list[str] = []
    for phrase in sorted(weight, key=lambda phrase: (-weight[phrase], phrase)):
        if not any(set(split_words(phrase)) <= set(split_words(other)) for other in kept):
            kept.append(phrase)
    return tuple(kept)


def _nearest_sentence(
    query: Weights, sentences: Sequence[Span], words: Sequence[_Term], terms: Sequence[_Term]
) -> Span:
    """The sentence with the most weight of the query for its length; the first where none has any."""
    starts = [start for start, _ in sentences]
    inside: list[set[str]] = [set() for _ in sentences]
    for term, start, _ in terms:
        inside[bisect_right(starts, start) - 1].add(term)
    n_words = Counter(bisect_right(starts, start) - 1 for _, start, _ in words)
    best, best_score = (0, 0), -1.0
    for i, sentence in enumerate(sentences):
        # As the cosine has it, but a fragment gains nothing by being short.
        score = sum(query[term] for term in inside[i]) / max(n_words[i], _SHORT_SENTENCE) ** 0.5
        if score > best_score:
            best, best_score = sentence, score
    return best


def _join(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans in order, those that overlap as one."""
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)
