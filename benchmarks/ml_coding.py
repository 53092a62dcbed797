"""Processor time of each algorithm of `challenges.ml_coding` against its library counterpart, in one run.

    python benchmarks/ml_coding.py [--rounds N] [--only WORD]

10,000 rows x 20 features where nothing else is said, the same data and parameters for both, and one thread each.
Processor time and not the clock's, so that other programs on the machine count little. Rounds go in turn, ours and
theirs, so that drift hits both alike; each side's shortest counts. The ratio is ours / theirs: below 1, ours is
faster. Exit 1 if a vectorised one is 10 times slower.
"""

import argparse
import json
import platform
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn import cluster, decomposition, linear_model, metrics, mixture, neighbors, neural_network, svm, tree
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import text
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from challenges.ml_coding import convolution, sampling
from challenges.ml_coding.decision_tree import DecisionTreeClassifier, DecisionTreeRegressor
from challenges.ml_coding.gaussian_mixture import GaussianMixture
from challenges.ml_coding.k_means import KMeans
from challenges.ml_coding.linear_regression import LinearRegression
from challenges.ml_coding.linear_svm import LinearSVM
from challenges.ml_coding.logistic_regression import LogisticRegression
from challenges.ml_coding.nearest_neighbours import KNeighborsClassifier, KNeighborsRegressor
from challenges.ml_coding.neural_network import NeuralNetworkClassifier
from challenges.ml_coding.ngrams import NGramModel
from challenges.ml_coding.pca import PCA
from challenges.ml_coding.perceptron import Perceptron
from challenges.ml_coding.softmax_regression import SoftmaxRegression
from challenges.ml_coding.tfidf import TfidfVectorizer
from common.data.tables import write_json
from common.metrics.clicks import normalised_cross_entropy
from common.metrics.ranking import average_precision_at_k, in_rank_order, ndcg_at_k

RESULT = Path(__file__).with_suffix(".json")
N_ROWS, N_FEATURES, LIMIT = 10_000, 20, 10.0
L2 = 1e-3
C = 1 / (L2 * N_ROWS)

rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, N_FEATURES))
score = X @ rng.normal(size=N_FEATURES) / 2 + rng.logistic(size=N_ROWS)
binary, three = (score > 0).astype(int), np.digitize(score, [-1, 1])
targets = score + np.sin(3 * X[:, 0])
blobs = X + 4 * rng.normal(size=(8, N_FEATURES))[rng.integers(8, size=N_ROWS)]
image = rng.normal(size=(1, N_FEATURES, 100, 100)).astype(np.float32)  # 10,000 pixels x 20 channels
kernels = rng.normal(size=(20, N_FEATURES, 3, 3)).astype(np.float32)
tensor, torch_kernels = torch.from_numpy(image), torch.from_numpy(kernels)
weights = rng.random(N_ROWS)
documents = [[f"t{token}" for token in row] for row in rng.zipf(1.3, size=(N_ROWS, N_FEATURES)) % 5000]
lines = [" ".join(document) for document in documents]
grades, scores = rng.integers(4, size=(N_ROWS, N_FEATURES)), rng.random((N_ROWS, N_FEATURES))
clicks, click_rates = rng.random(N_ROWS * N_FEATURES) < 0.1, rng.uniform(0.01, 0.5, N_ROWS * N_FEATURES)
indices = np.arange(N_ROWS)


def toss() -> int:
    """A fair coin."""
    return random.getrandbits(1)


class Case(NamedTuple):
    """One comparison; what is not vectorised takes its steps one by one in Python, where the limit does not hold."""

    name: str
    counterpart: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    vectorised: bool = True


CASES = [
    Case("linear regression, normal equations", "sklearn LinearRegression",
         lambda: LinearRegression().fit(X, targets), lambda: linear_model.LinearRegression().fit(X, targets)),
    Case("linear regression, ridge", "sklearn Ridge",
         lambda: LinearRegression(1.0).fit(X, targets), lambda: linear_model.Ridge(1.0).fit(X, targets)),
    Case("linear regression, gradient descent", "sklearn Ridge(solver='sparse_cg')",
         lambda: LinearRegression(1.0, "gradient").fit(X, targets),
         lambda: linear_model.Ridge(1.0, solver="sparse_cg", tol=1e-8).fit(X, targets)),
    Case("logistic regression", "sklearn LogisticRegression",
         lambda: LogisticRegression(L2).fit(X, binary), lambda: linear_model.LogisticRegression(C=C).fit(X, binary)),
    Case("softmax regression", "sklearn LogisticRegression",
         lambda: SoftmaxRegression(L2).fit(X, three), lambda: linear_model.LogisticRegression(C=C).fit(X, three)),
    Case("k nearest neighbours, classes", "sklearn KNeighborsClassifier",
         lambda: KNeighborsClassifier().fit(X, three).predict(X[:2000]),
         lambda: neighbors.KNeighborsClassifier().fit(X, three).predict(X[:2000])),
    Case("k nearest neighbours, numbers", "sklearn KNeighborsRegressor",
         lambda: KNeighborsRegressor().fit(X, targets).predict(X[:2000]),
         lambda: neighbors.KNeighborsRegressor().fit(X, targets).predict(X[:2000])),
    Case("decision tree, Gini", "sklearn DecisionTreeClassifier",
         lambda: DecisionTreeClassifier("gini", 8).fit(X, three),
         lambda: tree.DecisionTreeClassifier(criterion="gini", max_depth=8).fit(X, three)),
    Case("decision tree, entropy", "sklearn DecisionTreeClassifier",
         lambda: DecisionTreeClassifier("entropy", 8).fit(X, three),
         lambda: tree.DecisionTreeClassifier(criterion="entropy", max_depth=8).fit(X, three)),
    Case("decision tree, squared error", "sklearn DecisionTreeRegressor",
         lambda: DecisionTreeRegressor(8).fit(X, targets),
         lambda: tree.DecisionTreeRegressor(max_depth=8).fit(X, targets)),
    Case("linear SVM", "sklearn LinearSVC(loss='hinge')",
         lambda: LinearSVM(L2, max_iter=10, batch_size=64).fit(X, binary),
         lambda: svm.LinearSVC(C=C, loss="hinge", random_state=0).fit(X, binary)),
    Case("perceptron", "sklearn Perceptron",
         lambda: Perceptron(10, shuffle=False).fit(X, binary),
         lambda: linear_model.Perceptron(max_iter=10, tol=None, shuffle=False).fit(X, binary), vectorised=False),
    Case("feed-forward network", "sklearn MLPClassifier(solver='sgd')",
         lambda: NeuralNetworkClassifier(max_iter=5).fit(X, three),
         lambda: neural_network.MLPClassifier(
             (32,), solver="sgd", learning_rate_init=0.05, nesterovs_momentum=False, batch_size=32, max_iter=5,
             tol=0.0, random_state=0).fit(X, three)),
    Case("convolution, im2col", "torch conv2d",
         lambda: convolution.conv2d(image, kernels, padding=1),
         lambda: torch.nn.functional.conv2d(tensor, torch_kernels, padding=1)),
    Case("convolution, loops", "torch conv2d",
         lambda: convolution.conv2d_loops(image, kernels[:1], padding=1),
         lambda: torch.nn.functional.conv2d(tensor, torch_kernels[:1], padding=1), vectorised=False),
    Case("max pooling", "torch max_pool2d",
         lambda: convolution.pool2d(image, 2, 2), lambda: torch.nn.functional.max_pool2d(tensor, 2, 2)),
    Case("mean pooling", "torch avg_pool2d",
         lambda: convolution.pool2d(image, 2, 2, kind="mean"),
         lambda: torch.nn.functional.avg_pool2d(tensor, 2, 2)),
    Case("k-means", "sklearn KMeans(algorithm='lloyd')",
         lambda: KMeans(8, init=blobs[:8]).fit(blobs),
         lambda: cluster.KMeans(8, init=blobs[:8], n_init=1, tol=0).fit(blobs)),
    Case("Gaussian mixture", "sklearn GaussianMixture",
         lambda: GaussianMixture(8, max_iter=20, tol=0).fit(blobs),
         lambda: mixture.GaussianMixture(8, max_iter=20, tol=0, random_state=0).fit(blobs)),
    Case("PCA", "sklearn PCA", lambda: PCA().fit(X), lambda: decomposition.PCA().fit(X)),
    Case("uniform sample", "numpy Generator.choice",
         lambda: sampling.sample_uniform(N_ROWS, 1000, rng),
         lambda: rng.choice(N_ROWS, 1000, replace=False), vectorised=False),
    Case("stratified sample", "sklearn train_test_split(stratify=)",
         lambda: sampling.sample_stratified(three, 1000, rng),
         lambda: train_test_split(indices, train_size=1000, stratify=three, random_state=0)),
    Case("weighted sample", "numpy Generator.choice(p=)",
         lambda: sampling.sample_weighted(weights, N_ROWS, rng),
         lambda: rng.choice(N_ROWS, N_ROWS, p=weights / weights.sum())),
    Case("weighted sample without repeats", "numpy Generator.choice(p=, replace=False)",
         lambda: sampling.sample_weighted_without_repeats(weights, 1000, rng),
         lambda: rng.choice(N_ROWS, 1000, replace=False, p=weights / weights.sum())),
    Case("reservoir, algorithm R", "random.sample of the whole list",
         lambda: sampling.reservoir_r(iter(range(N_ROWS)), 100, rng),
         lambda: random.sample(list(iter(range(N_ROWS))), 100), vectorised=False),
    Case("reservoir, algorithm L", "random.sample of the whole list",
         lambda: sampling.reservoir_l(iter(range(N_ROWS)), 100, rng),
         lambda: random.sample(list(iter(range(N_ROWS))), 100), vectorised=False),
    Case("random integers from a coin", "random.randint",
         lambda: [sampling.random_integer(1, 6, toss) for _ in range(N_ROWS)],
         lambda: [random.randint(1, 6) for _ in range(N_ROWS)], vectorised=False),
    Case("n-gram model", "sklearn CountVectorizer(ngram_range=(2, 2))",
         lambda: NGramModel(2).fit(documents),
         lambda: text.CountVectorizer(ngram_range=(2, 2), token_pattern=r"\S+").fit_transform(lines),
         vectorised=False),
    Case("TF-IDF", "sklearn TfidfVectorizer",
         lambda: TfidfVectorizer().fit_transform(documents),
         lambda: text.TfidfVectorizer(analyzer=list).fit_transform(documents), vectorised=False),
    Case("nDCG", "sklearn ndcg_score",
         lambda: ndcg_at_k(in_rank_order(grades, scores)).mean(),
         lambda: metrics.ndcg_score(grades, scores, ignore_ties=True)),
    Case("average precision", "sklearn label_ranking_average_precision_score",
         lambda: average_precision_at_k(in_rank_order(grades > 1, scores)).mean(),
         lambda: metrics.label_ranking_average_precision_score(grades > 1, scores)),
    Case("normalised cross-entropy", "sklearn log_loss",
         lambda: normalised_cross_entropy(clicks, click_rates), lambda: metrics.log_loss(clicks, click_rates)),
]  # fmt: skip


def seconds(work: Callable[[], Any]) -> float:
    """Processor seconds of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(case: Case, n_rounds: int) -> dict[str, object]:
    """Shortest of n_rounds calls of each side, after one call of each that does not count."""
    case.ours(), case.theirs()
    rounds = [(seconds(case.ours), seconds(case.theirs)) for _ in range(n_rounds)]
    ours, theirs = (min(side) for side in zip(*rounds, strict=True))
    ratio = ours / theirs
    return {
        "counterpart": case.counterpart,
        "ours_ms": round(1e3 * ours, 3),
        "theirs_ms": round(1e3 * theirs, 3),
        "ratio": float(f"{ratio:.2g}"),
        "vectorised": case.vectorised,
    }


def main() -> int:
    """Measure all cases, print a line each, and write the JSON beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only cases with this word in their name; writes no JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # both stop at the same number of steps
    torch.set_num_threads(1)
    found = {}
    with threadpool_limits(1):
        for case in CASES:
            if options.only in case.name:
                found[case.name] = row = measure(case, options.rounds)
                times = f"{row['ours_ms']:>10} ms {row['theirs_ms']:>10} ms  x {row['ratio']:<6}"
                print(f"{case.name:38} {times} {case.counterpart}", flush=True)
    slow = [name for name, row in found.items() if row["vectorised"] and row["ratio"] > LIMIT]
    if not options.only:
        result = {
            "machine": f"1 thread, {platform.machine()}",
            "rows": N_ROWS,
            "features": N_FEATURES,
            "rounds": options.rounds,
            "cases": found,
        }
        write_json(result, RESULT)
    print(json.dumps({"slower_than_10x": slow}))
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
