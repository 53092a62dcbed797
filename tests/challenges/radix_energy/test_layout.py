"""Which column means what, found from names and cells."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from challenges.radix_energy.dataset import ReadOptions
from challenges.radix_energy.layout import find_layout
from challenges.radix_energy.source import Source
from common.errors import UserError

HOURS = pd.date_range("2024-01-01", periods=48, freq="h").strftime("%Y-%m-%d %H:%M").tolist()


def source(columns: dict[str, Sequence[object]], header: bool = True) -> Source:
    cells = [[str(cell) for cell in column] for column in columns.values()]

    def read(wanted: Sequence[int], numbers: Collection[int]) -> tuple[list[pa.ChunkedArray], list[str]]:
        return [pa.chunked_array([cells[i]]) for i in wanted], []

    return Source("a.csv", list(columns), header, np.array(cells, dtype=object).T, read)


def found(columns: dict[str, Sequence[object]], **options: object) -> tuple:
    table = source(columns)
    layout = find_layout(table, ReadOptions(**options))  # type: ignore[arg-type]

    def name(i: int | None) -> str | None:
        return None if i is None else table.names[i]

    names = [table.names[i] for i in layout.values]
    return layout.kind, name(layout.household), name(layout.time), name(layout.hour), names


USED = [0.1, 0.25, 0.3, 1.5] * 24


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": HOURS * 2, "b": [7] * 48 + [9] * 48, "c": USED}, ("long", "b", "a", None, ["c"])),
        ({"c": USED, "b": ["x"] * 48 + ["y"] * 48, "a": HOURS * 2}, ("long", "b", "a", None, ["c"])),
        # By time, then household; the readings are whole numbers too.
        ({"t": np.repeat(HOURS, 2), "v": range(96), "n": [5, 6] * 48}, ("long", "n", "t", None, ["v"])),
        # The tariff and the row number stand beside.
        ({"": range(96), "LCLid": ["m1"] * 48 + ["m2"] * 48, "tariff": ["Std"] * 96, "tstp": HOURS * 2, "kwh": USED},
         ("long", "LCLid", "tstp", None, ["kwh"])),
        ({"region": ["N"] * 96, "who": ["m1"] * 48 + ["m2"] * 48, "t": HOURS * 2, "degrees": range(96), "kwh": USED},
         ("long", "who", "t", None, ["kwh"])),
        # What is bought, in kWh, not what is sold, paid or felt.
        ({"id": ["a"] * 48 + ["b"] * 48, "t": HOURS * 2, "export_kwh": USED, "import_kwh": USED},
         ("long", "id", "t", None, ["import_kwh"])),
        ({"id": ["a"] * 48 + ["b"] * 48, "t": HOURS * 2, "energy_price": USED, "kwh": USED, "reading_temp": USED},
         ("long", "id", "t", None, ["kwh"])),
        ({"id": ["a"] * 48 + ["b"] * 48, "t": HOURS * 2, "load": USED, "usage (kWh)": USED},
         ("long", "id", "t", None, ["usage (kWh)"])),
        ({"id": ["a"] * 48 + ["b"] * 48, "t": HOURS * 2, "realtime_kwh": USED, "reading_date": range(96)},
         ("long", "id", "t", None, ["realtime_kwh"])),
        ({"meter": ["m1"] * 48, "t": HOURS, "v": USED[:48]}, ("long", "meter", "t", None, ["v"])),
        ({"home": [1] * 48 + [2] * 48, "date": [h[:10] for h in HOURS] * 2, "hour": [*range(24)] * 4, "v": USED},
         ("long", "home", "date", "hour", ["v"])),
        ({"home": ["a"] * 48 + ["b"] * 48, "hour": [*range(48)] * 2, "v": USED}, ("long", "home", "hour", None, ["v"])),
        ({"t": HOURS, "house": USED[:48], "1001": USED[:48]}, ("columns", None, "t", None, ["house", "1001"])),
        # Neither is 'H1' the hour of the day, nor do digits-only times lack one.
        ({"t": [re.sub(r"\D", "", h) for h in HOURS], "H1": USED[:48], "H2": USED[:48]},
         ("columns", None, "t", None, ["H1", "H2"])),
        ({"t": HOURS, "only": USED[:48]}, ("columns", None, "t", None, ["only"])),
        ({"": range(48), "A": USED[:48], "B": USED[:48]}, ("columns", None, "", None, ["A", "B"])),
        ({"A": USED[:48], "B": USED[:48]}, ("columns", None, None, None, ["A", "B"])),
        ({"id": ["a", "b"], **{h: [0.1, 0.2] for h in HOURS}}, ("rows", "id", None, None, HOURS)),
        ({"type": ["x", "x"], "id": [4, 5], **{f"h{i}": [0.1, 0.2] for i in range(48)}},
         ("rows", "id", None, None, [f"h{i}" for i in range(48)])),
        ({str(i): [0.1, 0.2] for i in range(48)}, ("rows", None, None, None, [str(i) for i in range(48)])),
    ],
)  # fmt: skip
def test_layouts_are_found(columns: dict, expected: tuple):
    assert found(columns) == expected


@pytest.mark.parametrize(
    ("columns", "kind", "household"),
    [
        ([[1, 2, 3], *[[0.1, 0.2, 0.3]] * 47], "rows", 0),
        ([["a", "b"], *[[0.1, 0.2]] * 48], "rows", 0),
        ([[101, 102], *[[10, 20]] * 48], "rows", 0),
        ([[0.079, 0.1, 0.079], *[[0.1, 0.2, 0.3]] * 47], "rows", None),
        ([[79, 100, 79], *[[110, 20, 33]] * 47], "rows", None),
        ([USED[:48]] * 5, "columns", None),
    ],
)
def test_numbers_without_a_header_are_readings_from_the_first_column_on_where_none_has_ids(
    columns: list, kind: str, household: int | None
):
    table = source({f"column {i + 1}": cells for i, cells in enumerate(columns)}, header=False)
    layout = find_layout(table, ReadOptions())
    assert (layout.kind, layout.household, layout.time) == (kind, household, None)
    assert layout.values == [i for i in range(len(columns)) if i != household]


def test_epochs_are_times_and_long_ids_are_not():
    epochs = [1_700_000_000 // 3600 * 3600 + 3600 * i for i in range(48)] * 2
    ids = [1_600_000_001] * 48 + [1_600_000_007] * 48
    assert found({"x": ids, "y": epochs, "z": USED}) == ("long", "x", "y", None, ["z"])


def test_options_override_what_would_be_found():
    columns = {"a": [1] * 48, "b": HOURS, "c": USED[:48]}
    assert found(columns)[0] == "columns"
    assert found(columns, household="a", value="c") == ("long", "a", "b", None, ["c"])
    assert found({"0": [1, 2], "1": [3, 4]}, layout="columns")[0] == "columns"


def test_what_fits_nothing_says_what_was_seen():
    with pytest.raises(
        UserError, match=r"a\.csv: neither times nor hours found in its first row \(a=x, b=y\).*options"
    ):
        found({"a": ["x", "y"], "b": ["y", "z"]})
    with pytest.raises(UserError, match=r"no single column of readings \('day_kwh', 'night_kwh' could be\)"):
        found({"id": ["a"] * 48, "t": HOURS, "day_kwh": USED[:48], "night_kwh": USED[:48]})
    with pytest.raises(UserError, match="no column of households"):
        found({"t": HOURS, "v": USED[:48]}, layout="long", value="v")
