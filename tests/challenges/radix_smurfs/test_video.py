"""Reading what others wrote, broken or not; writing what browsers play."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from challenges.radix_smurfs.video import Damage, VideoInfo, probe, read_frames, write_video
from common.errors import UserError

RATE = 20


def image_at(k: int, height: int, width: int) -> np.ndarray:
    """A bar that moves to the right on a gradient."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 200, width).astype(np.uint8)
    image[:, (4 * k) % width : (4 * k) % width + 8] = (220, 40, 40)
    return image


def make(
    path: Path,
    n: int = 24,
    size: tuple[int, int] = (48, 64),
    *,
    codec: str = "mpeg4",
    audio: str | None = None,
    times: Callable[[int], Fraction] = lambda k: Fraction(k, RATE),
    format_name: str | None = None,
) -> Path:
    with av.open(str(path), "w", format=format_name) as container:
        video = container.add_stream(codec, rate=RATE)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream(audio, rate=8000, layout="mono") if audio else None
        if sound is not None:
            samples = (8000 * np.sin(np.arange(8000 * n // RATE) / 9)).astype(np.int16)[None]
            for start in range(0, samples.shape[1], 1000):
                piece = av.AudioFrame.from_ndarray(samples[:, start : start + 1000].copy(), format="s16", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = 8000, start, Fraction(1, 8000)
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(image_at(k, *size), format="rgb24")
            frame.pts, frame.time_base = int(times(k) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def copy(source: Path, out: Path) -> VideoInfo:
    info = probe(source)
    with write_video(out, info) as append:
        for frame in read_frames(info):
            append(frame.image, frame.time_s)
    return probe(out)


def test_every_frame_is_read_with_its_time(tmp_path: Path):
    info = probe(make(tmp_path / "a.mp4"))
    assert (info.width, info.height, info.rate, info.audio) == (64, 48, RATE, None)
    frames = list(read_frames(info))
    assert [f.index for f in frames] == list(range(24))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(24) / RATE, atol=1e-6)
    assert np.abs(frames[3].image.astype(int) - image_at(3, 48, 64)).mean() < 12


def test_a_copy_has_the_same_size_rate_times_and_colours_and_plays_in_browsers(tmp_path: Path):
    source = make(tmp_path / "a.mp4", times=lambda k: Fraction(k + (k > 10) * 15, RATE))  # a pause: variable rate
    copied = copy(source, tmp_path / "b.mp4")
    before, after = list(read_frames(probe(source))), list(read_frames(copied))
    np.testing.assert_allclose([f.time_s for f in after], [f.time_s for f in before], atol=1e-3)
    assert np.abs(after[5].image.astype(int) - before[5].image.astype(int)).mean() < 6
    assert copied.codec == "h264"
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can begin before it has everything


def test_hours_between_two_frames_are_a_clock_that_was_set_not_a_film(tmp_path: Path):
    """An MP4 can hold no longer pause; nor has a film one. A camera may begin at 0 and go on at the time of day."""
    source = make(tmp_path / "a.mkv", times=lambda k: Fraction(k, RATE) + (k > 10) * 30_000)
    damage = Damage()
    frames = list(read_frames(probe(source), damage))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(24) / RATE, atol=2e-3)
    assert damage.n_without_time == 1
    copied = copy(source, tmp_path / "b.mp4")
    assert len(list(read_frames(copied))) == 24


def test_sound_of_an_unknown_kind_is_left_out_and_pictures_of_one_are_refused(tmp_path: Path):
    data = make(tmp_path / "a.mp4", audio="aac").read_bytes()

    def with_unknown(kind: bytes) -> Path:
        start = data.index(kind)
        about = data.index(b"esds", start)
        path = tmp_path / "unknown.mp4"
        path.write_bytes(data[:start] + b"zzzz" + data[start + 4 : about] + b"zzzz" + data[about + 4 :])
        return path

    assert copy(with_unknown(b"mp4a"), tmp_path / "b.mp4").audio is None
    assert len(list(read_frames(probe(tmp_path / "b.mp4")))) == 24
    with pytest.raises(UserError, match=r"unknown\.mp4: its pictures are in a format that is not read"):
        probe(with_unknown(b"mp4v"))


@pytest.mark.parametrize(("audio", "suffix", "becomes"), [("aac", "mp4", "aac"), ("pcm_s16le", "mov", "aac")])
def test_sound_is_kept(tmp_path: Path, audio: str, suffix: str, becomes: str):
    source = make(tmp_path / f"a.{suffix}", n=30, audio=audio)
    assert copy(source, tmp_path / "b.mp4").audio == becomes

    def seconds_and_loudness(path: Path) -> tuple[float, float]:
        with av.open(str(path)) as container:
            pieces = [f.to_ndarray().astype(float).reshape(-1) for f in container.decode(audio=0)]
            assert container.streams.audio[0].layout.name == "mono"
            rate = container.streams.audio[0].rate
        values = np.concatenate(pieces)
        return len(values) / rate, float(np.std(values / max(1e-9, np.abs(values).max())))

    before, after = seconds_and_loudness(source), seconds_and_loudness(tmp_path / "b.mp4")
    assert after[0] == pytest.approx(before[0], abs=0.3)
    assert after[1] == pytest.approx(before[1], abs=0.1)


def test_odd_sides_get_their_last_row_twice(tmp_path: Path):
    source = make(tmp_path / "a.avi", size=(47, 63), codec="ffv1")
    copied = copy(source, tmp_path / "b.mp4")
    assert (copied.height, copied.width) == (48, 64)


def test_a_truncated_file_gives_the_frames_that_are_left(tmp_path: Path):
    whole = make(tmp_path / "a.mkv", n=60, size=(96, 128)).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    frames = list(read_frames(probe(cut)))
    assert 20 < len(frames) < 60


@pytest.mark.parametrize("share", [1 / 3, 0.98, 1])
def test_a_truncated_file_whose_index_comes_first_is_known_as_cut_off(tmp_path: Path, share: float):
    copy(make(tmp_path / "a.mp4", n=60, size=(96, 128), audio="aac"), tmp_path / "b.mp4")
    whole = (tmp_path / "b.mp4").read_bytes()
    cut, damage = tmp_path / "cut.mp4", Damage()
    cut.write_bytes(whole[: round(len(whole) * share)])
    assert 0 < len(list(read_frames(probe(cut), damage))) <= 60
    assert damage.cut_off is (share < 1)


def test_damaged_packets_are_counted_or_survived_and_two_readings_agree(tmp_path: Path):
    data = bytearray(make(tmp_path / "a.mkv", n=60, size=(96, 128), codec="libx264").read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data) // 3, len(data) * 2 // 3, 40):
        data[place] = int(rng.integers(256))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    info, damage = probe(broken), Damage()
    first = list(read_frames(info, damage))
    second = list(read_frames(info))
    assert 15 <= len(first) <= 60
    assert [f.index for f in first] == list(range(len(first)))
    assert [f.time_s for f in first] == [f.time_s for f in second]
    assert (np.diff([f.time_s for f in first]) > 0).all()


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path):
    text, sound, image = tmp_path / "a.mp4", tmp_path / "b.wav", tmp_path / "c.png"
    text.write_text("no video\n" * 50)
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        piece.sample_rate, piece.pts = 8000, 0
        container.mux(stream.encode(piece))
    import cv2

    cv2.imwrite(str(image), np.zeros((20, 20, 3), np.uint8))
    head = tmp_path / "d.mp4"
    head.write_bytes(make(tmp_path / "e.mp4").read_bytes()[:500])
    playlist = tmp_path / "f.mp4"
    playlist.write_text("ffconcat version 1.0\nfile e.mp4\n")  # a list of files, which would be opened
    huge = make(tmp_path / "g.avi", n=1, size=(6400, 6400), codec="ffv1")
    for path, words in (
        (text, "not a video"),
        (sound, "no picture"),
        (image, "an image"),
        (head, "not a video"),
        (playlist, "not a video"),
        (huge, "larger than 8K"),
        (tmp_path, "folder"),
        (tmp_path / "none.mp4", "no such file"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            probe(path)
        assert "\n" not in str(caught.value)


def test_a_file_that_claims_too_many_frames_is_read_to_its_real_end(tmp_path: Path):
    """As the challenge's own video does: its index lists frames that do not decode."""
    data = make(tmp_path / "a.mp4", n=40, size=(96, 128)).read_bytes()
    place = data.index(b"mdat") + 4
    damaged = bytearray(data)
    middle = place + (data.index(b"moov") - place) // 2 if data.index(b"moov") > place else (place + len(data)) // 2
    damaged[middle : middle + 400] = bytes(400)
    broken = tmp_path / "b.mp4"
    broken.write_bytes(damaged)
    info = probe(broken)
    assert info.n_claimed == 40
    assert 0 < len(list(read_frames(info))) <= 40


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path):
    info = probe(make(tmp_path / "a.mp4"))
    out = tmp_path / "out" / "b.mp4"

    def write() -> None:
        with write_video(out, info) as append:
            append(image_at(0, 48, 64), 0.0)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert not out.exists()
    assert not [p for p in out.parent.glob("*") if p.is_file()]
