"""The index on disk, and encoding on a Ray cluster."""

import copy
import dataclasses
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from challenges.radix_neurips import index, indexing
from challenges.radix_neurips.dataset import load
from challenges.radix_neurips.indexing import encode_corpus, load_searcher, save_searcher
from challenges.radix_neurips.search import Searcher
from common import artifacts
from common.errors import UserError
from common.inference.batch import Engine
from common.models.text import SHIPPED

# Ray's own, in its own code
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning")]


def test_an_index_answers_as_the_searcher_it_was_written_from(searcher: Searcher, tmp_path: Path):
    save_searcher(searcher, tmp_path)
    again = load_searcher(tmp_path, SHIPPED)
    for text in (searcher.corpus.abstracts[3], "offline learning (cid:173) of robots"):
        assert again.like_text(text) == searcher.like_text(text)
    assert again.like_papers(["twin", "near"]) == searcher.like_papers(["twin", "near"])
    assert again.data_fingerprint == searcher.data_fingerprint


@pytest.mark.parametrize(("module", "step"), [(artifacts, "_read_manifest"), (index, "load_artifact")])
def test_an_index_that_is_replaced_while_it_is_read_is_read_again(
    searcher: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
):
    save_searcher(searcher, tmp_path)
    corpus = dataclasses.replace(searcher.corpus, titles=[f"New: {title}" for title in searcher.corpus.titles])
    new = copy.copy(searcher)
    new.corpus = corpus
    read = getattr(module, step)

    def read_then_replace(directory: Path, *arguments: object) -> object:
        old = read(directory, *arguments)
        if directory == tmp_path:  # and not the encoder's
            monkeypatch.setattr(module, step, read)
            save_searcher(new, tmp_path)
        return old

    monkeypatch.setattr(module, step, read_then_replace)
    assert load_searcher(tmp_path, SHIPPED).corpus.titles == corpus.titles


def test_an_index_is_the_same_in_whatever_order_words_were_counted(searcher: Searcher, tmp_path: Path):
    turned = copy.copy(searcher)
    turned.words = dict(reversed(searcher.words.items()))
    names = []
    for place, one in (("a", searcher), ("b", turned)):
        save_searcher(one, tmp_path / place)
        names.append(sorted(path.name for path in (tmp_path / place).iterdir()))
    assert names[0] == names[1]


def test_an_index_of_vectors_alone_is_refused(searcher: Searcher, tmp_path: Path):
    save_searcher(searcher, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["config"]["names"]["texts.parquet"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"has no 'texts.parquet': run the verb index anew"):
        load_searcher(tmp_path, SHIPPED)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_ray_encodes_as_this_process_does(sample_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(indexing, "_PAPERS_PER_BLOCK", 8)
    papers = load(sample_file).papers()[:24]
    here, there = (encode_corpus(papers, SHIPPED, engine) for engine in Engine)
    np.testing.assert_array_equal(here, there)
