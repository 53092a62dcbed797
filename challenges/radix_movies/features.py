"""What the networks see of a film: vectors of its text and of its poster, by ONNX Runtime and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.dataset import Film, FlawLog, Poster, Posters, read_poster
from common.artifacts import load_artifact
from common.cli import progress
from common.data.images import perceptual_hash
from common.inference.batch import available_cores, map_chunks
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime
    import tokenizers

TEXT_ENCODER: Final = Path(__file__).resolve().parents[2] / "data" / "weights" / "text_encoder"
POSTER_SIZE: Final = (288, 192)
"""Height and width: two to three, as posters are, with as many pixels as the network was trained on."""
MAX_TOKENS: Final = 256
TEXT_LAYERS: Final = (2, 4, 5)
"""Layers of MiniLM, from 0, whose tokens are averaged. The last is trained to say what a text is about as a whole; how
it is told, which genres show in, is plainer further down."""
N_TEXT: Final = 384
N_POSTER_MIDDLE: Final = 112
N_POSTER: Final = N_POSTER_MIDDLE + 1280
CHUNK: Final = 8
"""Films in one pass: their activations stay in a core's cache."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Of N films; a row of what is missing is 0."""

    texts: list[str]  # N; '' where there is neither title nor synopsis
    text: Floats  # (N, 3, 384) mean of the tokens after each of `TEXT_LAYERS`
    poster: Floats  # (N, 1392) means over the picture, after the fifth stage (112) and after the last layer (1280)
    has_text: NDArray[np.bool_]  # (N,) whether there is a synopsis
    has_poster: NDArray[np.bool_]  # (N,)

    def __len__(self) -> int:
        """N."""
        return len(self.texts)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Features:
        """Some of the films."""
        texts = [self.texts[row] for row in np.arange(len(self))[rows]]
        return Features(texts, self.text[rows], self.poster[rows], self.has_text[rows], self.has_poster[rows])

    def without(self, *, text: bool = False, poster: bool = False) -> Features:
        """The same films as if the texts, or the posters, were missing."""
        return Features(
            [""] * len(self) if text else self.texts,
            self.text * (not text),
            self.poster * (not poster),
            self.has_text & (not text),
            self.has_poster & (not poster),
        )


@dataclass(frozen=True)
class Encoders:
    """Both networks, in int8."""

    tokenizer: tokenizers.Tokenizer
    text: onnxruntime.InferenceSession
    poster: onnxruntime.InferenceSession

    def encode_text(self, text: str) -> Floats:
        """(3, 384) of one text; a text alone in its pass has a vector that depends on nothing but the text."""
        ids = np.array([self.tokenizer.encode(text).ids], dtype=np.int64)  # (1, L)
        layers = self.text.run([_layer_output(layer) for layer in TEXT_LAYERS], {"input_ids": ids})
        return np.stack([layer[0].mean(axis=0) for layer in layers])

    def encode_posters(self, pixels: NDArray[np.uint8]) -> Floats:
        """(N, 288, 192, 3) uint8 RGB -> (N, 1392)."""
        return np.asarray(self.poster.run(["features"], {"pixels": pixels})[0])


def load_encoders(poster: Path | bytes, text_encoder: Path = TEXT_ENCODER) -> Encoders:
    """Load the shared text encoder and a poster network.

    Raises:
        UserError: one is missing or damaged.
    """
    from tokenizers import Tokenizer

    artifact = load_artifact(text_encoder, "text_encoder")
    tokenizer = Tokenizer.from_file(str(artifact.path("tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    graph = expose(artifact.path("model.onnx").read_bytes(), [_layer_output(layer) for layer in TEXT_LAYERS])
    return Encoders(tokenizer, create_session(graph), create_session(poster))


def _layer_output(layer: int) -> str:
    return f"encoder.layer.{layer}.output.LayerNorm.out"


def expose(model: bytes, tensors: Sequence[str]) -> bytes:
    """Make inner tensors of an ONNX model outputs as well, without the package `onnx`, which prediction lacks.

    Two protobuf messages one after the other are their merge, repeated fields joined (protobuf.dev, 'Encoding', last
    one wins). So a model that has nothing but outputs is put behind: `ModelProto.graph` is field 7,
    `GraphProto.output` 12, `ValueInfoProto.name` 1.
    """
    outputs = b"".join(_field(12, _field(1, name.encode())) for name in tensors)
    return model + _field(7, outputs)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, varint = len(content), bytearray()
    while size > 127:
        varint.append(size & 127 | 128)
        size >>= 7
    varint.append(size)
    return bytes([number << 3 | 2, *varint]) + content


def film_text(film: Film) -> str:
    """What is read of a film: title and synopsis. A title alone says too little to be taken for a text."""
    return f"{film.title}. {film.synopsis}".removeprefix(". ") if film.synopsis else ""


@dataclass(frozen=True)
class Pictures:
    """What was found of the posters of N films."""

    unreadable: dict[int, str]  # reason by row
    stills: list[int]  # rows of pictures wider than high
    hashes: list[int | None]  # N perceptual hashes, None where there is no poster

    def tell(self, films: Sequence[Film], flaws: FlawLog) -> None:
        """Add what is wrong with the posters of these N films to a log."""
        for row, why in self.unreadable.items():
            flaws.add("unreadable_poster", f"{films[row].movie_id}: {why}")
        for row in self.stills:
            flaws.add("still_instead_of_poster", films[row].movie_id)


def extract(
    encoders: Encoders, films: Sequence[Film], posters: Posters, n_workers: int | None = None
) -> tuple[Features, Pictures]:
    """Read, decode and encode films, a chunk a thread.

    Args:
        encoders: from `load_encoders`.
        films: N.
        posters: where theirs are; the missing and unreadable ones are 0.
        n_workers: threads; by default one for each available core.
    """

    def work(rows: list[int]) -> list[_Seen]:
        found = [read_poster(posters, films[row].movie_id, POSTER_SIZE) for row in rows]
        pixels = [poster.pixels for poster in found if isinstance(poster, Poster)]
        vectors = iter(encoders.encode_posters(np.stack(pixels)) if pixels else ())
        seen = []
        for row, poster in zip(rows, found, strict=True):
            text = film_text(films[row])
            vector = encoders.encode_text(text) if text else np.zeros((len(TEXT_LAYERS), N_TEXT), np.float32)
            if isinstance(poster, Poster):
                seen.append(_Seen(text, vector, next(vectors), perceptual_hash(poster.pixels), None, poster.is_still))
            else:
                seen.append(_Seen(text, vector, np.zeros(N_POSTER, np.float32), None, poster, False))
        return seen

    seen: list[_Seen] = []
    with progress("reading films", total=len(films)) as advance:
        for part in map_chunks(work, range(len(films)), CHUNK, n_workers or available_cores()):
            seen += part
            advance(len(part))
    features = Features(
        [film.text for film in seen],
        np.array([film.text_vector for film in seen], np.float32).reshape(-1, len(TEXT_LAYERS), N_TEXT),
        np.array([film.poster_vector for film in seen], np.float32).reshape(-1, N_POSTER),
        np.array([bool(film.text) for film in seen], bool),
        np.array([film.poster_hash is not None for film in seen], bool),
    )
    return features, Pictures(
        {row: film.unreadable for row, film in enumerate(seen) if film.unreadable is not None},
        [row for row, film in enumerate(seen) if film.is_still],
        [film.poster_hash for film in seen],
    )


@dataclass(frozen=True)
class _Seen:
    """One film."""

    text: str
    text_vector: Floats  # (3, 384)
    poster_vector: Floats  # (1392,)
    poster_hash: int | None
    unreadable: str | None  # why the poster cannot be used, if there is one
    is_still: bool
