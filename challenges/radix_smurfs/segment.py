"""A video -> the same video with every Smurf outlined and named, a table of them, and a contact sheet.

Two passes. The first finds, follows and looks at the Smurfs; what it finds goes to disk, frame by frame, and only the
votes on the tracks' names stay in memory. The second draws, when every track's name is known: so a name never changes
while a Smurf is on screen. Decoding twice costs a tenth of what one pass takes, and memory does not grow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.geometry import part_to_rle, rle_to_mask
from challenges.radix_smurfs.overlay import Marked, contact_sheet, draw, tile_size
from challenges.radix_smurfs.segmenter import Detections, Segmenter, box_mask
from challenges.radix_smurfs.tracking import (
    FAINT,
    MIN_SIGHTINGS,
    NOBODY,
    CutDetector,
    TrackedFrame,
    Tracker,
    Votes,
    bridge,
    steady,
)
from challenges.radix_smurfs.video import Damage, Frame, Image, VideoInfo, probe, read_frames, write_video
from common.cli import progress
from common.data.images import encode_jpeg
from common.data.tables import append_parquet, replace_atomically, write_json
from common.inference.batch import map_chunks

if TYPE_CHECKING:
    import pandas as pd

    from challenges.radix_smurfs.classifier import Classifier

VIDEO: Final = "segmented.mp4"
TABLE: Final = "detections.parquet"
SHEET: Final = "contact_sheet.jpg"
REPORT: Final = "report.json"
ROWS_AT_ONCE: Final = 2_000  # of the table, in memory
SHEET_EVERY_S: Final = 2.0
MAX_SHEET_FRAMES: Final = 60

Item = TypeVar("Item")

FindSmurfs = Callable[[Image], Detections]
NameSmurfs = Callable[[list[Image], list[NDArray[np.bool_]]], NDArray[np.float32]]  # N crops, N masks -> (N, n_names)


@dataclass(frozen=True)
class Result:
    """What was found in a video."""

    n_frames: int
    n_detections: int
    n_tracks: int
    n_scenes: int
    names: dict[str, int]  # tracks of each name
    damage: Damage


def segment_video(path: Path, out: Path, segmenter: Segmenter, classifier: Classifier) -> Result:
    """Write VIDEO, TABLE, SHEET and REPORT into the folder `out`.

    Args:
        path: a video file.
        out: made where it does not exist.
        segmenter: finds the Smurfs of a frame.
        classifier: says of a cut-out which Smurf it is.

    Raises:
        UserError: the file is no video, or not one frame of it can be decoded.
    """
    find = segmenter.at(score_threshold=FAINT)
    return run_passes(path, out, find, classifier.predict, classifier.names)


def run_passes(
    path: Path, out: Path, find: FindSmurfs, name: NameSmurfs, names: tuple[str, ...], *, n_workers: int | None = None
) -> Result:
    """`segment_video` with any functions that find and name, in `n_workers` threads (one for each available core)."""
    info = probe(path)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as folder:
        found = Path(folder) / "found.parquet"
        votes = Votes(len(names))
        damage = Damage()
        with progress("finding Smurfs", total=info.n_claimed or None) as advance:
            n_frames, n_scenes = find_and_follow(info, found, find, name, votes, damage, advance, n_workers)
        kept = votes.results(least=min(MIN_SIGHTINGS, n_frames))
        with progress("drawing", total=n_frames) as advance:
            n_rows = name_and_draw(info, found, out, kept, names, n_frames, advance, n_workers)
    labels = [names[int(p.argmax())] for p in kept.values()]
    result = Result(n_frames, n_rows, len(kept), n_scenes, {n: labels.count(n) for n in names}, damage)
    write_json({"video": str(path), "claimed": _claims(info), **asdict(result)}, out / REPORT)
    return result


def _claims(info: VideoInfo) -> dict[str, Any]:
    return {
        "n_frames": info.n_claimed, "rate": float(info.rate), "width": info.width, "height": info.height,
        "codec": info.codec, "audio": info.audio,
    }  # fmt: skip


# ---- first pass


def find_and_follow(
    info: VideoInfo,
    table: Path,
    find: FindSmurfs,
    name: NameSmurfs,
    votes: Votes,
    damage: Damage,
    advance: Callable[..., None],
    n_workers: int | None,
) -> tuple[int, int]:
    """Write a row for every sighting of a track, and fill `votes`; return how many frames and scenes there are.

    Threads segment while this one decodes ahead, follows and names: all of these leave Python's lock to the others.
    """
    tracker, cuts = Tracker(float(info.rate)), CutDetector()
    counts = {"frames": 0, "scenes": 1}

    def segmented() -> Iterator[tuple[Frame, Detections, bool]]:
        pairs = map_chunks(lambda chunk: (chunk[0], find(chunk[0].image)), read_frames(info, damage), 1, n_workers)
        for frame, detections in pairs:
            yield frame, detections, cuts.is_cut(frame.image)

    def followed() -> Iterator[TrackedFrame]:
        for (frame, detections, cut), after in _with_next(segmented()):
            alone = (cut or frame.index == 0) and (after is None or after[2])
            tracked = tracker.update(frame.index, frame.time_s, detections, cut, alone)
            if alone:
                votes.alone.update(set(tracked.track_ids.tolist()) - {NOBODY})
            look(tracked, frame.image, name, votes)
            counts["frames"], counts["scenes"] = frame.index + 1, tracked.scene + 1
            advance()
            yield tracked

    with append_parquet(table) as append:
        for frames in _batches(steady(bridge(followed()))):
            sightings = _sightings(frames, info.height, info.width)
            for _, rows in sightings.groupby("frame"):
                votes.see(
                    rows["track_id"].tolist(), [{"size": [info.height, info.width], "counts": m} for m in rows["mask"]]
                )
            append(sightings)
    return counts["frames"], counts["scenes"]


def _with_next(items: Iterable[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each item and the one behind it."""
    source = iter(items)
    item = next(source, None)
    while item is not None:
        after = next(source, None)
        yield item, after
        item = after


def look(frame: TrackedFrame, image: Image, name: NameSmurfs, votes: Votes) -> None:
    """Let the classifier look at the tracks of a frame that it should look at."""
    crops, masks, rows = [], [], []
    for row in votes.wanted(frame):
        box, grid = frame.detections.boxes[row], frame.detections.grids[row]
        (x, y), mask = box_mask(box, grid, *image.shape[:2])
        if mask.any():
            crops.append(image[y : y + mask.shape[0], x : x + mask.shape[1]])
            masks.append(mask)
            rows.append(row)
    if not rows:
        return
    for row, mask, probabilities in zip(rows, masks, name(crops, masks), strict=True):
        # A large and certain sight says more than a small one, but one close-up must not outvote a whole scene.
        weight = float(frame.detections.scores[row]) * min(1.0, mask.sum() / (0.02 * image.shape[0] * image.shape[1]))
        votes.add(int(frame.track_ids[row]), probabilities, weight + 1e-3)


def _batches(frames: Iterable[TrackedFrame]) -> Iterator[list[TrackedFrame]]:
    """Frames in bunches of some hundred detections; the last one may be empty, so that a table has its columns."""
    bunch: list[TrackedFrame] = []
    n_rows = 0
    for frame in frames:
        bunch.append(frame)
        n_rows += len(frame.detections)
        if n_rows >= ROWS_AT_ONCE // 8 or len(bunch) >= ROWS_AT_ONCE:  # grids are large: 36 KB each
            yield bunch
            bunch, n_rows = [], 0
    yield bunch


def _sightings(frames: Iterable[TrackedFrame], height: int, width: int) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list[Any]] = {c: [] for c in ("frame", "time_s", "track_id", "score", "box", "mask")}
    for frame in frames:
        for row, track in enumerate(frame.track_ids.tolist()):
            box = frame.detections.boxes[row]
            corner, part = box_mask(box, frame.detections.grids[row], height, width)
            if not part.any():
                continue
            rle = part_to_rle(part, corner, height, width)
            values = (frame.index, frame.time_s, track, float(frame.detections.scores[row]), box.tolist())
            for column, value in zip(columns, (*values, rle["counts"]), strict=True):
                columns[column].append(value)
    boxes = np.array(columns.pop("box"), np.float32).reshape(-1, 4)
    frame_types = {"frame": "int64", "time_s": "float64", "track_id": "int64", "score": "float32", "mask": "string"}
    data = pd.DataFrame(columns).astype(frame_types)
    for k, side in enumerate(("x0", "y0", "x1", "y1")):
        data[side] = boxes[:, k]
    return data


# ---- second pass


def name_and_draw(
    info: VideoInfo,
    found: Path,
    out: Path,
    kept: dict[int, NDArray[np.float32]],
    names: tuple[str, ...],
    n_frames: int,
    advance: Callable[..., None],
    n_workers: int | None,
) -> int:
    """Write the table with names, the video and the sheet; return how many rows the table has."""
    step = max(1, round(SHEET_EVERY_S * float(info.rate)), -(-n_frames // MAX_SHEET_FRAMES))
    tiles: list[tuple[float, Image]] = []
    n_rows = 0

    def drawn(chunk: list[tuple[Frame, pd.DataFrame]]) -> tuple[Frame, Image]:
        frame, rows = chunk[0]
        return frame, draw(frame.image, [_marked(row) for row in rows.to_dict("records")])

    with append_parquet(out / TABLE) as append, write_video(out / VIDEO, info) as show:

        def named() -> Iterator[pd.DataFrame]:
            nonlocal n_rows
            for rows in _stored(found):
                table = with_names(rows, kept, names, info)
                n_rows += len(table)
                append(table)
                yield table

        pairs = _by_frame(read_frames(info), named())
        for frame, image in map_chunks(drawn, pairs, 1, n_workers):
            show(image, frame.time_s)
            if frame.index % step == 0:
                tiles.append((frame.time_s, _shrunk(image)))
            advance()
    with replace_atomically(out / SHEET) as part:
        part.write_bytes(encode_jpeg(contact_sheet(tiles)))
    return n_rows


def _marked(row: Mapping[Any, Any]) -> Marked:
    box = (row["x0"], row["y0"], row["x1"], row["y1"])
    return Marked(row["label"], row["probability"], box, rle_to_mask(row["mask"]))


def _shrunk(image: Image) -> Image:
    """As it goes onto the sheet, so that no full frame is kept."""
    import cv2

    return cv2.resize(image, tile_size(image.shape, 480), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _stored(found: Path) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(found) as file:
        if file.metadata.num_rows == 0:
            yield file.read().to_pandas()  # no rows, but the columns
        for batch in file.iter_batches(ROWS_AT_ONCE):
            yield batch.to_pandas()


def with_names(
    rows: pd.DataFrame, kept: dict[int, NDArray[np.float32]], names: tuple[str, ...], info: VideoInfo
) -> pd.DataFrame:
    """Drop tracks that are not kept, and add what each track is called.

    Columns: frame, time_s, track_id, label, probability (of the label), one `p_<name>` for each name, score,
    x0, y0, x1, y1, mask (COCO's RLE: size, counts).
    """
    import pandas as pd

    rows = rows[rows["track_id"].isin(list(kept))].reset_index(drop=True)
    probabilities = np.array([kept[t] for t in rows["track_id"]], np.float32).reshape(-1, len(names))  # (N, n_names)
    best = probabilities.argmax(1)
    front = rows[["frame", "time_s", "track_id"]].copy()
    front["label"] = np.array(names, dtype=object)[best]
    front["probability"] = probabilities[np.arange(len(rows)), best]
    for k, name in enumerate(names):
        front[f"p_{name.lower().replace(' ', '_')}"] = probabilities[:, k]
    for column in ("score", "x0", "y0", "x1", "y1"):
        front[column] = rows[column]
    masks = [{"size": [info.height, info.width], "counts": counts} for counts in rows["mask"]]
    front["mask"] = pd.Series(masks, dtype=object)
    return front


def _by_frame(frames: Iterable[Frame], tables: Iterable[pd.DataFrame]) -> Iterator[tuple[Frame, pd.DataFrame]]:
    """Each frame with its rows of the tables, which come in the order of frames and may break in the middle of one."""
    import pandas as pd

    source = iter(tables)
    waiting = next(source)
    for frame in frames:
        # A frame's rows are all there when a later frame's are.
        while len(waiting) == 0 or waiting["frame"].iloc[-1] <= frame.index:
            more = next(source, None)
            if more is None:
                break
            waiting = pd.concat([waiting, more], ignore_index=True) if len(waiting) else more
        mine = (waiting["frame"] == frame.index).to_numpy()
        yield frame, waiting[mine]
        waiting = waiting[~mine]
    for _ in source:  # nothing is left unwritten
        pass
