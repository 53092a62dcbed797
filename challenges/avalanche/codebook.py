"""The codebook of one question: its themes and what was decided of each answer, as a fold over a log of events.

An operation (operations.py) takes the present codebook and returns changes, by key the value before and after.
A change holds only where the value before is still the present one, so nobody overwrites what they have not seen;
the log of changes is the audit trail; and the inverse of a change undoes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

MACHINE: Final = "machine"
"""Who discovery codes as: a suggestion, that any person's decision replaces and that replaces none."""
IMPORTED: Final = "imported"
"""Who the themes of an imported table are by: persons, before this dashboard."""

Value = dict[str, Any] | None
Changes = dict[str, tuple[Value, Value]]
"""By key what was and what is to be: `theme:5` -> {name, description, parent}, `code:17:Ana` -> {themes, version};
None: nothing."""


class Conflict(UserError):  # noqa: N818 - the field's word
    """Somebody changed meanwhile what an operation builds upon; look again, and decide again."""


@dataclass(frozen=True)
class Theme:
    """A node of the tree of themes."""

    name: str
    description: str = ""
    parent: int | None = None


@dataclass(frozen=True)
class Decision:
    """The themes that one person, or the machine, gave one answer; none: no theme fits."""

    themes: frozenset[int]
    version: int  # of the event by which it was taken


@dataclass(frozen=True)
class Codebook:
    """The present state of one question's coding."""

    version: int = 0  # of the last event
    themes: Mapping[int, Theme] = field(default_factory=dict)
    decisions: Mapping[int, Mapping[str, Decision]] = field(default_factory=dict)  # by answer (row), then who
    next_theme: int = 1  # an id is never given twice

    def present(self, row: int) -> tuple[str, Decision] | None:
        """Who decided last of an answer, and what: a person where one did, else the machine, else None."""
        decided = self.decisions.get(row)
        if not decided:
            return None
        return max(decided.items(), key=lambda item: (item[0] != MACHINE, item[1].version, item[0]))

    def coders(self) -> list[str]:
        """Everybody who has decided of an answer, the machine last."""
        return sorted({who for decided in self.decisions.values() for who in decided}, key=lambda w: (w == MACHINE, w))

    def path(self, theme: int) -> list[int]:
        """A theme's ancestors from the root down to itself."""
        path = [theme]
        while (parent := self.themes[path[0]].parent) is not None:
            path.insert(0, parent)
        return path

    def ordered(self) -> list[int]:
        """All themes, each followed by its children, by name."""
        by_path = {theme: [self.themes[t].name.casefold() for t in self.path(theme)] for theme in self.themes}
        return sorted(self.themes, key=lambda theme: (by_path[theme], theme))

    def find(self, name: str) -> int | None:
        """The theme of this name, whatever its case."""
        return next((i for i, theme in self.themes.items() if theme.name.casefold() == name.casefold()), None)


def fold(book: Codebook, events: Iterable[tuple[int, Mapping[str, Sequence[Value]]]]) -> Codebook:
    """Apply events in their order.

    Args:
        book: the codebook before them.
        events: version and changes of each.
    """
    themes, decisions = dict(book.themes), dict(book.decisions)
    version, next_theme = book.version, book.next_theme
    own: set[int] = set()  # rows whose dictionaries are this function's, not the caller's
    for version, changes in events:  # noqa: B007 - the last one counts
        for key, (_, after) in changes.items():
            kind, _, rest = key.partition(":")
            if kind == "theme":
                next_theme = max(next_theme, int(rest) + 1)
                if after is None:
                    themes.pop(int(rest), None)
                else:
                    themes[int(rest)] = Theme(**after)
                continue
            number, _, who = rest.partition(":")
            row = int(number)
            if row not in own:
                decisions[row] = dict(decisions.get(row, {}))
                own.add(row)
            if after is None:
                decisions[row].pop(who, None)  # type: ignore[attr-defined]
            else:
                decisions[row][who] = Decision(frozenset(after["themes"]), after["version"])  # type: ignore[index]
    for row in own:
        if not decisions[row]:
            del decisions[row]
    return Codebook(version, themes, decisions, next_theme)


def check(book: Codebook, changes: Changes) -> None:
    """Refuse changes that do not follow from this codebook.

    Raises:
        Conflict: a value before is not the present one, a theme that is referred to is gone, or a theme would lie below
            itself or bear another one's name.
    """
    themes = set(book.themes)
    for key, (before, after) in changes.items():
        if _value(book, key) != before:
            raise Conflict(f"{_spoken(book, key)} was changed meanwhile: look at it again, then repeat this")
        if key.startswith("theme:"):
            (themes.discard if after is None else themes.add)(int(key[6:]))
    for key, (_, after) in changes.items():
        if after is None:
            continue
        used = after["themes"] if key.startswith("code:") else [after["parent"]] if after["parent"] else []
        if not themes.issuperset(used):
            raise Conflict("a theme was merged or deleted meanwhile: look at the themes again, then repeat this")
    if gone := book.themes.keys() - themes:
        in_use = any(f"code:{row}:{who}" not in changes for row, who, _ in having(book, gone))
        if in_use or any(t.parent in gone and f"theme:{child}" not in changes for child, t in book.themes.items()):
            raise Conflict("a theme that this takes away is in use meanwhile: merge or delete it instead")
    changed = [int(key[6:]) for key, (_, after) in changes.items() if key.startswith("theme:") and after is not None]
    if changed:
        _check_tree(fold(book, [(book.version + 1, changes)]), changed)


def _check_tree(book: Codebook, changed: Sequence[int]) -> None:
    names = Counter(theme.name.casefold() for theme in book.themes.values())
    for theme in changed:
        name, above = book.themes[theme].name, book.themes[theme].parent
        if names[name.casefold()] > 1:
            raise Conflict(f"another theme is called {name!r} meanwhile: rename one of them, then repeat this")
        seen: set[int] = set()
        while above is not None and above not in seen:
            seen.add(above)
            above = book.themes[above].parent
        if theme in seen:
            raise Conflict(f"{name!r} would lie below itself: themes were moved meanwhile")


def inverse(changes: Mapping[str, Sequence[Value]]) -> Changes:
    """The changes that undo these."""
    return {key: (after, before) for key, (before, after) in changes.items()}


def code_matrix(
    book: Codebook, n_rows: int, themes: Sequence[int], who: str | None = None, with_machine: bool = False
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which themes each answer has, and of which answers there is a decision.

    An answer with a theme has that theme's ancestors too.

    Args:
        book: the codebook.
        n_rows: N, answers of the question.
        themes: T ids, the columns.
        who: whose decisions; None: each answer's present one.
        with_machine: whether the machine's counts where no person has decided.

    Returns:
        (N, T) and (N,).
    """
    codes = np.zeros((n_rows, len(themes)), dtype=np.bool_)
    decided = np.zeros(n_rows, dtype=np.bool_)
    column = {theme: j for j, theme in enumerate(themes)}
    columns = {theme: [column[t] for t in book.path(theme) if t in column] for theme in book.themes}
    cells: list[tuple[int, int]] = []  # to set in one step: one by one takes ten times as long
    for row, by in book.decisions.items():
        if who is None:
            found = book.present(row)
            decision = found[1] if found and (with_machine or found[0] != MACHINE) else None
        else:
            decision = by.get(who)
        if decision is None:
            continue
        decided[row] = True
        for theme in decision.themes:
            cells += [(row, j) for j in columns[theme]]
    if cells:
        codes[tuple(np.array(cells).T)] = True
    return codes, decided


def as_value(name: str, description: str, parent: int | None) -> dict[str, Any]:
    """A theme as changes hold it."""
    return {"name": name, "description": description, "parent": parent}


def theme_value(book: Codebook, theme: int) -> Value:
    """A theme of the book as changes hold it."""
    found = book.themes.get(theme)
    return None if found is None else as_value(found.name, found.description, found.parent)


def decision_value(decision: Decision | None) -> Value:
    """A decision as changes hold it."""
    return None if decision is None else {"themes": sorted(decision.themes), "version": decision.version}


def having(book: Codebook, themes: Collection[int]) -> list[tuple[int, str, Decision]]:
    """Row, who and what of all decisions that hold any of these themes."""
    return [
        (row, who, decision)
        for row, decided in book.decisions.items()
        for who, decision in decided.items()
        if not decision.themes.isdisjoint(themes)
    ]


def _value(book: Codebook, key: str) -> Value:
    kind, _, rest = key.partition(":")
    if kind == "theme":
        return theme_value(book, int(rest))
    row, _, who = rest.partition(":")
    return decision_value(book.decisions.get(int(row), {}).get(who))


def _spoken(book: Codebook, key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "theme":
        found = book.themes.get(int(rest))
        return f"the theme {found.name!r}" if found else "a theme"
    row, _, who = rest.partition(":")
    return f"answer {int(row) + 1} of {who}"
