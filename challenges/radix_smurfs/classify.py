"""Data set and classifier -> a name for every mask."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES, ImageRecord, Instance, SmurfDataset, read_image
from challenges.radix_smurfs.geometry import Box, rle_to_mask
from challenges.radix_smurfs.weak_labels import SHARES
from common.cli import progress
from common.data.images import ImageError
from common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from challenges.radix_smurfs.classifier import Classifier

MARGIN: Final = 0.15  # around a figure, as a share of its longer side
PRIOR: Final[NDArray[np.float32]] = np.array(SHARES, np.float32)


@dataclass(frozen=True)
class Figure:
    """One instance, cut out of its image with a margin."""

    instance: Instance
    crop: NDArray[np.uint8]  # (H, W, 3) RGB
    mask: NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Named:
    """N instances in the order of the data set, with what they are called."""

    instances: tuple[Instance, ...]
    probabilities: NDArray[np.float32]  # (N, 4) in the order of NAMES
    unreadable: dict[str, str]  # image -> reason; its instances got the usual shares of the names


def cut_out(image: NDArray[np.uint8], mask: NDArray[np.bool_], box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Crop an image and a mask of its size to a box with a margin."""
    x0, y0, x1, y1 = box
    margin = 2 + MARGIN * max(x1 - x0, y1 - y0)
    rows = slice(max(0, int(y0 - margin)), int(y1 + margin))
    columns = slice(max(0, int(x0 - margin)), int(x1 + margin))
    return image[rows, columns], mask[rows, columns]


def figures(dataset: SmurfDataset, record: ImageRecord) -> list[Figure]:
    """Cut every instance out of one image.

    Raises:
        ImageError: the image is damaged.
    """
    instances = dataset.instances_of(record)
    if not instances:
        return []
    image = read_image(dataset, record)
    return [Figure(i, *cut_out(image, rle_to_mask(i.rle), i.box)) for i in instances]


def read_figures(dataset: SmurfDataset, unreadable: dict[str, str]) -> Iterator[list[Figure]]:
    """Yield the figures of one image after the other; notes the reasons of damaged images."""
    with progress("looking at figures", total=len(dataset.images)) as advance:
        for record in dataset.images:
            try:
                yield figures(dataset, record)
            except ImageError as error:
                unreadable[record.name] = str(error).removeprefix(f"{record.name}: ")
            advance()


def classify(dataset: SmurfDataset, classifier: Classifier) -> Named:
    """Name every instance from its pixels and its mask."""
    found: dict[int, NDArray[np.float32]] = {}
    unreadable: dict[str, str] = {}
    for group in read_figures(dataset, unreadable):
        probabilities = classifier.predict([f.crop for f in group], [f.mask for f in group])
        found |= {f.instance.id: row for f, row in zip(group, probabilities, strict=True)}
    rows = [found.get(instance.id, PRIOR) for instance in dataset.instances]
    return Named(dataset.instances, np.array(rows, np.float32).reshape(-1, len(NAMES)), unreadable)


def category_ids(categories: Mapping[int, str]) -> tuple[int, ...]:
    """The ids that a file gives NAMES, in their order.

    Raises:
        UserError: it lacks one of the names, or has it twice.
    """
    by_name: dict[str, list[int]] = {}
    for ident, name in categories.items():
        by_name.setdefault(name.strip().casefold(), []).append(ident)
    for name in NAMES:
        if len(by_name.get(name.casefold(), [])) != 1:
            has = ", ".join(map(repr, categories.values())) or "none"
            raise UserError(f"the COCO file must list the category '{name}' once (it lists {has}): add it there")
    return tuple(by_name[name.casefold()][0] for name in NAMES)


def tabulate(named: Named, categories: Mapping[int, str]) -> pd.DataFrame:
    """annotation_id, category_id as the file numbers them, and the probability of that category."""
    import pandas as pd

    ids = np.array(category_ids(categories))
    best = named.probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "annotation_id": [instance.id for instance in named.instances],
            "category_id": ids[best],
            "probability": named.probabilities.max(axis=1).round(4),
        }
    )


def write(frame: pd.DataFrame, out: Path, report: dict[str, Any]) -> None:
    """Write the table as CSV and, beside it, `<out>.report.json`."""
    from common.data.tables import replace_atomically, report_path, write_json

    with replace_atomically(out) as temporary:
        frame.to_csv(temporary, index=False)
    write_json(report, report_path(out))


def read_labels(path: Path, categories: Mapping[int, str]) -> dict[int, int]:
    """Read a table of labels that a person gave: annotation_id -> index into NAMES.

    Raises:
        UserError: no such file, no such columns, or a row that is not two of the file's numbers.
    """
    index = {ident: k for k, ident in enumerate(category_ids(categories))}
    labels: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"annotation_id", "category_id"} <= set(rows.fieldnames or ()):
                raise UserError(f"{path}: it needs the columns annotation_id and category_id")
            for row in rows:
                try:
                    annotation, label = int(row["annotation_id"]), index[int(row["category_id"])]
                except (TypeError, ValueError, KeyError) as error:
                    where = f"{path}, line {rows.line_num}"
                    raise UserError(
                        f"{where}: not the id of an annotation and of one of the four categories"
                    ) from error
                if annotation in labels:
                    raise UserError(f"{path}, line {rows.line_num}: annotation {annotation} stands twice")
                labels[annotation] = label
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a CSV file in UTF-8"
        raise UserError(f"{path}: cannot be read ({reason})") from error
    return labels
