"""The embedded default: drawn gnomes of four kinds, as images in COCO's layout and as a short video.

Everything is a function of the seed. As in the challenge's archive every annotation says `Smurf`; the truth lies
beside it in `sample_labels.csv`, that of the video in `sample_video_labels.csv`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import CATEGORY_IDS, NAMES
from challenges.radix_smurfs.drawing import WIDTH, Gnome, Image, Mask, draw_gnome, draw_lots, draw_scene, paste
from challenges.radix_smurfs.geometry import mask_box, mask_to_polygons, polygons_to_rle, rle_area
from common.cli import progress
from common.data.images import encode_jpeg
from common.data.tables import replace_atomically, write_json

ODDS: Final = (0.15, 0.55, 0.15, 0.15)  # of NAMES; the challenge has one Vanity in 25, which a small sample cannot show
LEAST_VISIBLE: Final = 0.35  # of a gnome, or it is not annotated
VIDEO_SIZE: Final = (270, 480)
VIDEO_FPS: Final = 25


def write_sample(out: Path, n_images: int = 24, n_frames: int = 75, seed: int = 0) -> Path:
    """Write images, `result.json`, a video and their truth into the folder `out`, the same for one seed.

    Args:
        out: made where it does not exist.
        n_images: one or more.
        n_frames: of the video, which has a cut in the middle; 0 writes none.
        seed: of everything.

    Raises:
        UserError: the folder cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    labels = ["annotation_id,category_id,name"]
    with progress("drawing gnomes", total=n_images + n_frames) as advance:
        for k in range(n_images):
            image, gnomes = render_image(np.random.default_rng((seed, k)), k)
            name = f"images/gnomes_{k + 1:05d}.{_suffix(k)}"
            with replace_atomically(out / name) as temporary:
                temporary.write_bytes(_encode(image, k))
            images.append({"id": k, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
            for kind, mask in gnomes:
                annotations.append(_annotation(len(annotations), k, mask))
                labels.append(f"{annotations[-1]['id']},{CATEGORY_IDS[kind]},{kind}")
            advance()
        if n_frames:
            write_video(out / "sample_video.mp4", out / "sample_video_labels.csv", n_frames, seed, advance)
    with replace_atomically(out / "sample_labels.csv") as temporary:
        temporary.write_text("\n".join(labels) + "\n", encoding="utf-8")
    categories = [{"id": ident, "name": name} for name, ident in CATEGORY_IDS.items()]
    write_json({"images": images, "categories": categories, "annotations": annotations}, out / "result.json")
    return out


def render_image(rng: np.random.Generator, k: int) -> tuple[Image, list[tuple[str, Mask]]]:
    """Draw a scene with one to six gnomes; every fourth stands on plain white, as drawings of one figure do.

    Returns:
        RGB (H, W, 3); name and visible (H, W) mask of each gnome.
    """
    style = k % 2
    if k % 4 == 3:
        height, width = int(rng.integers(240, 480)), int(rng.integers(200, 400))
        scene = np.full((height, width, 3), 255, np.uint8)
        n_gnomes, sizes = 1, (0.75, 0.95)
    else:
        height, width = ((360, 480), (480, 640), (405, 720))[int(rng.integers(3))]
        scene = draw_scene(rng, height, width, style)
        n_gnomes, sizes = int(rng.integers(2, 7)), (0.22, 0.5)
    placed: list[tuple[str, Mask, int]] = []  # with the pixels of the whole gnome
    names = [NAMES[(k + k // 4) % len(NAMES)], *rng.choice(NAMES, n_gnomes - 1, p=ODDS)]  # four images show everybody
    for size, name in zip(sorted(rng.uniform(*sizes, n_gnomes)), rng.permutation(names), strict=True):
        gnome = draw_lots(rng, str(name), style)  # the nearer ones are larger and stand in front
        pixels, cover = draw_gnome(gnome, round(size * height))
        left = (
            int(rng.uniform(-0.1, 1 - 0.7 * cover.shape[1] / width) * width)
            if n_gnomes > 1
            else (width - cover.shape[1]) // 2
        )
        top = (
            int((0.55 + 0.4 * size) * height) - cover.shape[0] // 2 if n_gnomes > 1 else (height - cover.shape[0]) // 2
        )
        mask = paste(scene, pixels, cover, left, top)
        placed = [(name, behind & ~mask, whole) for name, behind, whole in placed]
        placed.append((gnome.name, mask, int(cover.sum())))
    return scene, [(name, mask) for name, mask, whole in placed if mask.sum() > LEAST_VISIBLE * whole]


def _suffix(k: int) -> str:
    return "png" if k % 4 == 3 else "jpeg"


def _encode(image: Image, k: int) -> bytes:
    """JPEG, and for drawings on white PNG: in turn with a palette and with a transparent background."""
    if _suffix(k) == "jpeg":
        return encode_jpeg(image, 90)
    if k % 8 == 3:
        return _palette_png(image)
    alpha = np.where((image == 255).all(axis=2), 0, 255).astype(np.uint8)
    bgra = np.dstack([cv2.cvtColor(image, cv2.COLOR_RGB2BGR), alpha])
    return bytes(cv2.imencode(".png", bgra)[1].tobytes())


def _palette_png(image: Image) -> bytes:
    """A PNG of 8 bits a pixel, which is how the challenge's drawings are stored; OpenCV writes none."""
    import struct
    import zlib

    coarse = (image.astype(np.int64) + 25) // 51  # 6 levels a channel: 216 colours
    indices = ((coarse[:, :, 0] * 6 + coarse[:, :, 1]) * 6 + coarse[:, :, 2]).astype(np.uint8)
    levels = np.arange(6) * 51
    palette = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).astype(np.uint8)
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1)  # filter 0 before every row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )


def _annotation(ident: int, image_id: int, mask: Mask) -> dict[str, Any]:
    """An entry as Label Studio exports it: a category that says nothing, one polygon for each visible part."""
    polygons = [cv2.approxPolyDP(p.astype(np.float32), 0.7, True)[:, 0].astype(float) for p in mask_to_polygons(mask)]
    kept = [p for p in polygons if len(p) >= 3 and cv2.contourArea(p.astype(np.float32)) >= 20]
    kept = kept or [max(polygons, key=len)]
    x0, y0, x1, y1 = mask_box(mask)
    return {
        "id": ident,
        "image_id": image_id,
        "category_id": 0,
        "segmentation": [np.round(p, 2).ravel().tolist() for p in kept],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle_area(polygons_to_rle(kept, *mask.shape)),
        "iscrowd": 0,
    }


def render_video(n_frames: int = 75, seed: int = 0) -> Iterator[tuple[Image, list[tuple[int, str, Mask]]]]:
    """Yield frames: RGB (H, W, 3), and number, name and visible (H, W) mask of each gnome.

    Four gnomes, one of each kind, walk to and fro; after the cut three others do, in the other style.
    """
    height, width = VIDEO_SIZE
    casts = (NAMES, (NAMES[1], NAMES[2], NAMES[1]))
    for scene_number, cast in enumerate(casts):
        rng = np.random.default_rng((seed, 10_000 + scene_number))
        background = draw_scene(rng, height, width, scene_number)
        gnomes = [draw_lots(rng, name, scene_number) for name in cast]
        lanes = rng.permutation(len(cast))
        start = sum(map(len, casts[:scene_number]))
        speeds = rng.uniform(0.6, 1.6, len(cast)) * rng.choice([-1, 1], len(cast))  # pixels a frame
        for t in range((n_frames + scene_number) // 2):
            frame, visible = _compose(background, gnomes, lanes, speeds, t)
            yield frame, [(start + i, gnomes[i].name, mask) for i, mask in visible]


def _compose(
    background: Image, gnomes: Sequence[Gnome], lanes: NDArray[np.int64], speeds: NDArray[np.float64], t: int
) -> tuple[Image, list[tuple[int, Mask]]]:
    """One frame; gnomes lower in the picture are larger and stand in front."""
    height, width = background.shape[:2]
    frame = background.copy()
    visible: list[tuple[int, Mask]] = []
    for i in np.argsort(lanes):
        size = round((0.38 + 0.06 * lanes[i]) * height)
        pixels, cover = draw_gnome(gnomes[i], size, phase=0.08 * t)
        home = (i + 0.5) / len(gnomes) * width - WIDTH * size / 2
        top = round((0.52 + 0.1 * lanes[i]) * height - size / 3)
        mask = paste(frame, pixels, cover, round(home + speeds[i] * t), min(top, height - size))
        visible = [(j, behind & ~mask) for j, behind in visible]
        visible.append((int(i), mask))
    return frame, [(i, mask) for i, mask in visible if mask.any()]


def write_video(path: Path, labels: Path, n_frames: int, seed: int, advance: Callable[[], None]) -> None:
    """Write the video as H.264 and a CSV of who is where: frame, gnome, name, x0, y0, x1, y1 in pixels."""
    import av

    rows = ["frame,gnome,name,x0,y0,x1,y1"]
    with replace_atomically(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        # x264's macroblock tree, which this preset does without, gives other bytes now and then.
        options = {"preset": "ultrafast", "crf": "20", "threads": "1"}
        stream = container.add_stream("libx264", rate=VIDEO_FPS, options=options)
        stream.height, stream.width = VIDEO_SIZE
        stream.pix_fmt = "yuv420p"
        for number, (frame, gnomes) in enumerate(render_video(n_frames, seed)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            for gnome, name, mask in gnomes:
                rows.append(f"{number},{gnome},{name}," + ",".join(f"{v:g}" for v in mask_box(mask)))
            advance()
        container.mux(stream.encode(None))
    with replace_atomically(labels) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
