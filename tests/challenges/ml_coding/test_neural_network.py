"""Backpropagation against finite differences and torch, and training against torch step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.labels import one_hot
from challenges.ml_coding.neural_network import (
    Activation,
    Layer,
    NeuralNetworkClassifier,
    forward,
    initial_layers,
    loss_and_gradients,
)


def problem(seed: int, sizes: list[int], n_rows: int = 7) -> tuple[list[Layer], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    layers = [Layer(w, rng.normal(size=b.shape)) for w, b in initial_layers(sizes, rng)]
    codes = rng.integers(sizes[-1], size=n_rows)
    return layers, rng.normal(size=(n_rows, sizes[0])), one_hot(codes, sizes[-1])


def torch_network(layers: list[Layer], activation: Activation) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = []
    for weights, biases in layers:
        linear = torch.nn.Linear(*weights.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.from_numpy(weights.T.copy()), torch.from_numpy(biases.copy())
        modules += [linear, torch.nn.ReLU() if activation == "relu" else torch.nn.Tanh()]
    return torch.nn.Sequential(*modules[:-1])


def test_scikit_learn_accepts_it() -> None:
    check_estimator(NeuralNetworkClassifier(), on_skip=None)


ARCHITECTURES = st.lists(st.integers(1, 6), min_size=2, max_size=4)
ACTIVATIONS = st.sampled_from(["relu", "tanh"])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), sizes=ARCHITECTURES, l2=st.sampled_from([0.0, 0.3]))
def test_gradients_agree_with_finite_differences(seed: int, sizes: list[int], l2: float) -> None:
    layers, X, truth = problem(seed, sizes)
    _, gradients = loss_and_gradients(layers, X, truth, "tanh", l2)
    h = 1e-5
    for layer, gradient in zip(layers, gradients, strict=True):
        for parameter, slope in zip(layer, gradient, strict=True):
            for index in np.ndindex(parameter.shape):
                middle = parameter[index]
                parameter[index] = middle + h
                above, _ = loss_and_gradients(layers, X, truth, "tanh", l2)
                parameter[index] = middle - h
                below, _ = loss_and_gradients(layers, X, truth, "tanh", l2)
                parameter[index] = middle
                assert slope[index] == pytest.approx((above - below) / (2 * h), abs=1e-7)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), sizes=ARCHITECTURES, activation=ACTIVATIONS)
def test_loss_and_gradients_agree_with_torch(seed: int, sizes: list[int], activation: Activation) -> None:
    layers, X, truth = problem(seed, sizes)
    network = torch_network(layers, activation)
    loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(X)), torch.from_numpy(truth))
    loss.backward()
    ours, gradients = loss_and_gradients(layers, X, truth, activation)
    assert ours == pytest.approx(loss.item(), abs=1e-12)
    for gradient, module in zip(gradients, network[::2], strict=True):
        np.testing.assert_allclose(gradient.weights, module.weight.grad.numpy().T, atol=1e-12)
        np.testing.assert_allclose(gradient.biases, module.bias.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_training_agrees_with_torch_step_by_step(activation: Activation) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 4)), rng.integers(3, size=50)
    model = NeuralNetworkClassifier((6, 5), activation, 0.1, 0.8, 0.01, batch_size=16, max_iter=3, shuffle=False)
    start = initial_layers([4, 6, 5, 3], np.random.default_rng(model.random_state))
    network = torch_network(start, activation)
    weights = [parameter for name, parameter in network.named_parameters() if "weight" in name]
    biases = [parameter for name, parameter in network.named_parameters() if "bias" in name]
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 0.01}, {"params": biases}], lr=0.1, momentum=0.8)
    for _ in range(3):
        for rows in torch.arange(50).split(16):  # the last batch has 2 rows
            optimizer.zero_grad()
            logits = network(torch.from_numpy(X)[rows])
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(y)[rows]).backward()
            optimizer.step()
    model.fit(X, y)
    with torch.no_grad():
        expected = network(torch.from_numpy(X)).softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-10)


def test_zero_weights_would_never_tell_units_apart() -> None:
    layers, X, truth = problem(1, [3, 4, 2])
    equal = [Layer(np.full_like(w, 0.1), np.zeros_like(b)) for w, b in layers]
    _, gradients = loss_and_gradients(equal, X, truth, "tanh")
    assert np.ptp(gradients[0].weights, axis=1).max() == pytest.approx(0)
    drawn = initial_layers([3, 4, 2], np.random.default_rng(0))
    _, gradients = loss_and_gradients(drawn, X, truth, "tanh")
    assert np.ptp(gradients[0].weights, axis=1).min() > 1e-6


def test_large_logits_do_not_overflow() -> None:
    layers = [Layer(np.array([[1e4, -1e4]]), np.zeros(2))]
    loss, gradients = loss_and_gradients(layers, np.array([[1.0], [-1.0]]), np.array([[0.0, 1.0], [0.0, 1.0]]), "relu")
    assert loss == pytest.approx(1e4)
    assert np.isfinite(gradients[0].weights).all()


def test_the_signal_keeps_its_size_through_many_layers() -> None:
    layers = initial_layers([200] * 12, np.random.default_rng(0))
    X = np.random.default_rng(1).normal(size=(100, 200))
    deep = forward(layers, X, "relu")[-2]
    assert 0.2 < np.sqrt((deep**2).mean()) < 5


def test_it_bends_where_a_plane_fails() -> None:
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array(["same", "other", "other", "same"])
    model = NeuralNetworkClassifier((16,), batch_size=4, max_iter=300).fit(X, y)
    assert model.predict(X).tolist() == y.tolist()
    assert model.loss_curve_[-1] < 0.1 < model.loss_curve_[0]


@pytest.mark.parametrize("hidden_sizes", [(4,), ()])
def test_another_activation_is_refused(hidden_sizes: tuple[int, ...]) -> None:
    X, y = np.eye(4), [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"^activation = 'logistic' is none of 'relu', 'tanh'$"):
        NeuralNetworkClassifier(hidden_sizes, "logistic").fit(X, y)


@pytest.mark.parametrize(
    "parameters",
    [{"hidden_sizes": (4, 0)}, {"hidden_sizes": (-1,)}, {"batch_size": 0}, {"batch_size": -1}, {"max_iter": 0},
     {"learning_rate": -0.1}, {"l2": -0.1}, {"momentum": -0.1}, {"momentum": 1.0}, {"learning_rate": np.nan}],
    ids=str,
)  # fmt: skip
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))}\\b"):
        NeuralNetworkClassifier(**parameters).fit(np.eye(4), [0, 1, 0, 1])
