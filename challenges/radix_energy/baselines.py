"""What the mixture is compared with: random labels, and the methods that one would try first.

A method learns types from one set of readings and returns two things: the type of each household, and a function
that puts the households of other readings into the same types. What cannot do so by itself takes the nearest
centre in its own space. No method sees a true type.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from challenges.radix_energy.features import MIN_KWH, Features, household_features, is_weekend
from challenges.radix_energy.model import HouseholdTypes, fit_space

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]  # (N,) -1 is noise

N_STARTS: Final = 10
"""Of k-means and Gaussian mixtures, the best of which counts. tslearn's methods take too long for more than one."""
MIN_CLUSTER_SHARE: Final = 0.02
"""HDBSCAN takes no number of clusters; fewer households than this share are no cluster."""
DTW_BAND: Final = 2
"""Hours by which DTW may shift (Sakoe and Chiba, 1978): more would take an early riser for a late one."""
DTW_ITERATIONS: Final = 10
N_RESAMPLES: Final = 10
RESAMPLED_SHARE: Final = 0.8


class Series(NamedTuple):
    """Of N households on D days."""

    kwh: NDArray[np.float32]  # (N, D, 24), nan where there is no reading
    dates: NDArray[np.datetime64]  # (D,) datetime64[D]

    @property
    def features(self) -> Features:
        """What the mixture sees of them."""
        return household_features(self.kwh, self.dates)


Assign = Callable[[Series], Labels]
Place = Callable[[Series], Floats]  # N households -> (N, d)
Fit = Callable[[Series, int, int], tuple[Labels, Assign]]  # readings, number of types, seed
Sort = Callable[[Floats], Labels]


class Method(NamedTuple):
    """One way to find types."""

    name: str
    sees: str  # of the readings
    fit: Fit
    prepare: Callable[[], object] = tuple  # to be called once before time is taken


def methods() -> list[Method]:
    """All that are compared, ours last; they take n_types and a seed, HDBSCAN only the seed."""
    features = "features, 10 axes"
    band = f"48-hour profile / mean, band {DTW_BAND} h"
    return [
        Method("random labels", "nothing", _random),
        Method("k-means, raw series", "all hours / mean", _in_space(_series_space, _k_means)),
        Method("k-means, profiles", "48-hour profile / mean", _in_space(_profile_space, _k_means)),
        Method("k-means, log profiles", "48-hour profile, log kWh", _in_space(_log_profile_space, _k_means)),
        Method("k-shape, profiles", "48-hour profile, z-scores", _in_space(_z_profile_space, _k_shape), _tslearn),
        Method("DTW k-means, profiles", band, _in_space(_profile_space, _dtw_k_means), _tslearn),
        Method("k-means, features", features, _in_space(_feature_space, _k_means)),
        Method("Gaussian mixture", features, _in_space(_feature_space, _gaussian_mixture)),
        Method("Ward", features, _in_space(_feature_space, _ward)),
        Method("HDBSCAN", features, _in_space(_feature_space, _hdbscan)),
        Method("consensus", features, _in_space(_feature_space, _consensus)),
        Method("ours", features, _ours),
    ]


def fill_series(readings: Series) -> Floats:
    """(N, D, 24) of readings, gaps filled with the household's mean of that hour on weekdays or on weekends."""
    weekday, weekend = np.split(mean_profiles(readings), 2, axis=1)  # (N, 24) each
    usual = np.where(is_weekend(readings.dates)[:, None], weekend[:, None], weekday[:, None])  # (N, D, 24)
    return np.where(np.isnan(readings.kwh), usual, readings.kwh)


def mean_profiles(readings: Series) -> Floats:
    """(N, 48) mean kWh of each hour on weekdays, then on weekends.

    An hour without a reading takes the household's mean: no days are left out and nothing is trimmed here.
    """
    known = ~np.isnan(readings.kwh)
    kwh = np.where(known, readings.kwh, 0.0)  # (N, D, 24)
    mean = kwh.sum((1, 2)) / np.maximum(known.sum((1, 2)), 1)  # (N,)
    weekend = is_weekend(readings.dates)
    halves = []
    for days in (~weekend, weekend):
        n_known = known[:, days].sum(1)  # (N, 24)
        halves.append(np.where(n_known > 0, kwh[:, days].sum(1) / np.maximum(n_known, 1), mean[:, None]))
    return np.hstack(halves)


def _over_mean(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.abs(rows.mean(1, keepdims=True)), MIN_KWH))


def _series_space(_: Series) -> Place:
    return lambda readings: _over_mean(fill_series(readings).reshape(len(readings.kwh), -1))


def _profile_space(_: Series) -> Place:
    return lambda readings: _over_mean(mean_profiles(readings))


def _log_profile_space(_: Series) -> Place:
    """Level and shape at once, as ours sees them; the other profiles and the series are told no level."""
    return lambda readings: np.log(np.maximum(mean_profiles(readings), MIN_KWH))


def _z_profile_space(_: Series) -> Place:
    def place(readings: Series) -> Floats:
        profiles = mean_profiles(readings)
        spread = np.maximum(profiles.std(1, keepdims=True), 1e-6)
        return np.asarray((profiles - profiles.mean(1, keepdims=True)) / spread)

    return place


def _feature_space(fitted_on: Series) -> Place:
    """The very points that the mixture sorts."""
    space = fit_space(fitted_on.features)
    return lambda readings: space.place(readings.features)


def _in_space(make_space: Callable[[Series], Place], learn: Callable[[Floats, int, int], tuple[Labels, Sort]]) -> Fit:
    """The method that places households as points and sorts those."""

    def fit(readings: Series, n_types: int, seed: int) -> tuple[Labels, Assign]:
        place = make_space(readings)
        labels, sort = learn(place(readings), n_types, seed)
        return labels, lambda others: sort(place(others))

    return fit


def _random(readings: Series, n_types: int, seed: int) -> tuple[Labels, Assign]:
    rng = np.random.default_rng(seed)
    return rng.integers(n_types, size=len(readings.kwh)), lambda others: rng.integers(n_types, size=len(others.kwh))


def _ours(readings: Series, n_types: int, seed: int) -> tuple[Labels, Assign]:
    types = HouseholdTypes(n_types, seed=seed).fit(readings.features)
    return types.predict(readings.features).types, lambda others: types.predict(others.features).types


def _k_means(points: Floats, n_types: int, seed: int) -> tuple[Labels, Sort]:
    from sklearn.cluster import KMeans

    model = KMeans(n_types, n_init=N_STARTS, random_state=seed).fit(points)
    return _labels(model.labels_), _nearest_to(np.asarray(model.cluster_centers_))


def _gaussian_mixture(points: Floats, n_types: int, seed: int) -> tuple[Labels, Sort]:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(n_types, covariance_type="full", n_init=N_STARTS, random_state=seed)
    labels = _labels(model.fit_predict(points))
    return labels, lambda others: _labels(model.predict(others))


def _ward(points: Floats, n_types: int, _: int) -> tuple[Labels, Sort]:
    from sklearn.cluster import AgglomerativeClustering

    labels = _labels(AgglomerativeClustering(n_types).fit_predict(points))
    return labels, _nearest_to(_centers(points, labels))


def _hdbscan(points: Floats, _: int, __: int) -> tuple[Labels, Sort]:
    """Noise is a label of its own; new points take that of the nearest old one, clusters being of any form."""
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import KNeighborsClassifier

    size = max(2, int(MIN_CLUSTER_SHARE * len(points)))
    labels = _labels(HDBSCAN(min_cluster_size=size, copy=True).fit_predict(points))
    nearest = KNeighborsClassifier(1).fit(points, labels)
    return labels, lambda others: _labels(nearest.predict(others))


def _consensus(points: Floats, n_types: int, seed: int) -> tuple[Labels, Sort]:
    """Evidence accumulation: average linkage of how often two households fall together.

    Fred and Jain, 'Combining multiple clusterings using evidence accumulation', 2005. The clusterings are k-means, a
    Gaussian mixture and Ward, each on random subsets.
    """
    from sklearn.cluster import AgglomerativeClustering

    rng = np.random.default_rng(seed)
    n = len(points)
    together, drawn = np.zeros((n, n)), np.zeros((n, n))
    for resample in range(N_RESAMPLES):
        rows = rng.choice(n, max(n_types, round(RESAMPLED_SHARE * n)), replace=False)
        for learn in (_k_means, _gaussian_mixture, _ward):
            member = np.zeros((n, n_types))
            member[rows] = np.eye(n_types)[learn(points[rows], n_types, seed + resample)[0]]
            together += member @ member.T
        present = np.isin(np.arange(n), rows)
        drawn += 3 * np.outer(present, present)
    apart = 1 - together / np.maximum(drawn, 1)
    linkage = AgglomerativeClustering(n_types, metric="precomputed", linkage="average")
    labels = _labels(linkage.fit_predict(apart))
    return labels, _nearest_to(_centers(points, labels))


def _k_shape(points: Floats, n_types: int, seed: int) -> tuple[Labels, Sort]:
    """Paparrizos and Gravano, 'k-Shape', 2015: nearness after the best shift, in hours."""
    model = _tslearn().KShape(n_types, random_state=seed).fit(points[:, :, None])
    return _labels(model.labels_), lambda others: _labels(model.predict(others[:, :, None]))


def _dtw_k_means(points: Floats, n_types: int, seed: int) -> tuple[Labels, Sort]:
    """Petitjean and others, 'A global averaging method for dynamic time warping', 2011."""
    model = _tslearn().TimeSeriesKMeans(
        n_types,
        metric="dtw",
        metric_params={"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": DTW_BAND},
        max_iter=DTW_ITERATIONS,
        random_state=seed,
    )
    model.fit(points[:, :, None])
    return _labels(model.labels_), lambda others: _labels(model.predict(others[:, :, None]))


@cache
def _tslearn() -> Any:
    """The module, its loops compiled: this takes up to a minute."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="h5py not installed")  # nothing is saved
        import tslearn.clustering as module

    series = np.random.default_rng(0).normal(size=(6, 8, 1))
    band = {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": 1}
    module.TimeSeriesKMeans(2, metric="dtw", metric_params=band, max_iter=2, random_state=0).fit(series).predict(series)
    module.KShape(2, random_state=0).fit(series).predict(series)
    return module


def _labels(labels: Any) -> Labels:
    return np.asarray(labels, dtype=np.int64)


def _centers(points: Floats, labels: Labels) -> Floats:
    return np.array([points[labels == cluster].mean(0) for cluster in range(labels.max() + 1)])


def _nearest_to(centers: Floats) -> Sort:
    """Nearest centre. Series of another length are compared over the hours that both have."""

    def sort(points: Floats) -> Labels:
        from scipy.spatial.distance import cdist

        d = min(points.shape[1], centers.shape[1])
        return _labels(cdist(points[:, :d], centers[:, :d]).argmin(1))

    return sort
