"""Decoding: as Pillow sees the picture, or a reason; Pillow is the oracle and the maker of odd files."""

import io
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from common.data.images import (
    ImageError,
    decode_image,
    encode_jpeg,
    perceptual_hash,
    read_header,
    resize_image,
)


def photo(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Something smooth with structure, as a photo is."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def seen_by_pillow(data: bytes) -> NDArray[np.uint8]:
    """RGB, upright, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


RGB = Image.fromarray(photo())
RGBA = RGB.copy()
RGBA.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))))
PALETTE = RGB.quantize(16)
JPEG = encoded(RGB, "JPEG", quality=90)


def without_adobe_marker(data: bytes) -> bytes:
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 16 :]


ODD_FILES = {
    "jpeg": (JPEG, 0),
    "progressive": (encoded(RGB, "JPEG", progressive=True), 0),
    "444": (encoded(RGB, "JPEG", subsampling=0), 0),
    "grey jpeg": (encoded(RGB.convert("L"), "JPEG"), 0),
    "cmyk": (encoded(RGB.convert("CMYK"), "JPEG"), 2),
    "cmyk without adobe marker": (without_adobe_marker(encoded(RGB.convert("CMYK"), "JPEG")), 2),
    "1x1": (encoded(Image.new("RGB", (1, 1), "red"), "JPEG"), 0),
    "png": (encoded(RGB, "PNG"), 0),
    "png 1 bit": (encoded(RGB.convert("1"), "PNG"), 0),
    "png 1x1": (encoded(Image.new("RGB", (1, 1), "red"), "PNG"), 0),
    "png alpha": (encoded(RGBA, "PNG"), 1),
    "png grey alpha": (encoded(RGBA.convert("LA"), "PNG"), 1),
    "png palette": (encoded(PALETTE, "PNG"), 0),
    "png palette, one clear": (encoded(PALETTE, "PNG", transparency=3), 0),
    "png palette, many clear": (encoded(PALETTE, "PNG", transparency=bytes(range(0, 256, 16))), 1),
    "png one colour clear": (encoded(RGB, "PNG", transparency=RGB.getpixel((3, 3))), 0),
    "png one grey clear": (
        encoded(RGB.convert("L"), "PNG", transparency=RGB.convert("L").getpixel((3, 3))),
        0,
    ),
    "webp": (encoded(RGB, "WEBP"), 1),
    "webp lossless": (encoded(RGB, "WEBP", lossless=True), 0),
    "webp alpha": (encoded(RGBA, "WEBP", lossless=True), 1),
    "webp lossy alpha": (encoded(RGBA, "WEBP"), 2),
    "gif": (encoded(PALETTE, "GIF"), 0),
    "gif clear": (encoded(PALETTE, "GIF", transparency=3), 0),
    "bmp": (encoded(RGB, "BMP"), 0),
    "bmp grey": (encoded(RGB.convert("L"), "BMP"), 0),
    "bmp palette": (encoded(PALETTE, "BMP"), 0),
    "bmp 1 bit": (encoded(RGB.convert("1"), "BMP"), 0),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_files_are_read_right(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, tolerance = ODD_FILES[kind]
    image = decode_image(data)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert difference(image, seen_by_pillow(data)) <= tolerance
    header = read_header(data)
    assert (header.height, header.width) == image.shape[:2]
    assert capfd.readouterr() == ("", "")


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"", interlace: int = 0) -> bytes:
    """A PNG chunk by chunk, for kinds that Pillow cannot write."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, interlace))
    clear = chunk(b"tRNS", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_become_the_upper_eight() -> None:
    grey = np.arange(0, 65536, 997, dtype=np.uint16)
    rows = b"\0" + grey.astype(">u2").tobytes()
    expected = np.repeat((grey >> 8).astype(np.uint8)[None, :, None], 3, axis=2)
    assert difference(decode_image(png(len(grey), 1, 16, 0, rows)), expected) == 0
    colour = np.stack([grey, grey[::-1], grey // 2], axis=1)  # (66, 3)
    rows = b"\0" + colour.astype(">u2").tobytes()
    assert difference(decode_image(png(len(grey), 1, 16, 2, rows)), (colour >> 8).astype(np.uint8)[None]) == 0
    alpha = np.concatenate([colour, np.full((len(grey), 1), 65535, np.uint16)], axis=1)
    rows = b"\0" + alpha.astype(">u2").tobytes()
    assert difference(decode_image(png(len(grey), 1, 16, 6, rows)), (colour >> 8).astype(np.uint8)[None]) == 0
    alpha[:, 3] = 0
    rows = b"\0" + alpha.astype(">u2").tobytes()
    assert (decode_image(png(len(grey), 1, 16, 6, rows)) == 255).all()


def test_the_transparent_grey_of_a_small_or_large_depth() -> None:
    sixteen = png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 1000, 1001), struct.pack(">H", 1000))
    assert decode_image(sixteen)[0, :, 0].tolist() == [255, 3]
    four = png(2, 1, 4, 0, b"\0\x34", struct.pack(">H", 3))
    assert decode_image(four)[0, :, 0].tolist() == [255, 4 * 17]


def test_a_depth_that_no_png_has_is_refused() -> None:
    with pytest.raises(ImageError, match="corrupt PNG"):
        decode_image(png(4, 4, 0, 0, b"\0\0" * 4, extra=b"\0\0"))


def test_an_interlaced_png() -> None:
    rows = b"".join(b"\0" + bytes([v]) * n for v, n in ((10, 1), (30, 1), (40, 2)))  # 2 x 2: passes 1, 6, 7
    assert decode_image(png(2, 2, 8, 0, rows, interlace=1))[:, :, 0].tolist() == [[10, 30], [40, 40]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("image", [RGB, RGBA], ids=["rgb", "rgba"])
def test_exif_orientation_is_applied(orientation: int, file_format: str, image: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    source = image.convert("RGB") if file_format == "JPEG" else image
    data = encoded(source, file_format, exif=exif, **options)
    expected = seen_by_pillow(data)
    assert difference(decode_image(data), expected) <= 1
    if file_format == "JPEG":
        height, width = expected.shape[:2]
        small = decode_image(data, min_size=(12, 12))
        assert small.shape == (height // 4, width // 4, 3)
        half = np.asarray(Image.fromarray(expected).resize((width // 4, height // 4), Image.Resampling.BOX))
        assert np.abs(small.astype(int) - half).mean() < 3


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([None, 1, 6]),
)
def test_reduced_decoding_never_falls_below_min_size(h: int, w: int, mh: int, mw: int, orientation: int | None) -> None:
    exif = Image.Exif()
    options: dict[str, Any] = {}
    if orientation:
        exif[0x0112] = orientation
        options = {"exif": exif}
    data = encoded(Image.fromarray(photo(h, w)), "JPEG", **options)
    full, small = decode_image(data).shape, decode_image(data, min_size=(mh, mw)).shape
    assert small[0] >= min(mh, full[0])
    assert small[1] >= min(mw, full[1])
    if orientation is None and h >= 8 * mh and w >= 8 * mw:
        assert small == (-(-h // 8), -(-w // 8), 3)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(file_format: str) -> None:
    frames = [RGB.resize((16, 12)), Image.new("RGB", (16, 12), "red"), Image.new("RGB", (16, 12), "blue")]
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=50, **options)
    assert difference(decode_image(data), seen_by_pillow(data)) == 0


def bomb(file_format: str, width: int, height: int) -> bytes:
    """A small file whose header promises a huge picture."""
    data = bytearray(
        ODD_FILES[{"JPEG": "jpeg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WEBP": "webp"}[file_format]][0]
    )
    if file_format == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    elif file_format == "PNG":
        struct.pack_into(">LL", data, 16, width, height)
    elif file_format == "GIF":
        struct.pack_into("<HH", data, 6, width, height)
    elif file_format == "WEBP":
        struct.pack_into("<HH", data, 26, min(width, 16383), min(height, 16383))
    else:
        struct.pack_into("<ll", data, 18, width, -height)
    return bytes(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_bomb_is_refused_by_its_header(file_format: str) -> None:
    with pytest.raises(ImageError, match=r"\d+ x \d+ pixels, more than the limit of 50 megapixels"):
        decode_image(bomb(file_format, 20000, 20000))
    with pytest.raises(ImageError):
        decode_image(bomb(file_format, 0, 10))
    with pytest.raises(ImageError, match=r"limit of 0\.003 megapixels"):
        decode_image(ODD_FILES["png"][0], max_pixels=3000)


def test_a_jpeg_with_thousands_of_scans_is_refused() -> None:
    data = encoded(RGB, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode_image(data[:-2] + data[last:-2] * 200 + b"\xff\xd9")


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "png alpha", "webp", "webp alpha", "gif", "bmp"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float, capfd: pytest.CaptureFixture[str]) -> None:
    data = ODD_FILES[kind][0]
    with pytest.raises(ImageError, match=r"truncated|corrupt|empty"):
        decode_image(data[: int(len(data) * part)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "filler", [b"\xff\xd9", bytes(500), bytes(500) + b"\xff\xd9"], ids=["EOI", "zeros", "zeros EOI"]
)
def test_a_truncated_jpeg_that_was_closed_again_is_refused(filler: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    large = encoded(Image.fromarray(photo(200, 200)), "JPEG")
    for data in (large, encoded(Image.fromarray(photo(200, 200)), "JPEG", progressive=True)):
        with pytest.raises(ImageError, match=r"truncated|corrupt"):
            decode_image(data[: len(data) * 2 // 3] + filler)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("stray", "marker"),
    [(80, b"\xff\xd9"), (3, b"\xff\xc0"), (9, b"\xff\xd0")],
    ids=["too many", "in the header", "before a restart marker"],
)
def test_stray_bytes_that_may_hide_damage_are_refused(stray: int, marker: bytes) -> None:
    data = encoded(RGB, "JPEG", restart_marker_blocks=4)
    start = data.rindex(marker) if marker == b"\xff\xd9" else data.index(marker)
    with pytest.raises(ImageError, match=r"^corrupt JPEG \(\d+ extraneous bytes before marker 0x..\)$"):
        decode_image(data[:start] + b"\x2a" * stray + data[start:])


@pytest.mark.parametrize("source", [JPEG, ODD_FILES["cmyk"][0]], ids=["rgb", "cmyk"])
def test_the_reason_names_the_damage(source: bytes) -> None:
    half = source[: len(source) * 2 // 3]
    with pytest.raises(ImageError, match=r"^truncated JPEG$"):
        decode_image(half)
    with pytest.raises(ImageError, match=r"^corrupt JPEG \(premature end of data segment\)$"):
        decode_image(half + b"\xff\xd9")


def test_a_png_without_its_end_is_truncated() -> None:
    data = ODD_FILES["png"][0]
    for n_lost in (1, 12, 40):
        with pytest.raises(ImageError, match=r"^truncated PNG$"):
            decode_image(data[:-n_lost])
    assert difference(decode_image(data + b"trailer"), photo()) == 0


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(ODD_FILES["png"][0])
    data[-13] ^= 1  # the last byte of the CRC before IEND
    with pytest.raises(ImageError, match=r"^truncated or corrupt PNG$"):
        decode_image(bytes(data))


def test_harmless_flaws_of_a_jpeg_are_forgiven(capfd: pytest.CaptureFixture[str]) -> None:
    whole = decode_image(JPEG)
    for data in (
        JPEG + b"trailer" * 100,
        JPEG[:-2] + b"\0\0\0" + b"\xff\xd9",
        JPEG[:2] + b"\xff\xff" + JPEG[2:],
    ):
        assert difference(decode_image(data), whole) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"hello", b"<html>not found</html>" * 50, b"\0" * 1000, b"%PDF-1.7 \n" * 9]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"not an image format that is read \(JPEG, PNG, WebP, GIF, BMP\)|empty file"):
        decode_image(data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(ODD_FILES)),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6),
)
def test_damage_gives_a_picture_or_a_reason(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(ODD_FILES[kind][0])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        image = decode_image(bytes(data), max_pixels=1_000_000)
    except ImageError as error:
        reason = str(error)
    else:
        reason = "none"
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
    assert 0 < len(reason) < 120
    assert "\n" not in reason


def test_perceptual_hash_is_that_of_the_dct() -> None:
    image = photo(32, 32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    k, n = np.mgrid[:8, :32]
    basis = np.cos(np.pi * (2 * n + 1) * k / 64) * np.where(k == 0, 2**-0.5, 1)  # (8, 32), DCT-II
    low = basis @ grey @ basis.T
    bits = (low > np.median(low)).ravel()
    assert f"{perceptual_hash(image):064b}" == "".join("1" if b else "0" for b in bits)


def test_perceptual_hash_tells_copies_from_others() -> None:
    def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
        return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()

    image = photo(200, 160)
    assert distance(image, decode_image(encode_jpeg(image, 40))) <= 4
    assert distance(image, resize_image(image, (100, 90))) <= 4
    assert min(distance(image, photo(200, 160, seed)) for seed in range(1, 20)) >= 12
    assert perceptual_hash(image) < 2**64


@pytest.mark.real_data
def test_real_photos_and_palette_pngs(shared_data: Path) -> None:
    for name, suffixes in (
        ("vinted_like/data.zip", (".jpeg",)),
        ("smurfs/smurfs_coco_format.zip", (".png", ".jpg", ".jpeg")),
    ):
        with zipfile.ZipFile(shared_data / name) as archive:
            members = [n for n in archive.namelist() if n.lower().endswith(suffixes) and "__MACOSX" not in n]
            for member in members[:: max(1, len(members) // 10)]:
                data = archive.read(member)
                assert difference(decode_image(data), seen_by_pillow(data)) <= 3, member


def test_blending_a_large_picture_takes_little_more_memory_than_the_picture():
    data = encoded(Image.new("RGBA", (2000, 1500), (10, 200, 30, 128)), "PNG")
    tracemalloc.start()
    try:
        picture = decode_image(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.abs(picture.astype(int) - (132, 227, 142)).max() <= 1
    assert peak < 3 * picture.nbytes  # the four channels as stored, the three that are left, and a strip


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xe0\x00\x00"])
def test_megabytes_before_the_picture_cost_next_to_nothing(filler: bytes):
    started = time.process_time()
    with pytest.raises(ImageError, match=r"truncated|segments"):
        read_header(b"\xff\xd8" + filler * (2**25 // len(filler)))
    assert time.process_time() - started < 2  # one step of Python for each took ten


def test_a_png_of_thousands_of_chunks_is_refused():
    chunk = struct.pack(">L", 0) + b"tEXt" + bytes(4)
    data = png(4, 4, 8, 0, b"\0\0" * 4)
    with pytest.raises(ImageError, match="chunks before the picture"):
        read_header(data[:33] + chunk * 20_000 + data[33:])


def test_stray_bytes_and_padding_between_segments_are_passed_over():
    data = encode_jpeg(photo())
    assert read_header(data[:2] + b"\xff\xff\xff\x00\xff\x01junk" + data[2:])[:3] == read_header(data)[:3]
