"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.data.tables import check_output, report_path, write_with_report
from common.inference.batch import Engine
from common.options import EngineOption, JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

if TYPE_CHECKING:
    from challenges.radix_energy.dataset import Dataset

app = create_app("radix_energy", "Hourly electricity readings of households -> the types of households behind them.")

TYPES = Path("runs/radix_energy/types")


class LayoutName(StrEnum):
    """How a table holds its readings."""

    AUTO = "auto"
    LONG = "long"
    ROWS = "rows"
    COLUMNS = "columns"


class Unit(StrEnum):
    """What a reading counts."""

    AUTO = "auto"
    KWH = "kWh"
    WH = "Wh"
    KW = "kW"
    W = "W"


_data_or_sample = partial(data_or_sample, "challenges.radix_energy", "household_energy_consumption.zip", alone=True)

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="CSV or parquet file, a zip of one, or a folder that holds one. "
        "Default: data/radix_energy/official if it is there, else a generated sample.",
    ),
]
LayoutOption = Annotated[
    LayoutName, typer.Option("--layout", help="long: household, time, value; rows or columns: a household each.")
]
HouseholdOption = Annotated[str | None, typer.Option("--household", help="Long layout: column of the household.")]
TimeOption = Annotated[str | None, typer.Option("--time", help="Long layout: column of the time.")]
ValueOption = Annotated[str | None, typer.Option("--value", help="Long layout: column of the reading.")]
UnitOption = Annotated[Unit, typer.Option("--unit", help="Of the readings.")]
StartOption = Annotated[
    datetime | None, typer.Option("--start", formats=["%Y-%m-%d"], help="First day, where hours have no dates.")
]


@app.command()
def cluster(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = TYPES,
    types: Annotated[int | None, typer.Option("--types", min=2, help="How many. Default: found out.")] = None,
    layout: LayoutOption = LayoutName.AUTO,
    household: HouseholdOption = None,
    time: TimeOption = None,
    value: ValueOption = None,
    unit: UnitOption = Unit.AUTO,
    start: StartOption = None,
    engine: EngineOption = Engine.LOCAL,
    seed: Annotated[int, typer.Option("--seed", help="Of starts and splits.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the household types of a file.

    Writes into --out: clusters.parquet, a row for every household (those that cannot be used with the reason);
    report.html, to be read; clusters.report.json, what was repaired; and the model, which [bold]assign[/bold] takes.

    Example: [bold]cluster --data readings.csv --out types[/bold]
    """
    path, generated = _data_or_sample(data)
    check_output(out / "clusters.parquet", path)
    dataset = _load(path, layout, household, time, value, unit, start)

    from challenges.radix_energy.predict import tabulate
    from challenges.radix_energy.report import write_report
    from challenges.radix_energy.train import find_types, save_types, verdict
    from common.artifacts import fingerprint

    found = find_types(dataset.readings, types, seed=seed, engine=engine)
    table = tabulate(dataset, found.households, found.assignment, found)
    summary: dict[str, Any] = _summary(dataset, path, generated) | {
        "out": out,
        "n_types": found.model.chosen_.n_types,
        "stability": found.model.chosen_.stability,
        "verdict": verdict(found),
        "n_atypical": int((~found.assignment.typical).sum()),
        "types": found.names,
    }
    write_with_report(table, out / "clusters.parquet", summary | {"unused": dataset.unused, "input": dataset.report})
    write_report(out / "report.html", dataset, found, table)
    save_types(out, found, fingerprint([path]))
    text = (
        f"{out}: {summary['n_types']} types among {summary['n_households']} households of "
        f"{describe_data(path, generated)} ({dataset.report['layout']}); {summary['verdict']}; "
        f"{summary['n_atypical']} fit nowhere{_unused(dataset, report_path(out / 'clusters.parquet'))}"
    )
    print_summary(summary, text, as_json)


@app.command()
def assign(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")] = Path("assigned.parquet"),
    model: Annotated[Path, typer.Option("--model", help="Folder that cluster wrote.")] = TYPES,
    layout: LayoutOption = LayoutName.AUTO,
    household: HouseholdOption = None,
    time: TimeOption = None,
    value: ValueOption = None,
    unit: UnitOption = Unit.AUTO,
    start: StartOption = None,
    engine: EngineOption = Engine.LOCAL,
    as_json: JsonOption = False,
) -> None:
    """Put the households of a file into types that were found before.

    Example: [bold]assign --model types --data new_readings.csv --out assigned.parquet[/bold]
    """
    from challenges.radix_energy.predict import tabulate
    from challenges.radix_energy.train import load_types, look_at

    types = load_types(model)
    path, generated = _data_or_sample(data)
    check_output(out, path)
    dataset = _load(path, layout, household, time, value, unit, start)
    households = look_at(dataset.readings, engine)
    assignment = types.model.predict(households.features)
    summary: dict[str, Any] = _summary(dataset, path, generated) | {
        "out": out,
        "model": model,
        "n_atypical": int((~assignment.typical).sum()),
    }
    report = summary | {"unused": dataset.unused, "input": dataset.report}
    write_with_report(tabulate(dataset, households, assignment, types), out, report)
    text = (
        f"{out}: {summary['n_households']} households of {describe_data(path, generated)} "
        f"({dataset.report['layout']}) assigned to {len(types.names)} types; "
        f"{summary['n_atypical']} fit nowhere{_unused(dataset, report_path(out))}"
    )
    print_summary(summary, text, as_json)


@app.command()
def evaluate(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = Path("runs/radix_energy/metrics.json"),
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Generated data sets of each kind.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure the method: on generated households whose types are known, beside simpler methods, and on --data."""
    from challenges.radix_energy.evaluate import evaluate as evaluate_method
    from challenges.radix_energy.evaluate import headline
    from common.data.tables import write_json

    path, generated = _data_or_sample(data)
    check_output(out, path)
    dataset = _load(path)
    metrics = evaluate_method(dataset.readings, seeds=range(seeds))
    write_json(metrics, out)
    text = f"{out}: {headline(metrics)}; {describe_data(path, generated)}"
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def serve(host: HostOption = HOST, port: PortOption = PORT, as_json: JsonOption = False) -> None:
    """Answer over HTTP, with a page to try it on, until Ctrl-C or SIGTERM. Prints the address once it listens.

    Limits and a token are read from the environment: SERVICE_TOKEN, SERVICE_MAX_BODY_BYTES, SERVICE_QUEUE_SIZE
    and more, see common/service/settings.py.
    """
    with set_up_by("energy-serve"):
        from challenges.radix_energy.service import EnergySettings, create_energy_service

    what = "Household types are served"
    serve_until_stopped(create_energy_service, EnergySettings, what, host=host, port=port, as_json=as_json)


def _load(
    path: Path,
    layout: LayoutName = LayoutName.AUTO,
    household: str | None = None,
    time: str | None = None,
    value: str | None = None,
    unit: Unit = Unit.AUTO,
    start: datetime | None = None,
) -> "Dataset":
    from challenges.radix_energy.dataset import ReadOptions, load

    day = start.date() if start else None
    return load(path, ReadOptions(layout.value, household, time, value, unit.value, day))


def _summary(dataset: "Dataset", path: Path, generated: bool) -> dict[str, Any]:
    return {
        "data": path,
        "generated_sample": generated,
        "layout": dataset.report["layout"],
        "n_households": len(dataset.readings.household_ids),
        "n_unused": len(dataset.unused),
    }


def _unused(dataset: "Dataset", report: Path) -> str:
    return f"; {len(dataset.unused)} could not be used, see {report}" if dataset.unused else ""
