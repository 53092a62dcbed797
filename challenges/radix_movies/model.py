"""Kernel ridge regression on texts and posters, and a logistic regression that joins what they say.

Each modality has a kernel, a measure of how alike two films are: for texts the sum of radial kernels on three layers
of MiniLM and of the cosine of character n-grams, for posters the mean of radial kernels at two depths of the network.
A film's score for a genre is a weighted sum over the training films, the nearer the more. Three machines are fitted:
text, poster, and joint on the sum of both kernels (early fusion). Their scores are joined by a logistic regression
(late fusion), one for each set of modalities that a film may have. It sees the scores of all genres, so genres that go
together vouch for each other, and it makes the scores probabilities.

A machine's scores for its own training films are too good. What the logistic regression is fitted on are scores of
each film by a machine that was fitted without it and its relatives, which takes one matrix inverse for all films:
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2, with blocks for single films.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.features import N_POSTER_MIDDLE, Features
from challenges.radix_movies.lexicon import Lexicon, fit_lexicon
from common.errors import UserError

if TYPE_CHECKING:
    import scipy.sparse as sp

Floats = NDArray[np.float32]

MODALITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "synopsis": ("text",),
    "poster": ("poster",),
    "synopsis+poster": ("text", "poster", "joint"),
}
"""What a film may have, and the machines that are asked then."""


class Recipe(NamedTuple):
    """All that was chosen by hand or by cross-validation on training films."""

    layers: tuple[float, ...] = (1.0, 1.0, 0.5)  # weights of the kernels on `features.TEXT_LAYERS`
    grams: float = 0.75  # weight of the cosine of n-grams
    poster: float = 0.75  # weight of the poster's kernel in the joint one
    radius: float = 0.5  # radial kernels are exp(-radius |a - b|^2) of vectors of unit length
    ridge_text: float = 2.0
    ridge_poster: float = 1.5
    ridge_joint: float = 2.0
    stack_l2: float = 3e-3


@dataclass(frozen=True)
class View:
    """One space in which films are compared: vectors standardised by the training films, then of unit length."""

    mean: Floats  # (D,)
    scale: Floats  # (D,)

    def place(self, vectors: Floats) -> Floats:
        """(N, D) -> (N, D) of unit length; a row of zeros, which is a missing film, stays one."""
        centred = (vectors - self.mean) / self.scale
        placed = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        return np.asarray(placed * np.any(vectors, axis=1, keepdims=True), np.float32)


def fit_view(vectors: Floats) -> View:
    """Mean and spread of the rows that are not missing."""
    known = vectors[vectors.any(axis=1)]
    if not len(known):
        return View(np.zeros(vectors.shape[1], np.float32), np.ones(vectors.shape[1], np.float32))
    return View(known.mean(axis=0), known.std(axis=0) + np.float32(1e-6))


def radial(a: Floats, b: Floats, radius: float) -> Floats:
    """(N, D), (M, D) of unit length -> (N, M): exp(-radius |a - b|^2); 0 beside a missing film."""
    kernel = np.exp(2 * radius * (a @ b.T - 1))
    return np.asarray(kernel * a.any(axis=1, keepdims=True) * b.any(axis=1, keepdims=True).T, np.float32)


TEXT_VIEWS: Final = ("text_0", "text_1", "text_2")
POSTER_VIEWS: Final = ("poster_middle", "poster_top")


def split_views(features: Features) -> dict[str, Floats]:
    """The vectors of N films, by view."""
    views = {name: features.text[:, i] for i, name in enumerate(TEXT_VIEWS)}  # (N, 384)
    views["poster_middle"] = features.poster[:, :N_POSTER_MIDDLE]  # (N, 112)
    views["poster_top"] = features.poster[:, N_POSTER_MIDDLE:]  # (N, 1280)
    return views


@dataclass(frozen=True)
class Space:
    """Where films are compared, fitted on training films without their genres."""

    lexicon: Lexicon
    views: dict[str, View]

    def place(self, features: Features) -> Placed:
        """Films as points in every view, and their terms."""
        points = {name: self.views[name].place(vectors) for name, vectors in split_views(features).items()}
        return Placed(points, self.lexicon.matrix(features.texts))


@dataclass(frozen=True)
class Placed:
    """N films in the spaces of their views."""

    points: dict[str, Floats]  # (N, D) by view, of unit length or 0
    terms: sp.csr_array  # (N, V)


def fit_space(features: Features) -> Space:
    """Lexicon and scales of the training films."""
    texts = [text for text in features.texts if text]
    return Space(fit_lexicon(texts), {name: fit_view(vectors) for name, vectors in split_views(features).items()})


def text_kernel(a: Placed, b: Placed, recipe: Recipe) -> Floats:
    """(N, M) likeness of the texts of N and M films."""
    kernel = recipe.grams * (a.terms @ b.terms.T).toarray()
    for weight, view in zip(recipe.layers, TEXT_VIEWS, strict=True):
        kernel += weight * radial(a.points[view], b.points[view], recipe.radius)
    return np.asarray(kernel, np.float32)


def poster_kernel(a: Placed, b: Placed, recipe: Recipe) -> Floats:
    """(N, M) likeness of the posters of N and M films."""
    kernels = [radial(a.points[view], b.points[view], recipe.radius) for view in POSTER_VIEWS]
    return np.asarray(np.mean(kernels, axis=0), np.float32)


@dataclass(frozen=True)
class Machine:
    """Kernel ridge regression: score = offset + kernel with the training films @ dual."""

    dual: Floats  # (M, G)
    offset: Floats  # (G,) how frequent each genre is
    held_out: Floats  # (M, G) scores of the training films by machines without them and their relatives


def fit_machine(kernel: Floats, labels: NDArray[np.bool_], groups: NDArray[np.int64], ridge: float) -> Machine:
    """Fit on M films, and score each without its group.

    With the inverse C of (kernel + ridge), dual = C (labels - offset), and the residuals of a group b that was left
    out are C_bb^-1 dual_b.
    """
    from scipy.linalg import cholesky, lapack

    targets = labels.astype(np.float32)  # (M, G)
    offset = targets.mean(axis=0)  # (G,)
    regularised = kernel.astype(np.float32, copy=True)
    regularised[np.diag_indices_from(regularised)] += ridge
    factor = cholesky(regularised, lower=True, overwrite_a=True, check_finite=False)
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T  # (M, M)
    dual = inverse @ (targets - offset)  # (M, G)
    residuals = dual / np.diag(inverse)[:, None]
    for members in _groups_of_several(groups):
        residuals[members] = np.linalg.solve(inverse[np.ix_(members, members)], dual[members])
    return Machine(dual, offset, targets - residuals)


def _groups_of_several(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [part for part in parts if len(part) > 1]


@dataclass(frozen=True)
class Stack:
    """Logistic regression from scores to probabilities."""

    weight: Floats  # (S, G)
    bias: Floats  # (G,)

    def __call__(self, scores: Floats) -> Floats:
        """(N, S) scores -> (N, G) logits."""
        return np.asarray(scores @ self.weight + self.bias, np.float32)


def fit_stack(scores: Floats, labels: NDArray[np.bool_], l2: float, *, own_only: bool = False) -> Stack:
    """Logistic regression on scores of machines that have not seen the films.

    Args:
        scores: (M, S), the G genres of one machine after the other.
        labels: (M, G).
        l2: on the weights of scores that are standardised.
        own_only: a genre sees its own scores only, so that genres do not vouch for each other.
    """
    n_genres = labels.shape[1]
    own = np.tile(np.eye(n_genres), (scores.shape[1] // n_genres, 1))  # (S, G)
    return fit_logistic(scores, labels, l2, own if own_only else None)


def fit_logistic(x: Floats, labels: NDArray[np.bool_], l2: float, allowed: NDArray[np.float64] | None = None) -> Stack:
    """One logistic regression a genre, all at once by L-BFGS.

    Args:
        x: (M, S).
        labels: (M, G).
        l2: on the weights, for inputs that are standardised.
        allowed: (S, G) 1 where an input may have a weight; None: everywhere.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    n_genres = labels.shape[1]
    center, scale = x.mean(axis=0), x.std(axis=0) + 1e-6  # (S,)
    inputs, y = ((x - center) / scale).astype(np.float64), labels.astype(np.float64)
    mask = 1.0 if allowed is None else allowed

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        parameters = flat.reshape(-1, n_genres)  # (S + 1, G), the bias last
        weight = parameters[:-1] * mask
        logits = inputs @ weight + parameters[-1]  # (M, G)
        value = (np.logaddexp(0, logits) - y * logits).sum() / len(x) + l2 / 2 * (weight**2).sum()
        residual = (expit(logits) - y) / len(x)
        return value, np.vstack([(inputs.T @ residual + l2 * weight) * mask, residual.sum(axis=0)]).ravel()

    frequency = np.clip(y.mean(axis=0), 1e-3, 1 - 1e-3)
    start = np.vstack([np.zeros((x.shape[1], n_genres)), np.log(frequency / (1 - frequency))])
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 150}).x.reshape(-1, n_genres)
    weight = (found[:-1] * mask) / scale[:, None]
    return Stack(weight.astype(np.float32), (found[-1] - center @ weight).astype(np.float32))


@dataclass(frozen=True)
class GenreModel:
    """Everything that is fitted."""

    recipe: Recipe
    space: Space
    films: Placed  # the M training films
    machines: dict[str, Machine]
    stacks: dict[str, Stack]  # by what a film has, see MODALITIES

    def scores(self, features: Features) -> dict[str, Floats]:
        """(N, G) of each machine, before any stack."""
        placed = self.space.place(features)
        text = text_kernel(placed, self.films, self.recipe)  # (N, M)
        poster = poster_kernel(placed, self.films, self.recipe)  # (N, M)
        kernels = {"text": text, "poster": poster, "joint": text + self.recipe.poster * poster}
        return {name: kernels[name] @ m.dual + m.offset for name, m in self.machines.items()}

    def predict(self, features: Features) -> Floats:
        """(N, G) probabilities, from what each film has; a film with nothing gets how frequent each genre is."""
        scores, has_text, has_poster = self.scores(features), features.has_text, features.has_poster
        found = np.tile(self.machines["text"].offset, (len(features), 1))  # (N, G)
        for name, rows in (
            ("synopsis", np.flatnonzero(has_text & ~has_poster)),
            ("poster", np.flatnonzero(~has_text & has_poster)),
            ("synopsis+poster", np.flatnonzero(has_text & has_poster)),
        ):
            if len(rows):
                logits = self.stacks[name](np.hstack([scores[machine][rows] for machine in MODALITIES[name]]))
                found[rows] = 1 / (1 + np.exp(-logits))
        return found


def fit_model(
    features: Features, labels: NDArray[np.bool_], groups: NDArray[np.int64], recipe: Recipe = Recipe()
) -> GenreModel:
    """Fit all machines and stacks on M films.

    Args:
        features: of the films; some may lack a text or a poster.
        labels: (M, G).
        groups: (M,) films of one group are related, and none vouches for another when stacks are fitted.
        recipe: what was chosen.

    Raises:
        UserError: no film has a text, a poster, or both.
    """
    space = fit_space(features)
    placed = space.place(features)
    text, poster = text_kernel(placed, placed, recipe), poster_kernel(placed, placed, recipe)
    machines = {
        "text": fit_machine(text, labels, groups, recipe.ridge_text),
        "poster": fit_machine(poster, labels, groups, recipe.ridge_poster),
        "joint": fit_machine(text + recipe.poster * poster, labels, groups, recipe.ridge_joint),
    }
    known = {"text": features.has_text, "poster": features.has_poster, "joint": features.has_text & features.has_poster}
    stacks = {}
    for name, asked in MODALITIES.items():
        rows = np.flatnonzero(np.logical_and.reduce([known[machine] for machine in asked]))
        if not len(rows):
            wanted = name.replace("+", " and a ")
            raise UserError(f"no film to learn from has a {wanted}: training needs some that have both")
        held_out = np.hstack([machines[machine].held_out[rows] for machine in asked])
        stacks[name] = fit_stack(held_out, labels[rows], recipe.stack_l2)
    return GenreModel(recipe, space, placed, machines, stacks)


def drop(features: Features, rate: float, rng: np.random.Generator) -> Features:
    """Modality dropout: films as if a share `rate` of the texts and as many posters were missing, never both."""
    lost = rng.random(len(features))
    no_text, no_poster = lost < rate, (lost >= rate) & (lost < 2 * rate)
    return replace(
        features,
        texts=[text * (not gone) for text, gone in zip(features.texts, no_text, strict=True)],
        text=features.text * ~no_text[:, None, None],
        poster=features.poster * ~no_poster[:, None],
        has_text=features.has_text & ~no_text,
        has_poster=features.has_poster & ~no_poster,
    )
