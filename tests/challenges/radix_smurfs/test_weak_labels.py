"""Rules on drawn gnomes, the label model by hand, and what must not change a measurement."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.drawing import Gnome, draw_gnome, draw_lots
from challenges.radix_smurfs.weak_labels import (
    LABELLING_FUNCTIONS,
    PAPA,
    SHARES,
    SMURF,
    SMURFETTE,
    VANITY,
    Evidence,
    LabelModel,
    WeakLabels,
    measure,
    scale_figure,
    vote,
    weak_labels,
)

PLAIN = Evidence(0, 0, 0, 0.7, 0, 0, 0, 0, 0.4, 0.45, 0)  # a white hat and blue skin


def drawn(name: str, seed: int = 0, style: int = 0, height: int = 160) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    gnome: Gnome = draw_lots(np.random.default_rng(seed), name, style)
    return draw_gnome(gnome, height)


@pytest.mark.parametrize("style", [0, 1], ids=["comic", "television"])
def test_gnomes_of_both_styles_get_their_names(style: int) -> None:
    truth = [name for name in range(4) for _ in range(6)]
    evidence = [measure(*drawn(NAMES[name], seed, style)) for seed, name in enumerate(truth)]
    found = weak_labels(evidence)
    assert found.probabilities.shape == (24, 4)
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (found.probabilities.argmax(axis=1) == truth).mean() >= 0.9
    sure = found.labels >= 0
    assert sure.mean() > 0.7
    assert (found.labels[sure] == np.array(truth)[sure]).mean() >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_what_is_around_a_figure_and_its_mirror_image_change_nothing(name: str) -> None:
    crop, mask = drawn(name)
    plain = np.array(astuple(measure(crop, mask)))
    mirrored = measure(np.ascontiguousarray(crop[:, ::-1]), np.ascontiguousarray(mask[:, ::-1]))
    assert np.array(astuple(mirrored)) == pytest.approx(plain, abs=0.05)
    bordered = np.pad(crop, ((30, 10), (5, 50), (0, 0)), constant_values=200)
    assert np.array(astuple(measure(bordered, np.pad(mask, ((30, 10), (5, 50)))))) == pytest.approx(plain, abs=0.05)
    dimmed = measure((crop * 0.8).astype(np.uint8), mask)
    assert [f.rule(dimmed) for f in LABELLING_FUNCTIONS] == [f.rule(measure(crop, mask)) for f in LABELLING_FUNCTIONS]


def test_half_of_the_size_keeps_the_names() -> None:
    for k, name in enumerate(NAMES):
        gnome = draw_lots(np.random.default_rng(3), name, 0)
        large, small = (measure(*draw_gnome(gnome, height)) for height in (240, 120))
        assert weak_labels([large, small]).probabilities.argmax(axis=1).tolist() == [k, k]


def test_figures_of_one_pixel_and_of_none_are_measured() -> None:
    crop = np.full((9, 9, 3), 200, np.uint8)
    one = np.zeros((9, 9), bool)
    one[4, 4] = True
    for mask in (one, np.zeros((9, 9), bool), np.ones((9, 9), bool)):
        assert np.isfinite(astuple(measure(crop, mask))).all()


def test_a_figure_is_scaled_by_its_longer_side() -> None:
    mask = np.zeros((300, 400), bool)
    mask[100:164, 50:306] = True
    crop, scaled = scale_figure(np.zeros((300, 400, 3), np.uint8), mask)
    assert np.ptp(np.flatnonzero(scaled.any(axis=0))) + 1 == pytest.approx(128, abs=2)
    assert np.ptp(np.flatnonzero(scaled.any(axis=1))) + 1 == pytest.approx(32, abs=2)
    assert crop.shape[:2] == scaled.shape


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"red_hat": 0.9, "beard": 0.1, "red_trousers": 1.0, "white_hat": 0.1, "red": 0.4}, PAPA),
        ({"hair": 0.2, "hair_under_hat": 0.2}, SMURFETTE),
        ({"flower": 0.5}, VANITY),
        ({}, SMURF),
        ({"yellow_hat": 0.9, "hair": 0.2, "white_hat": 0.1}, SMURF),  # a straw hat is no hair
    ],
)
def test_rules_say_what_they_mean(changes: dict[str, float], label: int) -> None:
    evidence = [replace(PLAIN, **changes)]
    votes = vote(evidence)
    assert {f.label for f, voted in zip(LABELLING_FUNCTIONS, votes[0], strict=True) if voted} == {label}
    assert weak_labels(evidence).probabilities.argmax() == label


def test_nobody_votes_is_no_label_and_says_only_how_many_there_are() -> None:
    nothing = replace(PLAIN, white_hat=0.2, red=0.1)
    found = weak_labels([nothing, PLAIN])
    assert not found.votes[0].any()
    assert found.labels.tolist() == [-1, SMURF]
    assert found.probabilities[0] == pytest.approx(SHARES)


def test_contradicting_votes_are_no_label() -> None:
    """A red hat and yellow hair, each with one vote."""
    model = LabelModel().fit(np.zeros((0, len(LABELLING_FUNCTIONS)), bool))
    votes = np.zeros((1, len(LABELLING_FUNCTIONS)), bool)
    votes[0, [0, 3]] = True
    assert WeakLabels(votes, model.predict_proba(votes), model).labels.tolist() == [-1]


def test_a_function_that_disagrees_with_the_others_is_trusted_less() -> None:
    names = [f.name for f in LABELLING_FUNCTIONS]
    papa = [names.index(n) for n in ("red hat", "white beard under red", "red trousers")]
    plain = [names.index(n) for n in ("white hat, nothing on it", "only blue and white")]
    votes = np.zeros((120, len(names)), bool)
    votes[:20, papa[:2]] = True  # twenty Papas, of whom the trousers say nothing ...
    votes[20:, plain] = True
    votes[20:60, papa[2]] = True  # ... but they cry at forty plain Smurfs
    model = LabelModel().fit(votes)
    assert model.rates_[papa[0], PAPA] > 0.8
    assert model.rates_[papa[2], PAPA] < 0.5
    assert model.rates_[papa[2], SMURF] > 0.2
    assert (model.predict_proba(votes)[:20].argmax(axis=1) == PAPA).all()
    assert (model.predict_proba(votes)[20:].argmax(axis=1) == SMURF).all()


def test_no_figures_at_all() -> None:
    found = weak_labels([])
    assert found.probabilities.shape == (0, 4)
    assert found.labels.tolist() == []
