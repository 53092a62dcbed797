"""Feed-forward network: layers of weighted sums with a bend between them, trained by backpropagation.

The chain rule, walked from the loss back to the first layer, gives all gradients for about twice the price of a
prediction (Rumelhart et al. 1986); stochastic gradient descent with momentum follows them batch by batch.

Complexity: O(N W) time an epoch for W weights; memory O(W) and the activations of one batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_classes, one_hot
from challenges.ml_coding.parameters import check_counts, check_not_negative, check_option
from challenges.ml_coding.softmax_regression import softmax

Floats = NDArray[np.float64]
Activation = Literal["relu", "tanh"]


class Layer(NamedTuple):
    """Weights (inputs, outputs) and biases (outputs,); also their gradients, and their velocities."""

    weights: Floats
    biases: Floats


def initial_layers(sizes: list[int], rng: np.random.Generator) -> list[Layer]:
    """Normal weights of variance 2 / inputs (He et al. 2015), which keeps the signal's size from layer to layer.

    All zeros would give all units of a layer the same gradient for ever.
    """
    return [Layer(rng.normal(0, np.sqrt(2 / n), (n, m)), np.zeros(m)) for n, m in pairwise(sizes)]


def forward(layers: list[Layer], X: Floats, activation: Activation) -> list[Floats]:
    """Input, activation of each hidden layer, and logits: (B, D), (B, H1), ..., (B, K)."""
    outputs = [X]
    for weights, biases in layers[:-1]:
        z = outputs[-1] @ weights + biases  # (B, H)
        outputs.append(np.maximum(z, 0.0) if activation == "relu" else np.tanh(z))
    return [*outputs, outputs[-1] @ layers[-1].weights + layers[-1].biases]  # no bend: logits may have any sign


def loss_and_gradients(
    layers: list[Layer], X: Floats, truth: Floats, activation: Activation, l2: float = 0.0
) -> tuple[float, list[Layer]]:
    """Mean log loss of X (B, D) against one-hot truth (B, K), plus l2 / 2 |weights|², and its gradients."""
    *inputs, logits = forward(layers, X, activation)  # inputs[i] (B, n_i) enters layer i
    shifted = logits - logits.max(axis=1, keepdims=True)  # (B, K)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # log of a softmax may be log 0
    loss = -(truth * log_probabilities).sum() / len(X) + l2 / 2 * sum((w**2).sum() for w, _ in layers)

    gradients: list[Layer] = []
    delta = (np.exp(log_probabilities) - truth) / len(X)  # (B, K): d loss / d logits
    for i in reversed(range(len(layers))):
        entering, weights = inputs[i], layers[i].weights  # (B, n), (n, m)
        gradients.append(Layer(entering.T @ delta + l2 * weights, delta.sum(axis=0)))  # (n, m), (m,)
        if i > 0:
            delta = delta @ weights.T  # (B, n): d loss / d what entered
            # Both derivatives can be had from the activation itself: 1 where max(z, 0) > 0, and 1 - tanh².
            delta *= entering > 0 if activation == "relu" else 1 - entering**2
    return float(loss), gradients[::-1]


class NeuralNetworkClassifier(ClassifierMixin, BaseEstimator):
    """K classes by hidden layers and a softmax. Scale the features first.

    Args:
        hidden_sizes: units of each hidden layer; () is softmax regression.
        activation: the bend, "relu" or "tanh".
        learning_rate: step along the gradient of the mean loss of a batch.
        momentum: share of the last step that is kept, from 0 to below 1.
        l2: penalty on the weights, not the biases.
        batch_size: rows of a step; the last batch of an epoch has what is left.
        max_iter: epochs.
        shuffle: new order of the rows in each epoch.
        random_state: seed of weights and order.

    Attributes: classes_ (K,), layers_, loss_curve_ (mean loss of the batches of each epoch), n_iter_ (epochs).
    """

    def __init__(
        self,
        hidden_sizes: tuple[int, ...] = (32,),
        activation: Activation = "relu",
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        l2: float = 1e-4,
        batch_size: int = 32,
        max_iter: int = 50,
        shuffle: bool = True,
        random_state: int | None = 0,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation: Activation = activation
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.l2 = l2
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Train on X (N, D) and classes y (N,).

        Raises:
            ValueError: bad shapes or values, continuous y, or a parameter out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_option("activation", self.activation, get_args(Activation))
        fewest = min(self.hidden_sizes, default=1)
        check_counts(1, batch_size=self.batch_size, max_iter=self.max_iter, hidden_sizes=fewest)
        check_not_negative(l2=self.l2, learning_rate=self.learning_rate, momentum=self.momentum)
        if self.momentum >= 1:
            raise ValueError(f"momentum {self.momentum} is not below 1")
        self.classes_, codes = encode_classes(y)
        truth = one_hot(codes, len(self.classes_))  # (N, K)
        rng = np.random.default_rng(self.random_state)
        self.layers_ = initial_layers([X.shape[1], *self.hidden_sizes, truth.shape[1]], rng)
        velocities = [Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in self.layers_]
        self.loss_curve_: list[float] = []
        for _ in range(self.max_iter):
            order = rng.permutation(len(X)) if self.shuffle else np.arange(len(X))  # (N,)
            losses = 0.0
            for start in range(0, len(X), self.batch_size):
                rows = order[start : start + self.batch_size]  # (B,)
                loss, gradients = loss_and_gradients(self.layers_, X[rows], truth[rows], self.activation, self.l2)
                losses += loss * len(rows)
                for layer, velocity, gradient in zip(self.layers_, velocities, gradients, strict=True):
                    for parameter, speed, slope in zip(layer, velocity, gradient, strict=True):
                        speed *= self.momentum
                        speed -= self.learning_rate * slope
                        parameter += speed
            self.loss_curve_.append(losses / len(X))
        self.n_iter_ = self.max_iter
        return self

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of the classes for X (M, D): (M, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return softmax(forward(self.layers_, X, self.activation)[-1])

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The likeliest class for X (M, D): (M,)."""
        best = self.predict_proba(X).argmax(axis=1)  # (M,)
        return np.asarray(self.classes_[best])
