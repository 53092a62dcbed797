"""Cuts: the measures of a garment of each category, drawn at random.

Lengths are in units of the chest's width; x runs from the middle to the right, y runs down from the point
where neck and shoulder meet.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from challenges.vinted.rendering.arrays import Rng


@dataclass(frozen=True)
class Cut:
    """Measures of a garment, in chest widths; half widths where no other is meant."""

    neck: str  # 'round', 'v', 'square', 'cami' (on thin straps) or 'off' (the shoulders are bare)
    neck_width: float
    neck_depth: float
    shoulder: float  # x of the shoulder's end
    slope: float  # y of the shoulder's end
    armhole: float  # y of the armpit
    waist: float  # the full width
    waist_y: float
    hem: float
    length: float  # y of the hem at the side
    hem_drop: float  # how much lower the hem is in the middle
    sleeve: float  # length; 0 for none
    sleeve_angle: float  # radians from straight down
    cuff: float
    puff: float  # how much wider the sleeve is half way
    skirt_y: float  # where a skirt is sewn on; 0 for none
    details: frozenset[str]


def _pick(rng: Rng, **weights: float) -> str:
    names, p = list(weights), np.array(list(weights.values()))
    return str(rng.choice(names, p=p / p.sum()))


def _sometimes(rng: Rng, **chances: float) -> frozenset[str]:
    return frozenset(name.replace("_", " ") for name, chance in chances.items() if rng.random() < chance)


def _sleeve(rng: Rng, kind: str) -> dict[str, float]:
    shortest, longest, a, b, narrow, wide = {
        "none": (0.0, 0.0, 0.3, 0.3, 0.1, 0.1), "cap": (0.12, 0.2, 0.9, 1.3, 0.13, 0.17),
        "short": (0.32, 0.5, 0.35, 0.95, 0.14, 0.21), "half": (0.55, 0.8, 0.2, 0.7, 0.1, 0.17),
        "long": (0.95, 1.25, 0.08, 0.5, 0.08, 0.12),
    }[kind]  # fmt: skip
    return {
        "sleeve": rng.uniform(shortest, longest),
        "sleeve_angle": rng.uniform(a, b),
        "cuff": rng.uniform(narrow, wide),
    }


def _usual(rng: Rng) -> dict[str, Any]:
    """Measures of a top with a round neck; the categories replace what they have otherwise."""
    u = rng.uniform
    return {
        "neck": "round", "neck_width": u(0.16, 0.26), "neck_depth": u(0.1, 0.26), "shoulder": u(0.38, 0.47),
        "slope": u(0.04, 0.1), "armhole": u(0.38, 0.46), "waist": u(0.86, 1.0), "waist_y": u(0.65, 0.85),
        "hem": u(0.45, 0.56), "length": u(1.1, 1.5), "hem_drop": u(-0.02, 0.05), "puff": 0.0, "skirt_y": 0.0,
    }  # fmt: skip


def _tank_top(rng: Rng) -> Cut:
    u, m = rng.uniform, _usual(rng)
    m["neck"] = _pick(rng, round=0.66, v=0.22, square=0.12)
    style = _pick(rng, tank=0.42, cami=0.18, muscle=0.3, halter=0.1)
    if style == "tank":
        m.update(neck_width=u(0.18, 0.27), neck_depth=u(0.2, 0.42), armhole=u(0.42, 0.56))
        m["shoulder"] = m["neck_width"] + u(0.05, 0.13)
        m["slope"] = u(0.01, 0.04)
    elif style == "cami":
        m.update(neck="cami", neck_depth=u(0.2, 0.32), armhole=u(0.32, 0.42), waist=u(0.85, 1.05), hem=u(0.46, 0.66))
    elif style == "muscle":
        m.update(neck_depth=u(0.1, 0.28), shoulder=u(0.38, 0.5))
    else:
        m.update(neck="round", neck_width=0.13, neck_depth=u(0.03, 0.09), shoulder=u(0.17, 0.22))
        m.update(slope=0.02, armhole=u(0.42, 0.5))
    details = _sometimes(rng, trim=0.3, flutter=0.08 * (style == "muscle"), frill=0.06, hem_frill=0.04)
    return Cut(**m | _sleeve(rng, "none") | {"length": u(1.1, 1.65), "details": details})


def _shirt(rng: Rng) -> Cut:
    u, m = rng.uniform, _usual(rng)
    m.update(neck_width=u(0.14, 0.18), neck_depth=u(0.1, 0.18), shoulder=u(0.42, 0.5), hem_drop=u(0.0, 0.11))
    m["length"] = u(0.95, 1.15) if rng.random() < 0.14 else u(1.25, 1.65)
    kind = _pick(rng, long=0.58, short=0.37, none=0.05)
    extra = _sometimes(rng, open=0.3, pocket=0.35, trim=0.06, stand=0.06, cuffs=kind == "long")
    extra |= {"pocket2"} if "pocket" in extra and rng.random() < 0.4 else set()
    return Cut(**m | _sleeve(rng, kind) | {"details": extra | {"collar", "placket"}})


def _blouse(rng: Rng) -> Cut:
    u, m = rng.uniform, _usual(rng)
    style = _pick(rng, bow=0.2, frill=0.2, wrap=0.14, off=0.12, plain=0.2, peter=0.07, jabot=0.07)
    kind = _pick(rng, none=0.1, cap=0.1, short=0.18, half=0.3, long=0.32)
    m.update(hem=u(0.47, 0.66), length=u(1.15, 1.6), hem_drop=u(-0.1, 0.12), puff=max(0.0, u(-0.04, 0.09)))
    m.update(shoulder=u(0.36, 0.46), neck=_pick(rng, round=0.6, v=0.3, square=0.1))
    extra = {style} | _sometimes(rng, tucks=0.15, keyhole=0.12, bell=0.2, hem_frill=0.1, cuffs=0.3)
    if style == "off":
        m.update(neck="off", neck_depth=u(0.1, 0.2), shoulder=u(0.46, 0.52), slope=0.02)
        m.update(armhole=u(0.3, 0.4), length=u(0.95, 1.3))
        kind = "short" if kind == "none" else kind
        extra |= _sometimes(rng, frill=0.6, straps=0.3)
    elif style in ("bow", "peter", "jabot"):
        m.update(neck="v" if style == "bow" else "round", neck_depth=u(0.08, 0.22), neck_width=u(0.14, 0.19))
        extra |= {"collar"} if style == "peter" else set()
    elif style == "wrap":
        m.update(neck="v", neck_depth=u(0.35, 0.55))
    elif style == "plain":
        m["neck_width"] = u(0.2, 0.3)
        extra |= {"belt"} if rng.random() < 0.25 else {"tucks"}
    if rng.random() < 0.2:  # peplum
        m.update(skirt_y=u(0.68, 0.82), waist=u(0.74, 0.86), hem=u(0.5, 0.64), length=u(1.15, 1.45))
    return Cut(**m | _sleeve(rng, kind) | {"details": frozenset(extra)})


def _dress(rng: Rng, *, short: bool) -> Cut:
    """A dress; the length follows from the ratio of height to width that tells mini from longer ones."""
    u, m = rng.uniform, _usual(rng)
    kind = _pick(rng, none=0.46, cap=0.14, short=0.15, half=0.12, long=0.13)
    neck = _pick(rng, round=0.55, v=0.18, square=0.1, cami=0.12, off=0.05)
    m.update(neck=neck, waist=u(0.72, 0.95), hem_drop=u(-0.02, 0.06), puff=max(0.0, u(-0.05, 0.06)))
    if neck in ("cami", "off"):
        kind = "none"
        m.update(neck_depth=u(0.15, 0.25), armhole=u(0.28, 0.36), shoulder=0.44, slope=0.08)
    elif kind == "none" and rng.random() < 0.4:
        m.update(neck_depth=u(0.2, 0.36), shoulder=m["neck_width"] + u(0.06, 0.14), slope=0.03)
    flared = rng.random() < 0.62
    hem = (u(0.58, 0.85) if short else u(0.6, 1.0)) if flared else u(0.44, 0.62)
    length = u(1.3, 1.7) * 2 * max(hem, 0.56) if short else max(u(1.55, 2.6) * 2 * max(hem, 0.5), 2.2)
    m.update(hem=hem, length=min(length, 2.15 if short else 3.6))
    m["skirt_y"] = u(0.6, 1.0) if flared or rng.random() < 0.3 else 0.0
    m["waist_y"] = m["skirt_y"] or u(0.75, 0.95)
    details = _sometimes(rng, trim=0.12, belt=0.18, frill=0.07, flutter=0.05, hem_frill=0.1, tiers=0.14, wrap=0.05)
    if not short and neck == "round" and rng.random() < 0.16:  # shirt dress
        m.update(neck_width=0.16, neck_depth=u(0.12, 0.18), shoulder=u(0.4, 0.46))
        details |= {"collar", "placket", "belt"}
        kind = kind if kind != "cap" else "short"
    return Cut(**m | _sleeve(rng, kind) | {"details": details})


def design(rng: Rng, category: str) -> Cut:
    """Random measures of a garment of a category."""
    if category in ("MINI_DRESSES", "CASUAL_DRESSES"):
        return _dress(rng, short=category == "MINI_DRESSES")
    return {"TANK_TOPS": _tank_top, "SHIRTS": _shirt, "BLOUSES": _blouse}[category](rng)
