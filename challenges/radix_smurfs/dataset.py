"""What the data is: images and instances in COCO's layout, as the archive has them, with a report of every flaw."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.geometry import (
    Box,
    Rle,
    check_rle,
    polygons_to_rle,
    read_polygon,
    resize_rle,
    rle_area,
    rle_box,
)
from common.data.archives import FileStore, MemberError, open_store
from common.data.images import ImageError, decode_image, perceptual_hash, read_header
from common.errors import UserError

NAMES: Final = ("Papa Smurf", "Smurf", "Smurfette", "Vanity Smurf")
"""What a Smurf can be called, in alphabetical order: the order of every array of probabilities."""

CATEGORY_IDS: Final = {"Smurf": 0, "Papa Smurf": 1, "Smurfette": 2, "Vanity Smurf": 3}  # as in the challenge's archive

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
MAX_PIXELS: Final = 50_000_000
SAME_SHAPE: Final = 0.02  # ratios of sides that differ by less are one image at two sizes
NEAR_DUPLICATE_BITS: Final = 16  # of 64; the same drawing at two sizes differs by 2, in two croppings by 14


@dataclass(frozen=True)
class ImageRecord:
    """An image of the data set; its size is that of the file, in pixels."""

    id: int
    name: str  # of the file, in the archive
    width: int
    height: int


@dataclass(frozen=True)
class Instance:
    """One Smurf."""

    id: int
    image_id: int
    category_id: int | None  # as the file says it, None where it says none that it lists
    rle: Rle  # of the image's size, never empty
    box: Box  # (x0, y0, x1, y1) around the mask, in pixels


@dataclass(frozen=True)
class SmurfDataset:
    """Images and their instances, and where to read the pixels."""

    images: tuple[ImageRecord, ...]  # in the order of the file
    instances: tuple[Instance, ...]  # in the order of the file
    categories: dict[int, str]
    report: dict[str, Any]  # what was left out, repaired or is odd, by name
    store: FileStore

    def instances_of(self, record: ImageRecord) -> tuple[Instance, ...]:
        """The instances of one image."""
        return tuple(i for i in self.instances if i.image_id == record.id)


def load(path: Path) -> SmurfDataset:
    """Read a folder or zip with one COCO file (.json with images, annotations, categories) and its images.

    A folder may also hold just such a zip. What cannot be used is left out and named in the report; the rest is kept.

    Raises:
        UserError: there is no such folder or zip, no COCO file or several in it, or not one usable image.
    """
    store = open_store(_archive_in(Path(path)))
    try:
        return _read(store)
    except BaseException:
        store.close()
        raise


def read_image(dataset: SmurfDataset, record: ImageRecord) -> NDArray[np.uint8]:
    """Decode an image straight out of the archive: RGB (H, W, 3), transparency on white.

    Raises:
        ImageError: it is damaged; the text names the file.
    """
    try:
        image = decode_image(dataset.store.read(record.name), max_pixels=MAX_PIXELS)
    except (MemberError, ImageError) as error:
        reason = error.reason if isinstance(error, MemberError) else str(error)
        raise ImageError(f"{record.name}: {reason}") from error
    if image.shape[:2] != (record.height, record.width):
        raise ImageError(f"{record.name}: {image.shape[1]} x {image.shape[0]} pixels, not as its header says")
    return image


def read_intact(dataset: SmurfDataset, record: ImageRecord) -> NDArray[np.uint8]:
    """`read_image`, where what is measured or learned would be something else without the image.

    Raises:
        UserError: it is damaged.
    """
    try:
        return read_image(dataset, record)
    except ImageError as error:
        raise UserError(f"{dataset.store.path}: {error}; repair the image, or remove it and its annotations") from error


def folds(dataset: SmurfDataset, n: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Give every image a fold, images with few and with many instances spread evenly.

    The same drawing occurs at two sizes and in two croppings; such images share a fold. Each fold is a set of whole
    images, so that no instance is judged by a model that saw its neighbours.

    Returns:
        (n_images,) fold of each image, 0 to n - 1, or to fewer where there are fewer such groups.
    """
    from common.data.splits import grouped_folds, near_duplicate_groups

    counts = Counter(instance.image_id for instance in dataset.instances)
    crowdedness = np.digitize([counts[record.id] for record in dataset.images], [1, 3, 6])  # none, 1-2, 3-5, more
    groups = near_duplicate_groups(_hashes(dataset), NEAR_DUPLICATE_BITS)
    n = min(n, len(np.unique(groups)))
    if n < 2:
        return np.zeros(len(groups), np.int64)
    if np.bincount(crowdedness).max() < n:  # so few images cannot be spread by it
        crowdedness = np.zeros_like(crowdedness)
    return grouped_folds(crowdedness, groups, n_folds=n, seed=seed)


def _hashes(dataset: SmurfDataset) -> NDArray[np.uint64]:
    """(n_images,) perceptual hashes; a damaged image gets its own."""
    hashes = []
    for record in dataset.images:
        try:
            hashes.append(perceptual_hash(read_image(dataset, record)))
        except ImageError:
            hashes.append(record.id & (2**64 - 1))
    return np.array(hashes, dtype=np.uint64)


def _archive_in(path: Path) -> Path:
    """`path`, or the one zip in a folder that has no COCO file itself."""
    if not path.is_dir() or any(path.rglob("*.json")):
        return path
    archives = sorted(path.glob("*.zip"))
    return archives[0] if len(archives) == 1 else path


def _read(store: FileStore) -> SmurfDataset:
    annotations_name, content = _find_coco(store)
    where = f"{store.path}: {annotations_name}"
    reader = _Reader(where, store, posixpath.dirname(annotations_name))
    categories = _read_categories(content, where)
    sizes: dict[int, tuple[int, int]] = {}  # (height, width) as the file says them, which its polygons are drawn on
    images = tuple(r for entry in _entries(content, "images", where) if (r := reader.image(entry, sizes)) is not None)
    if not images:
        raise UserError(f"{where}: not one of its images can be used ({reader.first_reason()})")
    by_id = {record.id: record for record in images}
    instances = tuple(
        i
        for position, entry in enumerate(_entries(content, "annotations", where))
        if (i := reader.instance(position, entry, by_id, sizes, categories)) is not None
    )
    return SmurfDataset(images, instances, categories, reader.report(images, instances, categories), store)


def _find_coco(store: FileStore) -> tuple[str, dict[str, Any]]:
    """The only .json that has images and annotations."""
    found: list[tuple[str, dict[str, Any]]] = []
    reasons: list[str] = []
    for name in store.names:
        if not name.lower().endswith(".json"):
            continue
        try:
            content = json.loads(store.read(name))
        except MemberError as error:
            reasons.append(str(error))
        except (ValueError, RecursionError) as error:  # text that is not UTF-8 is a ValueError
            reasons.append(f"{name}: not readable as JSON ({str(error)[:80]})")
        else:
            if isinstance(content, dict) and "images" in content and "annotations" in content:
                found.append((name, content))
            else:
                reasons.append(f"{name}: it has no images and annotations")
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(name for name, _ in found)
        raise UserError(f"{store.path}: several COCO files ({names}); give a folder with one of them")
    why = f" ({'; '.join(reasons[:3])})" if reasons else ""
    raise UserError(f"{store.path}: no COCO file in it, a .json with images, annotations and categories{why}")


def _entries(content: dict[str, Any], key: str, where: str) -> list[Any]:
    entries = content[key]
    if not isinstance(entries, list):
        raise UserError(f"{where}: '{key}' is not a list; export it as COCO again")
    return entries


def _read_categories(content: dict[str, Any], where: str) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in _entries({"categories": content.get("categories", [])}, "categories", where):
        ident, name = _get(entry, "id"), _get(entry, "name")
        if type(ident) is not int or not isinstance(name, str):
            raise UserError(f"{where}: category {str(entry)[:80]} lacks an integer id or a name")
        if ident in categories:
            raise UserError(f"{where}: two categories have the id {ident}")
        categories[ident] = name
    return categories


def _get(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


class _UnusableError(Exception):
    """Why an entry is left out."""


@dataclass
class _Reader:
    """Turns entries into records, and writes down what is wrong with them."""

    where: str
    store: FileStore
    folder: str  # of the COCO file
    left_out: list[dict[str, Any]] = field(default_factory=list)
    repaired: list[dict[str, Any]] = field(default_factory=list)
    seen_images: set[int] = field(default_factory=set)
    seen_instances: set[int] = field(default_factory=set)
    used_files: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._names = frozenset(self.store.names)
        self._by_base: dict[str, list[str]] = {}
        for name in self.store.names:
            self._by_base.setdefault(posixpath.basename(name), []).append(name)

    @contextmanager
    def _leaving_out(self, about: dict[str, Any]) -> Iterator[None]:
        try:
            yield
        except _UnusableError as error:
            self.left_out.append(about | {"reason": str(error)})

    def image(self, entry: Any, sizes: dict[int, tuple[int, int]]) -> ImageRecord | None:
        """Find the file of an entry and read its real size; None, with a note, where it cannot be used."""
        ident, file_name = _get(entry, "id"), _get(entry, "file_name")
        if type(ident) is not int or not isinstance(file_name, str):
            raise UserError(f"{self.where}: image {str(entry)[:80]} lacks an integer id or a file_name")
        if ident in self.seen_images:
            raise UserError(f"{self.where}: two images have the id {ident}, so nobody knows which one is annotated")
        self.seen_images.add(ident)
        about = {"image_id": ident, "file_name": file_name}
        with self._leaving_out(about):
            name = self._locate(file_name)
            height, width = self._size(name)
            sizes[ident] = self._listed_size(about, (_get(entry, "height"), _get(entry, "width")), (height, width))
            return ImageRecord(ident, name, width, height)
        return None

    def _locate(self, file_name: str) -> str:
        """The archive's name of a file: as written, beside the COCO file, or the only one with this base name."""
        for written in (file_name, unquote(file_name)):
            plain = written.replace("\\", "/")
            beside = posixpath.normpath(posixpath.join(self.folder, plain))
            same_base = self._by_base.get(posixpath.basename(plain), [])
            candidates: list[str] = [plain, beside, *(same_base if len(same_base) == 1 else [])]
            for name in candidates:
                if name in self._names:
                    self.used_files.add(name)
                    return name
        raise _UnusableError("no such image file")

    def _size(self, name: str) -> tuple[int, int]:
        """(height, width) of the decoded file, by its header."""
        try:
            header = read_header(self.store.read(name))
        except (MemberError, ImageError) as error:
            raise _UnusableError(error.reason if isinstance(error, MemberError) else str(error)) from error
        height, width = header.height, header.width
        if not 0 < height * width <= MAX_PIXELS:
            raise _UnusableError(f"{width} x {height} pixels, more than {MAX_PIXELS / 1e6:g} megapixels or none")
        return (width, height) if header.orientation >= 5 else (height, width)  # decoding turns it by 90 degrees

    def _listed_size(self, about: dict[str, Any], listed: tuple[Any, Any], real: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the annotations are drawn on."""
        if not all(type(n) is int and n > 0 for n in listed):
            self.repaired.append(about | {"what": "its size is missing; that of the file is taken"})
            return real
        if listed[0] * listed[1] > MAX_PIXELS:  # its annotations are drawn at that size before they are stretched
            raise _UnusableError(f"listed with more than {MAX_PIXELS / 1e6:g} megapixels")
        if listed != real:
            what = f"listed as {listed[1]} x {listed[0]} pixels, the file has {real[1]} x {real[0]}"
            if abs(listed[0] * real[1] / (listed[1] * real[0]) - 1) > SAME_SHAPE:
                raise _UnusableError(what + ": another shape, so its annotations fit nowhere")
            self.repaired.append(about | {"what": what + ": annotations are stretched"})
        return listed

    def instance(
        self,
        position: int,
        entry: Any,
        images: Mapping[int, ImageRecord],
        sizes: Mapping[int, tuple[int, int]],
        categories: Mapping[int, str],
    ) -> Instance | None:
        """Read an annotation; None, with a note, where it cannot be used."""
        ident, image_id = _get(entry, "id"), _get(entry, "image_id")
        about = {"annotation": position, "annotation_id": ident, "image_id": image_id}
        with self._leaving_out(about):
            if type(ident) is not int:
                raise _UnusableError("no integer id")
            if ident in self.seen_instances:
                raise _UnusableError("an earlier annotation has the same id")
            self.seen_instances.add(ident)
            if type(image_id) is not int or image_id not in images:
                known = type(image_id) is int and image_id in self.seen_images
                raise _UnusableError("its image cannot be used" if known else "no image has its image_id")
            if _get(entry, "iscrowd") == 1:
                raise _UnusableError("a crowd region, not one Smurf")
            record = images[image_id]
            rle = resize_rle(
                self._rle(about, _get(entry, "segmentation"), sizes[image_id]), record.height, record.width
            )
            if rle_area(rle) == 0:
                raise _UnusableError("covers no pixel of its image")
            category = self._category(about, _get(entry, "category_id"), categories)
            return Instance(ident, image_id, category, rle, rle_box(rle))
        return None

    def _category(self, about: dict[str, Any], category: Any, categories: Mapping[int, str]) -> int | None:
        if type(category) is int and category in categories:
            return category
        self.repaired.append(about | {"what": f"category {category!r} is not listed: taken as unknown"})
        return None

    def _rle(self, about: dict[str, Any], segmentation: Any, size: tuple[int, int]) -> Rle:
        """Mask at the size that the file lists."""
        if isinstance(segmentation, dict):
            if segmentation.get("size") != list(size):  # before any pixel is reserved
                raise _UnusableError(f"the size of its RLE is not that of its image, {list(size)}")
            try:
                return check_rle(segmentation.get("size"), segmentation.get("counts"))
            except ValueError as error:
                raise _UnusableError(str(error)) from error
        if not isinstance(segmentation, list) or not segmentation:
            raise _UnusableError("no segmentation")
        polygons = [p for p in map(read_polygon, segmentation) if p is not None]
        if not polygons:
            raise _UnusableError("no polygon of at least three points")
        if len(polygons) < len(segmentation):
            n_bad = len(segmentation) - len(polygons)
            self.repaired.append(about | {"what": f"{n_bad} of {len(segmentation)} polygons are broken: left out"})
        height, width = size
        if any((p < 0).any() or (p > (width, height)).any() for p in polygons):
            self.repaired.append(about | {"what": "leaves the image: cut off at its edge"})
        return polygons_to_rle(polygons, height, width)

    def first_reason(self) -> str:
        """Of the things left out."""
        return "{file_name}: {reason}".format(**self.left_out[0]) if self.left_out else "it lists none"

    def report(
        self, images: Sequence[ImageRecord], instances: Sequence[Instance], categories: Mapping[int, str]
    ) -> dict[str, Any]:
        """What was read and what was not, as plain values."""
        annotated = {instance.image_id for instance in instances}
        in_use = Counter(categories[i.category_id] if i.category_id is not None else None for i in instances)
        return {
            "n_images": len(images),
            "n_instances": len(instances),
            "n_left_out": len(self.left_out),
            "left_out": self.left_out,
            "repaired": self.repaired,
            "images_without_annotations": [record.name for record in images if record.id not in annotated],
            "images_not_listed": [
                name
                for name in self.store.names
                if name.lower().endswith(IMAGE_SUFFIXES) and name not in self.used_files
            ],
            "categories_in_use": {name or "unknown": n for name, n in in_use.items()},
        }
