"""Generated papers of known topics, so that everything runs without the real corpus.

A topic is a handful of terms for tasks, methods and objects. A paper draws from its own topic, now and then from a
neighbouring one, and fills sentences that all topics share; so words tell topics apart, and phrases do not.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from common.data.tables import replace_atomically

TABLE: Final = "neurips_papers"
YEARS: Final = (2019, 2020, 2021, 2022, 2023)

# Field -> topics -> (what is studied, how, on what): each a list parted by commas.
_FIELDS: Final = {
    "reinforcement learning": {
        "offline reinforcement learning": (
            "offline policy learning, batch value estimation, distribution shift of actions",
            "conservative critics, behaviour regularisation, pessimistic value functions",
            "logged trajectories, robot manipulation logs, recommender logs",
        ),
        "exploration": (
            "exploration in sparse rewards, intrinsic motivation, optimism under uncertainty",
            "count-based bonuses, posterior sampling, random network distillation",
            "maze navigation, hard exploration games, long-horizon control",
        ),
        "multi-armed bandits": (
            "regret minimisation, best arm identification, contextual bandits",
            "Thompson sampling, upper confidence bounds, successive elimination",
            "online advertising, clinical trials, news recommendation",
        ),
    },
    "vision": {
        "point clouds": (
            "point cloud segmentation, shape completion, scene flow",
            "sparse voxel convolutions, permutation-invariant encoders, surface normals",
            "LiDAR scans, indoor scenes, furniture models",
        ),
        "image generation": (
            "image synthesis, text-to-image generation, super-resolution",
            "denoising diffusion, score matching, latent autoencoders",
            "face photographs, landscape images, art collections",
        ),
        "object detection": (
            "object detection, open-vocabulary detection, small object localisation",
            "set prediction, anchor-free heads, bipartite matching",
            "street scenes, aerial images, surveillance video",
        ),
    },
    "theory": {
        "optimal transport": (
            "Wasserstein distances, transport maps, distribution matching",
            "entropic regularisation, Sinkhorn iterations, sliced projections",
            "colour histograms, single-cell populations, document embeddings",
        ),
        "convex optimisation": (
            "convergence rates of gradient descent, non-smooth minimisation, saddle point problems",
            "variance reduction, Nesterov momentum, proximal steps",
            "logistic regression, lasso problems, matrix games",
        ),
        "kernel methods": (
            "kernel ridge regression, spectral bias, reproducing kernel Hilbert spaces",
            "random Fourier features, Nystrom approximation, eigenvalue decay bounds",
            "regression benchmarks, smooth target functions, tabular data",
        ),
    },
    "graphs and biology": {
        "graph neural networks": (
            "node classification, oversmoothing, expressive power of message passing",
            "Weisfeiler-Lehman tests, spectral filters, attention over neighbours",
            "citation networks, social networks, heterophilous graphs",
        ),
        "molecules": (
            "molecular property prediction, retrosynthesis, conformer generation",
            "equivariant networks, fragment vocabularies, reaction templates",
            "small organic molecules, drug candidates, crystal structures",
        ),
        "neural recordings": (
            "neural population dynamics, spike sorting, brain-computer interfaces",
            "latent linear dynamical systems, Poisson likelihoods, Gaussian process factors",
            "motor cortex recordings, hippocampal place cells, calcium imaging",
        ),
    },
    "language and trust": {
        "language models": (
            "in-context learning, instruction following, chain-of-thought reasoning",
            "prompt tuning, mixture of experts, human preference feedback",
            "question answering, arithmetic word problems, code completion",
        ),
        "differential privacy": (
            "private training, membership inference, privacy accounting",
            "gradient clipping with Gaussian noise, subsampling amplification, private aggregation",
            "hospital records, federated phones, census tables",
        ),
        "fairness": (
            "group fairness, disparate impact, fair ranking",
            "demographic parity constraints, reweighting, counterfactual audits",
            "credit scoring, recidivism records, hiring data",
        ),
    },
}  # fmt: skip
TOPICS: Final = tuple((field, topic) for field, topics in _FIELDS.items() for topic in topics)

_TITLES: Final = (
    "{Method} for {task}", "Rethinking {task} with {method}", "{Task} via {method}",
    "On the limits of {method} in {task}", "Towards robust {task}", "{Method} meet {data}",
    "Efficient {task} on {data}", "When does {method} help {task}?",
)  # fmt: skip
_OPENINGS: Final = (
    "We study {task}, where learning from {data} remains difficult.",
    "Recent progress in {task} relies on {method}.",
    "Despite much interest in {task}, it is poorly understood how {method} behave on {data}.",
    "{Task} has become a central problem with many applications.",
)
_MIDDLES: Final = (
    "We propose an algorithm that combines {method} with {method2}.",
    "Our analysis shows that {method} are the key to {task2}.",
    "The approach needs neither additional labels nor expensive tuning.",
    "We prove an upper bound that matches the lower bound up to logarithmic factors.",
    "In contrast to prior work, we treat {task2} and {task} jointly.",
    "A simple modification of {method2} removes the need for large batches.",
)
_CLOSINGS: Final = (
    "Experiments on {data} and {data2} show consistent gains over strong baselines.",
    "On {data}, our method is faster and more accurate than the state of the art.",
    "We evaluate on {data} and discuss limitations and failure cases.",
    "Extensive ablations on {data2} confirm the benefit of {method}.",
)
_BORROWS: Final = 0.15  # share of terms that come from another topic of the field


@dataclass(frozen=True)
class Paper:
    """A generated paper."""

    paper_id: str
    year: int
    title: str
    abstract: str
    field: str
    topic: str


def generate(n_papers: int = 400, seed: int = 0) -> list[Paper]:
    """Return papers with their topics, evenly spread; some abstracts bear the flaws of real ones.

    >>> generate(2) == generate(2), len({paper.topic for paper in generate(60)})
    (True, 15)
    """
    rng = np.random.default_rng(seed)
    papers = []
    for i in range(n_papers):
        field, topic = TOPICS[i % len(TOPICS)]
        title = _fill(_TITLES[rng.integers(len(_TITLES))], field, topic, rng)
        middles = rng.permutation(len(_MIDDLES))[:3]
        sentences = [
            _OPENINGS[rng.integers(len(_OPENINGS))],
            *(_MIDDLES[m] for m in middles),
            _CLOSINGS[rng.integers(len(_CLOSINGS))],
        ]
        abstract = _spoil(" ".join(_fill(sentence, field, topic, rng) for sentence in sentences), rng)
        year = int(YEARS[rng.integers(len(YEARS))])
        papers.append(Paper(f"{year}-{i:04d}", year, title, abstract, field, topic))
    return papers


def write_sample(folder: Path, n_papers: int = 400, seed: int = 0) -> None:
    """Write `neurips_papers.zip` in the official layout, and beside it the truth, `topics.csv`, into `folder`."""
    papers = generate(n_papers, seed)
    table = _csv(["paper_id", "year", "title", "abstract"], [[p.paper_id, p.year, p.title, p.abstract] for p in papers])
    truth = _csv(["paper_id", "field", "topic"], [[p.paper_id, p.field, p.topic] for p in papers])
    with replace_atomically(folder / "topics.csv") as part:
        part.write_text(truth, encoding="utf-8")
    with replace_atomically(folder / f"{TABLE}.zip") as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        # A fixed date: the same seed gives the same bytes.
        file.writestr(zipfile.ZipInfo(f"{TABLE}.csv", (2024, 4, 3, 0, 0, 0)), table, zipfile.ZIP_DEFLATED)


def _csv(header: list[str], rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _fill(template: str, field: str, topic: str, rng: np.random.Generator) -> str:
    """Put terms of the topic, or rarely of another topic of the field, into a template's places."""

    def term(part: int) -> str:
        others = list(_FIELDS[field])
        source = others[rng.integers(len(others))] if rng.random() < _BORROWS else topic
        terms = _FIELDS[field][source][part].split(", ")
        return terms[rng.integers(len(terms))]

    words = {name: term(part) for part, name in enumerate(("task", "method", "data"))}
    words |= {f"{name}2": term(part) for part, name in enumerate(("task", "method", "data"))}
    return template.format(**words, **{name.capitalize(): f"{w[0].upper()}{w[1:]}" for name, w in words.items()})


def _spoil(text: str, rng: np.random.Generator) -> str:
    """Damage one abstract in five as real ones are damaged: LaTeX, soft hyphens, line breaks, ligatures."""
    kind = int(rng.integers(20))
    if kind == 0:
        return text.replace("We ", "\\textbf{We} ", 1) + " The rate is $\\mathcal{O}(1/\\sqrt{n})$."
    if kind == 1:
        return text.replace("learning", "learn(cid:173) ing").replace("problem", "prob(cid:173) lem")
    if kind == 2:
        return text.replace(". ", ".\n")
    if kind == 3:
        return text.replace("fi", "\ufb01").replace("fl", "\ufb02")
    return text
