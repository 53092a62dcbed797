"""A corpus -> a searcher, and the index on disk from which the next one starts without encoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.cleaning import KNOWN
from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.index import FaissStore, load_store, save_store
from challenges.radix_neurips.lexical import Tfidf, load_keyphraseness
from challenges.radix_neurips.model import encode_papers
from challenges.radix_neurips.search import Searcher
from common.errors import UserError
from common.inference.batch import Engine, available_cores, map_blocks
from common.models.text import load_text_encoder

if TYPE_CHECKING:
    from common.models.text import TextEncoder

_PAPERS_PER_BLOCK = 128  # some seconds of work
_TEXTS, _WORDS, _TERMS, _REPORT = "texts.parquet", "words.json", "terms.safetensors", "report.json"


def build_searcher(corpus: Corpus, model: Path, *, data_fingerprint: str, engine: Engine = Engine.LOCAL) -> Searcher:
    """Encode a corpus and make it ready to be asked.

    Args:
        corpus: the papers.
        model: directory of the encoder.
        data_fingerprint: of the file the corpus was read from.
        engine: where to encode.
    """
    encoder = _question_encoder(model)
    vectors = encode_corpus(corpus.papers(), model, engine)
    store = FaissStore(encoder.dimensions)
    store.add(corpus.ids.tolist(), vectors, corpus.years)
    tfidf = Tfidf().fit(corpus.papers(), load_keyphraseness(model))
    columns = tfidf.transform(corpus.papers()).T.tocsr()
    return Searcher(corpus, store, tfidf, columns, encoder, corpus.words(), data_fingerprint)


def encode_corpus(papers: Sequence[tuple[str, str]], model: Path, engine: Engine = Engine.LOCAL) -> NDArray[np.float32]:
    """Return the (N, d) vectors of pairs of title and abstract, the same whatever the engine.

    With Ray every worker reads the encoder from `model`, which all machines must see under this path.
    """
    blocks = [papers[start : start + _PAPERS_PER_BLOCK] for start in range(0, len(papers), _PAPERS_PER_BLOCK)]
    encoded = map_blocks(partial(_encode_block, model), blocks, engine, description="encoding")
    return np.concatenate(encoded)


def _encode_block(model: Path, papers: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    return encode_papers(papers, _encoder(model))


@lru_cache(maxsize=1)
def _encoder(model: Path) -> TextEncoder:
    return load_text_encoder(model, n_threads=1)  # blocks are side by side already


def _question_encoder(model: Path) -> TextEncoder:
    return load_text_encoder(model, n_threads=1, threads_per_text=available_cores())  # one question at a time


def save_searcher(searcher: Searcher, directory: Path) -> None:
    """Write an index, from which `load_searcher` starts; one that is there is replaced."""
    import pandas as pd
    from safetensors.numpy import save

    if not isinstance(searcher.store, FaissStore):
        raise TypeError("vectors in another store are kept there")
    corpus, columns = searcher.corpus, searcher.columns
    texts = pd.DataFrame(
        {"paper_id": corpus.ids, "year": corpus.years, "title": corpus.titles, "abstract": corpus.abstracts}
    )
    arrays = {
        "terms": searcher.tfidf.terms_,
        "idf": searcher.tfidf.idf_,
        "data": columns.data,
        "indices": columns.indices,
        "starts": columns.indptr,
        "damping": np.array([searcher.tfidf.damping_]),
    }
    # In order: how words come out of a set differs from process to process, and files are named by their contents.
    words = {word: count for word, count in sorted(searcher.words.items()) if count >= KNOWN}
    near = {key: corpus.report[key] for key in ("near_duplicates", "identical_abstracts")}
    save_store(
        searcher.store,
        directory,
        encoder=searcher.encoder.fingerprint,
        data_fingerprint=searcher.data_fingerprint,
        beside={
            _TEXTS: texts.to_parquet(index=False),
            _TERMS: save({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
            _WORDS: json.dumps(words).encode(),
            _REPORT: json.dumps(near).encode(),
        },
    )


def load_searcher(directory: Path, model: Path) -> Searcher:
    """Read what `save_searcher` wrote.

    Raises:
        UserError: no index there, a damaged one, or one of another encoder.
    """
    encoder = _question_encoder(model)
    try:
        return _read_searcher(directory, encoder)
    except (UserError, OSError, RuntimeError):  # maybe replaced meanwhile, the files of the old manifest gone
        return _read_searcher(directory, encoder)


def _read_searcher(directory: Path, encoder: TextEncoder) -> Searcher:
    import pyarrow.parquet as pq
    from safetensors.numpy import load
    from scipy.sparse import csr_matrix

    store, artifact, paths = load_store(directory, encoder.fingerprint)
    try:
        texts, arrays = pq.ParquetFile(paths[_TEXTS]).read().to_pydict(), load(paths[_TERMS].read_bytes())
        words, report = json.loads(paths[_WORDS].read_bytes()), json.loads(paths[_REPORT].read_bytes())
    except KeyError as error:
        raise UserError(f"the index in {directory} has no {error}: run the verb index anew") from error
    ids, years = np.array(texts["paper_id"], np.str_), np.array(texts["year"], np.int32)
    corpus = Corpus(ids, years, texts["title"], texts["abstract"], report)
    tfidf = Tfidf(arrays["terms"], arrays["idf"], float(arrays["damping"][0]))
    shape = (len(tfidf.terms_), len(corpus))
    columns = csr_matrix((arrays["data"], arrays["indices"], arrays["starts"]), shape=shape)
    return Searcher(corpus, store, tfidf, columns, encoder, words, artifact.manifest.data_fingerprint)
