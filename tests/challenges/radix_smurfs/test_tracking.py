"""Tracks: identities, gaps, cuts, steadied masks, votes."""

import numpy as np
import pytest

from challenges.radix_smurfs.segmenter import GRID, NOTHING, Detections
from challenges.radix_smurfs.tracking import (
    MAX_GAP,
    NOBODY,
    CutDetector,
    TrackedFrame,
    Tracker,
    Votes,
    bridge,
    steady,
)


def at(*boxes: tuple[float, float, float, float], score: float = 0.9, fill: float = 1.0) -> Detections:
    n = len(boxes)
    grids = np.full((n, GRID, GRID), fill, np.float32)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, score, np.float32), grids)


def walker(k: int, start: float = 10, speed: float = 4) -> tuple[float, float, float, float]:
    return (start + speed * k, 20, start + speed * k + 40, 100)


def follow(per_frame: list[Detections], cuts: tuple[int, ...] = ()) -> list[TrackedFrame]:
    tracker = Tracker(25.0)
    frames = (tracker.update(k, k / 25, d, k in cuts) for k, d in enumerate(per_frame))
    return list(steady(bridge(frames)))


def ids(frames: list[TrackedFrame]) -> list[list[int]]:
    return [sorted(f.track_ids.tolist()) for f in frames]


def test_two_who_pass_keep_their_identities_from_the_first_frame_on():
    frames = follow([at(walker(k), walker(k, 300, -4)) for k in range(30)])
    assert ids(frames) == [[0, 1]] * 30
    for track, start in ((0, 10), (1, 300)):
        xs = [f.detections.boxes[f.track_ids == track][0, 0] for f in frames]
        assert abs(xs[0] - start) < 1
        assert np.abs(np.diff(xs)).max() < 8


def test_a_short_gap_is_filled_with_boxes_in_between():
    per_frame = [NOTHING if 10 <= k < 10 + MAX_GAP else at(walker(k), score=0.5 + 0.01 * k) for k in range(20)]
    frames = follow(per_frame)
    assert ids(frames) == [[0]] * 20
    xs = [float(f.detections.boxes[0, 0]) for f in frames]
    np.testing.assert_allclose(np.diff(xs), 4, atol=0.01)
    assert frames[11].detections.scores[0] == pytest.approx(0.59)


def test_a_long_gap_stays_empty():
    frames = follow([NOTHING if 8 <= k < 9 + MAX_GAP else at((20, 20, 60, 100)) for k in range(20)])
    assert [len(f.detections) for f in frames] == [1] * 8 + [0] * (MAX_GAP + 1) + [1] * (20 - 9 - MAX_GAP)


def test_faint_detections_keep_a_track_but_begin_none():
    frames = follow([at(walker(k), score=0.9 if k < 5 else 0.2) for k in range(15)])
    assert ids(frames) == [[0]] * 15
    assert ids(follow([at(walker(k), score=0.2) for k in range(15)])) == [[]] * 15


def test_a_cut_begins_new_tracks_in_the_same_place():
    frames = follow([at((20, 20, 60, 100))] * 12, cuts=(6,))
    assert ids(frames) == [[0]] * 6 + [[1]] * 6
    assert [f.scene for f in frames] == [0] * 6 + [1] * 6


def test_a_scene_of_one_frame_has_tracks_of_its_confident_ones():
    tracker = Tracker(25.0)
    two = at((20, 20, 60, 100), (90, 20, 130, 100))
    sure_and_faint = Detections(two.boxes, np.array([0.9, 0.2], np.float32), two.grids)
    frames = [tracker.update(k, k / 25, sure_and_faint, cut=k in (3, 4), alone=k == 3) for k in range(7)]
    assert ids(list(bridge(frames))) == [[0]] * 3 + [[1]] + [[2]] * 3


def test_frames_without_anybody_come_through():
    frames = follow([NOTHING] * 7)
    assert [f.index for f in frames] == list(range(7))
    assert all(len(f.detections) == 0 for f in frames)
    assert list(steady(bridge([]))) == []


def test_a_mask_that_flickers_is_outvoted_by_its_neighbours():
    frames = follow([at(walker(k), fill=0.0 if k == 5 else 1.0) for k in range(10)])
    grids = [float(f.detections.grids.mean()) for f in frames]
    assert grids[5] == pytest.approx(0.5)
    assert grids[4] == grids[6] == pytest.approx(0.75)
    assert grids[0] == grids[9] == 1.0


def test_a_neighbours_mask_counts_where_it_lies_when_the_box_grows():
    small, large = np.array([0, 0, 50, 100], np.float32), np.array([0, 0, 100, 100], np.float32)
    detections = [
        Detections(b[None], np.ones(1, np.float32), np.ones((1, GRID, GRID), np.float32)) for b in (small, large)
    ]
    frames = [TrackedFrame(k, k / 25, 0, np.array([0]), d) for k, d in enumerate(detections)]
    grid = list(steady(frames))[1].detections.grids[0]
    assert grid[:, : GRID // 2 - 2].min() == pytest.approx(1.0)
    assert grid[:, GRID // 2 + 2 :].max() == pytest.approx(0.5)


def test_a_new_picture_is_a_cut_and_a_movement_is_none():
    rng = np.random.default_rng(0)
    first = np.zeros((90, 160, 3), np.uint8) + np.array([40, 120, 60], np.uint8)
    first[20:60, 30:70] = (40, 60, 220)
    moved = np.roll(first, 20, axis=1)
    other = rng.integers(150, 255, first.shape).astype(np.uint8)
    detector = CutDetector()
    assert [detector.is_cut(image) for image in (first, moved, moved, other, other, first)] == [
        False, False, False, True, False, True,
    ]  # fmt: skip


def test_votes_outweigh_a_wrong_look_and_watch_new_tracks_more_closely():
    votes = Votes(2)
    frames = [TrackedFrame(k, k / 25, 0, np.array([7, NOBODY]), at(walker(k), walker(k, 200))) for k in range(30)]
    looked = []
    for frame in frames:
        for row in votes.wanted(frame):
            assert row == 0
            looked.append(frame.index)
            wrong = frame.index == 2
            votes.add(7, np.array([0.2, 0.8] if wrong else [0.9, 0.1], np.float32), 1.0)
    assert looked[:3] == [0, 1, 2]
    assert looked[3:] == [5, 10, 15, 20, 25]
    assert votes.result(7).argmax() == 0
    assert votes.result(7).sum() == pytest.approx(1)
    np.testing.assert_allclose(votes.result(99), 0.5)
