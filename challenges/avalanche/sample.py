"""The embedded default: a made-up survey about a hiking app, in the official layout, deterministic by seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from common.data.tables import replace_atomically

IMPROVE: Final = "What should we improve about our hiking app?"
LIKE: Final = "What do you like most about our hiking app?"
PLANS: Final = ("free", "monthly", "yearly")
AREAS: Final = ("Alps", "Pyrenees", "Scandinavia", "Scotland")

# Of each theme: how often it is drawn, and how people put it. {place} and {thing} are filled in.
_IMPROVE: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "Battery drain": (14, (
        "it eats my battery", "the battery is empty after {hours} hours", "drains the phone far too quickly",
        "uses way too much battery while tracking", "battery life, I need a power bank on every trip",
        "my phone died because of the app", "power consumption", "please make it less hungry for battery",
        "recording a track kills the battery", "it should use less power",
    )),
    "Offline maps": (16, (
        "let me download maps for offline use", "no maps when there is no signal", "offline maps do not load",
        "maps without reception please", "I need the map in {place} where there is no network",
        "downloading a region takes forever", "downloaded maps vanish after an update",
        "allow larger offline areas", "make maps work without internet", "offline mode is unreliable",
    )),
    "GPS accuracy": (11, (
        "the gps jumps all over the place", "my position is off by {hours}0 metres",
        "location is inaccurate in the forest",
        "it loses the satellite signal in valleys", "distance measured is wrong", "the elevation gain is nonsense",
        "tracks are not precise", "it shows me beside the trail when I am on it", "improve the positioning",
    )),
    "Price": (13, (
        "too expensive", "the {plan} subscription costs too much", "lower the price",
        "it should be cheaper for families",
        "not worth the money", "the price went up again", "pay for features that used to be free",
        "a one-time payment instead of a subscription", "fees are too high for the few times I hike",
    )),
    "Outdated trails": (9, (
        "trails are out of date", "the path in {place} no longer exists", "closed trails are still shown",
        "update trail conditions more often", "a bridge on the route was gone", "wrong information about huts",
        "the trail was blocked and the app did not know", "old route descriptions",
    )),
    "Smartwatch support": (6, (
        "support my watch", "sync with my smartwatch fails", "a version for the wrist please",
        "it does not connect to my watch", "show the route on the watch", "heart rate from the watch is missing",
    )),
    "Confusing menus": (8, (
        "the menus are confusing", "too many buttons", "I can never find the settings", "simplify the interface",
        "the new design is hard to use", "the screen is cluttered", "make navigation through the app easier",
        "everything is hidden in submenus",
    )),
    "Crashes": (8, (
        "it crashes all the time", "the app freezes when I save a tour", "fix the bugs", "it closes by itself",
        "lost my recording after a crash", "hangs on start", "keeps crashing since the last update",
    )),
    "Weather warnings": (4, (
        "warn me of thunderstorms", "add a weather forecast for the route", "weather alerts would be good",
        "show the forecast for the summit", "I was surprised by rain, tell me before",
    )),
    "Dogs": (2, (
        "tell me where dogs are allowed", "mark trails where I can bring my dog", "dog friendly routes",
    )),
}  # fmt: skip
_LIKE: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "Beautiful maps": (10, (
        "the maps are beautiful", "clear and detailed maps", "best map of {place} I know", "I love the map style",
        "the contour lines are easy to read",
    )),
    "Finding new routes": (12, (
        "I discover new routes", "suggestions for hikes nearby", "always find a tour I did not know",
        "so many trails in {place}", "ideas for the weekend",
    )),
    "Community": (7, (
        "photos and comments of other hikers", "the community is friendly", "reviews by other people",
        "sharing tours with friends", "meeting people who walk",
    )),
    "Easy to use": (9, (
        "simple to use", "it is easy", "works right away", "intuitive", "even my grandmother understands it",
    )),
    "Statistics": (5, (
        "seeing how far I walked", "the statistics of the year", "my altitude chart", "counting summits motivates me",
    )),
    "Safety": (3, (
        "my family sees where I am", "the emergency button", "I feel safe when I walk alone",
    )),
}  # fmt: skip
_OTHER_LANGUAGES: Final = (
    ("la batería se agota muy rápido", "Battery drain"),
    ("Karten ohne Internet wären gut", "Offline maps"),
    ("trop cher pour ce que c'est", "Price"),
    ("die App stürzt dauernd ab", "Crashes"),
    ("el gps no es preciso en el bosque", "GPS accuracy"),
)
_UNCODED: Final = ("you know what you did", "my cousin works for you", "hello from {place}", "purple")
_UNUSABLE: Final = ("", "n/a", "none", "👍👍", "-", "N/A.")
_PLACES: Final = ("the Dolomites", "Zermatt", "the Highlands", "Lofoten", "Aneto", "the Vosges")
_JOINTS: Final = (" and ", ". Also ", ", ", " and also ", "; ", " but mostly ")
_ENDINGS: Final = ("", "", "", ".", ".", "!", "!!", " 😡", " 🥾", " please", " thanks")
_OPENINGS: Final = ("", "", "", "", "honestly, ", "I think ", "for me: ", "well, ")


def write_sample(out: Path, n_respondents: int = 320, seed: int = 0) -> Path:
    """Write `hiking_app.csv`, the same for one seed, and return its path.

    Columns question, respondent_id, response, theme as in the official layout, and two segments, plan and area. An
    answer has one row for each of its one to three themes; uncoded ones have the theme 'null'. Some answers are
    misspelled, in other languages, with emoji, very long, blank or say nothing, and one respondent answers twice.

    Args:
        out: folder to write into.
        n_respondents: each answers the first question; two of three also the second.
        seed: of everything.

    Raises:
        UserError: the folder cannot be written.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    for number in range(n_respondents):
        segments = (str(rng.choice(PLANS, p=[0.5, 0.3, 0.2])), str(rng.choice(AREAS)))
        respondent = str(40_000 + 7 * number)
        asked = [(IMPROVE, _IMPROVE)] + ([(LIKE, _LIKE)] if rng.random() < 2 / 3 else [])
        for question, grammar in asked:
            text, themes = _answer(rng, grammar, segments[0])
            rows += [(question, respondent, text, theme, *segments) for theme in themes or ["null"]]
    rows.append((IMPROVE, rows[0][1], "one more thing: the app is too expensive", "Price", *rows[0][4:]))
    rows.append(rows[1])  # stands twice
    path = Path(out) / "hiking_app.csv"
    with replace_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("question", "respondent_id", "response", "theme", "plan", "area"))
        writer.writerows(rows)
    return path


def _answer(
    rng: np.random.Generator, grammar: dict[str, tuple[int, tuple[str, ...]]], plan: str
) -> tuple[str, list[str]]:
    """A text and its themes; who pays talks of the price more often."""
    kind = rng.random()
    if kind < 0.04:
        return str(rng.choice(_UNUSABLE)), []
    if kind < 0.07:
        return _fill(rng, str(rng.choice(_UNCODED)), plan), []
    if kind < 0.10 and grammar is _IMPROVE:
        text, theme = _OTHER_LANGUAGES[int(rng.integers(len(_OTHER_LANGUAGES)))]
        return text, [theme]
    weights = np.array(
        [weight * (2 if theme == "Price" and plan != "free" else 1) for theme, (weight, _) in grammar.items()]
    )
    n_themes = int(rng.choice([1, 2, 3], p=[0.8, 0.17, 0.03]))
    themes = [str(t) for t in rng.choice(list(grammar), n_themes, replace=False, p=weights / weights.sum())]
    clauses = [_fill(rng, str(rng.choice(grammar[theme][1])), plan) for theme in themes]
    text = clauses[0] + "".join(str(rng.choice(_JOINTS)) + clause for clause in clauses[1:])
    text = str(rng.choice(_OPENINGS)) + text + str(rng.choice(_ENDINGS))
    if rng.random() < 0.15:
        text = _misspell(rng, text)
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.01:
        text = "I have walked with it for years, from spring to autumn, in every weather. " * 30 + text
    return text, themes


def _fill(rng: np.random.Generator, phrase: str, plan: str) -> str:
    return phrase.format(place=rng.choice(_PLACES), hours=rng.integers(2, 6), plan=plan)


def _misspell(rng: np.random.Generator, text: str) -> str:
    """Swap, lose or double one letter within a word."""
    places = [i for i in range(1, len(text) - 2) if text[i - 1 : i + 2].isalpha()]
    if not places:
        return text
    i = int(rng.choice(places))
    return str(
        rng.choice(
            [text[:i] + text[i + 1] + text[i] + text[i + 2 :], text[:i] + text[i + 1 :], text[:i] + text[i] + text[i:]]
        )
    )
