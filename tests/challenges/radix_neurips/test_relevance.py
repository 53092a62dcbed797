"""Similar is who shares a keyword that neither one paper nor a whole field uses."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.relevance import COMMONEST, keyphraseness_of, read_keywords, shared_keywords
from common.errors import UserError


def test_keywords_are_folded(tmp_path: Path):
    table = pd.DataFrame({"paper_id": ["a", "b", "c"], "keywords": [["GANs", " Deep  Learning"], ["gan"], None]})
    table.to_parquet(tmp_path / "k.parquet")
    (tmp_path / "canon.tsv").write_text("variant\tcanonical\ngans\tgan\n")
    expected = {"a": {"gan", "deep learning"}, "b": {"gan"}, "c": set()}
    assert read_keywords(tmp_path / "k.parquet", tmp_path / "canon.tsv") == expected
    table["keywords"] = ["['GANs', 'deep learning']", "['gan']", "[]"]
    table.to_parquet(tmp_path / "text.parquet")
    assert read_keywords(tmp_path / "text.parquet", tmp_path / "canon.tsv") == expected
    table["keywords"] = ["{'GANs', 'deep learning'}", "('gan',)", None]
    table.to_parquet(tmp_path / "null.parquet")
    assert read_keywords(tmp_path / "null.parquet", tmp_path / "canon.tsv") == expected


def test_wrong_tables_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        read_keywords(tmp_path / "k.parquet")
    pd.DataFrame({"paper_id": ["a"]}).to_parquet(tmp_path / "k.parquet")
    with pytest.raises(UserError, match="needs the columns"):
        read_keywords(tmp_path / "k.parquet")
    for cell in ("not a list", "5", "'graph neural networks'", "{['a']}", 5):
        pd.DataFrame({"paper_id": ["a"], "keywords": [cell]}).to_parquet(tmp_path / "k.parquet")
        with pytest.raises(UserError, match=r"row 0: .* is no list of keywords"):
            read_keywords(tmp_path / "k.parquet")
    pd.DataFrame({"paper_id": ["a"], "keywords": [["x"]]}).to_parquet(tmp_path / "k.parquet")
    (tmp_path / "canon.tsv").write_text("a\tb\nlonely\n")
    with pytest.raises(UserError, match="canonical spelling"):
        read_keywords(tmp_path / "k.parquet", tmp_path / "canon.tsv")


def test_the_rarest_shared_keyword_counts():
    ids = [str(i) for i in range(30)]
    keywords = {str(i): frozenset({"field"}) for i in range(COMMONEST + 1)}
    for paper_id, names in {"0": ("pair", "trio"), "1": ("pair", "trio"), "2": ("trio",)}.items():
        keywords[paper_id] |= frozenset(names)
    keywords |= {"25": frozenset({"alone"}), "gone": frozenset({"alone"})}
    # A keyword that 21 papers use makes nothing similar, nor does one of a single paper.
    assert shared_keywords(ids, keywords) == {0: {1: 2, 2: 3}, 1: {0: 2, 2: 3}, 2: {0: 3, 1: 3}}


def test_papers_without_keywords_teach_by_titles():
    corpus = Corpus(np.array(["a", "b"]), np.zeros(2, np.int32), ["Fair bandits", "Fair bandits"], ["", ""], {})
    learned = keyphraseness_of(corpus, {"a": frozenset({"bandits"})})
    assert len(learned.terms) == 3  # bandits, fair, fair bandits
    (strongest,) = learned.terms[learned.strength == learned.strength.max()]
    assert strongest == crc32(b"bandit")
    # A keyword of its one user that has keywords, in the titles of both; and three of doubt each.
    assert learned.strength.max() == pytest.approx((1 / 4) ** 0.5 + 0.5 * (2 / 5) ** 0.5)


@pytest.mark.real_data
def test_real_keywords(shared_data: Path):
    folder = shared_data / "neurips"
    keywords = read_keywords(folder / "keywords_2021_2022.parquet", folder / "keyword_canon.tsv")
    assert len(keywords) == 4_874
    queries = shared_keywords([name for name in keywords if name.startswith("2022")], keywords)
    assert len(queries) == 2_119
