"""Video files: every frame that can be decoded, whatever the container claims; and H.264 that every browser plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from common.data.tables import replace_atomically
from common.errors import UserError
from common.inference.batch import available_cores

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

Image = NDArray[np.uint8]  # (H, W, 3) RGB

COPIED_AUDIO: Final = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})  # what an MP4 may hold as it is
MAX_PIXELS: Final = 40_000_000  # of a frame: 8K
# A file is known by its content, and one that only names other files (hls, concat, dash, sdp) would have them opened.
# Images and sound are here so that they are refused by name.
FORMATS: Final = (
    "mov,matroska,avi,asf,flv,mpeg,mpegts,ogg,mxf,rm,ivf,h264,hevc,mjpeg,gif,apng,wav,mp3,flac,"
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,image2"
)
TIME_BASE: Final = Fraction(1, 90_000)  # as MPEG's; holds every usual rate
DEFAULT_RATE: Final = Fraction(25)
MAX_FAILURES: Final = 20  # to find the next packet, one after the other
MAX_PAUSE_S: Final = 6 * 3600  # between two frames: an MP4 holds little more, and a film has none such


@dataclass(frozen=True)
class VideoInfo:
    """What the container claims. Only size and presence of sound are relied on."""

    path: Path
    width: int  # of the first frame, as it is shown
    height: int
    rate: Fraction  # frames a second, on average
    n_claimed: int  # frames; 0: it does not say
    codec: str
    audio: str | None  # codec of the first audio stream


@dataclass(frozen=True)
class Frame:
    """A frame as it was decoded."""

    index: int  # counted from 0 as decoded
    time_s: float  # from the first frame on, strictly increasing
    image: Image


@dataclass
class Damage:
    """What could not be used, counted while frames are read."""

    n_packets: int = 0  # that the decoder refused
    n_without_time: int = 0  # frames that had no time, or one before their predecessor's or MAX_PAUSE_S behind it
    cut_off: bool = False  # its index names what lies behind its end (MP4, MOV only), or reading was given up


def probe(path: Path) -> VideoInfo:
    """Look into a file and decode its first frame.

    Raises:
        UserError: there is no such file, it is no video, has no picture, or not one frame can be decoded.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
        # A sound of unknown kind has no codec.
        audio = next((s.codec_context.name for s in container.streams.audio[:1] if s.codec_context), None)
        claimed, codec = stream.frames, stream.codec_context.name
        first = next(_decoded(container, Damage()), None)
    if first is None:
        raise UserError(f"{path}: not one frame of it can be decoded; is it complete, and not larger than 8K?")
    height, width = _upright(first).shape[:2]
    # A camera that claims 90,000 frames a second means that it does not know.
    sane = Fraction(rate) if rate <= 240 else DEFAULT_RATE
    return VideoInfo(path, width, height, sane, claimed, codec, audio)


def count_packets(path: Path) -> int:
    """How many pieces of picture the file holds, by looking instead of by what it claims; nothing is decoded.

    Raises:
        UserError: as `probe`.
    """
    import av

    n_packets = 0
    with _opened(path) as container, suppress(av.FFmpegError, OSError):  # a file that breaks off ends there
        for packet in container.demux(container.streams.video[0]):
            n_packets += packet.size > 0
    return n_packets


def read_frames(info: VideoInfo, damage: Damage | None = None) -> Iterator[Frame]:
    """Yield every frame that decodes, upright, at the size of the first one.

    Two readings of a file yield the same frames. A packet that the decoder refuses is counted and left out; where the
    file breaks off, so do the frames.

    Args:
        info: from `probe`.
        damage: is counted into.
    """
    damage = damage if damage is not None else Damage()
    start, last, step = None, None, 1 / float(info.rate)
    with _opened(info.path) as container:
        damage.cut_off |= _is_cut_off(container)
        for index, frame in enumerate(_decoded(container, damage)):
            time = frame.time
            if start is None:
                start = time
            relative = None if time is None or start is None else time - start
            if relative is not None and last is not None and relative - last > MAX_PAUSE_S:  # the clock was set
                start, relative = time - last - step, None
            if relative is None or (last is not None and relative <= last):
                damage.n_without_time += 1
                relative = 0.0 if last is None else last + step
            last = relative
            image = _upright(frame)
            if image.shape[:2] != (info.height, info.width):
                image = cv2.resize(image, (info.width, info.height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            yield Frame(index, relative, image)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    import av

    if path.is_dir():
        raise UserError(f"{path} is a folder: give a video file")
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a video file")
    try:
        container = _open(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: not a video that can be opened ({reason}); is it complete?") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{path}: there is no picture in it, only sound or text")
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise UserError(f"{path}: an image, not a video; use predict --images with its folder")
        if container.streams.video[0].codec_context is None:
            raise UserError(f"{path}: its pictures are in a format that is not read; convert it to H.264 first")
        yield container


def _open(path: Path) -> InputContainer:
    import av

    limits = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    return av.open(str(path), metadata_errors="replace", options=limits)


def _decoded(container: InputContainer, damage: Damage) -> Iterator[Any]:
    """Frames of the first video stream; what is damaged is counted."""
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # else a small file may fill the memory
    packets = container.demux(stream)
    n_failed = 0  # one after the other
    while n_failed < MAX_FAILURES:
        try:
            packet = next(packets)
            n_failed = 0
        except StopIteration:
            return
        except (av.FFmpegError, OSError):  # go on behind the damage, if there is anything
            n_failed += 1
            packets = container.demux(stream)
            continue
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError):
            damage.n_packets += 1
    damage.cut_off = True


def _is_cut_off(container: InputContainer) -> bool:
    """Whether the index lists a packet, of picture or sound, that lies beyond the file's end.

    An MP4 or MOV whose index comes first tells it, and a fragmented one that is cut within a fragment. One whose index
    came last does not open; MKV, AVI and MPEG-TS have no such index, so that a cut is not seen in them.
    """
    return any(entry.pos + entry.size > container.size for s in container.streams for entry in s.index_entries)


def _upright(frame: Any) -> Image:
    """RGB as it is to be shown: a telephone's frame lies on its side and says so."""
    image: Image = frame.to_ndarray(format="rgb24")
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@contextmanager
def write_video(path: Path, info: VideoInfo) -> Iterator[Callable[[Image, float], None]]:
    """Write H.264 in an MP4 whose index comes first; yields `append(image, time_s)`.

    Frames keep their times, so that a variable rate stays what it was; sound comes from `info.path`, as it is where an
    MP4 may hold it, else as AAC. Sides must be even for 4:2:0; an odd one gets its last row or column twice.

    Args:
        path: replaced when the block ends well, untouched otherwise.
        info: of the video that is being shown; the images have its size.
    """
    import av

    width, height = info.width + info.width % 2, info.height + info.height % 2
    with replace_atomically(path) as temporary:
        options = {"movflags": "+faststart"}
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=info.rate, options={"preset": "veryfast", "crf": "20"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = TIME_BASE
            stream.codec_context.thread_count = available_cores()
            # The matrix that RGB is turned by is said, or players guess it from the size.
            stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
            stream.codec_context.color_range = 1
            sound = _sound(container, info) if info.audio else None

            def append(image: Image, time_s: float) -> None:
                if image.shape[:2] != (height, width):
                    image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), "edge")
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
                )
                frame.pts, frame.time_base = round(time_s / TIME_BASE), TIME_BASE
                container.mux(stream.encode(frame))
                if sound is not None:
                    sound(time_s)

            yield append
            container.mux(stream.encode(None))
            if sound is not None:
                sound(None)


def _sound(container: OutputContainer, info: VideoInfo) -> Callable[[float | None], None]:
    """Return `up_to(time_s)`, which writes the sound up to a time, or to its end (None), beside the pictures."""
    source = iter(_sound_packets(container, info))
    waiting: list[Any] = []

    def up_to(time_s: float | None) -> None:
        while True:
            if not waiting:
                packet = next(source, None)
                if packet is None:
                    return
                waiting.append(packet)
            packet = waiting[0]
            when = float(packet.dts * packet.time_base) if packet.dts is not None else 0.0
            if time_s is not None and when > time_s:
                return
            container.mux(waiting.pop())

    up_to(0.0)
    return up_to


def _sound_packets(container: OutputContainer, info: VideoInfo) -> Iterator[Any]:
    """The sound as packets of the new file, counted from the first picture on."""
    with _open(info.path) as source:
        stream = source.streams.audio[0]
        video = source.streams.video[0]
        begin = float(
            (video.start_time or 0) * (video.time_base or TIME_BASE)
        )  # where the pictures begin, so does the new file
        if info.audio in COPIED_AUDIO:
            target = container.add_stream_from_template(stream)
            yield from _copied(source, stream, target, begin)
            return
        target = container.add_stream("aac", rate=stream.rate or 44_100, layout=stream.layout.name)
        yield from _recoded(source, stream, target, begin)


def _copied(source: InputContainer, stream: Stream, target: Stream, begin: float) -> Iterator[Any]:
    import av

    shift = round(begin / (stream.time_base or TIME_BASE))
    packets = source.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):  # sound that breaks off ends there
            return
        if packet.dts is None:  # the empty one at the end
            continue
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = target
        yield packet


def _recoded(source: InputContainer, stream: Any, target: Any, begin: float) -> Iterator[Any]:
    import av

    resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=target.rate, frame_size=1024)

    def encoded(frame: Any) -> Iterator[Any]:
        for piece in resampler.resample(frame):
            if piece.pts is not None:
                piece.pts -= round(begin / (piece.time_base or TIME_BASE))
            yield from target.encode(piece)

    packets = source.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except (StopIteration, OSError):
            break
        except av.FFmpegError:  # a damaged piece of sound is left out
            continue
        for frame in frames:
            yield from encoded(frame)
    yield from encoded(None)
    yield from target.encode(None)
