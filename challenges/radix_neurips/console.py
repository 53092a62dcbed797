"""Papers and reasons as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from challenges.radix_neurips.search import Found, Similar

if TYPE_CHECKING:
    from rich.text import Text


def print_similar(similar: Similar) -> None:
    """Print the papers found to stdout, each with its reason."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    for asked in similar.queried:
        console.print(Text.assemble("like ", (asked.title or asked.paper_id, "italic")))
    if not similar.found:
        console.print("no paper is left")
    for position, paper in enumerate(similar.found, 1):
        title = paper.title or "(no title)"
        console.print(Text.assemble("\n", f"{position:>3}. ", (title, "bold"), f" ({paper.year or 'no year'})"))
        for line in _reason(paper):
            console.print(Padding(line, (0, 0, 0, 5)))


def _reason(paper: Found) -> Iterator[Text]:
    """The lines under a title. Text objects throughout: nothing in a paper is taken for markup."""
    from rich.text import Text

    facts = [f"{paper.score:.3f}", paper.paper_id, *(["the very same abstract"] if paper.same_abstract else [])]
    yield Text("  ".join(facts), style="dim")
    if paper.shared_phrases:
        yield Text.assemble("shares ", (", ".join(paper.shared_phrases), "cyan"))
    if paper.sentence:
        sentence = Text(paper.sentence)
        for start, stop in paper.highlights:
            sentence.stylize("bold cyan", start, stop)
        yield sentence
    for other in paper.near_duplicates:
        yield Text(f"nearly the same: {other.title or other.paper_id} ({other.year or 'no year'})", style="dim")
