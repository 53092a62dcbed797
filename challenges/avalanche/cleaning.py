"""Answers as people and programs mangle them: mended where that is safe, and told apart from what says nothing."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# A character that was lost on the way, within an English contraction: don?t, I?ll, it?s, y?all.
_LOST_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])\ufffd(?=(?:t|s|ll|ve|re|d|m|all)\b)", re.IGNORECASE)
_SAYS_NOTHING: Final = frozenset((
    "na", "none", "nil", "null", "nan", "noanswer", "nocomment", "nocomments", "notapplicable", "noresponse", "x",
    "xx", "xxx",
))  # fmt: skip
# With any apostrophes before it, so that what `safe_cell` puts there is told from what somebody wrote.
_RISKY: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def clean_answer(text: str) -> tuple[str, bool]:
    r"""One line without control characters; also tell whether characters broken on the way were mended.

    Texts that were decoded with the wrong encoding are read again with the right one (ftfy). A lost character in
    the place of an apostrophe becomes one.

    >>> clean_answer("I don\ufffdt  use it\n")
    ("I don't use it", True)
    >>> clean_answer("don\u00ef\u00bf\u00bdt, caf\u00c3\u00a9")
    ("don't, café", True)
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split()), False
    from ftfy import fix_encoding

    mended = _LOST_APOSTROPHE.sub("'", fix_encoding(text))
    was_broken = mended != text
    # Joiners within emoji and other marks of format (Cf) stay; lone surrogates, private and unassigned signs go.
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in mended)
    return " ".join(kept.split()), was_broken


def why_unusable(answer: str) -> str:
    """Why a cleaned answer has no content: 'blank', 'only signs', 'says nothing'; empty where it has some.

    >>> [why_unusable(text) for text in ("", "👍!!", "N/A", "none.", "Nothing to improve")]
    ['blank', 'only signs', 'says nothing', 'says nothing', '']
    """
    if not answer:
        return "blank"
    letters = "".join(c for c in answer.lower() if c.isalnum())
    if not letters:
        return "only signs"
    return "says nothing" if letters in _SAYS_NOTHING else ""


def safe_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe goes before what would make it one.

    >>> [safe_cell(text) for text in ("=1+1", "'=1", "1 = 1")]
    ["'=1+1", "''=1", '1 = 1']
    """
    return f"'{text}" if _RISKY.match(text) else text


def plain_cell(text: str) -> str:
    """The text that `safe_cell` was given.

    >>> [plain_cell(text) for text in ("'=1+1", "''=1", "'t is dear")]
    ['=1+1', "'=1", "'t is dear"]
    """
    return text[1:] if text.startswith("'") and _RISKY.match(text) else text


def plain_markdown(text: str) -> str:
    r"""A text of somebody else's for a page of Markdown: no mark-up of it works, neither Markdown's nor HTML's.

    >>> plain_markdown("<b>*x*</b>")
    '\\<b\\>\\*x\\*\\</b\\>'
    """
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~$&^=-])", r"\\\1", " ".join(text.split()))
