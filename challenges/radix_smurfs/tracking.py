"""From detections of single frames to Smurfs that stay: who is who, gaps bridged, masks steadied, names voted on.

Tracking is ByteTrack (Zhang et al., 2022; the package `trackers`, Apache-2.0, no torch): confident detections are
matched to tracks by overlap with where a Kalman filter expects them, then what is left to the faint ones. It starts
anew at every cut: behind a cut nobody is where the filter expects him.

The steps are generators over frames, so that memory does not grow with the video. Each looks at most `MAX_GAP` frames
ahead.
"""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.geometry import Rle
from challenges.radix_smurfs.segmenter import GRID, Detections, Image, box_iou

FAINT: Final = 0.1  # detections from this score on keep a track alive
CONFIDENT: Final = 0.33  # from here on they begin one
MIN_IOU: Final = 0.2  # between a track's expected box and a detection
MEMORY_S: Final = 1.0  # how long a track is looked for, but for two frames at least
MAX_GAP: Final = 4  # frames that are filled between two sightings
MIN_SIGHTINGS: Final = 4  # a track of fewer frames is taken for a mistake
FIRST_LOOKS: Final = 3  # at a new track, one after the other
LOOK_EVERY: Final = 5  # frames, at a track that is known well enough
MOSTLY_SHARED: Final = 0.7  # of the smaller of two masks: they are one Smurf, of which a part was found as well
CUT_DIFFERENCE: Final = 25.0  # mean absolute difference of two thumbnails, in grey levels
CUT_COLORS: Final = 0.25  # share of the colours that are others
NOBODY: Final = -1  # id of a detection that belongs to no track


@dataclass(frozen=True)
class TrackedFrame:
    """Detections of a frame and the tracks they belong to."""

    index: int
    time_s: float
    scene: int  # counted from 0; a cut begins the next
    track_ids: NDArray[np.int64]  # (N,)
    detections: Detections  # N

    def with_rows(self, track_ids: NDArray[np.int64], detections: Detections) -> TrackedFrame:
        """The same frame with other detections."""
        return TrackedFrame(self.index, self.time_s, self.scene, track_ids, detections)


class CutDetector:
    """Tells where one scene ends and the next begins: pixels and colours both change at once.

    A quick movement changes pixels but few colours; a fade changes both slowly and is no cut, and tracks live on in it.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.float32], NDArray[Any]] | None = None

    def is_cut(self, image: Image) -> bool:
        """Whether this frame begins a new scene; the first frame of a video does not count as one."""
        step = max(1, image.shape[0] // 180)  # of 180 rows every one is needed, of 720 every fourth will do
        small = cv2.resize(image[::step, ::step].copy(), (48, 27), interpolation=cv2.INTER_AREA)
        colors = cv2.calcHist([cv2.cvtColor(small, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, [12, 4, 4],
                              [0, 180, 0, 256, 0, 256]).ravel() / (48 * 27)  # fmt: skip
        now = small.astype(np.float32), colors
        before, self._before = self._before, now
        if before is None:
            return False
        difference = float(np.abs(now[0] - before[0]).mean())
        return difference > CUT_DIFFERENCE and 1 - float(np.minimum(colors, before[1]).sum()) > CUT_COLORS


class Tracker:
    """ByteTrack, one after the other for the scenes of a video, with ids that are unique in it."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._scene = 0
        self._first_id = 0  # of this scene
        self._next_id = 0
        self._tracker = self._new()

    def _new(self) -> Any:
        from trackers import ByteTrackTracker

        return ByteTrackTracker(
            lost_track_buffer=round(30 * max(MEMORY_S, 2 / self._rate)),
            frame_rate=self._rate,
            track_activation_threshold=CONFIDENT,
            high_conf_det_threshold=CONFIDENT,
            minimum_consecutive_frames=2,
            minimum_iou_threshold=MIN_IOU,
        )

    def update(self, index: int, time_s: float, detections: Detections, cut: bool, alone: bool = False) -> TrackedFrame:
        """Follow one frame further; those that belong to no track yet get NOBODY.

        A frame that is `alone` is all of its scene: its confident detections are tracks without a second sighting.
        """
        import supervision

        if cut:
            self._scene, self._first_id, self._tracker = self._scene + 1, self._next_id, self._new()
        rows = np.arange(len(detections))
        given = supervision.Detections(
            xyxy=detections.boxes.astype(np.float64), confidence=detections.scores, data={"row": rows}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what `read_frames` has mended already
            found = self._tracker.update(given, timestamp=time_s)
        ids = np.full(len(detections), NOBODY, np.int64)
        if alone:
            sure = np.flatnonzero(detections.scores >= CONFIDENT)
            ids[sure] = np.arange(len(sure))
        elif len(found):
            ids[found.data["row"]] = found.tracker_id
        ids[ids >= 0] += self._first_id  # each scene's tracker counts from 0
        self._next_id = max(self._next_id, int(ids.max(initial=NOBODY)) + 1)
        return TrackedFrame(index, time_s, self._scene, ids, detections)


def bridge(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Give tracks their first sighting, which ByteTrack leaves unnamed, and fill gaps of up to MAX_GAP frames.

    A filled frame has a box half-way between its neighbours, the mask of the earlier one and the lower score of both.
    Detections that belong to no track are dropped.
    """
    window: deque[TrackedFrame] = deque()
    seen: set[int] = set()
    for frame in frames:
        known = [i for i in frame.track_ids.tolist() if i != NOBODY]
        if window and window[-1].scene == frame.scene:
            for track in known:
                if track in seen:
                    _fill_gap(window, frame, track)
                else:
                    window[-1] = _claim_first(window[-1], frame, track)
        elif window:
            seen.clear()  # ids of a scene that is over do not come back
        seen.update(known)
        window.append(frame)
        if len(window) > MAX_GAP + 1:
            yield _named(window.popleft())
    yield from map(_named, window)


def _named(frame: TrackedFrame) -> TrackedFrame:
    rows = np.flatnonzero(frame.track_ids != NOBODY)
    return frame.with_rows(frame.track_ids[rows], frame.detections.take(rows))


def _row(frame: TrackedFrame, track: int) -> int | None:
    rows = np.flatnonzero(frame.track_ids == track)
    return int(rows[0]) if len(rows) else None


def _claim_first(before: TrackedFrame, frame: TrackedFrame, track: int) -> TrackedFrame:
    """Let a new track have the nameless detection of the frame before that it grew from."""
    row = _row(frame, track)
    nameless = np.flatnonzero((before.track_ids == NOBODY) & (before.detections.scores >= CONFIDENT))
    if row is None or not len(nameless):
        return before
    overlap = box_iou(frame.detections.boxes[row : row + 1], before.detections.boxes[nameless])[0]
    if overlap.max() < MIN_IOU:
        return before
    ids = before.track_ids.copy()
    ids[nameless[int(overlap.argmax())]] = track
    return before.with_rows(ids, before.detections)


def _fill_gap(window: deque[TrackedFrame], frame: TrackedFrame, track: int) -> None:
    """Put a track into the frames of the window since its last sighting there."""
    for back in range(len(window) - 1, -1, -1):
        row = _row(window[back], track)
        if row is not None:
            break
    else:
        return
    last, now = window[back], frame.detections.take([_row(frame, track) or 0])
    start = last.detections.take([row])
    for k in range(back + 1, len(window)):
        share = (window[k].time_s - last.time_s) / (frame.time_s - last.time_s)
        box = (1 - share) * start.boxes + share * now.boxes
        score = np.minimum(start.scores, now.scores)
        old = window[k].detections
        filled = Detections(
            np.concatenate([old.boxes, box.astype(np.float32)]),
            np.concatenate([old.scores, score]),
            np.concatenate([old.grids, start.grids]),
        )
        window[k] = window[k].with_rows(np.append(window[k].track_ids, track), filled)


def steady(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Average each mask with those of the same track in the frames before and after, a quarter each.

    A mask is a grid in its box, so that the average follows a Smurf who moves.
    """
    before: TrackedFrame | None = None
    current: TrackedFrame | None = None
    for frame in frames:
        if current is not None:
            yield _averaged(before, current, frame)
        before, current = current, frame
    if current is not None:
        yield _averaged(before, current, None)


def _averaged(before: TrackedFrame | None, frame: TrackedFrame, after: TrackedFrame | None) -> TrackedFrame:
    grids = frame.detections.grids.copy()
    for row, track in enumerate(frame.track_ids.tolist()):
        neighbours = [
            _regrid(n.detections.boxes[k], n.detections.grids[k], frame.detections.boxes[row])
            for n in (before, after)
            if n is not None and n.scene == frame.scene and (k := _row(n, track)) is not None
        ]
        if neighbours:
            grids[row] = 0.5 * grids[row] + 0.5 * np.mean(neighbours, axis=0)
    return frame.with_rows(frame.track_ids, Detections(frame.detections.boxes, frame.detections.scores, grids))


def _regrid(box: NDArray[np.float32], grid: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """A neighbour's grid as it is, moved and stretched with the box, where the boxes are alike; else in place.

    A box that grew by a third did so because an arm was raised: then the mask does not stretch, it stays.
    """
    size, wanted = box[2:] - box[:2], target[2:] - target[:2]
    change = np.abs(np.log(np.maximum(size, 1) / np.maximum(wanted, 1))).max()
    if change < 0.1:
        return grid
    scale = wanted / np.maximum(size, 1e-3)  # of a target's cell, in the neighbour's cells
    shift = (target[:2] - box[:2]) / np.maximum(size, 1e-3) * GRID
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grid, matrix, (GRID, GRID), flags=flags, borderValue=0)  # type: ignore[return-value]


@dataclass
class Votes:
    """What the classifier said of each track, how often it was seen, and how often on another one's place."""

    n_names: int
    sightings: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    looks: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    shared: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))  # frames of two tracks
    alone: set[int] = field(default_factory=set)  # tracks whose scene is one frame

    def wanted(self, frame: TrackedFrame) -> list[int]:
        """Rows of a frame that the classifier should look at."""
        return [
            row
            for row, track in enumerate(frame.track_ids.tolist())
            if track != NOBODY and (self.looks[track] < FIRST_LOOKS or frame.index % LOOK_EVERY == 0)
        ]

    def add(self, track: int, probabilities: NDArray[np.float32], weight: float) -> None:
        """Count a look; the weight says how well the Smurf was to be seen."""
        self.looks[track] += 1
        self.sums[track] = self.sums.get(track, np.zeros(self.n_names)) + weight * probabilities

    def result(self, track: int) -> NDArray[np.float32]:
        """(n_names,) mean probabilities of a track; all alike where nobody has looked."""
        total = self.sums.get(track, np.ones(self.n_names))
        found: NDArray[np.float32] = (total / total.sum()).astype(np.float32)
        return found

    def see(self, tracks: Sequence[int], masks: Sequence[Rle]) -> None:
        """Count the tracks of one frame, and which of them share most of the smaller one's mask."""
        from pycocotools import mask as coco_mask

        for track in tracks:
            self.sightings[track] += 1
        if len(tracks) < 2:
            return
        covered = coco_mask.iou(list(masks), list(masks), [1] * len(masks))  # (N, N) share of row in column
        for i, j in np.argwhere(covered > MOSTLY_SHARED).tolist():
            if i != j:
                self.shared[tracks[i], tracks[j]] += 1
                if covered[j, i] <= MOSTLY_SHARED:  # else the other order comes by itself
                    self.shared[tracks[j], tracks[i]] += 1

    def results(self, least: int) -> dict[int, NDArray[np.float32]]:
        """`result` of each track with `least` sightings or more, but for those mostly on a longer one's place.

        Of a scene of one frame one sighting is enough.
        """
        kept: dict[int, NDArray[np.float32]] = {}
        for track, n in sorted(self.sightings.items(), key=lambda item: (-item[1], item[0])):
            enough = n >= least or track in self.alone
            if enough and not any(self.shared.get((track, other), 0) > n / 2 for other in kept):
                kept[track] = self.result(track)
        return dict(sorted(kept.items()))
