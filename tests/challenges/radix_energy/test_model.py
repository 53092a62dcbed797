"""Types of generated households: found, counted, assigned, and not made up where there are none."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from challenges.radix_energy import model
from challenges.radix_energy.features import Features, household_features
from challenges.radix_energy.model import Candidate, HouseholdTypes, choose
from challenges.radix_energy.sample import generate
from common.errors import UserError


def take(features: Features, rows) -> Features:
    return Features(features.shape[rows], features.level[rows])


@pytest.fixture(scope="module", autouse=True)
def fewer_numbers():
    """Trying up to 16 types takes a while, and here there are 6."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "MAX_TYPES", 8)
        yield


@pytest.fixture(scope="module")
def sample():
    return generate(300, 6, seed=2)


@pytest.fixture(scope="module")
def features(sample) -> Features:
    return household_features(sample.kwh, sample.dates)


@pytest.fixture(scope="module")
def found(features) -> HouseholdTypes:
    return HouseholdTypes().fit(features)


def test_the_planted_types_are_found_and_counted(sample, features, found):
    assert abs(found.chosen_.n_types - 6) <= 1
    assert found.chosen_.stability > 0.85
    assert adjusted_rand_score(sample.types, found.predict(features).types) >= 0.85


def test_types_are_numbered_by_falling_share(found):
    assert (np.diff(found.mixture_.weights_) <= 0).all()


def test_the_order_of_households_does_not_matter(features, found):
    order = np.random.default_rng(0).permutation(len(features.level))
    again = HouseholdTypes(found.chosen_.n_types).fit(take(features, order))
    labels = found.predict(features).types
    assert adjusted_rand_score(labels[order], again.predict(take(features, order)).types) > 0.97


def test_the_same_data_and_seed_give_the_same_types(features, found):
    again = HouseholdTypes().fit(features)
    assert again.candidates_ == found.candidates_
    assert np.array_equal(again.predict(features).probabilities, found.predict(features).probabilities)


def test_new_households_of_the_same_kinds_are_assigned_alike(features, found):
    new = generate(200, 6, seed=99)
    assignment = found.predict(household_features(new.kwh, new.dates))
    assert adjusted_rand_score(new.types, assignment.types) >= 0.85
    assert assignment.typical.mean() > 0.85
    assert np.allclose(assignment.probabilities.sum(1), 1)


def test_what_follows_no_type_fits_nowhere(sample, found):
    """Awake all night and asleep all day, every day, with thirty times the use of a family."""
    kwh = np.tile(np.where(np.arange(24) < 6, 30.0, 0.01), (1, 30, 1)).astype(np.float32)
    assignment = found.predict(household_features(kwh, sample.dates))
    assert not assignment.typical[0]
    assert assignment.distances[0] > 1


def test_the_data_says_when_it_supports_fewer_types_than_asked_for():
    sample = generate(200, 4, seed=0)
    types = HouseholdTypes(14).fit(household_features(sample.kwh, sample.dates))
    assert types.chosen_.n_types == 14
    assert types.supported_.n_types <= 7
    assert types.supported_.stability > types.chosen_.stability


def test_too_few_households_are_refused(features):
    with pytest.raises(UserError, match="3 usable households are too few for 2 types"):
        HouseholdTypes().fit(take(features, np.arange(3)))
    with pytest.raises(UserError, match="30 usable households are too few for 20 types"):
        HouseholdTypes(20).fit(take(features, np.arange(30)))


@pytest.mark.parametrize("n", [4, 5, 9, 25])
def test_a_handful_of_households_is_sorted_without_a_crash(features, n):
    """Halves of so few agree less than by chance."""
    few = take(features, np.arange(n))
    types = HouseholdTypes().fit(few)
    assert np.allclose(types.predict(few).probabilities.sum(1), 1)


def candidate(n_types: int, stability: float, bic: float, spherical: bool = False) -> Candidate:
    return Candidate(n_types, spherical, stability, bic)


@pytest.mark.parametrize(
    ("candidates", "n_types", "expected"),
    [
        # Ten that are found again nearly always, and are much likelier, beat six that always are.
        ([candidate(6, 1.0, 8000), candidate(10, 0.96, 3000)], None, 10),
        # A split that gains little is not worth its price.
        ([candidate(10, 0.97, 3000), candidate(11, 0.97, 2900)], None, 10),
        # However likely: what is not found again is no type.
        ([candidate(5, 0.9, 8000), candidate(12, 0.3, 1000)], None, 5),
        # Two or three types are not looked for, unless there are no others, or they were asked for.
        ([candidate(2, 1.0, 1000), candidate(5, 0.9, 8000)], None, 5),
        ([candidate(2, 1.0, 1000), candidate(3, 0.9, 900)], None, 2),
        ([candidate(2, 1.0, 1000), candidate(5, 0.9, 8000)], 2, 2),
        # Worse than chance, all of them: still one has to be taken.
        ([candidate(5, -0.2, 1000), candidate(6, -0.1, 2000)], None, 6),
    ],
)
def test_the_choice_weighs_stability_and_likelihood(candidates, n_types, expected):
    assert choose(candidates, 1000, n_types).n_types == expected


def test_the_form_is_the_stable_one():
    both = [candidate(5, 0.2, 1000), candidate(5, 0.6, 3000, spherical=True)]
    assert choose(both, 600).spherical
