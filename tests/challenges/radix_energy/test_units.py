"""What a reading is worth: power or energy, and numbers with parted thousands."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.radix_energy.cells import unit_in_words
from challenges.radix_energy.dataset import load

HOURS = pd.date_range("2024-03-04", periods=14 * 24, freq="h")
WATT_HOURS = np.random.default_rng(0).integers(60, 4000, (3, len(HOURS)))


def write(path: Path, column: str, minutes: int, separator: str = ",", mark: str = "") -> Path:
    """A row for each household and time; in every part of an hour the mean is that hour's."""
    parts = 60 // minutes
    times = pd.date_range(HOURS[0], periods=len(HOURS) * parts, freq=f"{minutes}min")
    cells = [f"{value:,}".replace(",", mark) for value in np.repeat(WATT_HOURS, parts, axis=1).ravel().tolist()]
    frame = pd.DataFrame({"home": np.repeat(["a", "b", "c"], len(times)), "time": np.tile(times, 3), column: cells})
    frame.to_csv(path, index=False, sep=separator)
    return path


@pytest.mark.parametrize(("column", "minutes"), [("power", 30), ("Leistung", 15), ("Power (W)", 15), ("wh", 60)])
def test_power_is_averaged_within_an_hour(column: str, minutes: int, tmp_path: Path):
    dataset = load(write(tmp_path / "a.csv", column, minutes))
    np.testing.assert_allclose(dataset.readings.kwh.reshape(3, -1), WATT_HOURS / 1000, rtol=1e-5)
    assert dataset.report["unit"].startswith("Wh" if column == "wh" else "W,")


@pytest.mark.parametrize(("separator", "mark"), [(",", ","), (";", "."), (";", ","), ("\t", "'")])
def test_thousands_may_be_parted(separator: str, mark: str, tmp_path: Path):
    dataset = load(write(tmp_path / "a.csv", "usage_wh", 60, separator, mark))
    np.testing.assert_allclose(dataset.readings.kwh.reshape(3, -1), WATT_HOURS / 1000, rtol=1e-5)
    assert dataset.report["repairs"]["disguised"]["readings"] == (WATT_HOURS >= 1000).sum()


@pytest.mark.parametrize(
    ("names", "unit"),
    [
        (["energy(kWh/hh)"], "kWh"), (["value_wh"], "Wh"), (["W"], "W"), (["Power [kW]"], "kW"), (["watts"], "W"),
        (["a_kwh", "b_kwh"], "kWh"), (["a_kwh", "b"], None), (["watch"], None), (["Watt-hours"], "Wh"),
        (["Kilowatt hours"], "kWh"), (["usage [kW h]"], "kWh"), (["kw-hr"], "kWh"), (["kW, hh mean"], "kW"),
        (["MWh"], None), (["value"], None), ([], None),
    ],
)  # fmt: skip
def test_units_in_names(names: list[str], unit: str | None):
    assert unit_in_words(names) == unit
