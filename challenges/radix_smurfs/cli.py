"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from collections import Counter
from dataclasses import asdict
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.data.tables import check_output, report_path, write_json
from common.options import JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

if TYPE_CHECKING:
    from challenges.radix_smurfs.dataset import SmurfDataset

app = create_app("radix_smurfs", "Smurfs in images and videos: outlined, and named by kind.")

REPOSITORY = Path(__file__).resolve().parents[2]
SEGMENTER = REPOSITORY / "data" / "weights" / "radix_smurfs" / "segmenter"
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
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a trained segmenter.")]


@app.command()
def segment(
    video: Annotated[Path | None, typer.Option("--video", help="Video file. Default: the generated sample's.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("runs/radix_smurfs/segment"),
    model: ModelOption = SEGMENTER,
    classifier: ClassifierOption = CLASSIFIER,
    as_json: JsonOption = False,
) -> None:
    """Outline and name every Smurf of a video.

    Writes into --out: segmented.mp4, which browsers play; detections.parquet, a row for each Smurf and frame;
    contact_sheet.jpg, to look it through at a glance; report.json.

    Example: [bold]segment --video smurfs.mp4 --out out[/bold]
    """
    from challenges.radix_smurfs.classifier import load_classifier
    from challenges.radix_smurfs.segment import VIDEO, segment_video
    from challenges.radix_smurfs.segmenter import load_segmenter

    path, generated = (video, False) if video is not None else (_sample_video(), True)
    check_output(out / VIDEO, path)
    result = segment_video(path, out, load_segmenter(model), load_classifier(classifier))
    names = ", ".join(f"{n} {name}" for name, n in result.names.items() if n) or "nobody"
    damaged = f"; {result.damage.n_packets} damaged packets left out" if result.damage.n_packets else ""
    damaged += "; the file is cut off, its end is missing" if result.damage.cut_off else ""
    text = (
        f"{out / VIDEO}: {result.n_frames} frames in {result.n_scenes} scenes of {_describe_video(path, generated)}; "
        f"{result.n_tracks} tracks ({names}){damaged}"
    )
    summary: dict[str, Any] = {"out": out, "video": path, "generated_sample": generated}
    print_summary(summary | asdict(result), text, as_json)


@app.command()
def predict(
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder or zip of images. Default: as --data of classify.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")] = Path("predictions.json"),
    model: ModelOption = SEGMENTER,
    classifier: ClassifierOption = CLASSIFIER,
    as_json: JsonOption = False,
) -> None:
    """Outline and name every Smurf on images, as COCO results.

    Image ids are those of a COCO file among the images, if there is one, and are listed in the report beside --out;
    category ids are those of the challenge's archive.
    """
    from challenges.radix_smurfs.classifier import load_classifier
    from challenges.radix_smurfs.predict import predict_folder, write
    from challenges.radix_smurfs.segmenter import load_segmenter

    path, generated = _data_or_sample(images)
    check_output(out, path)
    result = predict_folder(path, load_segmenter(model), load_classifier(classifier))
    n_smurfs = sum(map(len, result.found))
    summary: dict[str, Any] = {
        "out": out,
        "images": path,
        "generated_sample": generated,
        "n_images": len(result.file_names),
        "n_smurfs": n_smurfs,
        "n_unreadable": len(result.unreadable),
    }
    write(result, out, summary)
    where = report_path(out)
    unreadable = f"; {len(result.unreadable)} could not be read, see {where}" if result.unreadable else ""
    text = (
        f"{out}: {n_smurfs} Smurfs on {len(result.file_names)} images of {describe_data(path, generated)}{unreadable}"
    )
    print_summary(summary, text, as_json)


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
    check_output(out, path)
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
    flaws += f", see {report_path(out)}" if flaws else ""
    print_summary(
        summary, f"{out}: {len(table)} masks of {describe_data(path, generated)} named: {found}{flaws}", as_json
    )


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
    check_output(labels)
    dataset = load(path)
    prepared, unreadable = prepare(dataset, labels)
    flaws = f"; not shown: {', '.join(f'{name} ({why})' for name, why in unreadable.items())}" if unreadable else ""
    flaws += _report_input(dataset, labels)

    def announce(address: str) -> None:
        summary = {"address": address, "labels": labels, "n_masks": len(prepared.proposals), "unreadable": unreadable}
        text = f"{len(prepared.proposals)} masks of {describe_data(path, generated)} are shown at {address}; "
        text += f"answers are saved to {labels} (Ctrl-C stops){flaws}"
        print_summary(summary | {"data": path, "generated_sample": generated}, text, as_json)

    serve_review(prepared, host, port, announce)


@app.command()
def train(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the trained segmenter.")] = Path(
        "runs/radix_smurfs/segmenter"
    ),
    runs: Annotated[Path, typer.Option("--runs", help="Folder of checkpoints; the same folder resumes.")] = Path(
        "runs/radix_smurfs"
    ),
    config: Annotated[
        str | None,
        typer.Option(
            "--config", help="yolo-lite0 (default), yolo11n-seg.yaml from scratch, or yolo11n-seg.pt with a network."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Default: the recipe's.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short epoch a part, to see that all runs.")] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            help="Train one part and stop: fold-0 ... fold-4 or final. Processes that share --runs can take one each; "
            "a last call without it finds them done and puts the model together.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights, order and compositions.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the segmenter, cross-validate, quantise and write it. Resumes where it was stopped."""
    from dataclasses import replace

    from challenges.radix_smurfs.evaluate import headline
    from challenges.radix_smurfs.train import Recipe, load_training_set, quick_recipe, train_part
    from challenges.radix_smurfs.train import train as train_model
    from common.artifacts import MANIFEST_NAME
    from common.training.loop import is_main_process

    path, generated = _data_or_sample(data)
    if only is None and is_main_process():
        check_output(out / MANIFEST_NAME)
    recipe = quick_recipe(seed) if quick else Recipe(seed=seed)
    recipe = replace(recipe, config=config or recipe.config, epochs=epochs or recipe.epochs)
    pictures = load_training_set(path, seed)
    if only is not None:
        train_part(pictures, only, recipe, runs)
        if is_main_process():
            print_summary({"runs": runs, "part": only}, f"{runs}: {only} is trained", as_json)
        return
    metrics = train_model(pictures, out, runs, recipe)
    held_out = metrics.get("int8")
    text = f"{out}: trained on {describe_data(path, generated)}; "
    text += f"held out: {headline(held_out)}" if held_out else "a single image, so nothing was held out"
    if is_main_process():
        summary = {"out": out, "data": path, "generated_sample": generated, "metrics": held_out}
        print_summary(summary, text + _report_input(pictures.dataset, out / MANIFEST_NAME), as_json)


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
    from common.artifacts import MANIFEST_NAME, fingerprint

    path, generated = _data_or_sample(data)
    check_output(out / MANIFEST_NAME)
    dataset = load(path)
    reviewed = read_labels(labels, dataset.categories) if labels else None
    metrics = train(dataset, out, fingerprint([path]), reviewed, seed)
    text = f"{out}: learned from {metrics['n_figures']} masks of {describe_data(path, generated)}, "
    text += f"{metrics['n_confident']} with a confident weak label, {metrics['n_reviewed']} reviewed"
    if metrics.get("weak_labels_where_confident") == {"n_figures": 0}:
        text += "; none of these has a confident weak label, which is therefore not measured"
    unseen = [name for name, f1 in metrics.get("weak_labels", {}).get("f1", {}).items() if isnan(f1)]
    if unseen:
        text += f"; no macro F1, since none is reviewed as {' or '.join(unseen)}"
    for key in ("weak_labels", "classifier_on_weak_labels", "classifier_on_reviewed_labels"):
        if key in metrics and not unseen:
            text += f"; macro F1 of {key.replace('_', ' ')} {metrics[key]['macro_f1']['estimate']:.3f}"
    text += _report_input(dataset, out / MANIFEST_NAME)
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def evaluate(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for metrics.json and figures.")] = Path(
        "runs/radix_smurfs/evaluation"
    ),
    model: ModelOption = SEGMENTER,
    as_json: JsonOption = False,
) -> None:
    """Score the segmenter's masks on annotated images: mAP50 and mAP50-95 with intervals, curve, worst images."""
    from challenges.radix_smurfs.dataset import load
    from challenges.radix_smurfs.evaluate import evaluate as evaluate_segmenter
    from challenges.radix_smurfs.evaluate import headline, image_keys, score, write
    from challenges.radix_smurfs.segmenter import load_segmenter
    from common.artifacts import load_artifact

    path, generated = _data_or_sample(data)
    check_output(out / "metrics.json")
    dataset = load(path)
    evaluation = evaluate_segmenter(dataset, load_segmenter(model))
    trained_on = frozenset(load_artifact(model, "radix_smurfs").manifest.config.get("trained_on", ()))
    seen = sum(key in trained_on for key in image_keys(dataset))
    metrics = score(evaluation) | {"seen_in_training": seen}
    write(dataset, evaluation, metrics, out)
    text = f"{out}: {describe_data(path, generated)}: {headline(metrics)}"
    if seen:
        text += f"; {seen} of them were trained on, so this says nothing about new ones"
    text += _report_input(dataset, out / "metrics.json")
    print_summary({"out": out, "data": path, "generated_sample": generated} | metrics, text, as_json)


@app.command()
def compare(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = Path("runs/radix_smurfs/comparison.json"),
    runs: Annotated[Path, typer.Option("--runs", help="Folder of checkpoints.")] = Path("runs/radix_smurfs/compare"),
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Half as many for Mask R-CNN.")] = 40,
    fold: Annotated[int, typer.Option("--fold", min=0, help="That is left out and scored.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One short epoch, to see that all runs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the segmenter beside YOLO11n from scratch and Mask R-CNN on the same backbone, on one fold."""
    from dataclasses import replace

    from challenges.radix_smurfs.baselines import compare as compare_networks
    from challenges.radix_smurfs.evaluate import headline
    from challenges.radix_smurfs.train import Recipe, load_training_set, quick_recipe

    path, generated = _data_or_sample(data)
    check_output(out, path)
    recipe = quick_recipe() if quick else replace(Recipe(), epochs=epochs)
    pictures = load_training_set(path)
    table = compare_networks(pictures, runs, recipe, fold)
    write_json(table, out)
    text = f"{out}: {describe_data(path, generated)}; " + "; ".join(f"{k}: {headline(m)}" for k, m in table.items())
    text += _report_input(pictures.dataset, out)
    print_summary({"out": out, "data": path, "generated_sample": generated, **table}, text, as_json)


@app.command()
def serve(
    host: HostOption = HOST,
    port: PortOption = PORT,
    model: ModelOption = SEGMENTER,
    classifier: ClassifierOption = CLASSIFIER,
    as_json: JsonOption = False,
) -> None:
    """Answer over HTTP, with a page to try it on, until Ctrl-C or SIGTERM. Prints the address once it listens.

    Limits and a token are read from the environment: SERVICE_TOKEN, SERVICE_MAX_BODY_BYTES, SERVICE_QUEUE_SIZE
    and more, see common/service/settings.py.
    """
    with set_up_by("smurfs-serve"):
        from challenges.radix_smurfs.service import SmurfsSettings, create_smurfs_service

    create = partial(create_smurfs_service, model, classifier)
    serve_until_stopped(create, SmurfsSettings, "Smurfs are served", host=host, port=port, as_json=as_json)


def _report_input(dataset: "SmurfDataset", out: Path) -> str:
    """Write beside `out` what was left out of the data, and why; and what to add to the summary line."""
    write_json({"input": dataset.report}, report_path(out))
    n_left_out = dataset.report["n_left_out"]
    return f"; {n_left_out} entries left out, see {report_path(out)}" if n_left_out else ""


def _sample_video() -> Path:
    """The video of the generated sample, which is written on first use."""
    sample = REPOSITORY / "data" / "radix_smurfs" / "sample"
    video = sample / "sample_video.mp4"
    if not video.is_file():
        from challenges.radix_smurfs.sample import write_sample

        write_sample(sample)
    return video


def _describe_video(path: Path, generated: bool) -> str:
    return f"the generated sample {path} (no --video given)" if generated else str(path)
