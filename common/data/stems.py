"""Photo files by the stem of their names, which is how tables name them."""

import posixpath
from collections.abc import Iterable, Sequence

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})


def index_by_stem(names: Iterable[str]) -> dict[str, str]:
    """Map the stem of each name ('data/abc.jpeg' -> 'abc') to the name.

    Of several names with one stem an image wins, then the first in sorted order.
    """
    index: dict[str, str] = {}
    others: dict[str, str] = {}
    for name in sorted(names):
        stem, suffix = posixpath.splitext(posixpath.basename(name))
        (index if suffix.lower() in _IMAGE_SUFFIXES else others).setdefault(stem, name)
    return others | index


def rivals_by_stem(names: Sequence[str]) -> dict[str, list[str]]:
    """The images that `index_by_stem` passes over for another one, by their stem."""
    index = index_by_stem(names)
    rivals: dict[str, list[str]] = {}
    for name in names:
        stem, suffix = posixpath.splitext(posixpath.basename(name))
        if suffix.lower() in _IMAGE_SUFFIXES and index[stem] != name:
            rivals.setdefault(stem, []).append(name)
    return rivals
