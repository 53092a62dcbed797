"""n-gram language model: the next token depends on the last n - 1 alone, and its probability is a count.

Most n-grams never occur in the text at hand. Laplace smoothing adds alpha to the count of each, so that nothing
is impossible and the probabilities of a context still add up to 1: (count + alpha) / (total + alpha V).

Complexity: O(T) time and memory for T tokens; O(1) for a probability, O(V) for a prediction.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from challenges.ml_coding.parameters import check_counts, check_not_negative

START, END, UNKNOWN = "<s>", "</s>", "<unk>"


def ngrams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All n neighbouring tokens in order, len(tokens) - n + 1 of them and none where that is below 1.

    Raises:
        ValueError: n is below 1.

    >>> list(ngrams(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    check_counts(1, n=n)
    return zip(*(tokens[i:] for i in range(n)), strict=False)


class NGramModel(BaseEstimator):
    """Sentences are sequences of tokens; each starts after n - 1 times "<s>" and ends with "</s>".

    Args:
        n: length of the n-grams; 1 ignores the context.
        alpha: added to each count; 0 is the maximum likelihood estimate, which knows nothing of unseen contexts.
        min_count: rarer tokens are read as "<unk>", and so are those never seen.

    Attributes:
        vocabulary_: all that can follow, in order: tokens, "</s>" and "<unk>"; V is their number. "<s>" is
            none of them, as it never follows; in a text it is read as "<unk>".
        counts_: for each context (n - 1 tokens) the counts of what followed.

    Example:
        >>> model = NGramModel(n=2).fit([["a", "b"], ["a", "c"]])
        >>> model.probability("b", ["a"])  # (1 + 1) / (2 + 5)
        0.2857142857142857
    """

    def __init__(self, n: int = 2, alpha: float = 1.0, min_count: int = 1) -> None:
        self.n = n
        self.alpha = alpha
        self.min_count = min_count

    def fit(self, sentences: Iterable[Sequence[str]]) -> Self:
        """Count the n-grams of the sentences.

        Raises:
            ValueError: n is below 1 or alpha below 0.
        """
        check_counts(1, n=self.n)
        check_not_negative(alpha=self.alpha)
        sentences = list(sentences)
        tokens = Counter(token for sentence in sentences for token in sentence)
        frequent = {token for token, count in tokens.items() if count >= self.min_count and token != START}
        self.vocabulary_ = sorted(frequent | {END, UNKNOWN})
        self._known = frozenset(self.vocabulary_)
        self.counts_: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for sentence in sentences:
            for *context, token in ngrams(self._pad(sentence), self.n):
                self.counts_[tuple(context)][token] += 1
        self.counts_ = dict(self.counts_)  # else a look-up of an unseen context would add it
        self._totals = {context: counts.total() for context, counts in self.counts_.items()}
        return self

    def _read(self, tokens: Iterable[str]) -> list[str]:
        return [token if token in self._known else UNKNOWN for token in tokens]

    def _pad(self, sentence: Sequence[str]) -> list[str]:
        return [START] * (self.n - 1) + self._read(sentence) + [END]

    def _context(self, context: Sequence[str]) -> tuple[str, ...]:
        """The last n - 1 tokens, filled up with "<s>" at the front."""
        read = [START] * (self.n - 1) + self._read(context)
        return tuple(read[len(read) - (self.n - 1) :])  # read[-0:] would be all of it

    def _probability(self, token: str, context: tuple[str, ...]) -> float:
        count = self.counts_[context][token] if context in self.counts_ else 0
        denominator = self._totals.get(context, 0) + self.alpha * len(self.vocabulary_)
        return (count + self.alpha) / denominator if denominator > 0 else math.nan

    def probability(self, token: str, context: Sequence[str] = ()) -> float:
        """Probability that `token` follows; of a longer context the last n - 1 count, a shorter one began the sentence.

        NaN for a context that was never seen, where alpha is 0.
        """
        check_is_fitted(self)
        return self._probability(self._read([token])[0], self._context(context))

    def log_probability(self, sentence: Sequence[str]) -> float:
        """Natural logarithm of the probability of a whole sentence, its end included: a sum, as products underflow."""
        check_is_fitted(self)
        found = [self._probability(token, tuple(context)) for *context, token in ngrams(self._pad(sentence), self.n)]
        return sum(math.log(p) if p > 0 else -math.inf if p == 0 else math.nan for p in found)

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float:
        """e^(-mean log-probability of a token, ends included): as unsure as among so many equal choices.

        NaN without sentences.
        """
        sentences = list(sentences)
        n_tokens = sum(len(sentence) + 1 for sentence in sentences)
        if n_tokens == 0:
            return math.nan
        mean = sum(self.log_probability(sentence) for sentence in sentences) / n_tokens
        return math.inf if mean == -math.inf else math.exp(-mean)

    def predict(self, contexts: Iterable[Sequence[str]]) -> list[str]:
        """The likeliest next token of each context, the first in alphabetical order of equals."""
        check_is_fitted(self)
        followers = [self.counts_.get(self._context(context), Counter()) for context in contexts]
        # `max` keeps the first of equals, and counts order as smoothed probabilities do.
        return [max(self.vocabulary_, key=lambda token, seen=seen: seen[token]) for seen in followers]  # type: ignore[misc]
