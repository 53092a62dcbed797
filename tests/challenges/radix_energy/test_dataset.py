"""The loader: any layout reads back, each flaw is repaired by its rule or reported, nothing is lost silently."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from challenges.radix_energy.dataset import Dataset, ReadOptions, load, unused_reasons
from common.data.tables import json_text
from common.errors import UserError

DAYS = 8
START = np.datetime64("2024-03-04")  # a Monday


def series(n_households: int = 3, n_days: int = DAYS, seed: int = 0) -> np.ndarray:
    """(N, D * 24) kWh of a usual size, to three digits."""
    rng = np.random.default_rng(seed)
    return rng.gamma(1.2, 0.3, (n_households, n_days * 24)).round(3) + 0.01


def long_table(kwh: np.ndarray, start: np.datetime64 = START) -> pd.DataFrame:
    n_households, n_hours = kwh.shape
    times = pd.DatetimeIndex(start.astype("datetime64[s]") + np.arange(n_hours) * np.timedelta64(3600, "s"))
    ids = [f"home {i}" for i in range(n_households)]
    return pd.DataFrame(
        {"household": np.repeat(ids, n_hours), "time": np.tile(times, n_households), "kwh": kwh.ravel()}
    )


def csv(tmp_path: Path, frame: pd.DataFrame, **options: object) -> Path:
    path = tmp_path / "a.csv"
    frame.to_csv(path, **{"index": False, **options})
    return path


def same_kwh(dataset: Dataset, kwh: np.ndarray) -> None:
    np.testing.assert_allclose(dataset.readings.kwh.reshape(len(kwh), -1), kwh, rtol=1e-5, atol=1e-6)
    assert dataset.readings.kwh.dtype == np.float32


def repairs(dataset: Dataset) -> dict:
    json.loads(json_text(dataset.report))  # strict JSON
    return dataset.report["repairs"]


# Property: what is written in any layout reads back.

FORMATS = {
    "iso": "%Y-%m-%d %H:%M:%S", "T": "%Y-%m-%dT%H:%M", "offset": "%Y-%m-%dT%H:%M:%S+02:00", "Z": "%Y-%m-%dT%H:%M:%SZ",
    "d/m/Y": "%d/%m/%Y %H:%M", "m/d/Y": "%m/%d/%Y %I:%M %p", "d.m.Y": "%d.%m.%Y %H:%M", "compact": "%Y%m%d%H%M",
}  # fmt: skip
# Days from the 8th to the 15th: which number is the day shows.
NAMES = st.lists(st.text("abcxyzäß_", min_size=1, max_size=6), min_size=3, max_size=3, unique=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    layout=st.sampled_from(["long", "rows", "columns"]),
    time_format=st.sampled_from([*FORMATS, "epoch", "epoch ms"]),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    names=NAMES,
    n_households=st.integers(2, 5),
)
def test_any_layout_reads_back(
    tmp_path_factory: pytest.TempPathFactory, data, layout, time_format, separator, encoding, names, n_households
):
    kwh = series(n_households, seed=data.draw(st.integers(0, 5)))
    ids = data.draw(st.sampled_from([[f"Hä{i}" for i in range(9)], ["007", "1e5", "12", "x y", "true"], list("54321")]))
    ids = ids[:n_households]
    times = pd.DatetimeIndex(np.datetime64("2024-05-08T00", "s") + np.arange(DAYS * 24) * np.timedelta64(3600, "s"))
    epoch = times.astype("datetime64[s]").astype("int64")
    text = {"epoch": epoch, "epoch ms": epoch * 1000}.get(time_format)
    text = times.strftime(FORMATS[time_format]) if text is None else text
    wide = pd.DataFrame(kwh, index=pd.Index(ids, name=names[0]), columns=pd.Index(text, name=names[1]))
    if layout == "long":
        frame = wide.stack().rename(names[2]).reset_index()
        frame = frame.sample(frac=1, random_state=0) if data.draw(st.booleans()) else frame
        if data.draw(st.booleans()):
            frame["remark"] = "fine"
        frame = frame[data.draw(st.permutations(list(frame.columns)))]
    elif layout == "rows":
        if time_format.startswith("epoch") or time_format == "compact":
            wide.columns = pd.Index([f"h{i}" for i in range(len(times))])
        frame = wide.reset_index()
    else:
        frame = wide.T.reset_index()
    path = tmp_path_factory.mktemp("any") / "any.csv"
    comma = "," if separator != "," and data.draw(st.booleans()) else "."
    frame.to_csv(path, sep=separator, encoding=encoding, index=False, decimal=comma)
    dataset = load(path, ReadOptions(start=date(2024, 5, 8)))
    order = {name: i for i, name in enumerate(ids)}
    same_kwh(dataset, kwh[[order[name] for name in dataset.readings.household_ids]])
    assert sorted(dataset.readings.household_ids) == sorted(ids)
    assert dataset.readings.dates.tolist() == [d.date() for d in times[::24]]
    assert dataset.report["layout"].startswith(layout)
    assert not dataset.unused
    assert set(repairs(dataset)) <= {"unordered"}


# Each rule by itself.


def test_readings_of_a_clean_file(tmp_path: Path):
    kwh = series()
    dataset = load(csv(tmp_path, long_table(kwh)))
    same_kwh(dataset, kwh)
    assert dataset.readings.household_ids.tolist() == ["home 0", "home 1", "home 2"]
    assert dataset.readings.dates[0] == START
    assert dataset.readings.kwh.shape == (3, DAYS, 24)
    assert dataset.report["layout"] == (
        "long: household 'household', time 'time', value 'kwh'; 3 households, 192 hours from 2024-03-04"
    )
    assert repairs(dataset) == {}
    assert dataset.report["gaps"]["households"] == 0


def test_order_repeats_and_several_values(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh)
    doubled = frame.iloc[[5, 5, 200]].copy()
    doubled.iloc[2, 2] += 1.0  # another value at the same time
    dataset = load(csv(tmp_path, pd.concat([doubled, frame])))
    expected = kwh.copy()
    expected[1, 8] += 0.5
    same_kwh(dataset, expected)
    found = repairs(dataset)
    assert found["repeated"]["readings"] == 2
    assert found["several"]["readings"] == 1
    assert found["several"]["examples"][0]["household_id"] == "home 1"
    assert "unordered" in found


def test_the_hours_of_clock_changes(tmp_path: Path):
    kwh = series(3, 9)
    frame = long_table(kwh, np.datetime64("2024-10-24"))
    autumn = frame["time"] == "2024-10-27 02:00"
    again = frame[autumn].assign(kwh=frame["kwh"] + 2)
    spring = frame["time"] == "2024-10-29 02:00"
    dataset = load(csv(tmp_path, pd.concat([frame, again])[~pd.concat([spring, spring[autumn]])]))
    kwh[:, 3 * 24 + 2] += 1
    kwh[:, 5 * 24 + 2] = np.nan
    same_kwh(dataset, kwh)
    assert repairs(dataset)["several"]["readings"] == 3
    assert dataset.report["gaps"]["hours_by_household"] == {"home 0": 1, "home 1": 1, "home 2": 1}


@pytest.mark.parametrize(("minutes", "unit"), [(30, "kWh"), (15, "Wh"), (5, "kW"), (20, "W")])
def test_finer_readings_are_joined(tmp_path: Path, minutes: int, unit: str):
    kwh = series()
    per_hour = 60 // minutes
    scale = {"kWh": 1 / per_hour, "Wh": 1000 / per_hour, "kW": 1.0, "W": 1000.0}[unit]
    hourly = long_table(kwh)
    parts = [
        hourly.assign(time=hourly["time"] + pd.Timedelta(minutes=minutes * i), kwh=hourly["kwh"] * scale)
        for i in range(per_hour)
    ]
    frame = pd.concat([*parts[:-1], parts[-1][parts[-1]["time"].dt.hour != 7]])
    frame = frame.sort_values(["household", "time"]).rename(columns={"kwh": f"value ({unit})"})
    dataset = load(csv(tmp_path, frame))
    same_kwh(dataset, kwh)  # the hour with one part less is scaled up
    assert repairs(dataset)["scaled"]["readings"] == 3 * DAYS
    assert dataset.report["unit"] == f"{unit}, by the column's name"


def test_an_hour_with_few_of_its_finer_readings_is_missing(tmp_path: Path):
    frame = long_table(series())
    frame = pd.concat([frame.assign(time=frame["time"] + pd.Timedelta(minutes=15 * i)) for i in range(4)])
    frame = frame[(frame["time"].dt.hour != 7) | (frame["time"].dt.minute == 15)]
    dataset = load(csv(tmp_path, frame))
    assert np.isnan(dataset.readings.kwh[:, :, 7]).all()
    assert np.isfinite(dataset.readings.kwh[:, :, 8]).all()
    assert repairs(dataset)["short_hour"]["households"] == 3


def test_households_of_one_file_may_differ_in_cadence(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh)
    halves = frame[frame["household"] == "home 1"].assign(kwh=lambda f: f["kwh"] / 2)
    late = halves.assign(time=halves["time"] + pd.Timedelta(minutes=30))
    coarse = frame[(frame["household"] == "home 2") & (frame["time"].dt.hour % 3 == 0)]
    dataset = load(csv(tmp_path, pd.concat([frame[frame["household"] == "home 0"], halves, late, coarse])))
    same_kwh(dataset, kwh[:2])
    assert dataset.unused == {"home 2": "one reading in 3 hours; hourly ones are needed"}


def test_times_off_the_hour_go_to_the_hour_they_lie_in(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh)
    dataset = load(csv(tmp_path, frame.assign(time=frame["time"] + pd.Timedelta(minutes=7, seconds=3))))
    same_kwh(dataset, kwh)
    assert repairs(dataset)["off_hour"]["readings"] == kwh.size


def test_text_among_numbers(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh).astype({"kwh": object})
    frame.iloc[:6, 2] = ["n/a", "error", "", "-", "1,234.5", "0,35"]
    dataset = load(csv(tmp_path, frame), ReadOptions(unit="Wh"))
    kwh[0, :6] = [np.nan] * 4 + [1234.5, 0.35]
    same_kwh(dataset, kwh / 1000)
    text = repairs(dataset)["text"]
    assert (text["readings"], text["households"]) == (3, 1)  # an empty cell is a gap
    assert text["examples"][0] == {"household_id": "home 0", "timestamp": "2024-03-04T00:00:00", "value": "n/a"}
    assert repairs(dataset)["disguised"]["readings"] == 2
    assert dataset.report["gaps"]["hours_by_household"] == {"home 0": 4}


def test_negatives_by_day_are_solar_and_others_are_errors(tmp_path: Path):
    kwh = series()
    noon = np.arange(DAYS * 24) % 24 == 12
    kwh[0, noon] = -1.5
    kwh[1, [3, 27]] = -1.0
    dataset = load(csv(tmp_path, long_table(kwh)))
    assert dataset.report["solar_households"] == ["home 0"]
    assert repairs(dataset)["negative"]["readings"] == 2
    kwh[1, [3, 27]] = np.nan
    same_kwh(dataset, kwh)


def test_impossible_readings_are_missing(tmp_path: Path):
    kwh = series()
    kwh[0, 0], kwh[1, 1], kwh[2, 2] = np.inf, 65535.0, 101.0
    dataset = load(csv(tmp_path, long_table(kwh)))
    assert repairs(dataset)["impossible"]["readings"] == 3
    kwh[0, 0] = kwh[1, 1] = kwh[2, 2] = np.nan
    same_kwh(dataset, kwh)


@pytest.mark.parametrize(
    ("column", "factor", "options", "words"),
    [
        ("usage", 1000, ReadOptions(), "Wh, by their size: a usual hour is over 20 in most households"),
        ("usage", 1, ReadOptions(), "kWh, by their size: a usual hour is not over 20 in most households"),
        ("power_W", 1000, ReadOptions(), "W, by the column's name"),
        ("KWH/hh (per half hour)", 1, ReadOptions(), "kWh, by the column's name"),
        ("Watts", 1000, ReadOptions(), "W, by the column's name"),
        ("kwh", 1000, ReadOptions(unit="Wh"), "Wh, as given"),
        ("usage", 1, ReadOptions(unit="kW"), "kW, as given"),
    ],
)
def test_units(tmp_path: Path, column: str, factor: float, options: ReadOptions, words: str):
    kwh = series()
    dataset = load(csv(tmp_path, long_table(kwh * factor).rename(columns={"kwh": column})), options)
    same_kwh(dataset, kwh)
    assert dataset.report["unit"] == words


def test_one_household_in_watts_among_kwh_and_one_with_a_glitch(tmp_path: Path):
    kwh = series(6)
    raw = kwh.copy()
    raw[4] *= 1000
    raw[5, :3] = 99_999  # its mean is large; its readings are not
    dataset = load(csv(tmp_path, long_table(raw).rename(columns={"kwh": "usage"})))
    kwh[5, :3] = np.nan
    same_kwh(dataset, kwh)
    assert repairs(dataset)["watts"]["households"] == 1
    assert repairs(dataset)["watts"]["examples"][0]["household_id"] == "home 4"


def test_households_that_cannot_be_used_say_why(tmp_path: Path):
    kwh = series(7, 20)
    kwh[1] = 0
    kwh[2] = 0.5
    kwh[3, 5 * 24 :] = np.nan
    kwh[4] = np.nan
    kwh[5, np.arange(480) % 24 >= 12] = np.nan  # half of each day is there: just enough
    kwh[6, (np.arange(480) % 24 >= 2) & (np.arange(480) >= 8 * 24)] = np.nan
    dataset = load(csv(tmp_path, long_table(kwh)))
    assert dataset.unused == {
        "home 1": "every reading is 0",
        "home 2": "every reading is 0.5",
        "home 3": "only 5 days with at least 12 readings; 7 are needed",
        "home 4": "no readings",
        "home 6": "only 45% of the readings of its 20 days are left; half are needed",
    }
    assert dataset.readings.household_ids.tolist() == ["home 0", "home 5"]


def test_totals_and_weather_among_the_columns_are_no_households(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh).pivot(index="time", columns="household", values="kwh")
    frame = frame.assign(Total=frame.sum(axis=1), **{"mean (kWh)": 0.3 * frame["home 1"], "Temp_C": 9.5, "Totaro": 0.4})
    dataset = load(csv(tmp_path, frame, index=True))
    same_kwh(dataset, kwh)
    nobody = "no household, by its name"
    assert dataset.unused == {"Total": nobody, "mean (kWh)": nobody, "Temp_C": nobody, "Totaro": "every reading is 0.4"}
    dataset = load(csv(tmp_path, frame[["Total"]], index=True))  # the only one is what was meant
    assert dataset.readings.household_ids.tolist() == ["Total"]


def test_no_household_at_all(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.csv: no household can be used: every reading is 0 \(3 of 3\)"):
        load(csv(tmp_path, long_table(series() * 0)))


def test_rows_without_household_or_time_are_counted(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh).astype({"time": str})
    frame.loc[3, "household"] = None
    frame.loc[4, "time"] = "noon"
    dataset = load(csv(tmp_path, frame))
    kwh[0, 3:5] = np.nan
    same_kwh(dataset, kwh)
    assert repairs(dataset)["no_household"]["readings"] == repairs(dataset)["no_time"]["readings"] == 1


def test_a_wrong_date_does_not_stretch_the_days(tmp_path: Path):
    kwh = series(30)
    frame = long_table(kwh)
    frame.loc[0, "time"] = pd.Timestamp("1970-01-01")
    dataset = load(csv(tmp_path, frame))
    assert len(dataset.readings.dates) == DAYS
    assert repairs(dataset)["outside"]["readings"] == 1
    assert repairs(dataset)["outside"]["examples"][0]["timestamp"] == "1970-01-01T00:00:00"
    kwh[0, 0] = np.nan
    same_kwh(dataset, kwh)


def test_one_name_twice(tmp_path: Path):
    kwh = series()
    wide = pd.DataFrame(kwh[[0, 0, 1, 2, 1]], index=["a", "a", "b", "c", "c"])
    wide.to_csv(tmp_path / "rows.csv")
    dataset = load(tmp_path / "rows.csv")
    assert dataset.unused == {"c": "two different series under one name"}
    assert repairs(dataset)["merged"]["readings"] == 1
    same_kwh(dataset, kwh[:2])
    wide.T.to_csv(tmp_path / "columns.csv", index=False)
    dataset = load(tmp_path / "columns.csv")
    assert set(dataset.unused) == {"c"}
    same_kwh(dataset, kwh[:2])


def test_hours_without_dates_begin_at_the_start_given(tmp_path: Path):
    kwh = series()
    pd.DataFrame(kwh, index=["a", "b", "c"]).to_csv(tmp_path / "a.csv", header=False)
    dataset = load(tmp_path / "a.csv")
    same_kwh(dataset, kwh)
    assert "weekdays are not known" in dataset.report["times"][0]
    dataset = load(tmp_path / "a.csv", ReadOptions(start=date(2023, 5, 6)))
    assert dataset.readings.dates[0] == np.datetime64("2023-05-06")
    assert "not known" not in dataset.report["times"][0]


def test_parquet_as_pandas_writes_it(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh)
    wide = frame.pivot(index="time", columns="household", values="kwh")
    wide.to_parquet(tmp_path / "wide.parquet")
    same_kwh(load(tmp_path / "wide.parquet"), kwh)
    frame.assign(household=pd.Categorical(frame["household"], ["home 2", "unseen", "home 1", "home 0"])).to_parquet(
        tmp_path / "categories.parquet"
    )
    dataset = load(tmp_path / "categories.parquet")
    assert dataset.readings.household_ids.tolist() == ["home 0", "home 1", "home 2"]
    same_kwh(dataset, kwh)
    zoned = frame.assign(time=frame["time"].dt.tz_localize("Europe/Brussels"))
    zoned.assign(household=frame["household"].str[5:].astype(int)).to_parquet(tmp_path / "zone.parquet")
    dataset = load(tmp_path / "zone.parquet")
    same_kwh(dataset, kwh)
    assert dataset.report["times"] == ["times are of the zone Europe/Brussels; its wall-clock time is kept"]


def test_options_override(tmp_path: Path):
    kwh = series()
    frame = long_table(kwh).rename(columns={"kwh": "a", "household": "b", "time": "c"}).assign(d=1.5, e="x")
    path = csv(tmp_path, frame)
    with pytest.raises(UserError, match=r"no single column of readings \('a', 'd' could be\).*b=home 0.*options"):
        load(path)
    dataset = load(path, ReadOptions(household="b", time="c", value="a"))
    same_kwh(dataset, kwh)
    assert dataset.report["ignored_columns"] == ["d", "e"]
    with pytest.raises(UserError, match=r"no column 'z', which was given as value; it has 'b', 'c', 'a'"):
        load(path, ReadOptions(value="z"))


def test_unused_reasons_name_each_rule_once():
    kwh = series(2).reshape(2, DAYS, 24).astype(np.float32)
    assert unused_reasons(kwh) == {}
    assert unused_reasons(kwh, [1]) == {1: "two different series under one name"}


@pytest.mark.real_data
def test_real_households(shared_data: Path):
    path = shared_data / "energy" / "edrp_scotland_april.parquet"
    dataset = load(path)
    frame = pd.read_parquet(path)
    assert dataset.readings.kwh.shape == (622, 30, 24)
    assert dataset.unused == {}
    assert repairs(dataset) == {}
    assert str(dataset.readings.dates[0]) == "2009-04-01"
    same_kwh(dataset, frame.pivot(index="household_id", columns="timestamp", values="kwh").to_numpy())
