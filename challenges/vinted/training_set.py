"""Photos of all sources in memory, with what is known of them, and split so that nothing leaks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.vinted.dataset import COLORS, TAGS, Labels, Photos, contributors, encode, load, load_patterns, photo_key
from challenges.vinted.rendering import DEFAULT_SIZE
from challenges.vinted.sample import render_garments
from common.artifacts import fingerprint
from common.cli import progress
from common.data.archives import MemberError
from common.data.images import ImageError, decode_image, letterbox, letterbox_image, nearest_size, perceptual_hash
from common.data.splits import grouped_folds, join_groups, near_duplicate_groups
from common.errors import UserError

MARKET, PATTERNS, RENDERS = 0, 1, 2  # where a training photo comes from
NEAR_DUPLICATE_BITS = 6  # of the 64 of a perceptual hash; tells one photo re-saved from two photos of a series
STORED_SIZE = (384, 288)  # small enough to keep thousands in memory, and no crop of a whole garment is enlarged


@dataclass(frozen=True)
class TrainingSet:
    """Photos in memory, small enough to train on and large enough to crop from."""

    images: NDArray[np.uint8]  # (N, H, W, 3) RGB, letterboxed
    shapes: NDArray[np.int64]  # (N, 2) height and width that they had
    labels: Labels
    sources: NDArray[np.int64]  # (N,) MARKET, PATTERNS or RENDERS
    groups: NDArray[np.int64]  # (N,) rows of one group never stand on both sides of a split
    folds: NDArray[np.int64]  # (N,) cross-validation fold; -1 for renders, which are never evaluated on
    left_out: dict[str, str] = field(default_factory=dict)  # uuid -> reason
    fingerprint: str = ""  # of data.parquet
    trained_on: tuple[str, ...] = ()  # `photo_key` of the photos that the network is for, sorted

    @property
    def n_folds(self) -> int:
        """Number of cross-validation folds."""
        return int(self.folds.max()) + 1


def load_training_set(
    data: Path,
    patterns: Path | None = None,
    *,
    n_renders: int = 0,
    size: tuple[int, int] = STORED_SIZE,
    n_folds: int = 5,
    seed: int = 0,
) -> TrainingSet:
    """Read all sources into memory and split them into folds.

    Groups join the same contributor, the same photo re-saved (perceptual hash) and the same uuid. Photos that
    cannot be read are left out and named in `left_out`, and so is a worn dress whose group holds a garment: folds are
    dealt to each source by itself, so its photo could stand on both sides.

    Raises:
        UserError: as of `load`, or no photo can be read.
    """
    dataset = load(data, part="labelled")
    assert dataset.labelled is not None
    parts = [_read_part(dataset.photos, dataset.labelled, size, "reading photos")]
    if not len(parts[0].frame):
        uuid, reason = next(iter(parts[0].unreadable.items()))
        raise UserError(f"{data}: none of {len(dataset.labelled)} photos can be read ({uuid}: {reason})")
    sources = [MARKET]
    if patterns is not None:
        parts.append(_read_part(*load_patterns(patterns), size, "reading patterns"))
        sources.append(PATTERNS)
    rendered, rendered_labels = _render_part(n_renders, size, seed)
    images = np.concatenate([*(p.images for p in parts), rendered])
    shapes = np.concatenate([*(p.shapes for p in parts), np.tile(DEFAULT_SIZE, (n_renders, 1))])
    frames = [p.frame for p in parts]
    labels = _concatenate([*(encode(f) for f in frames), rendered_labels])
    n_each = [len(f) for f in frames] + [n_renders]
    source = np.repeat([*sources, RENDERS], n_each)
    hashes = np.concatenate([p.hashes for p in parts])
    people = np.concatenate([contributors(f["uuid"]) for f in frames])
    groups = join_groups(people, near_duplicate_groups(hashes, NEAR_DUPLICATE_BITS))
    groups = np.concatenate([groups, groups.max(initial=-1) + 1 + np.arange(n_renders)])
    left_out = {uuid: reason for p in parts for uuid, reason in p.unreadable.items()}
    twice = (source == PATTERNS) & np.isin(groups, groups[source == MARKET])
    if twice.any():
        uuids = np.concatenate([*(f["uuid"].to_numpy(object) for f in frames), np.full(n_renders, "")])
        left_out |= dict.fromkeys(uuids[twice].tolist(), "the same photo, or person, is among the garments")
        images, shapes, labels = images[~twice], shapes[~twice], take(labels, ~twice)
        source, groups = source[~twice], groups[~twice]
    folds = _folds(labels, source, groups, n_folds, seed)
    known = fingerprint([dataset.tables["labelled"]])
    trained_on = tuple(sorted(map(photo_key, frames[0]["uuid"])))
    return TrainingSet(images, shapes, labels, source, groups, folds, left_out, known, trained_on)


@dataclass(frozen=True)
class _Part:
    images: NDArray[np.uint8]
    shapes: NDArray[np.int64]
    frame: pd.DataFrame  # the rows whose photo could be read
    hashes: NDArray[np.uint64]
    unreadable: dict[str, str]


def _read_part(photos: Photos, frame: pd.DataFrame, size: tuple[int, int], description: str) -> _Part:
    images, shapes, hashes, kept, unreadable = [], [], [], [], {}
    with progress(description, total=len(frame)) as advance:
        for row, uuid in enumerate(frame["uuid"]):
            try:
                image = decode_image(photos.read(uuid))
            except (KeyError, MemberError, ImageError) as error:
                unreadable[uuid] = "no photo of this uuid" if isinstance(error, KeyError) else str(error)
                continue
            finally:
                advance()
            images.append(letterbox_image(image, size))
            shapes.append(image.shape[:2])
            hashes.append(perceptual_hash(image))
            kept.append(row)
    stacked = np.stack(images) if images else np.empty((0, *size, 3), np.uint8)
    sizes, codes = np.array(shapes, dtype=np.int64).reshape(-1, 2), np.array(hashes, dtype=np.uint64)
    return _Part(stacked, sizes, frame.iloc[kept], codes, unreadable)


def _render_part(n: int, size: tuple[int, int], seed: int) -> tuple[NDArray[np.uint8], Labels]:
    images = np.empty((n, *size, 3), np.uint8)
    rows = []
    with progress("rendering garments", total=n) as advance:
        for i, (image, category, color, tags) in enumerate(render_garments(n, (seed,))):
            images[i] = letterbox_image(image, size)
            rows.append({"cc3": category, "color1": color, **{t: int(t in tags) for t in TAGS}})
            advance()
    return images, encode(pd.DataFrame(rows, columns=["cc3", "color1", *TAGS]))


def _concatenate(parts: Sequence[Labels]) -> Labels:
    return Labels(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("categories", "tags", "colors")))


def _folds(
    labels: Labels, sources: NDArray[np.int64], groups: NDArray[np.int64], n: int, seed: int
) -> NDArray[np.int64]:
    """Folds of each real source by itself, stratified by category (or the dress) and the first tag."""
    folds = np.full(len(sources), -1)
    for source in (MARKET, PATTERNS):
        rows = np.flatnonzero(sources == source)
        if len(rows):
            has_tag = labels.tags[rows].any(1)
            strata = labels.categories[rows].argmax(1) * 4 + np.where(has_tag, labels.tags[rows].argmax(1) + 1, 0)
            folds[rows] = grouped_folds(strata, groups[rows], n, seed)
    return folds


def as_predicted(
    data: TrainingSet, rows: NDArray[np.int64] | NDArray[np.bool_], sizes: Sequence[tuple[int, int]]
) -> list[NDArray[np.uint8]]:
    """Photos (H, W, 3) as prediction takes them: each in the one of `sizes` that is nearest to its shape."""
    found = []
    for image, shape in zip(data.images[rows], data.shapes[rows].tolist(), strict=True):
        whole = image[letterbox(shape, image.shape[:2])]
        found.append(letterbox_image(whole, nearest_size(shape, sizes)))
    return found


def held_out_patterns(data: TrainingSet) -> NDArray[np.bool_]:
    """(N,) the photos of worn dresses that nothing but the last fit of all may learn from: their fold 0."""
    return np.asarray((data.sources == PATTERNS) & (data.folds == 0))


def training_prior(data: TrainingSet) -> dict[str, list[float]]:
    """Shares of the categories, tags and colours among the photos that the network is for."""
    market = data.sources == MARKET
    colors = np.bincount(data.labels.colors[market & (data.labels.colors >= 0)], minlength=len(COLORS))
    return {
        "category": data.labels.categories[market].mean(0).tolist(),
        "tags": np.nanmean(data.labels.tags[market], axis=0).tolist(),
        "color": (colors / max(1, colors.sum())).tolist(),
    }


def take(labels: Labels, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Labels:
    """The labels of some rows."""
    return Labels(labels.categories[rows], labels.tags[rows], labels.colors[rows])
