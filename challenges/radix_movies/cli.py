"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.data.tables import check_output, report_path, write_json, write_with_report
from common.errors import UserError, first_line
from common.inference.batch import Engine
from common.options import EngineOption, JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

if TYPE_CHECKING:
    from challenges.radix_movies.dataset import FlawLog

app = create_app("radix_movies", "Synopsis and poster of a film -> its five likeliest genres.")

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "data" / "weights" / "radix_movies"
RUNS = Path("runs/radix_movies")
FEW_FILMS = 100
"""From fewer, models hardly ranked new films better than the genres' frequencies do."""

_data_or_sample = partial(data_or_sample, "challenges.radix_movies", "movies_dataset.csv")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder or zip with a table of films (CSV, TSV, parquet or Excel) and their posters (zip or folder, "
        "<movie_id>.jpg). Default: data/radix_movies/official if it is there, else a generated sample.",
    ),
]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a trained model.")]
RunsOption = Annotated[Path, typer.Option("--runs", help="Folder that keeps encoded films between runs.")]


@app.command()
def predict(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")] = RUNS / "predictions.parquet",
    model: ModelOption = WEIGHTS,
    engine: EngineOption = Engine.LOCAL,
    as_json: JsonOption = False,
) -> None:
    """Predict five ranked genres for every film of a table.

    A film without a poster or without a synopsis is predicted from what it has. What is wrong with the data is counted
    and named in <out>.report.json.

    Example: [bold]predict --data films --out predictions.parquet[/bold]
    """
    from challenges.radix_movies.dataset import load
    from challenges.radix_movies.layout import GENRES
    from challenges.radix_movies.predict import predict_dataset, tabulate

    path, generated = _data_or_sample(data)
    check_output(out, path)
    dataset = load(path)
    found = predict_dataset(model, dataset, engine)
    flaws = dataset.flaws
    summary: dict[str, Any] = {
        "out": out,
        "data": path,
        "generated_sample": generated,
        "n_films": len(dataset.films),
        "modalities": dict(Counter(found.modalities).most_common()),
        "flaws": dict(flaws.counts),
    }
    write_with_report(
        tabulate(dataset.films, found, GENRES), out, summary | {"flaws": flaws.as_dict(), "layout": dataset.found}
    )
    used = ", ".join(f"{count} from {name}" for name, count in summary["modalities"].items())
    text = f"{out}: {len(dataset.films)} films of {describe_data(path, generated)}: {used}"
    if "synopsis" not in dataset.found["columns"]:
        text += "; no column was taken for synopses (synopsis, overview, plot ...)"
    print_summary(summary, text + _flaws(flaws, report_path(out)), as_json)


@app.command()
def train(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model.")] = RUNS / "model",
    runs: RunsOption = RUNS,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", help="What compare wrote, for the manifest. Default: none.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the posters that calibrate the int8 network.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit all machines on all labelled films and write a model."""
    from challenges.radix_movies.dataset import load
    from challenges.radix_movies.train import prepare
    from challenges.radix_movies.train import train as train_model
    from common.artifacts import MANIFEST_NAME

    path, generated = _data_or_sample(data)
    check_output(out / MANIFEST_NAME)
    measured = _measured(metrics) if metrics else {}
    dataset = load(path, labelled=True)
    prepared = prepare(dataset, runs, seed)
    train_model(prepared, out, measured)
    n_films, flaws, report = len(prepared.features), dataset.flaws, report_path(out / MANIFEST_NAME)
    summary = {"out": out, "data": path, "generated_sample": generated, "n_films": n_films, "flaws": dict(flaws.counts)}
    write_json(summary | {"flaws": flaws.as_dict(), "layout": dataset.found}, report)
    text = f"{out}: trained on {n_films} films of {describe_data(path, generated)}"
    if n_films < FEW_FILMS:
        text += "; so few teach little more than how common each genre is: ask compare"
    print_summary(summary, text + _flaws(flaws, report), as_json)


@app.command()
def evaluate(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for metrics.json and a figure.")] = RUNS / "evaluation",
    model: ModelOption = WEIGHTS,
    as_json: JsonOption = False,
) -> None:
    """Score a model on the labelled films of a data set."""
    from challenges.radix_movies.dataset import load
    from challenges.radix_movies.evaluate import evaluate as evaluate_model
    from challenges.radix_movies.metrics import headline

    path, generated = _data_or_sample(data)
    check_output(out / "metrics.json")
    dataset = load(path, labelled=True)
    metrics = evaluate_model(model, dataset, out)
    text = f"{out}: {metrics['n_films']} films of {describe_data(path, generated)}: {headline(metrics)}"
    if metrics["seen_in_training"]:
        text += f"; {metrics['seen_in_training']} of them were trained on, so this says nothing about new ones"
    text += _flaws(dataset.flaws, out / "metrics.json")
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def compare(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = RUNS / "comparison.json",
    runs: RunsOption = RUNS,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Of the cross-validation.")] = 5,
    fine_tune: Annotated[
        int,
        typer.Option("--fine-tune", min=0, help="In so many folds also fine-tune the poster network: minutes each."),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of the folds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate every method on the same folds: texts, posters, ways to join them, missing modalities."""
    from challenges.radix_movies.compare import compare as compare_methods
    from challenges.radix_movies.dataset import load
    from challenges.radix_movies.train import prepare
    from common.metrics.bootstrap import Interval

    path, generated = _data_or_sample(data)
    check_output(out, path)
    dataset = load(path, labelled=True)
    prepared = prepare(dataset, runs)
    tuned = None
    if fine_tune:
        from challenges.radix_movies.finetune import cross_validate_upper

        kept = runs / prepared.fingerprint[:16]
        tuned = cross_validate_upper(dataset, prepared.folds(folds, seed), range(min(fine_tune, folds)), kept)
    table = compare_methods(prepared, folds, seed, tuned)
    write_json(table, out)
    write_json({"flaws": dataset.flaws.as_dict(), "layout": dataset.found}, report_path(out))
    lines = [f"{name} {Interval(**m['map_at_5'])}" for name, m in table["methods"].items()]
    text = f"{out}: {describe_data(path, generated)}; " + "; ".join(lines)
    text += _flaws(dataset.flaws, report_path(out))
    print_summary({"out": out, "data": path, "generated_sample": generated, **table}, text, as_json)


@app.command()
def serve(
    host: HostOption = HOST,
    port: PortOption = PORT,
    model: ModelOption = WEIGHTS,
    as_json: JsonOption = False,
) -> None:
    """Answer over HTTP, with a page to try it on, until Ctrl-C or SIGTERM. Prints the address once it listens.

    Limits and a token are read from the environment: SERVICE_TOKEN, SERVICE_MAX_BODY_BYTES, SERVICE_QUEUE_SIZE
    and more, see common/service/settings.py.
    """
    with set_up_by("movies-serve"):
        from challenges.radix_movies.service import create_movies_service
        from common.service.settings import ServiceSettings

    create = partial(create_movies_service, model)
    serve_until_stopped(create, ServiceSettings, "Film genres are served", host=host, port=port, as_json=as_json)


def _flaws(flaws: "FlawLog", report: Path) -> str:
    return f"; {flaws.counts.total()} flaws, see {report}" if flaws.counts else ""


def _measured(path: Path) -> dict[str, Any]:
    """The scores in the file that `compare` wrote."""
    import json

    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["scores"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path}: no scores in it ({first_line(error)}); name the JSON file that compare wrote"
        ) from error
