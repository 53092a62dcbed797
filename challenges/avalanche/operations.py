"""What analysts do to a codebook: each operation takes the present one and returns the changes that it makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from challenges.avalanche.codebook import (
    MACHINE,
    Changes,
    Codebook,
    Conflict,
    Decision,
    Theme,
    as_value,
    decision_value,
    having,
    theme_value,
)
from common.errors import UserError

MAX_NAME: Final = 200
Operation = Callable[[Codebook], Changes]


def add_theme(name: str, description: str = "", parent: int | None = None) -> Operation:
    """A new theme without answers."""

    def operation(book: Codebook) -> Changes:
        return {f"theme:{book.next_theme}": (None, as_value(_free(book, name), description, parent))}

    return operation


def edit_theme(theme: int, seen: Theme, name: str, description: str, parent: int | None) -> Operation:
    """Rename, describe or move a theme.

    Args:
        theme: which.
        seen: how it was when its editor looked.
        name: its new name.
        description: its new description.
        parent: its new place in the tree; None: at the top.

    Raises (the operation):
        UserError: the name is taken or empty, or the theme would lie below itself.
    """

    def operation(book: Codebook) -> Changes:
        if parent is not None and parent in book.themes and theme in book.path(parent):
            raise UserError(f"{seen.name!r} cannot lie below itself: choose another place")
        new = as_value(_free(book, name, besides=theme), description, parent)
        return {f"theme:{theme}": (as_value(seen.name, seen.description, seen.parent), new)}

    return operation


def merge_themes(sources: Collection[int], target: int) -> Operation:
    """Give all answers and children of some themes to another one, and delete them."""

    def operation(book: Codebook) -> Changes:
        gone = set(sources) - {target}
        _need(book, {*gone, target})
        return _remove(book, gone, target) | _recode(book, gone, lambda themes: (themes - gone) | {target})

    return operation


def delete_theme(theme: int) -> Operation:
    """Delete a theme; its children move up, its answers lose it, and are undecided where it was their only one."""

    def operation(book: Codebook) -> Changes:
        _need(book, {theme})
        changes = _remove(book, {theme})
        return changes | _recode(book, {theme}, lambda themes: themes - {theme})

    return operation


def split_theme(theme: int, parts: Mapping[str, Collection[int]]) -> Operation:
    """Move some of a theme's answers to new themes beside it; the rest stays, and so does the theme while it has any.

    Args:
        theme: which.
        parts: of each new theme's name the rows of its answers.

    Raises (the operation):
        UserError: a name is taken or empty, twice the same, or no answer of a part has the theme.
    """

    def operation(book: Codebook) -> Changes:
        _need(book, {theme})
        changes: Changes = {}
        number: dict[str, int] = {}
        for i, name in enumerate(parts):
            number[name] = book.next_theme + i
            new = as_value(_free(book, name), "", book.themes[theme].parent)
            if any(value is not None and value["name"].casefold() == name.casefold() for _, value in changes.values()):
                raise UserError(f"two parts are called {name!r}: name them apart")
            changes[f"theme:{number[name]}"] = (None, new)
        of_row: dict[int, set[int]] = {}
        for name, rows in parts.items():
            if not any(theme in d.themes for row in rows for d in book.decisions.get(row, {}).values()):
                raise UserError(f"no answer of {name!r} has the theme {book.themes[theme].name!r}: choose others")
            for row in rows:
                of_row.setdefault(row, set()).add(number[name])
        left = False
        for row, who, decision in having(book, {theme}):
            if row not in of_row:
                left = True
                continue
            themes = (decision.themes - {theme}) | of_row[row]
            changes[f"code:{row}:{who}"] = (
                decision_value(decision),
                decision_value(Decision(themes, decision.version)),
            )
        if not left:
            changes |= _remove(book, {theme})
        return changes

    return operation


def code_answer(who: str, row: int, themes: Collection[int], seen: Decision | None = None) -> Operation:
    """One person's themes of one answer, in place of what they said of it before.

    Args:
        who: the person.
        row: the answer.
        themes: none: no theme fits.
        seen: their own decision when they looked; None: there was none.

    Raises (the operation):
        Conflict: they decided otherwise meanwhile, in another window, or somebody changed themes that they gave.
    """

    def operation(book: Codebook) -> Changes:
        own = book.decisions.get(row, {}).get(who)
        if own != seen:
            if own is not None and own.themes == set(themes):  # the button was pressed twice
                return {}
            raise Conflict("what you said of this answer was changed meanwhile: look at it again, then repeat this")
        return {
            f"code:{row}:{who}": (decision_value(own), decision_value(Decision(frozenset(themes), book.version + 1)))
        }

    return operation


def code_many(who: str, rows: Iterable[int], add: Collection[int] = (), remove: Collection[int] = ()) -> Operation:
    """Add themes to many answers at once, or take them away, starting from what persons decided last of each.

    Where only the machine has decided, its themes are suggestions: they stay only where others of them are taken away.
    """

    def operation(book: Codebook) -> Changes:
        changes: Changes = {}
        for row in rows:
            own = book.decisions.get(row, {}).get(who)
            last = book.present(row)
            base = last[1].themes if last and (last[0] != MACHINE or remove) else frozenset()
            themes = (base | set(add)) - set(remove)
            if own is None or own.themes != themes or last != (who, own):
                changes[f"code:{row}:{who}"] = (decision_value(own), decision_value(Decision(themes, book.version + 1)))
        return changes

    return operation


def confirm(who: str, rows: Iterable[int]) -> Operation:
    """Take the present themes of some answers, the machine's above all, as one's own."""

    def operation(book: Codebook) -> Changes:
        changes: Changes = {}
        for row in rows:
            last, own = book.present(row), book.decisions.get(row, {}).get(who)
            if last and last[0] != who:
                changes[f"code:{row}:{who}"] = (
                    decision_value(own),
                    decision_value(Decision(last[1].themes, book.version + 1)),
                )
        return changes

    return operation


def adopt(
    themes: Sequence[tuple[str, str, int | None]], codes: Mapping[int, Collection[int]], who: str = MACHINE
) -> Operation:
    """Add many themes with their answers at once: those of an imported table, or those that discovery found.

    A theme whose name there is already is that theme. What `who` said before of any answer is replaced.

    Args:
        themes: name, description, and position of the parent in this same list, before the theme itself.
        codes: by row the positions of its themes.
        who: whose decisions these are.
    """

    def operation(book: Codebook) -> Changes:
        changes: Changes = {}
        ids: list[int] = []
        new: dict[str, int] = {}
        for name, description, parent in themes:
            known = book.find(name)
            identity = known if known is not None else new.get(name.casefold())
            if identity is None:
                identity = book.next_theme + len(new)
                new[name.casefold()] = identity
                value = as_value(_named(name), description, None if parent is None else ids[parent])
                changes[f"theme:{identity}"] = (None, value)
            ids.append(identity)
        for row in {*codes, *(row for row, decided in book.decisions.items() if who in decided)}:
            own = book.decisions.get(row, {}).get(who)
            after = Decision(frozenset(ids[p] for p in codes[row]), book.version + 1) if row in codes else None
            changes[f"code:{row}:{who}"] = (decision_value(own), decision_value(after))
        return changes

    return operation


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise UserError("a theme needs a name: type one")
    if len(name) > MAX_NAME:
        raise UserError(f"the theme {name[:60]!r}... has {len(name)} characters, more than {MAX_NAME}: shorten it")
    return name


def _free(book: Codebook, name: str, besides: int | None = None) -> str:
    name = _named(name)
    if book.find(name) not in (None, besides):
        raise UserError(f"there is a theme {name!r} already: choose another name, or merge the two")
    return name


def _need(book: Codebook, themes: Collection[int]) -> None:
    if not book.themes.keys() >= set(themes):
        raise Conflict("a theme was merged or deleted meanwhile: look at the themes again, then repeat this")


def _remove(book: Codebook, gone: Collection[int], heir: int | None = None) -> Changes:
    """Delete themes; their children go below the heir, or up where there is none or where they lead to it."""
    changes: Changes = {f"theme:{theme}": (theme_value(book, theme), None) for theme in gone}
    above_heir = [] if heir is None else book.path(heir)
    for child, theme in book.themes.items():
        if theme.parent not in gone or child in gone:
            continue
        parent = heir
        if heir is None or child in above_heir:
            parent = next((t for t in reversed(book.path(child)[:-1]) if t not in gone), None)
        changes[f"theme:{child}"] = (theme_value(book, child), as_value(theme.name, theme.description, parent))
    return changes


def _recode(book: Codebook, gone: Collection[int], change: Callable[[frozenset[int]], frozenset[int]]) -> Changes:
    changes: Changes = {}
    for row, who, decision in having(book, gone):
        themes = change(decision.themes)
        after = decision_value(Decision(themes, decision.version)) if themes else None
        changes[f"code:{row}:{who}"] = (decision_value(decision), after)
    return changes
