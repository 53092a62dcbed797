"""Names without a labelled example: labelling functions on colours and where they are, combined by a label model.

Each function votes for one name or abstains. How far a function can be trusted is learned from how the functions
agree (A. Ratner et al., 'Data Programming', 2016), starting from what anyone who knows the Smurfs would say.

Colours are read in CIELAB: its hue angle is the same for the flat inks of the comics and the duller, tinted paint of
the television frames, where RGB and HSV differ; what counts as white is relative to the brightest part of the figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.geometry import mask_box

PAPA, SMURF, SMURFETTE, VANITY = range(4)  # as in NAMES

SIDE: Final = 128  # pixels: the longer side of every figure when it is looked at
CONFIDENT: Final = 0.9  # posterior from which a weak label is used for training
SHARES: Final = (0.10, 0.76, 0.10, 0.04)  # of NAMES, about: a handful of pages of any album
BELIEVED: Final = (0.8, 0.03)  # how often a function votes on figures of its own name, and on others
WEIGHT_OF_BELIEF: Final = 25  # as if it had been seen on so many figures of each name

N_ITERATIONS: Final = 20  # of expectation and maximisation; it settles after a few


@dataclass(frozen=True)
class Evidence:
    """What is measured on a figure; shares of its pixels unless said otherwise."""

    red_hat: float  # red among the red, white and yellow in the upper third
    red_trousers: float  # the same in the lower third
    beard: float  # white that has red above it, in the middle
    white_hat: float  # white in the upper third
    yellow_hat: float  # yellow in the uppermost seventh
    hair: float  # the largest yellow patch
    hair_under_hat: float  # yellow that has white above it
    flower: float  # 0 to 1: a small reddish patch in the upper half, surrounded by white
    blue: float
    white: float
    red: float


def measure(crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Evidence:
    """Measure one figure.

    Args:
        crop: RGB (H, W, 3) around it.
        mask: (H, W) its pixels.
    """
    crop, mask = scale_figure(crop, mask)
    inside = mask if mask.sum() < 64 else cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside = inside if inside.any() else mask
    colours = _name_colours(crop, inside)
    white, red, yellow = (colours[name] & inside for name in ("white", "red", "yellow"))
    n = max(1, int(inside.sum()))
    # Rows by the share of the figure above them, so that a third of the figure is a third whatever its shape.
    above = (np.cumsum(inside.sum(axis=1)) / n)[:, None]  # (H, 1)
    upper, lower = inside & (above < 0.35), inside & (above > 0.7)
    clothes = red | white | yellow
    under_red, under_white = (np.maximum.accumulate(colour, axis=0) for colour in (red, white))
    return Evidence(
        red_hat=_share(red & upper, clothes & upper),
        red_trousers=_share(red & lower, clothes & lower),
        beard=float((white & under_red & (above > 0.2) & (above < 0.75)).sum() / n),
        white_hat=_share(white & upper, upper),
        yellow_hat=_share(yellow & (above < 0.15), inside & (above < 0.15)),
        hair=_largest_patch(yellow) / n,
        hair_under_hat=float((yellow & under_white).sum() / n),
        flower=_find_flower(colours, mask, above, n),
        blue=float((colours["blue"] & inside).sum() / n),
        white=float(white.sum() / n),
        red=float(red.sum() / n),
    )


def scale_figure(crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut to the mask with a margin, and scale so that the mask's longer side is SIDE."""
    x0, y0, x1, y1 = (int(v) for v in mask_box(mask))
    margin = max(1, max(x1 - x0, y1 - y0) // 16)
    window = slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)
    crop, mask = crop[window], mask[window]
    scale = SIDE / max(1, x1 - x0, y1 - y0)
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8)
    return crop, cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_LINEAR) > 127


def _name_colours(crop: NDArray[np.uint8], inside: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """(H, W) where the picture is of each colour; hue is the angle in CIELAB's plane of a* and b*, in degrees."""
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, chroma = lab[:, :, 0], np.hypot(lab[:, :, 1], lab[:, :, 2])
    hue = np.degrees(np.arctan2(lab[:, :, 2], lab[:, :, 1]))  # red 40, yellow 90, green 140, blue -90
    brightest = float(np.percentile(lightness[inside], 97)) if inside.any() else 100.0
    return {
        "white": (chroma < 22) & (lightness > 0.68 * brightest),
        "red": (chroma > 38) & (hue > 8) & (hue < 52),
        "yellow": (chroma > 32) & (hue > 62) & (hue < 108),
        "blue": (chroma > 18) & (hue > -150) & (hue < -45),
        "pink": (chroma > 14) & (hue > -45) & (hue < 50) & (lightness > 0.45 * brightest),
    }


def _find_flower(
    colours: dict[str, NDArray[np.bool_]], mask: NDArray[np.bool_], above: NDArray[np.float64], n: int
) -> float:
    """How much the most flower-like patch looks like one.

    That is its size, of which a twentieth of the figure is enough, times the share of white around it.
    """
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) > 0
    patches = ((colours["pink"] | colours["red"]) & grown).astype(np.uint8)
    closed = cv2.morphologyEx(patches, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, numbers, stats, centres = cv2.connectedComponentsWithStats(closed)
    best = 0.0
    for k in range(1, count):
        size = stats[k, cv2.CC_STAT_AREA] / n
        if not 0.003 < size < 0.2 or above[min(int(centres[k][1]), len(above) - 1), 0] > 0.6:
            continue
        patch = cv2.morphologyEx((numbers == k).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        # one pixel of ink lies between petals and hat
        ring = (cv2.dilate(patch, np.ones((9, 9))) > 0) & (cv2.dilate(patch, np.ones((3, 3))) == 0)
        best = max(best, min(1.0, float(size) / 0.05) * _share(colours["white"] & mask & ring, ring))
    return float(best)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / max(1, int(whole.sum())))


def _largest_patch(pixels: NDArray[np.bool_]) -> int:
    closed = cv2.morphologyEx(pixels.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    stats = cv2.connectedComponentsWithStats(closed)[2]
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


@dataclass(frozen=True)
class LabellingFunction:
    """Votes for a name where its rule holds, and abstains elsewhere."""

    name: str
    label: int  # index into NAMES
    rule: Callable[[Evidence], bool]


LABELLING_FUNCTIONS: Final = (
    LabellingFunction("red hat", PAPA, lambda e: e.red_hat > 0.5),
    LabellingFunction("white beard under red", PAPA, lambda e: e.beard > 0.06),
    LabellingFunction("red trousers", PAPA, lambda e: e.red_trousers > 0.5),
    LabellingFunction("yellow hair", SMURFETTE, lambda e: e.hair > 0.08 and e.yellow_hat < 0.6),
    LabellingFunction("yellow under a white hat", SMURFETTE, lambda e: e.hair_under_hat > 0.12 and e.white_hat > 0.25),
    LabellingFunction("flower on a white hat", VANITY, lambda e: e.flower > 0.3 and e.white_hat > 0.3),
    LabellingFunction(
        "white hat, nothing on it", SMURF, lambda e: e.white_hat > 0.4 and e.flower < 0.2 and e.hair < 0.06
    ),
    LabellingFunction("only blue and white", SMURF, lambda e: e.red < 0.03 and e.hair < 0.03 and e.flower < 0.05),
    LabellingFunction("a hat neither white nor red", SMURF, lambda e: e.yellow_hat > 0.6 and e.white_hat < 0.3),
)


def vote(evidence: list[Evidence]) -> NDArray[np.bool_]:
    """(N, J): which of the functions vote for each figure."""
    votes = [[function.rule(e) for function in LABELLING_FUNCTIONS] for e in evidence]
    return np.array(votes, dtype=bool).reshape(-1, len(LABELLING_FUNCTIONS))


class LabelModel:
    """Names behind the votes: given its name, a figure gets each function's vote independently of the others.

    Fitted by expectation maximisation. What is believed beforehand about each function enters as that many figures
    seen already, so that a name without any figure keeps its meaning. The shares of the names are given, not learned.

    Attributes:
        rates_: (J, 4) how often each function votes on figures of each name.
    """

    rates_: NDArray[np.float64]

    def fit(self, votes: NDArray[np.bool_]) -> LabelModel:
        """Learn the rates from (N, J) votes; N may be 0."""
        labels = np.array([function.label for function in LABELLING_FUNCTIONS])
        own = labels[:, None] == np.arange(len(NAMES))  # (J, 4)
        believed = np.where(own, *BELIEVED)
        self.rates_ = believed
        for _ in range(N_ITERATIONS):
            posterior = self.predict_proba(votes).astype(np.float64)  # (N, 4)
            seen = votes.astype(np.float64).T @ posterior  # (J, 4)
            self.rates_ = (seen + WEIGHT_OF_BELIEF * believed) / (posterior.sum(axis=0) + WEIGHT_OF_BELIEF)
        return self

    @classmethod
    def of_rates(cls, rates: NDArray[np.floating]) -> LabelModel:
        """One that was fitted before, from its rates_."""
        model = cls()
        model.rates_ = np.asarray(rates, np.float64)
        return model

    def predict_proba(self, votes: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(N, J) votes -> (N, 4) posterior; of figures that nobody votes for only the shares are known.

        Elsewhere abstaining is evidence too: a red hat without a vote for red trousers is less of a Papa.
        """
        log_rates, log_rest = np.log(self.rates_), np.log1p(-self.rates_)
        scores = np.log(SHARES) + votes @ log_rates + ~votes @ log_rest  # (N, 4)
        scores[~votes.any(axis=1)] = np.log(SHARES)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class WeakLabels:
    """What the functions say together of N figures."""

    votes: NDArray[np.bool_]  # (N, J)
    probabilities: NDArray[np.float32]  # (N, 4) in the order of NAMES
    model: LabelModel  # that was fitted to them

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) the likeliest name, or -1 where nobody votes or the posterior is below CONFIDENT."""
        sure = self.votes.any(axis=1) & (self.probabilities.max(axis=1) >= CONFIDENT)
        return np.where(sure, self.probabilities.argmax(axis=1), -1)


def weak_labels(evidence: list[Evidence]) -> WeakLabels:
    """Label figures by all functions, trusted as far as they agree on these figures."""
    votes = vote(evidence)
    model = LabelModel().fit(votes)
    return WeakLabels(votes, model.predict_proba(votes), model)
