"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.errors import UserError
from common.inference.batch import Engine
from common.options import JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

app = create_app(
    "vinted", "Photo of a second-hand garment -> its two likeliest categories of five, and its pattern tags."
)

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "data" / "weights" / "vinted"

_data_or_sample = partial(data_or_sample, "challenges.vinted", "test.parquet")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder or archive in the official layout (data.zip beside the parquet tables). "
        "Default: data/vinted/official if it is there, else a generated sample.",
    ),
]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a trained model.")]


@app.command()
def predict(
    context: typer.Context,
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos to look at now, instead of a data set.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Folder or archive in the official layout (data.zip beside the parquet tables); with --engine ray "
            "a folder, local or at any fsspec address. Default: data/vinted/official if it is there, else a "
            "generated sample.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")] = Path("predictions.parquet"),
    model: ModelOption = WEIGHTS,
    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            help="Threads of this process, or a Ray cluster: RAY_ADDRESS, else one started here. With ray finished "
            "shards stay in <out>.shards, and a second run goes on from there.",
        ),
    ] = Engine.LOCAL,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write <out>.probabilities.parquet: every probability.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if any photo could not be read.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict every row of test.parquet, or the photos named.

    Photos that cannot be read never stop the run: they get what training saw most often, and are named with
    the reason in <out>.report.json.

    Examples: [bold]predict --data my_folder --out predictions.parquet[/bold], [bold]predict photo.jpg[/bold]
    """
    if photos:
        _refuse_given(context, "data", "out", "engine", "probabilities", "strict")
        _predict_files(photos, model, as_json)
        return
    from challenges.vinted.predict import predict_file
    from common.data.tables import beside, check_output, report_path, write_json

    path, generated = _address_or_sample(data, engine)
    check_output(out, *([path] if isinstance(path, Path) else []))
    if probabilities:
        check_output(beside(out, ".probabilities.parquet"))
    n_photos, unreadable = predict_file(model, path, out, engine=engine, probabilities=probabilities)
    summary: dict[str, Any] = {
        "out": out,
        "data": path,
        "generated_sample": generated,
        "n_photos": n_photos,
        "n_unreadable": len(unreadable),
    }
    write_json(summary | {"unreadable": unreadable}, report_path(out))
    text = f"{out}: {n_photos} photos of {describe_data(path, generated)} predicted"
    if unreadable:
        text += f"; {len(unreadable)} could not be read and got the training prior, see {report_path(out)}"
    print_summary(summary, text, as_json)
    if strict and unreadable:
        raise UserError(f"--strict: {len(unreadable)} photos could not be read; {report_path(out)} names them")


def _refuse_given(context: typer.Context, *names: str) -> None:
    """Refuse options that a data set has and photos named as arguments have not."""
    given = [f"--{name}" for name in names if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"]
    if given:
        raise UserError(f"{', '.join(given)}: of no use where photos are named; leave out the one or the other")


def _predict_files(photos: list[Path], model: Path, as_json: bool) -> None:
    """Print one line a photo; fail at the end if any could not be read."""
    from challenges.vinted.predict import describe, load_model, predict_photos, read_file

    loaded = load_model(model)
    found, unreadable = predict_photos(loaded, [str(p) for p in photos], read_file)
    for row, photo in enumerate(photos):
        if row not in unreadable:
            answer = describe(loaded, found, row)
            print_summary({"photo": photo} | answer.as_dict(), f"{photo}: {answer}", as_json)
    if unreadable:
        what = "; ".join(f"{photos[row]}: {reason}" for row, reason in unreadable.items())
        raise UserError(f"not read: {what}")


@app.command()
def data(
    source: Annotated[str, typer.Option("--source", help="official, open, patterns or sample.")] = "sample",
    from_dir: Annotated[
        Path | None, typer.Option("--from-dir", help="A copy that already lies on disk; nothing is downloaded.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder. Default: data/vinted/<source>.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Get a data set in the official layout. No other command downloads one."""
    from challenges.vinted.sources import fetch
    from common.data.tables import write_json

    folder = out or REPOSITORY / "data" / "vinted" / source
    report = fetch(source, folder, from_dir)
    write_json(report, folder / "fetch.report.json")
    counts = ", ".join(f"{key} {value}" for key, value in report.items() if isinstance(value, int))
    print_summary({"out": folder} | report, f"{folder}: {counts}", as_json)


@app.command()
def train(
    data: DataOption = None,
    patterns: Annotated[
        Path | None,
        typer.Option("--patterns", help="Extra photos of worn dresses with tags (labels.parquet, images.zip)."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the trained model.")] = Path("runs/vinted/model"),
    runs: Annotated[Path, typer.Option("--runs", help="Folder of checkpoints; the same folder resumes.")] = Path(
        "runs/vinted"
    ),
    renders: Annotated[
        int, typer.Option("--renders", min=0, help="How many generated garments join the training.")
    ] = 1_500,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short epoch a stage and two folds, to see that all runs.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            help="Train one part and stop: pretraining, fold-0 ... fold-4 or final. Processes that share --runs can "
            "take one each; a last call without it finds them done and puts the model together.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of weights, order and augmentation.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train, cross-validate, calibrate, quantise and write a model. Resumes where it was stopped."""
    from challenges.vinted.evaluate import headline
    from challenges.vinted.train import Recipe, quick_recipe, train_part
    from challenges.vinted.train import train as train_model
    from challenges.vinted.training_set import load_training_set
    from common.artifacts import MANIFEST_NAME
    from common.data.tables import check_output
    from common.training.loop import is_main_process

    path, generated = _data_or_sample(data)
    if is_main_process():
        check_output(out / MANIFEST_NAME)
        check_output(runs / "left_out.json")
    recipe = quick_recipe(seed) if quick else Recipe(seed=seed)
    photos = load_training_set(path, patterns, n_renders=renders, n_folds=2 if quick else 5, seed=seed)
    if only is not None:
        train_part(only, photos, recipe, runs)
        if is_main_process():
            print_summary({"runs": runs, "part": only}, f"{runs}: {only} is trained", as_json)
        return
    metrics = train_model(photos, out, runs, recipe)
    text = f"{out}: trained on {describe_data(path, generated)}; held out: {headline(metrics['market'])}"
    if is_main_process():
        text += _report_left_out(photos.left_out, runs)
        summary = {"out": out, "data": path, "generated_sample": generated, "n_left_out": len(photos.left_out)}
        print_summary(summary | {"metrics": metrics["market"]}, text, as_json)


def _report_left_out(left_out: dict[str, str], runs: Path) -> str:
    """Write which photos the training set lacks, and why; return what the summary line says of it."""
    from common.data.tables import write_json

    report = runs / "left_out.json"
    write_json(left_out, report)
    return f"; {len(left_out)} photos were left out, see {report}" if left_out else ""


@app.command()
def evaluate(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for metrics.json and figures.")] = Path(
        "runs/vinted/evaluation"
    ),
    model: ModelOption = WEIGHTS,
    as_json: JsonOption = False,
) -> None:
    """Score a model on the labelled photos of a data set: metrics.json and figures."""
    from challenges.vinted.dataset import load
    from challenges.vinted.evaluate import evaluate as evaluate_model
    from challenges.vinted.evaluate import headline
    from challenges.vinted.predict import load_model
    from common.artifacts import load_artifact
    from common.data.tables import check_output

    path, generated = _data_or_sample(data)
    check_output(out / "metrics.json")
    trained_on = frozenset(load_artifact(model, "vinted").manifest.config.get("trained_on", ()))
    metrics = evaluate_model(load_model(model), load(path, part="labelled"), out, trained_on)
    text = f"{out}: {metrics['n_photos']} photos of {describe_data(path, generated)}: {headline(metrics)}"
    if metrics["unreadable"]:
        n = len(metrics["unreadable"])
        text += f"; {n} could not be read and got the training prior, see {out / 'metrics.json'}"
    if metrics["seen_in_training"]:
        text += f"; {metrics['seen_in_training']} of them were trained on, so this says nothing about new ones"
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def compare(
    data: DataOption = None,
    patterns: Annotated[Path | None, typer.Option("--patterns", help="As in train.")] = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = Path("runs/vinted/comparison.json"),
    runs: Annotated[Path, typer.Option("--runs", help="The checkpoints of train.")] = Path("runs/vinted"),
    renders: Annotated[int, typer.Option("--renders", min=0, help="As in train.")] = 1_500,
    single_task: Annotated[
        bool, typer.Option(help="Also train a network for each task, on two of the folds: as long as train itself.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Measure the model against simpler ones on the same folds: class prior, linear probe, a network for each task."""
    from challenges.vinted.baselines import compare as compare_models
    from challenges.vinted.evaluate import headline
    from challenges.vinted.train import Recipe
    from challenges.vinted.training_set import load_training_set
    from common.data.tables import check_output, write_json

    path, generated = _data_or_sample(data)
    check_output(out)
    check_output(runs / "left_out.json")
    photos = load_training_set(path, patterns, n_renders=renders)
    table = compare_models(photos, runs, Recipe(), single_task=single_task)
    write_json(table, out)
    lines = [f"{name}, {folds}: {headline(m)}" for folds, models in table.items() for name, m in models.items()]
    text = f"{out}: {describe_data(path, generated)}; " + "; ".join(lines) + _report_left_out(photos.left_out, runs)
    summary = {"out": out, "data": path, "generated_sample": generated, "n_left_out": len(photos.left_out)}
    print_summary(summary | table, text, as_json)


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
    with set_up_by("vinted-serve"):
        from challenges.vinted.service import VintedSettings, create_vinted_service

    create = partial(create_vinted_service, model)
    serve_until_stopped(create, VintedSettings, "Vinted is served", host=host, port=port, as_json=as_json)


def _address_or_sample(data: str | None, engine: Engine) -> tuple[Path | str, bool]:
    if data is None or "://" not in data:
        return _data_or_sample(None if data is None else Path(data))
    if engine is Engine.LOCAL:
        raise UserError(f"{data}: the engine 'local' reads local files only; add --engine ray")
    return data, False
