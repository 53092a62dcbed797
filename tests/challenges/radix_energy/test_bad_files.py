"""Files as nasty as people send: each reads right, or is refused in one line that names it and the remedy."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from challenges.radix_energy.dataset import ReadOptions, load
from common.data.tables import json_text
from common.errors import UserError


def table(n_households: int = 3, n_days: int = 8, seed: int = 0) -> pd.DataFrame:
    """Readings of a usual size, in the long layout."""
    times = pd.date_range("2024-03-04", periods=n_days * 24, freq="h")
    kwh = np.random.default_rng(seed).gamma(1.2, 0.3, n_households * len(times)).round(3) + 0.01
    ids = [f"home {i}" for i in range(n_households)]
    return pd.DataFrame({"household": np.repeat(ids, len(times)), "time": np.tile(times, n_households), "kwh": kwh})


CLEAN = table()
ROWS = CLEAN["kwh"].to_numpy().reshape(3, -1)
TEXT = CLEAN.assign(time=CLEAN["time"].astype(str))
NTH = np.arange(len(CLEAN)) % 3
JUNK = np.random.default_rng(0).integers(0, 256, 3000).astype(np.uint8).tobytes()


def as_csv(frame: pd.DataFrame = TEXT, **options: object) -> bytes:
    return frame.to_csv(**{"index": False, "lineterminator": "\n", **options}).encode()  # type: ignore[call-overload]


def as_parquet(table: pd.DataFrame | pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table), stream)
    return stream.getvalue()


def as_zip(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def times_as(*formats: str) -> pd.DataFrame:
    texts = [CLEAN["time"].dt.strftime(form) for form in formats]
    return CLEAN.assign(time=np.choose(np.arange(len(CLEAN)) % len(formats), texts))


def a_row_a_day(n_parts: int, **more: object) -> pd.DataFrame:
    """Wh, in columns named by the ends of the parts of a day."""
    parts = np.repeat(ROWS.reshape(-1, 24) * 24_000 / n_parts, n_parts // 24, axis=1)
    ends = [f"{m // 60}:{m % 60:02d}" for m in range(1440 // n_parts, 1441, 1440 // n_parts)]
    days = (
        TEXT.assign(date=CLEAN["time"].dt.strftime("%d/%m/%Y"))[["household", "date"]]
        .drop_duplicates()
        .reset_index(drop=True)
    )
    return days.assign(**more).join(pd.DataFrame(parts.round(6), columns=ends))


READ_RIGHT = {
    "row_a_day.csv": as_csv(a_row_a_day(24, total=9.5), sep=";", decimal=","),
    "halves.csv": as_csv(a_row_a_day(48, quality="A").rename(columns={"household": "who"})),
    "quarters.parquet": as_parquet(a_row_a_day(96).sample(frac=1, random_state=0).sort_values("household")),
    "midnights.csv": as_csv(TEXT.assign(time=TEXT["time"].str[:11] + "00:00:00", hour=CLEAN["time"].dt.hour)),
    "strings.parquet": as_parquet(CLEAN.astype(str)),
    "decimals.parquet": as_parquet(
        pa.Table.from_pandas(CLEAN).set_column(2, "kwh", pa.array(CLEAN["kwh"]).cast(pa.decimal128(9, 3), safe=False))
    ),
    "three_formats.csv": as_csv(times_as("%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%y %Hh%M")),
    "utf16.csv": as_csv().decode().encode("utf-16"),
    "semicolon.csv": as_csv(sep=";", decimal=","),
    "watts.csv": as_csv(TEXT.assign(kwh=CLEAN["kwh"] * 1000)),  # though the column says kWh
    "watts_unnamed.csv": as_csv(TEXT.assign(kwh=CLEAN["kwh"] * 1000).rename(columns={"kwh": "used"})),
    "windows.csv": as_csv(lineterminator="\r\n"),
    "old_mac.csv": as_csv(lineterminator="\r"),
    "ids_twice.csv": as_csv(TEXT.assign(x=TEXT["household"])).replace(b"kwh,x", b"kwh,household"),
    "zip_beside.zip": as_zip("a.csv", as_csv()),
    "one_household.csv": as_csv(TEXT[TEXT["household"] == "home 0"]),
    "one_series.csv": as_csv(TEXT[TEXT["household"] == "home 0"].drop(columns="household")),
    "wide_line.csv": CLEAN.assign(household="a long name of a household, " * 2000 + CLEAN["household"])
    .pivot(index="time", columns="household", values="kwh").to_csv().encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", READ_RIGHT)
def test_odd_files_read_right(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(READ_RIGHT[name])
    kwh = load(tmp_path / name).readings.kwh
    expected = ROWS[: 1 if name.startswith("one_") else 3]
    np.testing.assert_allclose(kwh.reshape(len(expected), -1), expected, rtol=1e-5)


REFUSED = {
    "empty.csv": (b"", "the file is empty; export or copy it again"),
    "empty.zip": (as_zip("a.csv", b""), r"a\.csv: the file is empty"),
    "header.csv": (b"household,time,kwh\n", r"no rows below the header \(household, time, kwh\); export it again"),
    "header.parquet": (as_parquet(CLEAN.head(0)), "no rows or no columns; write it again"),
    "junk.csv": (JUNK, "not text .*; save it as CSV in UTF-8"),
    "junk.parquet": (JUNK, "not readable as a table .*; write it again as CSV or parquet"),
    "magic.parquet": (b"PAR1" + bytes(40) + b"PAR1", "not readable as a table"),
    "report.pdf": (b"%PDF-1.7\n", r"\.pdf is not read; \.csv, .* are"),
    "pdf.csv": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Pages 2 0 R >>\nendobj\n", r"one column only \('%PDF"),
    "workbook.csv": (as_zip("xl/a.xml", b"<a/>"), "not text"),
    "zip_in_zip.zip": (as_zip("in.zip", as_zip("a.csv", as_csv())), r"holds no table, but in\.zip; it must hold one"),
    "no_ids.csv": (as_csv(TEXT.drop(columns="household")), "household stands in 3 rows .*add a column of households"),
    "no_hours.csv": (as_csv(TEXT[["time", "kwh"]].assign(time=TEXT["time"].str[:10])), "write hours and minutes"),
    "blank_ids.csv": (as_csv(TEXT.assign(household="")), r"no column of households .*\(household=, time=2024.*options"),
    "no_times.csv": (as_csv(TEXT.drop(columns="time")), "neither times nor hours found in its first row"),
    "words.csv": (b"a,b,c\nx,y,z\nu,v,w\n", "neither times nor hours"),
    "twice.csv": (as_csv(TEXT.assign(x=1.5)).replace(b"kwh,x", b"kwh,kwh"), "2 columns are named 'kwh'; rename"),
    "twice.parquet": (
        as_parquet(pa.Table.from_pandas(CLEAN).append_column("kwh", pa.array(CLEAN["kwh"]))),
        "2 columns are named 'kwh'; rename or remove",
    ),
    "month_names.csv": (as_csv(times_as("%d-%b-%Y %H:%M")), r"time=04-Mar-2024 00:00.*times look like 2024-01-31"),
    "month_13.csv": (as_csv(times_as("2024-13-%d %H:%M")), "column 'time': no time could be read; write times as"),
    "huge.csv": (as_csv(TEXT.assign(kwh=1e9)), r"no readings \(left out: impossible\) \(3 of 3\).*give the options"),
    "infinite.parquet": (as_parquet(CLEAN.assign(kwh=np.inf)), r"no readings \(left out: impossible\)"),
    "register.csv": (as_csv(TEXT.assign(kwh=CLEAN["kwh"].cumsum() / 100)), "hardly fall, as a meter's register does"),
    "daily_register.csv": (as_csv(TEXT.assign(kwh=ROWS.reshape(-1, 24).cumsum(1).ravel())), "a meter's register does"),
    "new_meter.csv": (as_csv(TEXT.assign(kwh=(ROWS.cumsum(1) + 900 * (np.arange(192) < 90)).ravel())), "register does"),
    "two_tariffs.csv": (as_csv(pd.concat([TEXT, TEXT.assign(kwh=0)])), "stands in 2 rows .*leave one kind of reading"),
    "excel_times.csv": (
        as_csv(pd.DataFrame(ROWS.T).add_prefix("home ").assign(time=45355 + np.arange(192) / 24).iloc[:, ::-1]),
        "neither times nor hours found in its first row",
    ),
    "three_days.csv": (as_csv(TEXT[TEXT["time"] < "2024-03-07"]), "only 3 days .*; 7 are needed .*give the options"),
    "quotes.csv": (as_csv().replace(b"home 1", b'"home 1'), r"column 1: a line break within 'home 1,2024.*its quote"),
    "quote.csv": (as_csv(TEXT.assign(x=np.where(NTH == 1, '"', "y")).head(382), quoting=3), "opened and not closed"),
    "utf16_unmarked.csv": (as_csv().decode().encode("utf-16-le"), "not text in UTF-8, UTF-16"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str):
    content, words = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


# Property: any mixture of flaws raises nothing but UserError and loses no household.

FLAWS: dict[str, Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]] = {
    "text": lambda f, r: f.assign(kwh=f["kwh"].where(r.random(len(f)) > 0.05, r.choice(["n/a", "-", "", "0,35"]))),
    "negative": lambda f, r: f.assign(kwh=f["kwh"].where(r.random(len(f)) > 0.05, "-3")),
    "infinite": lambda f, r: f.assign(kwh=f["kwh"].where(r.random(len(f)) > 0.01, "inf")),
    "huge": lambda f, r: f.assign(kwh=f["kwh"].where(r.random(len(f)) > 0.01, "1e300")),
    "gaps": lambda f, r: f[r.random(len(f)) > r.random()],
    "repeats": lambda f, r: pd.concat([f, f.sample(frac=0.1, random_state=1)]),
    "shuffled": lambda f, r: f.sample(frac=1, random_state=1),
    "bad times": lambda f, r: f.assign(time=f["time"].where(r.random(len(f)) > 0.05, "yesterday")),
    "far times": lambda f, r: f.assign(time=f["time"].where(r.random(len(f)) > 0.01, "0001-01-01 00:00")),
    "off hour": lambda f, r: f.assign(time=f["time"].str.replace(":00:00", ":07:03")),
    "no name": lambda f, r: f.assign(household=f["household"].where(r.random(len(f)) > 0.05, " ")),
    "zeros": lambda f, r: f.assign(kwh=f["kwh"].where(f["household"] != "home 0", "0")),
    "coarse": lambda f, r: f[(f["household"] != "home 1") | f["time"].str.contains(" 0[036]")],
    "watts": lambda f, r: f.assign(kwh=f["kwh"].where(f["household"] != "home 2", "731")),
    "half hours": lambda f, r: pd.concat([f, f.assign(time=f["time"].str.replace(":00:00", ":30:00"))]),
}  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flaws=st.lists(st.sampled_from(sorted(FLAWS)), max_size=5), seed=st.integers(0, 99), ragged=st.booleans())
def test_no_mixture_of_flaws_breaks_it_or_loses_a_household(
    tmp_path_factory: pytest.TempPathFactory, flaws: list[str], seed: int, ragged: bool
):
    rng = np.random.default_rng(seed)
    frame = table(4, 9, seed).astype(str)
    for flaw in flaws:
        frame = FLAWS[flaw](frame, rng)
    path = tmp_path_factory.mktemp("flaws") / "a.csv"
    frame.to_csv(path, index=False)
    if ragged:
        path.write_text(path.read_text() + "home 9,2024-03-04 00:00:00\nhome 0,2024-03-04 00:00:00,1,2,3\n")
    expected = {i for i in frame["household"] if i.strip()} | ({"home 9", "home 0"} if ragged else set())
    try:
        dataset = load(path)
    except UserError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert str(path) in refusal
        assert "\n" not in refusal
        return
    used = dataset.readings.household_ids.tolist()
    assert set(used) | set(dataset.unused) == expected
    assert not set(used) & set(dataset.unused)
    assert all(dataset.unused.values())
    assert not np.isinf(dataset.readings.kwh).any()
    json.loads(json_text(dataset.report))  # strict JSON


def test_what_cannot_be_opened_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="not readable as a table"):
        load(tmp_path / ("a" * 300 + ".csv"))  # longer than a file system takes


@pytest.mark.parametrize(
    "options",
    [
        ReadOptions(layout="rows"), ReadOptions(layout="columns"), ReadOptions(time="kwh"),
        ReadOptions(time="household"), ReadOptions(value="household"), ReadOptions(value="time"),
        ReadOptions(household="kwh"),
        ReadOptions(household="time"), ReadOptions(household="kwh", time="kwh", value="kwh"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_wrong_options_are_the_users_mistake(tmp_path: Path, options: ReadOptions, name: str):
    (tmp_path / name).write_bytes(as_csv() if name == "a.csv" else as_parquet(CLEAN))
    with pytest.raises(UserError, match=name):
        load(tmp_path / name, options)


@settings(max_examples=25, deadline=None)
@example(b";\n0")  # neither a household nor a time
@given(st.binary(max_size=300) | st.text("abc,;\n\"'01.-: ", max_size=300).map(str.encode))
def test_noise_is_refused_cleanly(tmp_path_factory: pytest.TempPathFactory, noise: bytes):
    for name in ("a.csv", "a.parquet"):
        path = tmp_path_factory.mktemp("noise") / name
        path.write_bytes(noise)
        with pytest.raises(UserError):
            load(path)
