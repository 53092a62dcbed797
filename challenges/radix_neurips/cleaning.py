"""Titles and abstracts as they come out of PDFs and forms -> plain text. Every repair is a rule with a count."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

Vocabulary = Mapping[str, int]
"""In how many papers a word stands, in lower case."""

MAX_CHARACTERS: Final = 20_000  # of an abstract; the longest of 20,196 real ones has 3,000
_MOST_PASSES: Final = 20  # over one text; real ones are clean after three, "abstract:abstract:..." after thousands
KNOWN: Final = 3  # papers that have a word which is no slip
_COMMON: Final = 20  # papers that have a word which a glued one may be split into

_LIGATURES: Final = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
)
_HAS_LIGATURE: Final = re.compile("[\ufb00-\ufb06]")
_SOFT_HYPHEN: Final = re.compile(r"(?:\(cid:173\)|\u00ad)\s*")
_CID: Final = re.compile(r"\(cid:\d+\)")
_URL: Final = re.compile(r"(?:https?://|www\.)[^\s)\]}>\"]*[^\s)\]}>\".,;:!?]")
_HEADING: Final = re.compile(r"^\s*abstract\s*(?:[:.\u2013\u2014-]+\s*|\s(?=[A-Z]))", re.IGNORECASE)
_CODE_SENTENCE: Final = re.compile(
    r"(?:^|(?<=[.!?]))\s*(?:[A-Z](?:[\w,'\u2019-]+\s+){0,8})?(?:code|implementation|project page|website)s?\b"
    r"[^.!?]{0,60}\b(?:available|released|can be found|open-?sourced)\b[^.!?]{0,60}[.!?]?\s*$",
    re.IGNORECASE,
)
_BROKEN: Final = re.compile(r"\b([^\W\d_]{2,})- ([^\W\d_]{2,})\b")
_WORD: Final = re.compile(r"([^\W\d_]{2,})")
_GLUED_LENGTHS: Final = range(8, 61)  # the longest that falls into two words has 25
_SPACES: Final = re.compile(r"\s+")

# As Crossref and PubMed write them; by name, for 'a<b and c>d' is no tag.
_TAG: Final = re.compile(
    r"</?(?:jats:)?(?:(p|br|div|sec|title)|b|i|u|em|strong|bold|italic|sub|sup|sc|span)(?:\s+[\w:-]+=[^<>]{0,200})?\s*/?>",
    re.IGNORECASE,
)
_ENTITY: Final = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)

_LATEX: Final = re.compile(r"\\[a-zA-Z@]+|\$[^$]+\$|\\.?|[{}~]|\$(?!\d)")
_LATEX_DROPPED: Final = re.compile(
    r"\\(?:cite[tp]?|ref|eqref|label|footnote|footnotemark|vspace|hspace|url|href)\*?\s*(?:\[[^\]]*\])?\{[^{}]*\}"
)
_LATEX_ACCENT: Final = re.compile(r"\\([\"'`^~=.]|[cvuHkr](?=\{))\s*\{?([a-zA-Z])\}?")
_COMBINING: Final = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a",
}  # fmt: skip
_LATEX_STYLE: Final = re.compile(
    r"\\(?:text(?:bf|it|tt|sc|rm|sf|normal)?|emph|math(?:bf|bb|cal|rm|frak|sf|scr|it|tt)|bm|boldsymbol|operatorname\*?|"
    r"left|right|big+[lr]?|displaystyle|limits|it|bf|em|tt|rm|sc|sf|cal|small|large|mbox|overline|underline|widehat|"
    r"widetilde|hat|tilde|bar|vec|ensuremath|noindent|par|begin|end|item)(?![a-zA-Z])\*?\s*"
)
_LATEX_COMMAND: Final = re.compile(r"\\([a-zA-Z]+)\*?")
_LATEX_SIGN: Final = re.compile(r"\\([%&$#_{}])")
_LATEX_SYMBOL: Final = re.compile(r"\\.?|[{}]|\$(?!\d[^$]*$)")  # a last dollar before a number is money


def clean_text(text: str, vocabulary: Vocabulary | None = None) -> tuple[str, Counter[str]]:
    r"""Return the text without its flaws, on one line, and how often each kind of flaw was mended.

    Cleaning a clean text changes nothing. Words are joined or parted only where the vocabulary says what is right.

    Args:
        text: anything.
        vocabulary: of the corpus, as `count_words` has it; None leaves broken and glued words as they are.

    >>> clean_text("An e\ufb03cient applica(cid:173) tion of $\\ell_1$-norm \\emph{kernels}.")[0]
    'An efficient application of ell_1-norm kernels.'
    >>> clean_text("sen- sorineural; pre- and post-training", {"sensorineural": 9, "and": 9})[0]
    'sensorineural; pre- and post-training'
    """
    flaws: Counter[str] = Counter()
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS]
        flaws["cut"] = 1
    # What one rule mends may uncover work for another ('\\(cid:9)alpha'): once more, until nothing is found.
    for _ in range(_MOST_PASSES):
        mended = flaws.total()
        for rule in (_without_markup, _plain_characters, _without_hyphens, _without_latex, _without_boilerplate):
            text = rule(text, flaws)
        if vocabulary is not None:
            text = _mend_words(text, vocabulary, flaws)
        text = _SPACES.sub(" ", text).strip()
        if flaws.total() == mended:
            break
    return text, flaws


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Return in how many of the texts each word stands, by which `clean_text` mends words."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(_WORD.findall(_SOFT_HYPHEN.sub("", text).lower())))
    return counts


def _replace(
    pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str], text: str, flaws: Counter[str], flaw: str
) -> str:
    text, n = pattern.subn(by, text)
    if n:
        flaws[flaw] += n
    return text


def _plain_characters(text: str, flaws: Counter[str]) -> str:
    text = _SPACES.sub(" ", text)
    text = _replace(_HAS_LIGATURE, lambda m: m[0].translate(_LIGATURES), text, flaws, "ligature")
    if not text.isprintable():  # control and format characters, surrogates, private and unassigned code points
        kept = [c for c in text if c.isprintable() or c == "\u00ad"]
        flaws["control_character"] += len(text) - len(kept)
        text = "".join(kept)
    return unicodedata.normalize("NFC", text)


def _without_markup(text: str, flaws: Counter[str]) -> str:
    text = _replace(_TAG, lambda m: " " if m[1] else "", text, flaws, "markup")
    return _replace(_ENTITY, lambda m: html.unescape(m[0].lower()), text, flaws, "markup")


def _without_hyphens(text: str, flaws: Counter[str]) -> str:
    """Hyphens at the end of a line that no reader was to see, and glyphs that the PDF has no letter for."""
    text = _replace(_SOFT_HYPHEN, "", text, flaws, "soft_hyphen")
    return _replace(_CID, " ", text, flaws, "unknown_glyph")


def _without_latex(text: str, flaws: Counter[str]) -> str:
    """Commands and braces go, what they hold stays."""
    n = len(_LATEX.findall(text))
    if not n:
        return text
    flaws["latex"] += n
    text = _LATEX_DROPPED.sub(" ", text)
    text = _LATEX_ACCENT.sub(lambda m: unicodedata.normalize("NFC", m[2] + _COMBINING[m[1]]), text)
    text = _LATEX_STYLE.sub("", text)
    text = _LATEX_COMMAND.sub(lambda m: f" {m[1]}" if text[m.start() - 1 : m.start()].isalnum() else m[1], text)
    text = _LATEX_SIGN.sub(lambda m: m[1] if m[1] in "%&#_" else " ", text)
    return _LATEX_SYMBOL.sub("", text).replace("~", " ")


def _without_boilerplate(text: str, flaws: Counter[str]) -> str:
    text = _replace(_HEADING, "", text, flaws, "boilerplate")
    text = _replace(_URL, "", text, flaws, "url")
    return _replace(_CODE_SENTENCE, "", text, flaws, "boilerplate")


def _mend_words(text: str, vocabulary: Vocabulary, flaws: Counter[str]) -> str:
    """Join and part words where the vocabulary knows the result and does not know what stands there."""

    def known(word: str, papers: int = KNOWN) -> bool:
        return vocabulary.get(word.lower(), 0) >= papers

    def rejoin(match: re.Match[str]) -> str:
        if not known(match[1] + match[2]):
            return match[0]
        flaws["broken_word"] += 1
        return match[1] + match[2]

    pieces = _WORD.split(_BROKEN.sub(rejoin, text))  # what is between words, a word, what is between, ...
    for i in range(1, len(pieces), 2):
        word = pieces[i]
        if not word or known(word) or pieces[i - 1][-1:].isalnum() or pieces[i + 1][:1].isalnum():
            continue
        after = pieces[i + 2] if pieces[i + 1] == " " and i + 2 < len(pieces) else ""
        before = pieces[i - 2] if pieces[i - 1] == " " and i > 1 else ""
        if after and known(word + after):
            pieces[i : i + 3] = [word + after, "", ""]
            flaws["broken_word"] += 1
        elif before and known(before + word):
            pieces[i - 2 : i + 1] = [before + word, "", ""]
            flaws["broken_word"] += 1
        elif cut := _safe_cut(word, known):
            pieces[i] = f"{word[:cut]} {word[cut:]}"
            flaws["glued_words"] += 1
    return "".join(pieces)


def _safe_cut(word: str, known: Callable[[str, int], bool]) -> int:
    """Where an unknown word falls into two common ones; 0 where in no way or in more than one."""
    if len(word) not in _GLUED_LENGTHS or not word.islower():
        return 0
    cuts = [i for i in range(3, len(word) - 2) if known(word[:i], _COMMON) and known(word[i:], _COMMON)]
    return cuts[0] if len(cuts) == 1 else 0
