"""Images -> every Smurf on them, with mask and name, as COCO results. Needs neither torch nor labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import CATEGORY_IDS, IMAGE_SUFFIXES, MAX_PIXELS, load
from challenges.radix_smurfs.geometry import Rle, part_to_rle
from challenges.radix_smurfs.segmenter import Detections, Image, Segmenter, box_mask
from common.cli import progress
from common.data.archives import MemberError, open_store
from common.data.images import ImageError, decode_image
from common.data.tables import report_path, write_json
from common.errors import UserError
from common.inference.batch import map_chunks

if TYPE_CHECKING:
    from challenges.radix_smurfs.classifier import Classifier


@dataclass(frozen=True)
class FoundSmurf:
    """One Smurf of an image."""

    name: str
    probabilities: dict[str, float]  # of each name; they sum to 1
    score: float  # that there is a Smurf at all
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
    rle: Rle  # of the image's size


def find_smurfs(segmenter: Segmenter, classifier: Classifier, image: Image) -> list[FoundSmurf]:
    """Outline and name every Smurf of (H, W, 3) uint8 RGB, the surest first."""
    height, width = image.shape[:2]
    detections = segmenter(image)
    placed = _cut_out(detections, height, width)
    crops = [image[y : y + mask.shape[0], x : x + mask.shape[1]] for _, (x, y), mask in placed]
    probabilities = classifier.predict(crops, [mask for _, _, mask in placed])  # (N, 4)
    found = []
    for (row, corner, part), chances in zip(placed, probabilities, strict=True):
        x0, y0, x1, y1 = (round(float(v), 2) for v in detections.boxes[row])
        found.append(
            FoundSmurf(
                name=classifier.names[int(chances.argmax())],
                probabilities=dict(zip(classifier.names, (round(float(p), 4) for p in chances), strict=True)),
                score=round(float(detections.scores[row]), 4),
                box=(x0, y0, x1, y1),
                rle=part_to_rle(part, corner, height, width),
            )
        )
    return found


def _cut_out(detections: Detections, height: int, width: int) -> list[tuple[int, tuple[int, int], NDArray[np.bool_]]]:
    """Row, first pixel and mask of each detection that covers a pixel."""
    placed = [
        (row, *box_mask(box, grid, height, width))
        for row, (box, grid) in enumerate(zip(detections.boxes, detections.grids, strict=True))
    ]
    return [(row, corner, mask) for row, corner, mask in placed if mask.any()]


@dataclass(frozen=True)
class FolderResult:
    """What was found in a folder of images."""

    file_names: tuple[str, ...]  # sorted
    image_ids: tuple[int, ...]  # of each image
    found: tuple[list[FoundSmurf], ...]  # of each image
    unreadable: dict[str, str]  # reason by file name


def predict_folder(path: Path, segmenter: Segmenter, classifier: Classifier) -> FolderResult:
    """Find the Smurfs of every image in a folder or zip; what cannot be read is listed and has none.

    Raises:
        UserError: there is no such folder or zip, or no image in it.
    """
    unreadable: dict[str, str] = {}
    with open_store(path) as store:
        names = [name for name in store.names if name.lower().endswith(IMAGE_SUFFIXES)]
        if not names:
            raise UserError(f"{path}: no image in it ({', '.join(IMAGE_SUFFIXES)})")

        def work(chunk: list[str]) -> list[FoundSmurf]:
            name = chunk[0]
            try:
                return find_smurfs(segmenter, classifier, decode_image(store.read(name), max_pixels=MAX_PIXELS))
            except (MemberError, ImageError) as error:
                unreadable[name] = error.reason if isinstance(error, MemberError) else str(error)
                return []

        found = []
        with progress("predicting", total=len(names)) as advance:
            for smurfs in map_chunks(work, names, 1):
                found.append(smurfs)
                advance()
    return FolderResult(tuple(names), _image_ids(path, names), tuple(found), unreadable)


def _image_ids(path: Path, names: Sequence[str]) -> tuple[int, ...]:
    """The id of each image: that of the COCO file beside them, else another, counted on from there or from 0."""
    try:
        dataset = load(path)
    except UserError:  # images alone
        return tuple(range(len(names)))
    dataset.store.close()
    listed = {record.name: record.id for record in dataset.images}
    left_out = [entry["image_id"] for entry in dataset.report["left_out"] if "file_name" in entry]
    others = count(1 + max([*listed.values(), *left_out]))
    return tuple(listed[name] if name in listed else next(others) for name in names)


def coco_results(found: Sequence[Sequence[FoundSmurf]], image_ids: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's list of results: image_id, category_id, bbox as x, y, width, height, score, segmentation."""
    results = []
    for image_id, smurfs in zip(image_ids, found, strict=True):
        for smurf in smurfs:
            x0, y0, x1, y1 = smurf.box
            results.append(
                {
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[smurf.name],
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "score": smurf.score,
                    "segmentation": smurf.rle,
                    "probabilities": smurf.probabilities,
                }
            )
    return results


def write(result: FolderResult, out: Path, report: dict[str, Any]) -> None:
    """Write the results, and beside them `<out>.report.json`, which says which image has which id."""
    write_json(coco_results(result.found, result.image_ids), out)
    names = zip(result.image_ids, result.file_names, strict=True)
    images = [{"id": ident, "file_name": name} for ident, name in names]
    categories = [{"id": ident, "name": name} for name, ident in CATEGORY_IDS.items()]
    report = report | {"images": images, "categories": categories, "unreadable": result.unreadable}
    write_json(report, report_path(out))
