"""Answers -> vectors, by the shipped sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from common.inference.batch import Engine, map_blocks
from common.models.text import SHIPPED, load_text_encoder

if TYPE_CHECKING:
    from common.models.text import TextEncoder

TEXT_ENCODER: Final = SHIPPED
_BLOCK: Final = 2_000
"""Texts that one worker of a cluster encodes at a time."""

Embedder = Callable[[Sequence[str]], NDArray[np.float32]]
"""N texts -> (N, D) float32 of unit length: what discovery and coding ask for, so that any encoder can take the place
of the shipped one."""


def embed(
    texts: Sequence[str],
    encoder: str | Path = TEXT_ENCODER,
    engine: Engine = Engine.LOCAL,
    on_progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Encode texts: (N, 384) float32 of unit length. A text that occurs more than once is encoded once.

    Args:
        texts: N of any length.
        encoder: folder of an exported encoder, see `common.models.text.export_text_encoder`.
        engine: threads of this process, or a Ray cluster, whose machines find the encoder under the same path.
        on_progress: called with the number of distinct texts that have been done since the last call.

    Raises:
        UserError: there is no such encoder, or no Ray.
    """
    distinct = list(dict.fromkeys(texts))
    position = {text: i for i, text in enumerate(distinct)}
    if engine is Engine.LOCAL:
        vectors = _encoder(str(encoder)).encode(distinct, on_progress)
    else:
        blocks = [(str(encoder), distinct[i : i + _BLOCK]) for i in range(0, len(distinct), _BLOCK)]
        parts = map_blocks(_encode_block, blocks, engine, description="encoding answers")
        vectors = np.concatenate(parts) if parts else np.empty((0, _encoder(str(encoder)).dimensions), np.float32)
    return vectors[[position[text] for text in texts]]


@cache
def _encoder(directory: str) -> TextEncoder:
    return load_text_encoder(Path(directory))


def _encode_block(block: tuple[str, list[str]]) -> NDArray[np.float32]:
    return _encoder(block[0]).encode(block[1])
