"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary

app = create_app("radix_smurfs", "Outlined Smurfs -> which of them each is.")

REPOSITORY = Path(__file__).resolve().parents[2]
LABELS = REPOSITORY / "data" / "labels" / "radix_smurfs" / "labels.csv"
CLASSIFIER = REPOSITORY / "data" / "weights" / "radix_smurfs" / "classifier"

_data_or_sample = partial(data_or_sample, "challenges.radix_smurfs", "result.json")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Zip or folder in COCO's layout (images beside one .json). "
        "Default: data/radix_smurfs/official if it is there, else a generated sample.",
    ),
]
ClassifierOption = Annotated[Path, typer.Option("--classifier", help="Folder of a trained classifier.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary line as JSON.")]


@app.command()
def classify(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.")] = Path("labels.csv"),
    classifier: ClassifierOption = CLASSIFIER,
    as_json: JsonOption = False,
) -> None:
    """Name every mask of a data set: annotation_id, category_id, probability.

    What is left out of a data set, and images that cannot be read, are named in <out>.report.json.

    Example: [bold]classify --data smurfs_coco_format.zip --out labels.csv[/bold]
    """
    from challenges.radix_smurfs.classifier import load_classifier
    from challenges.radix_smurfs.classify import classify as classify_dataset
    from challenges.radix_smurfs.classify import tabulate, write
    from challenges.radix_smurfs.dataset import load

    path, generated = _data_or_sample(data)
    model = load_classifier(classifier)
    dataset = load(path)
    named = classify_dataset(dataset, model)
    table = tabulate(named, dataset.categories)
    counts = Counter(dataset.categories[k] for k in table["category_id"].tolist())
    summary: dict[str, Any] = {"out": out, "data": path, "generated_sample": generated, "n_masks": len(table)}
    summary |= {"names": counts, "n_left_out": dataset.report["n_left_out"], "n_unreadable": len(named.unreadable)}
    write(table, out, summary | {"unreadable": named.unreadable, "input": dataset.report})
    found = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "none"
    flaws = f"; {len(named.unreadable)} images could not be read" if named.unreadable else ""
    flaws += f"; {dataset.report['n_left_out']} entries left out" if dataset.report["n_left_out"] else ""
    flaws += f", see {out.with_suffix('.report.json')}" if flaws else ""
    print_summary(
        summary, f"{out}: {len(table)} masks of {describe_data(path, generated)} named: {found}{flaws}", as_json
    )


@app.command()
def train_classifier(
    data: DataOption = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="CSV of a review: annotation_id, category_id. Without it: weak labels alone."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the classifier.")] = Path(
        "runs/radix_smurfs/classifier"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Of folds and looks.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Label masks by rules, learn from the confident and the reviewed ones, and measure both against the review.

    Example: [bold]train-classifier --data smurfs_coco_format.zip --labels data/labels/radix_smurfs/labels.csv[/bold]
    """
    from challenges.radix_smurfs.classifier_training import train_classifier as train
    from challenges.radix_smurfs.classify import read_labels
    from challenges.radix_smurfs.dataset import load
    from common.artifacts import fingerprint

    path, generated = _data_or_sample(data)
    dataset = load(path)
    reviewed = read_labels(labels, dataset.categories) if labels else None
    metrics = train(dataset, out, fingerprint([path]), reviewed, seed)
    text = f"{out}: learned from {metrics['n_figures']} masks of {describe_data(path, generated)}, "
    text += f"{metrics['n_confident']} with a confident weak label, {metrics['n_reviewed']} reviewed"
    for key in ("weak_labels", "classifier_on_weak_labels", "classifier_on_reviewed_labels"):
        if key in metrics:
            text += f"; macro F1 of {key.replace('_', ' ')} {metrics[key]['macro_f1']['estimate']:.3f}"
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def review(
    data: DataOption = None,
    labels: Annotated[
        Path, typer.Option("--labels", help="CSV file to write, and to go on with where it is there.")
    ] = Path("reviewed.csv"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: a free one.")] = 8001,
    as_json: JsonOption = False,
) -> None:
    """Show every mask with its weak label on a local page, to be confirmed or corrected, until Ctrl-C.

    Every answer is saved at once; [bold]train-classifier --labels[/bold] reads the file.
    """
    from challenges.radix_smurfs.dataset import load
    from challenges.radix_smurfs.review import prepare, serve_review

    path, generated = _data_or_sample(data)
    prepared, unreadable = prepare(load(path), labels)
    flaws = f"; not shown: {', '.join(f'{name} ({why})' for name, why in unreadable.items())}" if unreadable else ""

    def announce(address: str) -> None:
        summary = {"address": address, "labels": labels, "n_masks": len(prepared.proposals), "unreadable": unreadable}
        text = f"{len(prepared.proposals)} masks of {describe_data(path, generated)} are shown at {address}; "
        text += f"answers are saved to {labels} (Ctrl-C stops){flaws}"
        print_summary(summary | {"data": path, "generated_sample": generated}, text, as_json)

    serve_review(prepared, host, port, announce)
