"""A searcher on a small generated corpus, shared by the tests of what is built on it."""

from pathlib import Path

import pytest

from challenges.radix_neurips.dataset import load
from challenges.radix_neurips.indexing import build_searcher
from challenges.radix_neurips.sample import write_sample
from challenges.radix_neurips.search import Searcher
from common.artifacts import fingerprint
from common.models.text import SHIPPED

N_PAPERS = 90


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated corpus; a repeated abstract and a nearly repeated one are among it."""
    import pandas as pd

    folder = tmp_path_factory.mktemp("papers")
    write_sample(folder, N_PAPERS)
    papers = pd.read_csv(folder / "neurips_papers.zip")
    first = papers.iloc[0]
    twin = {**first, "paper_id": "twin", "title": "A twin", "abstract": first["abstract"].upper()}
    near = {
        **first,
        "paper_id": "near",
        "title": "Nearly a twin",
        "abstract": f"{first['abstract']} Code is on the web.",
    }
    papers = pd.concat([papers, pd.DataFrame([twin, near])])
    papers.to_csv(folder / "papers.csv", index=False)
    return folder / "papers.csv"


@pytest.fixture(scope="session")
def searcher(sample_file: Path) -> Searcher:
    """Ready to be asked, with the shipped encoder."""
    return build_searcher(load(sample_file), SHIPPED, data_fingerprint=fingerprint([sample_file]))
