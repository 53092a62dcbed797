"""The codebook as a fold over its log: what operations keep true, whatever their order."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenges.avalanche.codebook import (
    IMPORTED,
    MACHINE,
    Changes,
    Codebook,
    Conflict,
    Theme,
    check,
    code_matrix,
    fold,
    inverse,
)
from challenges.avalanche.operations import (
    Operation,
    add_theme,
    adopt,
    code_answer,
    code_many,
    confirm,
    delete_theme,
    edit_theme,
    merge_themes,
    split_theme,
)
from common.errors import UserError


def do(book: Codebook, *operations: Operation) -> Codebook:
    for operation in operations:
        changes = operation(book)
        check(book, changes)
        book = fold(book, [(book.version + 1, changes)])
    return book


def state(book: Codebook) -> tuple[object, object]:
    return dict(book.themes), {row: dict(decided) for row, decided in book.decisions.items()}


@pytest.fixture
def book() -> Codebook:
    """Price (1) with a child Rise (2), Content (3); six answers, of which 5 is open."""
    themes = [("Price", "", None), ("Rise", "", 0), ("Content", "", None)]
    return do(Codebook(), adopt(themes, {0: [0], 1: [1], 2: [2], 3: [0, 2], 4: []}, IMPORTED))


def themes_of(book: Codebook, row: int) -> set[str]:
    found = book.present(row)
    return {book.themes[t].name for t in found[1].themes} if found else set()


def test_a_merge_moves_answers_and_children(book: Codebook) -> None:
    book = do(book, merge_themes([1], 3))
    assert {t.name: t.parent for t in book.themes.values()} == {"Rise": 3, "Content": None}
    assert [themes_of(book, row) for row in range(4)] == [{"Content"}, {"Rise"}, {"Content"}, {"Content"}]


def test_a_merge_into_ones_own_grandchild_leaves_no_circle(book: Codebook) -> None:
    book = do(book, add_theme("Yearly", parent=2), merge_themes([1], 4))
    assert {t.name: t.parent for t in book.themes.values()} == {"Rise": None, "Content": None, "Yearly": 2}
    assert themes_of(book, 0) == {"Yearly"}


def test_a_deleted_theme_leaves_its_only_answers_undecided(book: Codebook) -> None:
    book = do(book, delete_theme(1))
    assert book.present(0) is None
    assert themes_of(book, 3) == {"Content"}
    assert book.themes[2].parent is None
    assert book.present(4) is not None  # 'no theme fits' is a decision that nothing was deleted from


def test_a_split_moves_only_the_chosen_answers(book: Codebook) -> None:
    book = do(book, split_theme(1, {"Too dear": [0]}))
    assert themes_of(book, 0) == {"Too dear"}
    assert themes_of(book, 3) == {"Price", "Content"}
    book = do(book, split_theme(1, {"The rest": [3]}))
    assert book.find("Price") is None  # nothing is left of it
    assert book.themes[2].parent is None
    with pytest.raises(UserError, match="no answer"):
        do(book, split_theme(3, {"Nothing": [4]}))


def test_names_are_free_and_trees_have_no_circle(book: Codebook) -> None:
    with pytest.raises(UserError, match="already"):
        do(book, add_theme(" price "))
    with pytest.raises(UserError, match="needs a name"):
        do(book, add_theme("  "))
    with pytest.raises(UserError, match="below itself"):
        do(book, edit_theme(1, book.themes[1], "Price", "", parent=2))
    with pytest.raises(UserError, match="two parts"):
        do(book, split_theme(3, {"A": [2], "a": [3]}))
    book = do(book, edit_theme(1, book.themes[1], "PRICE", "of anything", parent=3))
    assert book.path(2) == [3, 1, 2]
    assert book.ordered() == [3, 1, 2]


def test_who_edits_what_they_have_not_seen_is_told(book: Codebook) -> None:
    seen = book.themes[1]
    book = do(book, edit_theme(1, seen, "Cost", "", None))
    with pytest.raises(Conflict, match="'Cost' was changed"):
        do(book, edit_theme(1, seen, "Money", "", None))
    book = do(book, delete_theme(1))
    for operation in (code_many("Ana", [0], add=[1]), merge_themes([1], 3), delete_theme(1), add_theme("x", "", 1)):
        with pytest.raises(Conflict, match="theme was merged or deleted"):
            do(book, operation)


def test_two_analysts_never_overwrite_each_other_and_the_last_counts(book: Codebook) -> None:
    book = do(book, code_answer("Ana", 5, [1]), code_answer("Ben", 5, [3]))
    assert {who: set(d.themes) for who, d in book.decisions[5].items()} == {"Ana": {1}, "Ben": {3}}
    assert themes_of(book, 5) == {"Content"}
    with pytest.raises(Conflict, match="meanwhile"):
        do(book, code_answer("Ana", 5, [2], seen=None))
    mine = book.decisions[5]["Ana"]
    assert themes_of(do(book, code_answer("Ana", 5, [2], seen=mine)), 5) == {"Rise"}


def test_who_codes_what_was_split_meanwhile_is_told(book: Codebook) -> None:
    book = do(book, code_answer("Ana", 5, [3]), code_answer("Ana", 2, [3]))
    seen = book.decisions[5]["Ana"]
    book = do(book, split_theme(3, {"Films": [5]}))
    with pytest.raises(Conflict, match="meanwhile"):
        do(book, code_answer("Ana", 5, [1, 3], seen))


def test_a_step_that_is_undone_leaves_no_circle_and_no_name_twice(book: Codebook) -> None:
    """Undoing is a change like any other, however long ago the step was."""
    below = edit_theme(1, book.themes[1], "Price", "", parent=3)(book)
    book = fold(book, [(book.version + 1, below)])
    to_the_top = edit_theme(1, book.themes[1], "Price", "", parent=None)(book)
    book = fold(book, [(book.version + 1, to_the_top)])
    book = do(book, edit_theme(3, book.themes[3], "Content", "", parent=1))
    with pytest.raises(Conflict, match="below itself"):
        check(book, inverse(to_the_top))
    renamed = edit_theme(2, book.themes[2], "Increase", "", parent=None)(book)
    book = do(fold(book, [(book.version + 1, renamed)]), add_theme("rise"))
    with pytest.raises(Conflict, match="'Rise'"):
        check(book, inverse(renamed))


def test_a_merge_does_not_change_whose_word_is_last(book: Codebook) -> None:
    book = do(book, code_answer("Ana", 5, [1]), code_answer("Ben", 5, [3]), merge_themes([1], 2))
    assert themes_of(book, 5) == {"Content"}


def test_the_machine_never_replaces_a_person(book: Codebook) -> None:
    found = adopt([("Price", "", None), ("New", "", None)], {0: [1], 5: [1]}, MACHINE)
    book = do(book, found)
    assert themes_of(book, 0) == {"Price"}
    assert themes_of(book, 5) == {"New"}
    assert len(book.themes) == 4  # Price there was
    book = do(book, adopt([("Newer", "", None)], {0: [0]}, MACHINE))
    assert themes_of(book, 5) == set()  # what it said before is replaced
    book = do(book, found, confirm("Ana", [5, 0]))
    assert book.decisions[5]["Ana"].themes == {book.find("New")}
    assert book.present(5)[0] == "Ana"  # type: ignore[index]


def test_bulk_coding_starts_from_what_persons_said(book: Codebook) -> None:
    book = do(book, adopt([("Guess", "", None)], {5: [0]}, MACHINE))
    book = do(book, code_many("Ana", [2, 5], add=[1]), code_many("Ana", [2, 3], remove=[3]))
    assert [themes_of(book, row) for row in (2, 3, 5)] == [{"Price"}, {"Price"}, {"Price"}]


def test_bulk_coding_changes_what_is_shown_whoever_said_it(book: Codebook) -> None:
    """The page shows the last person's themes, or the machine's; those are what is added to and taken away from."""
    book = do(book, code_answer("Ana", 5, [1]), code_answer("Ben", 5, [3]))
    assert themes_of(do(book, code_many("Ana", [5], add=[2])), 5) == {"Content", "Rise"}
    assert themes_of(do(book, code_many("Ana", [5], remove=[3])), 5) == set()
    assert themes_of(do(book, code_many("Ana", [5], add=[1], remove=[3])), 5) == {"Price"}
    assert code_many("Ben", [5], add=[3])(book) == {}
    book = do(book, adopt([("Price", "", None), ("Guess", "", None)], {6: [0, 1]}, MACHINE))
    assert themes_of(do(book, code_many("Ana", [6], remove=[1])), 6) == {"Guess"}


def test_codes_as_a_matrix(book: Codebook) -> None:
    book = do(book, adopt([("Rise", "", None)], {0: [0], 5: [0]}, MACHINE), code_answer("Ana", 2, [2]))
    codes, decided = code_matrix(book, 7, [1, 2, 3])
    np.testing.assert_array_equal(decided, [True] * 5 + [False] * 2)
    assert codes.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0], [0] * 3, [0] * 3]
    codes, decided = code_matrix(book, 7, [2], with_machine=True)
    assert decided.tolist() == [True] * 6 + [False]
    assert codes[:, 0].tolist() == [False, True, True, False, False, True, False]
    codes, decided = code_matrix(book, 7, [3], who=IMPORTED)
    assert codes[2, 0]
    assert not decided[5]
    assert book.coders() == ["Ana", IMPORTED, MACHINE]


@st.composite
def operations(draw: st.DrawFn) -> Callable[[Codebook], Operation]:
    kind = draw(st.sampled_from(["add", "edit", "merge", "delete", "split", "code", "many", "confirm", "adopt"]))
    pick = draw(st.lists(st.integers(0, 20), min_size=3, max_size=3))
    rows = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    who = draw(st.sampled_from(["Ana", "Ben: the second", MACHINE]))
    name = draw(st.text(min_size=1, max_size=3))

    def make(book: Codebook) -> Operation:
        ids = sorted(book.themes) or [1]
        a, b, c = (ids[p % len(ids)] for p in pick)
        seen = book.themes.get(a, Theme("?"))
        decided = book.decisions.get(rows[0], {}).get(who)
        return {
            "add": add_theme(name, parent=a if book.themes and pick[1] % 2 else None),
            "edit": edit_theme(a, seen, name, name, b if book.themes and pick[2] % 2 else None),
            "merge": merge_themes([a, b], c),
            "delete": delete_theme(a),
            "split": split_theme(a, {name: rows}),
            "code": code_answer(who, rows[0], {a, b} if book.themes else [], decided),
            "many": code_many(who, rows, add=[a], remove=[b]),
            "confirm": confirm(who, rows),
            "adopt": adopt([(name, "", None), (name + "x", "", 0)], {row: [0, 1] for row in rows}, who),
        }[kind]

    return make


@settings(max_examples=60, deadline=None)
@given(st.lists(operations(), max_size=12))
def test_whatever_is_done_the_book_stays_sound_and_every_step_can_be_undone(
    makers: list[Callable[[Codebook], Operation]],
) -> None:
    book, log = Codebook(), list[Changes]()
    for make in makers:
        before = book
        try:
            changes = make(book)(book)
            check(book, changes)
        except UserError:
            continue
        book = fold(book, [(book.version + 1, changes)])
        log.append(changes)
        for theme in book.themes:
            assert len(book.path(theme)) <= len(book.themes)  # ends: no circle, no lost parent
        assert len({t.name.casefold() for t in book.themes.values()}) == len(book.themes)
        assert all(d.themes <= book.themes.keys() for by in book.decisions.values() for d in by.values())
        undone = inverse(changes)
        check(book, undone)
        assert state(fold(book, [(book.version + 1, undone)])) == state(before)
    assert state(fold(Codebook(), [(i + 1, changes) for i, changes in enumerate(log)])) == state(book)
