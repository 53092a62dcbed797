"""Figures: they show what they are given, save atomically and leave no global state."""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from common.errors import UserError
from common.metrics.calibration import reliability_curve
from common.metrics.multilabel import average_precision, tag_scores
from common.plots import (
    PALETTE,
    image_grid,
    plot_confusion_matrix,
    plot_precision_recall,
    plot_reliability,
    plot_training_curves,
    save_figure,
    use_style,
)

NAMES = ("BLOUSES", "CASUAL_DRESSES", "SHIRTS")


def rendered(figure: Figure, path: Path) -> np.ndarray:
    save_figure(figure, path)
    return cv2.imread(str(path))[..., ::-1]


def test_a_grid_takes_a_stack_of_images() -> None:
    assert len(image_grid(np.zeros((3, 5, 5, 3), np.uint8)).axes) == 3


def test_grid_shows_every_image_whole_with_its_caption(tmp_path: Path) -> None:
    colours = [(200, 0, 0), (0, 150, 0), (0, 0, 250)]
    shapes = [(30, 20, 3), (300, 100, 3), (10, 90, 3)]
    images = [np.full(shape, colour, np.uint8) for shape, colour in zip(shapes, colours, strict=True)]
    figure = image_grid(images, ["a", "b\ntrue c", "d"], n_columns=2, wrong=[False, True, False], title="Three")

    assert [(text.get_text(), text.get_color()) for axes in figure.axes for text in axes.texts] == [
        ("a", "black"), ("b\ntrue c", PALETTE[1]), ("d", "black"),
    ]  # fmt: skip
    picture = rendered(figure, tmp_path / "grid.png")
    for (height, width, _), colour in zip(shapes, colours, strict=True):
        rows, columns = np.nonzero((picture == colour).all(axis=2))
        shown = (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
        assert shown == pytest.approx(height / width, rel=0.05)


def test_dollars_in_captions_and_names_are_no_formulas(tmp_path: Path) -> None:
    for text in ("$^$", "from $5 to $6"):
        figures = (
            image_grid([np.zeros((9, 9), np.uint8)], [text], title=text),
            plot_confusion_matrix(np.eye(2, dtype=int), [text, "b"]),
        )
        for figure in figures:
            save_figure(figure, tmp_path / "figure.svg")
            assert (tmp_path / "figure.svg").read_text().count(f"<!-- {text} -->") == 2


def test_captions_never_shrink_the_pictures(tmp_path: Path) -> None:
    images = [np.full((20, 20, 3), 1, np.uint8)] * 4
    areas = [
        (rendered(image_grid(images, [caption] * 4), tmp_path / "grid.png") == 1).all(axis=2).sum()
        for caption in ("a", "a very long caption, far wider than the picture is")
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.001)  # letters have a few pixels of that grey too


def test_grid_takes_grey_images_at_face_value(tmp_path: Path) -> None:
    picture = rendered(image_grid([np.full((9, 9), 100, np.uint8)]), tmp_path / "grid.png")
    assert (picture == 100).all(axis=2).mean() > 0.8


def test_grid_refuses_what_does_not_match() -> None:
    with pytest.raises(ValueError, match="needs images"):
        image_grid([])
    with pytest.raises(ValueError, match="as many captions"):
        image_grid([np.zeros((2, 2), np.uint8)], ["a", "b"])


def test_confusion_matrix_shows_counts_and_shares_of_the_true_class() -> None:
    figure = plot_confusion_matrix(np.array([[1, 999, 0], [3, 1, 0], [0, 0, 0]]), NAMES)
    (axes,) = figure.axes
    shown = {text.get_position(): text.get_text() for text in axes.texts}  # (predicted, true)
    assert shown[0, 0] == "1\n<1%"
    assert shown[1, 0] == "999\n>99%"
    assert shown[0, 1] == "3\n75%"
    assert shown[2, 2] == "0"
    assert tuple(label.get_text() for label in axes.get_yticklabels()) == NAMES
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")


def test_precision_recall_encloses_the_average_precision_and_marks_the_threshold() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((200, 2)) < 0.3
    scores = np.clip(labels * 0.3 + rng.random((200, 2)) * 0.7, 0, 1)
    labels[:, 1] = False  # a tag without positives has no curve
    (axes,) = plot_precision_recall(labels, scores, ["floral", "checker"], [0.5, 0.5]).axes

    curve, mark, _ = axes.lines
    recall, precision = curve.get_data()
    area = -np.sum(np.diff(recall) * precision[:-1])
    assert area == pytest.approx(average_precision(labels, scores)[0])
    at_threshold = tag_scores(labels, scores >= 0.5)
    assert mark.get_data() == ([at_threshold.recall[0]], [at_threshold.precision[0]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"floral  AP {area:.2f}",
        "chosen threshold",
    ]


def test_reliability_draws_bins_with_enough_rows() -> None:
    probabilities = np.array([0.9] * 20 + [0.1] * 9)
    labels = np.array([1] * 18 + [0] * 11)
    top, bottom = plot_reliability({"before": reliability_curve(labels, probabilities, n_bins=5)}).axes
    diagonal, curve = top.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert np.allclose(curve.get_data(), [[0.9], [0.9]])
    assert bottom.patches[0].get_data().values.tolist() == [9, 0, 0, 0, 20]


def test_training_curves_leave_out_epochs_without_the_figure() -> None:
    history = [{"loss": 2.0}, {"loss": 1.0, "top_1": 0.5}, {"loss": float("nan"), "top_1": 0.6}]
    left, right = plot_training_curves(history, {"loss": ["loss"], "validation": ["top_1"]}).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 1.0]]
    assert right.lines[0].get_xydata().tolist() == [[2, 0.5], [3, 0.6]]
    assert (left.get_title(loc="left"), right.get_legend().get_texts()[0].get_text()) == ("loss", "top 1")


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_figure_is_the_same_file(tmp_path: Path, suffix: str, start: bytes) -> None:
    contents = set()
    for name in ("a", "b"):
        path = tmp_path / "figures" / f"{name}.{suffix}"
        save_figure(plot_confusion_matrix(np.eye(3, dtype=int), NAMES), path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert contents.pop().startswith(start)
    assert len(list((tmp_path / "figures").iterdir())) == 2


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save_figure(image_grid([np.zeros((2, 2), np.uint8)]), tmp_path / "file" / "grid.png")


def test_the_look_ends_with_the_figure() -> None:
    before = dict(mpl.rcParams)
    plot_confusion_matrix(np.eye(3, dtype=int), NAMES)
    with use_style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before
