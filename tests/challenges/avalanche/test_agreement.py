"""Agreement of coders, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from challenges.avalanche.agreement import compare_coders, disagreements
from challenges.avalanche.codebook import Codebook, fold
from challenges.avalanche.operations import add_theme, code_answer


@pytest.fixture
def book() -> Codebook:
    """Two persons who coded answers 0 to 59 with two themes, and agree on most of them; a third on one of them."""
    rng = np.random.default_rng(0)
    book = Codebook()

    def do(operation) -> None:  # type: ignore[no-untyped-def]
        nonlocal book
        book = fold(book, [(book.version + 1, operation(book))])

    for name in ("Price", "Content", "Never"):
        do(add_theme(name))
    for row in range(60):
        themes = {t for t in (1, 2) if rng.random() < 0.4}
        do(code_answer("Ana", row, themes))
        do(code_answer("Ben", row, themes if rng.random() < 0.8 else themes ^ {2}))
    do(code_answer("Cleo", 0, [1]))
    do(code_answer("Ana", 60, [1]))
    return book


def test_agreement_of_two_is_cohens_kappa(book: Codebook) -> None:
    found = compare_coders(book, 61, ["Ana", "Ben"])
    assert found.n_both == 60
    said = [[book.decisions[row][who].themes for row in range(60)] for who in ("Ana", "Ben")]
    of = found.themes.set_index("theme")
    assert of.index.tolist() == ["Content", "Price"]  # least agreed first; one that nobody gave is left out
    for theme, name in ((1, "Price"), (2, "Content")):
        expected = cohen_kappa_score(*[[theme in themes for themes in person] for person in said])
        assert of.at[name, "kappa"] == pytest.approx(expected)
        assert of.at[name, "alpha"] == pytest.approx(expected, abs=0.02)  # alpha corrects for few answers
    assert found.same == pytest.approx(np.mean([a == b for a, b in zip(*said, strict=True)]))
    assert disagreements(book, ["Ana", "Ben"]) == [i for i in range(60) if said[0][i] != said[1][i]]


def test_three_persons_and_none(book: Codebook) -> None:
    found = compare_coders(book, 61, ["Ana", "Ben", "Cleo"])
    assert found.n_both == 60
    assert found.themes["kappa"].isna().all()
    assert found.alpha < 1
    nobody = compare_coders(book, 61, ["Cleo", "Dora"])
    assert nobody.n_both == 0
    assert np.isnan(nobody.alpha)
    assert np.isnan(nobody.same)
