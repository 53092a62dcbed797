"""Papers and their authors' keywords -> an encoder and term weights adapted to the field.

Three things are learned, from cheap to dear: which terms are keywords (counted); the encoder's upper layers (trained
so that papers which share a rare keyword, and the title and abstract of a paper, come close); and a linear map that
evens out the directions of its vectors. Embeddings and lower layers stay, so what they say of a text is computed
once, and an epoch on one core takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.lexical import Tfidf, save_keyphraseness
from challenges.radix_neurips.model import TITLE_WEIGHT, Floats
from challenges.radix_neurips.relevance import Keywords, keyphraseness_of, shared_keywords, sketch_papers
from common.cli import progress
from common.errors import UserError
from common.inference.batch import map_chunks
from common.inference.session import create_session
from common.models.text import (
    TextEncoder,
    build_graph,
    export_text_encoder,
    hidden_states_of,
    load_sentence_transformer,
    plain_tokenizer,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_NEIGHBOURS: Final = 20  # nearest papers by their words, from which hard negatives are drawn
_WARM_UP: Final = 10  # steps
_NEVER: Final = -1e4  # a logit that counts for nothing
_ADAPTER_TEXTS: Final = 6_000  # whose vectors' directions are evened out


@dataclass(frozen=True)
class Recipe:
    """How the encoder is trained."""

    source: str = "all-MiniLM-L6-v2"
    frozen_layers: int = 4
    max_tokens: int = 128  # of a title or abstract in training; the exported encoder reads on
    keyword_steps: int = 160
    title_steps: int = 80
    batch: int = 64  # papers
    learning_rate: float = 1e-4
    temperature: float = 0.05
    dropout: float = 0.05
    title_loss_weight: float = 0.3  # in keyword steps
    evenness: float = 0.5  # 0 leaves the directions of the vectors as they are, 1 makes all equally strong
    last_years: int = 4  # whose papers are trained on
    seed: int = 0


@dataclass(frozen=True)
class HiddenStates:
    """What the frozen layers say of M texts, token by token."""

    states: NDArray[np.float16]  # (all tokens, D)
    starts: NDArray[np.int64]  # (M + 1,)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(B, L, D) states, filled up with zeros, and (B, L) 1 where there is a token."""
        lengths = (self.starts[1:] - self.starts[:-1])[list(rows)]
        states = np.zeros((len(rows), int(lengths.max()), self.states.shape[1]), np.float32)
        mask = np.arange(states.shape[1])[None, :] < lengths[:, None]
        for i, row in enumerate(rows):
            states[i, : lengths[i]] = self.states[self.starts[row] : self.starts[row + 1]]
        return torch.from_numpy(states), torch.from_numpy(mask.astype(np.float32))


@dataclass(frozen=True)
class Year:
    """The papers of one year, ready for training."""

    titles: HiddenStates
    abstracts: HiddenStates
    neighbours: NDArray[np.int64]  # (N, _NEIGHBOURS) rows of the nearest by words
    similar: Mapping[int, Mapping[int, int]]  # see `shared_keywords`; empty for a year without


class UpperLayers(nn.Module):
    """The trained layers of the encoder, with pooling."""

    def __init__(self, model: SentenceTransformer, recipe: Recipe) -> None:
        super().__init__()
        network: Any = model[0].auto_model
        self.layers = deepcopy(network.encoder.layer[recipe.frozen_layers :])
        for module in self.layers.modules():
            if isinstance(module, nn.Dropout):
                module.p = recipe.dropout

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D) states and (B, L) mask -> (B, D) vectors of unit length."""
        logits = torch.zeros(len(mask), 1, 1, mask.shape[1]).masked_fill(mask[:, None, None] == 0, _NEVER)
        for layer in self.layers:
            states = layer(states, logits)
            states = states[0] if isinstance(states, tuple) else states
        pooled = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)  # (B, D)
        return F.normalize(pooled, dim=1)


def train(
    corpus: Corpus,
    keywords: Keywords,
    out: Path,
    *,
    data_fingerprint: str,
    held_out: int | None = None,
    recipe: Recipe = Recipe(),
) -> TextEncoder:
    """Adapt the encoder and write it, with the term weights, as an artifact to `out`.

    Args:
        corpus: papers of several years.
        keywords: of the papers of some of them.
        out: directory.
        data_fingerprint: of the files.
        held_out: a year whose keywords the encoder does not learn from, so that it can be tested on them. The term
            weights, which are counted and not fitted, do: `evaluate` counts its own without it.
        recipe: how.

    Raises:
        UserError: no two papers of a year share a rare keyword.
    """
    torch.manual_seed(recipe.seed)
    latest = [int(year) for year in np.unique(corpus.years[corpus.years > 0])[-recipe.last_years :]]
    taught = {year: np.flatnonzero(corpus.years == year) for year in latest if year != held_out}
    learned = [
        row for rows in taught.values() for row in rows[np.array([*shared_keywords(corpus.ids[rows], keywords)], int)]
    ]
    if not learned:
        raise UserError(
            f"no two papers of one of the years {list(taught)} share a rare keyword: give more keywords or papers"
        )
    model = load_sentence_transformer(recipe.source)
    years = prepare(corpus, keywords, held_out, model, recipe)
    upper = UpperLayers(model, recipe)
    losses = fit(upper, years, recipe)
    network: Any = model[0].auto_model
    network.encoder.layer = nn.ModuleList([*network.encoder.layer[: recipe.frozen_layers], *upper.layers.eval()])
    phrases = keyphraseness_of(corpus, keywords)
    rng = np.random.default_rng(recipe.seed)
    rows = np.sort(rng.permutation(len(corpus))[: _ADAPTER_TEXTS // 2])
    # By the exported encoder itself, so that what 8 bits change is evened out with the rest.
    plain = export_text_encoder(model, out)
    some = corpus.select(rows)
    with progress("evening out", total=2 * len(some)) as advance:
        vectors = plain.encode([*some.titles, *some.abstracts], advance)
    return export_text_encoder(
        model,
        out,
        adapter=even_out(vectors, recipe.evenness),
        extra_files=save_keyphraseness(phrases),
        config={
            "recipe": asdict(recipe),
            "held_out": held_out,
            "final_loss": losses,
            "learned_from": sketch_papers(corpus.select(np.array(learned))),
        },
        data_fingerprint=data_fingerprint,
    )


def prepare(
    corpus: Corpus, keywords: Keywords, held_out: int | None, model: SentenceTransformer, recipe: Recipe
) -> list[Year]:
    """The last years of the corpus, read by the frozen layers."""
    latest = np.unique(corpus.years[corpus.years > 0])[-recipe.last_years :]
    parts = [corpus.select(corpus.years == year) for year in latest]
    years = []
    with progress("reading", total=2 * sum(map(len, parts))) as advance:
        for year, part in zip(latest, parts, strict=True):
            similar = {} if year == held_out else shared_keywords(part.ids, keywords)
            states = [read_lower(model, texts, recipe, advance) for texts in (part.titles, part.abstracts)]
            years.append(Year(states[0], states[1], _neighbours(part), similar))
    return years


def read_lower(
    model: SentenceTransformer, texts: Sequence[str], recipe: Recipe, on_progress: Callable[[int], None]
) -> HiddenStates:
    """Run the frozen layers over texts: those of the int8 graph, on which the trained ones will stand."""
    tensor = hidden_states_of(recipe.frozen_layers - 1)
    session = create_session(build_graph(model, extra_outputs=[tensor]))
    tokenizer = plain_tokenizer(model, recipe.max_tokens)

    def read(some: list[str]) -> list[NDArray[np.float16]]:
        ids = [np.array([encoding.ids]) for encoding in tokenizer.encode_batch(some)]
        return [session.run([tensor], {"input_ids": row})[0][0].astype(np.float16) for row in ids]  # (L, D) each

    states = []
    for part in map_chunks(read, texts, 16):
        states += part
        on_progress(len(part))
    return HiddenStates(np.concatenate(states), np.cumsum([0, *map(len, states)]))


def _neighbours(part: Corpus) -> NDArray[np.int64]:
    """(N, K) rows of the papers that share the most words with each."""
    vectors = Tfidf().fit(part.papers()).transform(part.papers())
    similarity = (vectors @ vectors.T).toarray()
    np.fill_diagonal(similarity, -1)
    k = min(_NEIGHBOURS, len(part) - 1)
    return np.asarray(np.argpartition(-similarity, max(k - 1, 0), axis=1)[:, :k])


def fit(upper: UpperLayers, years: Sequence[Year], recipe: Recipe) -> dict[str, float]:
    """Train the layers in place; returns the mean loss of the last quarter of the steps of each kind."""
    rng = np.random.default_rng(recipe.seed)
    kinds = rng.permutation(["keywords"] * recipe.keyword_steps + ["titles"] * recipe.title_steps)
    optimiser = torch.optim.AdamW(upper.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / _WARM_UP) * max(0.02, 1 - step / len(kinds))
    )
    batches = {
        "keywords": keyword_batches([year for year in years if year.similar], recipe.batch, rng),
        "titles": neighbour_batches(years, recipe.batch, rng),
    }
    losses: dict[str, list[float]] = {"keywords": [], "titles": []}
    upper.train()
    with progress("training", total=len(kinds)) as advance:
        for kind in kinds:
            year, rows = next(batches[kind])
            title, abstract = upper(*year.titles.batch(rows)), upper(*year.abstracts.batch(rows))  # (B, D) each
            loss = (
                keyword_loss(title, abstract, similarity_mask(year, rows), recipe)
                if kind == "keywords"
                else title_loss(title, abstract, recipe.temperature)
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(upper.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses[kind].append(loss.item())
            advance()
    return {kind: float(np.mean(values[-max(1, len(values) // 4) :])) for kind, values in losses.items() if values}


def keyword_batches(years: Sequence[Year], size: int, rng: np.random.Generator) -> Iterator[tuple[Year, list[int]]]:
    """Endless batches of papers of one year: pairs that share a rare keyword, and near papers that do not."""
    while True:
        year = years[int(rng.integers(len(years)))]
        queries = list(year.similar)
        rows: dict[int, None] = {}
        while len(rows) < min(size, len(queries)):
            query = queries[rng.integers(len(queries))]
            others = list(year.similar[query])
            # The rarer the keyword, the more it says.
            rarity = 1 / np.array([year.similar[query][other] for other in others], np.float64)
            other = others[rng.choice(len(others), p=rarity / rarity.sum())]
            for row in (query, other):
                rows[row] = None
                if rng.random() < 0.5:
                    rows[int(rng.choice(year.neighbours[row][: _NEIGHBOURS // 2]))] = None
        yield year, list(rows)[:size]


def neighbour_batches(years: Sequence[Year], size: int, rng: np.random.Generator) -> Iterator[tuple[Year, list[int]]]:
    """Endless batches of papers of one year that lie near each other by their words, in groups of eight."""
    while True:
        year = years[int(rng.integers(len(years)))]
        n_papers = len(year.neighbours)
        rows: dict[int, None] = {}
        while len(rows) < min(size, n_papers):
            seed = int(rng.integers(n_papers))
            near = rng.permutation(year.neighbours[seed])[:7]
            rows.update(dict.fromkeys([seed, *near.tolist()]))
        yield year, list(rows)[:size]


def similarity_mask(year: Year, rows: Sequence[int]) -> Tensor:
    """(B, B) whether two papers share a rare keyword."""
    return torch.tensor([[other in year.similar.get(row, ()) for other in rows] for row in rows])


def keyword_loss(title: Tensor, abstract: Tensor, similar: Tensor, recipe: Recipe) -> Tensor:
    """-log of the share of a paper's similar papers among all of the batch, after a softmax of the cosines.

    The sum over the similar papers stands inside the logarithm (MIL-NCE: Miech et al. 2020): papers that share a
    vague keyword need not all come close, the nearest of them must.
    """
    papers = F.normalize(TITLE_WEIGHT * title + abstract, dim=1)  # (B, D)
    logits = papers @ papers.T / recipe.temperature  # (B, B)
    logits = logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), _NEVER)
    share = torch.logsumexp(logits.masked_fill(~similar, _NEVER), dim=1) - torch.logsumexp(logits, dim=1)  # (B,)
    asked = similar.any(dim=1)
    own = title_loss(title, abstract, recipe.temperature, ignored=similar)
    return -share[asked].sum() / asked.sum().clamp(min=1) + recipe.title_loss_weight * own


def title_loss(title: Tensor, abstract: Tensor, temperature: float, ignored: Tensor | None = None) -> Tensor:
    """Cross-entropy of finding the abstract that belongs to a title, and back, in the batch (InfoNCE).

    Args:
        title: (B, D) of unit length.
        abstract: (B, D) of unit length.
        temperature: of the softmax.
        ignored: (B, B) pairs that are no negatives.
    """
    logits = title @ abstract.T / temperature  # (B, B)
    if ignored is not None:
        logits = logits.masked_fill(ignored, _NEVER)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def even_out(vectors: Floats, evenness: float) -> tuple[Floats, Floats]:
    """Mean (D,) and matrix (D, D) that make the directions in which vectors (N, D) differ more equally strong.

    A few directions hold most of what the vectors of one field differ in, and drown the rest in a cosine (Mu and
    Viswanath, 'All-but-the-top', 2018; Su et al., 'Whitening sentence representations', 2021). Along each principal
    axis vectors are divided by the standard deviation to the power of `evenness`; full whitening, 1, raises noise.
    """
    mean = vectors.mean(axis=0)
    _, strength, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    strength = np.maximum(strength, 1e-3 * strength[0])  # some directions of MiniLM hold nothing
    return mean.astype(np.float32), ((axes.T / strength**evenness) @ axes).astype(np.float32)
