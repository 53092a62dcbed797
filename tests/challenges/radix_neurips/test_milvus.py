"""What is Milvus's own; the contract that all stores keep is tested in test_index.py."""

import sys
from pathlib import Path

import numpy as np
import pytest

from challenges.radix_neurips.milvus import MilvusStore
from common.errors import UserError


def test_a_collection_outlives_the_connection_and_belongs_to_one_encoder(tmp_path: Path):
    uri = str(tmp_path / "papers.db")
    store = MilvusStore(uri, 4, "encoder a")
    store.add(["p"], np.eye(4, dtype=np.float32)[:1], np.array([2001]))
    store.close()
    again = MilvusStore(uri, 4, "encoder a")
    assert again.search(np.eye(4, dtype=np.float32)[:1], 2).ids.tolist() == [["p", ""]]
    again.close()
    other = MilvusStore(uri, 4, "encoder b")  # whose vectors mean something else
    assert len(other) == 0
    other.close()
    with pytest.raises(UserError, match="has 4 dimensions, not 8"):
        MilvusStore(uri, 8, "encoder a")


def test_a_server_that_is_not_there_is_a_mistake_of_the_user():
    with pytest.raises(UserError, match=r"Milvus at http://127\.0\.0\.1:1: .*connect"):
        MilvusStore("http://127.0.0.1:1", 4, "a")


def test_pymilvus_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(UserError, match="distributed"):
        MilvusStore(str(tmp_path / "papers.db"), 4, "a")
