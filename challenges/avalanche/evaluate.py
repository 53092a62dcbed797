"""Themes found against themes coded, beside other methods; and how fast codes teach the machine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.baselines import Grouper, bertopic, k_means, tf_idf
from challenges.avalanche.coding import Suggestions, suggest
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.discovery import discover
from challenges.avalanche.embedding import Embedder, embed
from common.cli import progress
from common.errors import UserError
from common.metrics.calibration import expected_calibration_error

MIN_CODED: Final = 60
"""Answers with exactly one theme that a question must have to be evaluated."""
SIZES: Final = (20, 40, 60, 80, 100, 120, 160)
"""Answers coded, at which the machine is measured on the rest."""
HEADLINE_SIZE: Final = 120
STEP: Final = 20
"""Answers that are coded before the machine learns anew and asks again."""


def evaluate(survey: Survey, n_seeds: int = 10) -> dict[str, Any]:
    """Measure every question that analysts coded.

    Args:
        survey: with themes.
        n_seeds: runs of each method; numbers are their means, with the standard deviation over runs.

    Raises:
        UserError: no question has enough codes.
    """
    coded = [q for q in survey.questions if int((_n_themes(q) == 1).sum()) >= MIN_CODED]
    if not coded:
        raise UserError(
            f"{survey.name}: no question has {MIN_CODED} answers with exactly one theme; nothing to compare"
        )
    return {
        "survey": survey.name,
        "n_seeds": n_seeds,
        "bertopic_installed": find_spec("bertopic") is not None,
        "questions": [_evaluate_question(question, n_seeds) for question in coded],
    }


def headline(metrics: dict[str, Any]) -> str:
    """One line of the most important numbers."""
    parts = []
    for question in metrics["questions"]:
        found = question["discovery"]["consensus"]
        curve = question["coding"]
        at = curve["n_coded"].index(HEADLINE_SIZE) if HEADLINE_SIZE in curve["n_coded"] else -1
        parts.append(
            f"{question['question']!r}: AMI {found['ami']['mean']:.3f}, {found['n_themes']['mean']:.1f} themes found "
            f"({question['n_themes']} coded); micro F1 after {curve['n_coded'][at]} codes "
            f"{curve['asked']['mean'][at]:.3f} asked, {curve['random']['mean'][at]:.3f} at random"
        )
    return "; ".join(parts)


def _n_themes(question: Question) -> NDArray[np.int64]:
    """(N,) themes of each usable answer; 0 for the others."""
    return np.where(question.answers["usable"], question.answers["themes"].map(len), 0).astype(np.int64)


def _evaluate_question(question: Question, n_seeds: int) -> dict[str, Any]:
    cache: dict[str, NDArray[np.float32]] = {}

    def embedder(texts: Sequence[str]) -> NDArray[np.float32]:
        missing = [text for text in dict.fromkeys(texts) if text not in cache]
        cache.update(zip(missing, embed(missing), strict=True))
        return np.stack([cache[text] for text in texts])

    vectors = embedder(question.answers["response"].tolist())
    coded = question.answers["themes"].explode().dropna()
    return {
        "question": question.text,
        "n_answers": len(question.answers),
        "n_one_theme": int((_n_themes(question) == 1).sum()),
        "n_themes": int(coded.nunique()),
        **_compare(question, vectors, embedder, n_seeds),
        "coding": learning_curves(question, vectors, n_seeds),
    }


def _compare(question: Question, vectors: NDArray[np.float32], embedder: Embedder, n_seeds: int) -> dict[str, Any]:
    """Over seeds the mean, standard deviation and all values: of each method's metrics, of our F1 for each theme."""
    n_coded = int(question.answers["themes"].explode().nunique())
    others: dict[str, Grouper] = {
        f"k_means_{n_coded}": k_means(n_coded),
        f"tf_idf_k_means_{n_coded}": k_means(n_coded, tf_idf),
    }
    if find_spec("bertopic") is not None:
        others["bertopic"] = bertopic
    usable = np.flatnonzero(question.answers["usable"])
    texts = question.answers["response"].iloc[usable].tolist()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ("consensus", *others)}
    matches: list[dict[str, float]] = []  # of each seed
    with progress("finding themes", n_seeds * len(runs)) as advance:
        for seed in range(n_seeds):
            found = discover(question, vectors, seed, embedder=embedder, with_map=False)
            runs["consensus"].append(score(question, found.assignments))
            matches.append(best_matches(question, found.assignments))
            advance()
            for name, group in others.items():
                labels = group(texts, seed, embedder)
                assigned = pd.DataFrame({"row": usable, "theme_id": labels})
                runs[name].append(score(question, assigned[labels >= 0]))
                advance()
    return {
        "discovery": {
            name: {metric: _summary([run[metric] for run in of_method]) for metric in of_method[0]}
            for name, of_method in runs.items()
        },
        "best_match_f1": {theme: _summary([match[theme] for match in matches]) for theme in matches[0]},
    }


def score(question: Question, assigned: pd.DataFrame) -> dict[str, float]:
    """Agreement of themes found with themes coded.

    AMI, ARI, homogeneity and completeness are of the answers with exactly one coded theme, by the first theme found;
    those without any found are one group more. Best-match F1 is the mean of `best_matches` over coded themes.

    Args:
        question: with coded themes.
        assigned: `row` of its answers and `theme_id`, of each row the most probable first.
    """
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        completeness_score,
        homogeneity_score,
    )

    answers, n_coded = question.answers, _n_themes(question)
    first = assigned.drop_duplicates("row").set_index("row")["theme_id"].reindex(answers.index).fillna(-1)
    one = n_coded == 1
    labels, found = answers["themes"][one].str[0].to_numpy(), first[one].to_numpy()
    agreement = {
        "ami": adjusted_mutual_info_score,
        "ari": adjusted_rand_score,
        "homogeneity": homogeneity_score,
        "completeness": completeness_score,
    }
    scores = {name: float(function(labels, found)) for name, function in agreement.items()}
    n_answers = int(question.answers["usable"].sum())
    return scores | {
        "best_match_f1": float(np.mean(list(best_matches(question, assigned).values()))),
        "n_themes": float(assigned["theme_id"].nunique()),
        "nowhere": float(1 - assigned["row"].nunique() / n_answers),
    }


def best_matches(question: Question, assigned: pd.DataFrame) -> dict[str, float]:
    """F1 of each coded theme with the found one that fits it best, over all coded answers with all their themes.

    Arguments are those of `score`; a coded theme none of whose answers has a found one gets 0.
    """
    coded = question.answers["themes"][_n_themes(question) > 0].explode()
    pairs = assigned[assigned["row"].isin(coded.index)]
    joined = pairs[["row", "theme_id"]].merge(coded.rename_axis("row").reset_index())
    both = pd.crosstab(joined["themes"], joined["theme_id"])  # answers that have both
    of_coded, of_found = coded.value_counts(), pairs["theme_id"].value_counts()
    sizes = of_coded.loc[both.index].to_numpy()[:, None] + of_found.loc[both.columns].to_numpy()
    best = (2 * both / sizes).max(axis=1)
    return {str(theme): float(f1) for theme, f1 in best.reindex(of_coded.index, fill_value=0.0).items()}


def learning_curves(question: Question, vectors: NDArray[np.float32], n_seeds: int) -> dict[str, Any]:
    """Micro F1 on the answers that are not coded yet, when the machine chooses what to code, and when chance does.

    The analysts' codes answer each question; answers without one count as coded with none of the themes.
    """
    import sklearn.cluster  # noqa: F401 - before the limit, which reaches what is loaded alone
    from threadpoolctl import threadpool_limits

    answers = question.answers[question.answers["usable"]]
    truth = dict(enumerate(frozenset(themes) for themes in answers["themes"]))
    texts, vectors = answers["response"].tolist(), vectors[answers.index]
    sizes = [size for size in SIZES if size <= len(texts) // 2]
    curves: dict[str, list[list[float]]] = {"asked": [], "random": []}
    errors: list[float] = []
    # What is asked next hangs on last digits, and these on the number of cores.
    with threadpool_limits(1), progress("learning from codes", 2 * n_seeds) as advance:
        for seed in range(n_seeds):
            codes: dict[int, frozenset[str]] = {}
            curve = []
            learned = suggest(vectors, texts, codes, seed)
            while len(codes) < sizes[-1]:
                codes |= {row: truth[row] for row in learned.order[:STEP].tolist()}
                learned = suggest(vectors, texts, codes, seed)
                if len(codes) in sizes:
                    curve.append(micro_f1(learned, truth, set(codes)))
                if len(codes) == min(HEADLINE_SIZE, sizes[-1]):
                    errors.append(_calibration_error(learned, truth, set(codes)))
            curves["asked"].append(curve)
            advance()
            shuffled = np.random.default_rng(seed).permutation(len(texts)).tolist()
            by_chance = [{row: truth[row] for row in shuffled[:size]} for size in sizes]
            curves["random"].append(
                [micro_f1(suggest(vectors, texts, some, seed), truth, set(some)) for some in by_chance]
            )
            advance()
    return {
        "n_coded": sizes,
        **{name: {"mean": np.mean(c, axis=0), "sd": np.std(c, axis=0), "runs": c} for name, c in curves.items()},
        "expected_calibration_error": _summary(errors),
    }


def micro_f1(suggested: Suggestions, truth: dict[int, frozenset[str]], coded: set[int]) -> float:
    """F1 of all suggested themes of the answers that are not coded."""
    rest = [row for row in truth if row not in coded]
    pairs = [(set(suggested.of(row)), truth[row]) for row in rest]
    n_right = sum(len(said & true) for said, true in pairs)
    return 2 * n_right / max(sum(len(said) + len(true) for said, true in pairs), 1)


def _calibration_error(suggested: Suggestions, truth: dict[int, frozenset[str]], coded: set[int]) -> float:
    rest = [row for row in truth if row not in coded]
    right = np.array([[theme in truth[row] for theme in suggested.themes] for row in rest])
    return expected_calibration_error(right.ravel().astype(np.int64), suggested.probabilities[rest].ravel())


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values)), "values": list(values)}
