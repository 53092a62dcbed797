"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.data.tables import check_output
from common.errors import UserError
from common.inference.batch import Engine
from common.options import EngineOption, JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

app = create_app("avalanche", "Open survey answers -> themes, codes, and a dashboard of the findings.")

REPOSITORY = Path(__file__).resolve().parents[2]
ENCODER = REPOSITORY / "data" / "weights" / "text_encoder"
RUNS = Path("runs/avalanche")

_data_or_sample = partial(data_or_sample, "challenges.avalanche", "hiking_app.csv", alone=True)

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="A table of answers: CSV, TSV, parquet or Excel, alone or in a zip or folder. "
        "Default: data/avalanche/official if it is there, else a generated sample.",
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="FIELD=NAME where a column is not found by its name; fields are question, respondent_id, response, theme.",
    ),
]
EncoderOption = Annotated[Path, typer.Option("--model", help="Folder of an exported text encoder.")]


@app.command()
def discover(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = RUNS / "discovery",
    column: ColumnOption = None,
    model: EncoderOption = ENCODER,
    engine: EngineOption = Engine.LOCAL,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same themes.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the themes of open answers; themes that the table holds are not looked at.

    Writes themes.parquet (a row for each theme of an answer), themes.md (to read), report.json, and pictures: the map
    of the answers and the tree of the themes, one each for every question.

    Example: [bold]discover --data answers.csv --out themes[/bold]
    """
    from challenges.avalanche.dataset import load
    from challenges.avalanche.predict import discover_survey, summarise, write

    path, generated = _data_or_sample(data)
    check_output(out / "themes.parquet", path)
    survey = load(path, _columns(column))
    discoveries = discover_survey(survey, seed, engine, model)
    written = write(survey, discoveries, out, {"seed": seed, "encoder": model})
    found = summarise(survey, discoveries)
    summary: dict[str, Any] = {
        "out": out,
        "data": path,
        "generated_sample": generated,
        "questions": [
            {key: q[key] for key in ("question", "usable", "several_themes", "nowhere")}
            | {"n_themes": len(q["themes"])}
            for q in found
        ],
        "flaws": {kind: flaw["count"] for kind, flaw in survey.report["flaws"].items()},
    }
    each = "; ".join(f"{len(q['themes'])} themes in {q['usable']} answers to {q['question']!r}" for q in found)
    print_summary(
        summary, f"{written.themes}: {each}, of {describe_data(path, generated)}; read {written.page}", as_json
    )


@app.command()
def dashboard(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A table of answers to open as a project. Default: as of discover."),
    ] = None,
    column: ColumnOption = None,
    port: PortOption = 8501,
    as_json: JsonOption = False,
) -> None:
    """Open the dashboard on this machine until Ctrl-C; the database is a file, or what DATABASE_URL names."""
    with set_up_by("avalanche-dashboard"):
        from challenges.avalanche.dashboard import prepare, start

    project = prepare(_data_or_sample(data)[0], _columns(column))

    def announce(address: str) -> None:
        page = f"{address}/?project={project.id}"  # else it shows the newest
        text = f"The dashboard is at {page}, with the project {project.name} (Ctrl-C stops it)"
        print_summary({"address": address, "page": page, "project": project.name}, text, as_json)

    start(port, announce)


@app.command()
def evaluate(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = RUNS / "metrics.json",
    column: ColumnOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each method.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Compare themes found with themes coded, beside other methods; and measure how fast codes teach the machine."""
    from challenges.avalanche.dataset import load
    from challenges.avalanche.evaluate import evaluate as evaluate_survey
    from challenges.avalanche.evaluate import headline
    from common.data.tables import write_json

    path, generated = _data_or_sample(data)
    check_output(out, path)
    metrics = evaluate_survey(load(path, _columns(column)), seeds)
    write_json(metrics, out)
    text = f"{out}: {describe_data(path, generated)}: {headline(metrics)}"
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def serve(host: HostOption = HOST, port: PortOption = PORT, as_json: JsonOption = False) -> None:
    """Answer over HTTP, with a page to try it on, until Ctrl-C or SIGTERM. Prints the address once it listens.

    Limits and a token are read from the environment: SERVICE_TOKEN, SERVICE_MAX_BODY_BYTES, SERVICE_QUEUE_SIZE
    and more, see common/service/settings.py.
    """
    with set_up_by("avalanche-serve"):
        from challenges.avalanche.service import AvalancheSettings, create_avalanche_service

    what = "Survey themes are served"
    serve_until_stopped(create_avalanche_service, AvalancheSettings, what, host=host, port=port, as_json=as_json)


def _columns(given: list[str] | None) -> dict[str, str]:
    parted = [text.partition("=") for text in given or []]
    for field, equals, name in parted:
        if not (field and equals and name):
            raise UserError(f"--column {field}{equals}{name}: write FIELD=NAME, as in --column response=Comment")
    return {field: name for field, _, name in parted}
