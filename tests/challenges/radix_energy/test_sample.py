"""The generator: deterministic, realistic in size, and readable by the loader."""

import numpy as np
import pandas as pd
import pytest

from challenges.radix_energy.dataset import load
from challenges.radix_energy.features import is_weekend
from challenges.radix_energy.sample import TABLE, TYPES, generate, write_sample


def test_the_same_seed_gives_the_same_households():
    one, two, other = (generate(50, 5, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(one.kwh, two.kwh)
    assert np.array_equal(one.types, two.types)
    assert not np.array_equal(one.kwh, other.kwh)


def test_every_type_is_there_and_uses_what_a_household_uses():
    sample = generate(1000, 12, seed=0)
    share = np.bincount(sample.types) / 1000
    assert len(share) == 12
    assert share.min() > 0.02
    kwh_a_month = sample.kwh.sum((1, 2))
    assert 60 < np.quantile(kwh_a_month, 0.02) < np.quantile(kwh_a_month, 0.98) < 1200


def test_people_show_in_the_level_and_habits_in_the_shape():
    sample = generate(1000, 12, seed=0)
    by_type = {pair: sample.kwh[sample.types == kind] for kind, pair in enumerate(TYPES)}
    single, family = by_type["single", "office hours"], by_type["family", "office hours"]
    assert np.median(family.sum((1, 2))) > 2 * np.median(single.sum((1, 2)))
    shift, office = by_type["couple", "night shift"], by_type["single", "office hours"]
    assert shift.mean((0, 1)).argmax() != office.mean((0, 1)).argmax()
    away = by_type["couple", "weekends away"]
    weekend = is_weekend(sample.dates)
    assert np.median(away[:, weekend]) < 0.5 * away[:, ~weekend].mean()


def test_flaws_are_dealt_out_as_asked():
    sample = generate(500, 8, seed=0, missing=0.1, outliers=0.05, clock_shifts=0.1)
    assert np.isnan(sample.kwh).mean() == pytest.approx(0.1, abs=0.01)
    assert (sample.types == -1).mean() == pytest.approx(0.05, abs=0.03)
    assert not np.isnan(generate(50, 8).kwh).any()


@pytest.mark.parametrize("n_types", [0, 13])
def test_more_types_than_there_are_is_refused(n_types):
    with pytest.raises(ValueError, match="there are 12 types"):
        generate(10, n_types)


def test_the_written_sample_reads_back(tmp_path):
    write_sample(tmp_path, n_households=20, seed=3)
    dataset = load(tmp_path / f"{TABLE}.zip")
    sample = generate(20, seed=3)
    assert dataset.readings.household_ids.tolist() == sample.household_ids.tolist()
    assert np.array_equal(dataset.readings.dates, sample.dates)
    exported = sample.options["solar"].to_numpy()
    assert np.allclose(dataset.readings.kwh[~exported], sample.kwh[~exported], atol=6e-4)
    truth = pd.read_csv(tmp_path / "types.csv")
    assert truth["household_id"].tolist() == sample.household_ids.tolist()
    assert [TYPES.index(pair) for pair in zip(truth["composition"], truth["activity"], strict=True)] == list(
        sample.types
    )
    write_sample(tmp_path / "again", n_households=20, seed=3)
    assert (tmp_path / "again" / f"{TABLE}.zip").read_bytes() == (tmp_path / f"{TABLE}.zip").read_bytes()
