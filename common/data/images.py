"""Pictures from untrusted bytes: decoded right, or refused with a reason.

JPEG is read by simplejpeg, which reports what libjpeg-turbo noticed: OpenCV returns a damaged JPEG as a
picture that is half grey. The other formats are read by OpenCV, which refuses them when they are damaged.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from cv2.utils import logging as cv2_logging
from numpy.typing import NDArray

# Failures are raised as ImageError; OpenCV's own log lines would only repeat them on the terminal.
cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)

_READ_FORMATS = "JPEG, PNG, WebP, GIF, BMP"
_MAX_SEGMENTS = 10_000  # before the pixels; a colour profile or a thumbnail takes some hundreds at most
_MAX_JPEG_SCANS = 100  # a progressive JPEG has about ten; thousands keep a decoder busy for hours
_HARMLESS_STRAY_BYTES = 64  # padding that some cameras leave before the end-of-image marker
_GREY = 127
_AREA_FACTOR = 1.5  # where a side shrinks by more, bilinear interpolation skips pixels

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"  # with its CRC
_JPEG_SEGMENT = struct.Struct(">BBH")  # FF, marker, length
_JPEG_FRAME = struct.Struct(">BHHB")  # bits per sample, height, width, channels
_JPEG_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # start of frame, any process
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # but not those without a length, which are passed over
_JPEG_SOS, _JPEG_EOI, _JPEG_APP1 = 0xDA, 0xD9, 0xE1
_STRAY_BYTES_AT_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


class ImageError(ValueError):
    """The bytes are not a picture that can be read; `str()` is the reason, short."""


class ImageHeader(NamedTuple):  # cheaper to make than a dataclass, and one is made for every photo
    """What the first bytes of a picture say; sizes in pixels, before any EXIF rotation."""

    format: str
    width: int
    height: int
    transparent_grey: int | None = None  # PNG: the one grey level, 0-255 or 0-65535, that is transparent
    orientation: int = 1  # JPEG: EXIF, 1-8
    cmyk: bool = False  # JPEG: four channels
    data_start: int = 0  # JPEG: where the first scan begins
    many_scans: bool = False  # JPEG: progressive, or not all channels in the first scan


def decode_image(
    data: bytes, *, min_size: tuple[int, int] | None = None, max_pixels: int = 50_000_000
) -> NDArray[np.uint8]:
    """Decode JPEG, PNG, WebP, GIF or BMP (of an animation the first frame).

    EXIF rotation is applied, transparency is laid on white, 16 bits become the upper 8.

    Args:
        data: the file's bytes.
        min_size: (height, width); a JPEG is decoded at the smallest eighth of its size (1/8, 2/8, ...)
            with neither side below this, which is much faster.
        max_pixels: pictures whose header promises more are refused before any pixel is decoded.

    Returns:
        RGB, (H, W, 3), contiguous.

    Raises:
        ImageError: not a picture, too many pixels, truncated or corrupt.
    """
    header = read_header(data)
    n_pixels = header.width * header.height
    if n_pixels > max_pixels:
        limit = f"{max_pixels / 1e6:g} megapixels"
        raise ImageError(f"{header.width} x {header.height} pixels, more than the limit of {limit}")
    if n_pixels == 0:
        raise ImageError(f"{header.width} x {header.height} pixels")
    if header.format == "JPEG":
        return _decode_jpeg(data, header, min_size or (header.height, header.width))
    return _decode_other(data, header)


def _decode_jpeg(data: bytes, header: ImageHeader, min_size: tuple[int, int]) -> NDArray[np.uint8]:
    if header.many_scans and data.count(b"\xff\xda", header.data_start) > _MAX_JPEG_SCANS:
        raise ImageError(f"JPEG with more than {_MAX_JPEG_SCANS} scans")
    height, width = min_size if header.orientation < 5 else min_size[::-1]  # as stored
    options = {"colorspace": "CMYK" if header.cmyk else "RGB", "min_height": height, "min_width": width}
    try:
        pixels = simplejpeg.decode_jpeg(data, strict=True, **options)
    except ValueError as error:
        if not _is_harmless(str(error)):
            raise ImageError(_jpeg_reason(str(error))) from error
        pixels = simplejpeg.decode_jpeg(data, strict=False, **options)
    if header.cmyk:
        # Stored inverted, as Adobe does: 255 is no ink.
        pixels = cv2.multiply(pixels[:, :, :3], np.repeat(pixels[:, :, 3:], 3, axis=2), scale=1 / 255)
    return _rotate(np.asarray(pixels, np.uint8), header.orientation)


def _is_harmless(message: str) -> bool:
    """Whether libjpeg's warning, of which it tells only the first, came after the last pixel."""
    stray = _STRAY_BYTES_AT_END.search(message)
    return stray is not None and int(stray[1]) <= _HARMLESS_STRAY_BYTES


def _jpeg_reason(message: str) -> str:
    if message.startswith("Premature end"):
        return "truncated JPEG"
    return f"corrupt JPEG ({message.removeprefix('Corrupt JPEG data: ')})"


def _decode_other(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    if header.format == "PNG" and _PNG_END not in data:  # libpng would print a line
        raise ImageError("truncated PNG")
    pixels, orientation = _decode_unchanged(data)
    if pixels is None:
        raise ImageError(f"truncated or corrupt {header.format}")
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    if pixels.ndim == 2 and header.transparent_grey is not None:  # OpenCV leaves this case to us
        alpha = np.where(pixels == header.transparent_grey, 0, 255).astype(np.uint8)
    if pixels.dtype == np.uint16:
        pixels >>= 8
    pixels = np.asarray(pixels, np.uint8)
    if pixels.ndim == 2:
        colours = cv2.COLOR_GRAY2RGB
    elif pixels.shape[2] == 3:
        colours = cv2.COLOR_BGR2RGB
    else:
        colours = cv2.COLOR_BGRA2RGB
        alpha = None if header.format == "BMP" else pixels[:, :, 3]  # a BMP's fourth byte is padding
    rgb = np.asarray(cv2.cvtColor(pixels, colours), np.uint8)
    return _rotate(rgb if alpha is None else _on_white(rgb, alpha), orientation)


def _decode_unchanged(data: bytes) -> tuple[NDArray[Any] | None, int]:
    """OpenCV's picture as stored, (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, or None; EXIF orientation.

    IMREAD_UNCHANGED is the only mode that keeps alpha, and it leaves the rotation to the caller.
    """
    buffer = np.frombuffer(data, np.uint8)
    try:
        pixels, kinds, blocks = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None, 1
    exif = dict(zip(kinds, blocks, strict=True)).get(cv2.IMAGE_METADATA_EXIF)
    return pixels, 1 if exif is None else _exif_orientation(np.asarray(exif).tobytes())


def _on_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend in place, strip by strip: the intermediate values need not be held for all of a large picture."""
    for top in range(0, len(rgb), 64):
        strip = rgb[top : top + 64]  # (64, W, 3), a view
        weight = alpha[top : top + 64, :, None].astype(np.uint16)  # (64, W, 1); 255 * 255 + 127 fits
        strip[:] = (strip * weight + 255 * (255 - weight) + 127) // 255
    return rgb


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag (0x0112) of a TIFF header, 1-8; 1 where there is none."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(order + "L", tiff, 4)
        (n_entries,) = struct.unpack_from(order + "H", tiff, start)
        for i in range(n_entries):
            tag, kind, _, value = struct.unpack_from(order + "HHLH", tiff, start + 2 + 12 * i)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _rotate(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (1-8)."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def read_header(data: bytes) -> ImageHeader:
    """Format and size as the header gives them; no pixel is decoded.

    Raises:
        ImageError: not a format that is read, or a header that is cut off.
    """
    if not data:
        raise ImageError("empty file")
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_header(data)
        if data[:8] == _PNG_SIGNATURE:
            return _png_header(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_header(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            width, height = struct.unpack_from("<HH", data, 6)
            return ImageHeader("GIF", width, height)
        if data[:2] == b"BM":
            return _bmp_header(data)
    except (struct.error, IndexError) as error:
        raise ImageError("truncated header") from error
    raise ImageError(f"not an image format that is read ({_READ_FORMATS})")


def _jpeg_header(data: bytes) -> ImageHeader:
    """Walk the marker segments (ITU T.81, annex B) to the first scan."""
    size: tuple[int, int] | None = None  # (height, width)
    exif = b""
    progressive = False
    n_channels = 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, position)  # behind stray bytes and padding
        if found is None:
            raise ImageError("truncated JPEG")
        position = found.start()
        _, marker, length = _JPEG_SEGMENT.unpack_from(data, position)
        if marker == _JPEG_EOI:
            raise ImageError("JPEG without a picture")
        if marker in _JPEG_SOF:
            precision, height, width, n_channels = _JPEG_FRAME.unpack_from(data, position + 4)
            if precision != 8:
                raise ImageError(f"JPEG with {precision} bits per sample")
            if size is not None:
                raise ImageError("corrupt JPEG")
            size = (height, width)
            progressive = marker in _JPEG_PROGRESSIVE
        elif marker == _JPEG_APP1 and not exif and data[position + 4 : position + 8] == b"Exif":
            exif = data[position + 4 : position + 2 + length]
        elif marker == _JPEG_SOS:
            if size is None:
                raise ImageError("corrupt JPEG")
            return ImageHeader(
                "JPEG",
                height=size[0],
                width=size[1],
                orientation=_exif_orientation(exif),
                cmyk=n_channels == 4,
                data_start=position,
                many_scans=progressive or data[position + 4] < n_channels,
            )
        position += 2 + max(length, 2)
    raise ImageError(f"JPEG with more than {_MAX_SEGMENTS} segments before the picture")


def _png_header(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ImageError("corrupt PNG")
    width, height, depth, colour = struct.unpack_from(">LLBB", data, 16)
    if depth not in (1, 2, 4, 8, 16):
        raise ImageError("corrupt PNG")
    grey = None
    position = len(_PNG_SIGNATURE)
    for _ in range(_MAX_SEGMENTS):
        if (kind := data[position + 4 : position + 8]) in (b"IDAT", b"IEND", b""):
            return ImageHeader("PNG", width, height, transparent_grey=grey)
        (length,) = struct.unpack_from(">L", data, position)
        if kind == b"tRNS" and colour == 0:
            (grey,) = struct.unpack_from(">H", data, position + 8)
            grey *= 255 // (2**depth - 1) if depth < 8 else 1  # as OpenCV stretches small depths
        position += 12 + length
    raise ImageError(f"PNG with more than {_MAX_SEGMENTS} chunks before the picture")


def _webp_header(data: bytes) -> ImageHeader:
    """RFC 9649; sizes of the three layouts are stored in three ways."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        if len(height) < 3:
            raise ImageError("truncated header")
        return ImageHeader("WebP", int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<L", data, 21)
        return ImageHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    raise ImageError("corrupt WebP")


def _bmp_header(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<L", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ll", data, 18)
    return ImageHeader("BMP", abs(width), abs(height))  # a negative height means top row first


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch (H, W, C), or (H, W), to `size` = (height, width): bilinear, or area averages where a side shrinks much.

    Area averages cost several times as much, and below a factor of 1.5 there is nothing to average.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    factors = image.shape[0] / height, image.shape[1] / width
    # OpenCV averages areas only if neither side grows.
    averages = min(factors) >= 1 and max(factors) > _AREA_FACTOR
    method = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    return np.asarray(resized, np.uint8).reshape(height, width, *image.shape[2:])  # OpenCV drops an axis of one channel


def letterbox_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize RGB (H, W, 3) to fit into `size` = (height, width), its proportions kept, and fill what is left with grey.

    The grey is the middle of 0 to 255, which a network's scaling turns into about 0: what convolutions pad with.
    """
    inside = letterbox(image.shape[:2], size)
    resized = resize_image(image, (inside[0].stop - inside[0].start, inside[1].stop - inside[1].start))
    if resized.shape[:2] == size:
        return resized
    canvas = np.full((*size, 3), _GREY, np.uint8)
    canvas[inside] = resized
    return canvas


def letterbox(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[slice, slice]:
    """Where in a picture of `size` (height, width) `letterbox_image` puts one of `shape` (height, width)."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(side * scale)) for side in shape)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)


def nearest_size(shape: tuple[int, ...], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of some sizes (height, width) the one whose proportions are nearest to those of `shape`, (height, width)."""

    def difference(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1]) - math.log(max(1, shape[0]) / max(1, shape[1])))

    return min(sizes, key=difference)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode RGB (H, W, 3) as JPEG; quality 0-100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, buffer = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"OpenCV cannot encode an array of shape {image.shape} as JPEG")
    return buffer.tobytes()


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """64-bit pHash of RGB (H, W, 3): signs of the 8 x 8 lowest DCT terms about their median.

    C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1;
    bits in row order, the first the highest, as the package imagehash prints them.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
