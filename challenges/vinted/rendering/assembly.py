"""A garment sewn together: its pieces from back to front."""

import numpy as np

from challenges.vinted.rendering.arrays import Points, Rng
from challenges.vinted.rendering.cuts import Cut
from challenges.vinted.rendering.details import collar, front
from challenges.vinted.rendering.outlines import Panel, Pieces, Seam, body_side, curve, mirror, neckline, ruffle


def _sleeve_end(rng: Rng, cut: Cut, edge: Points, along: Points, angle: float) -> Panel | Seam:
    """Cuff, ruffle or hem at the edge (2, 2) of a sleeve that runs `along` (2,), a unit vector."""
    back = along * (0.13 if "cuffs" in cut.details else 0.03)
    if "cuffs" in cut.details or "trim" in cut.details:
        band = np.vstack([edge, (edge - back)[::-1]])
        return Panel(band, "trim" if "trim" in cut.details else "main", 1.57 + angle, raised=True)
    if "bell" in cut.details:
        return ruffle(rng, edge - 0.05 * back, 0.14, 4, angle)
    return Seam(edge - back)


def _sleeves(rng: Rng, cut: Cut, cloth: str) -> Pieces:
    """Both sleeves: a bent axis with a width, from the armhole to the cuff."""
    pieces: Pieces = []
    top, pit = np.array([cut.shoulder, cut.slope]), np.array([0.49, cut.armhole])
    for sign in (1.0, -1.0):
        angle = cut.sleeve_angle + rng.normal(0, 0.07)
        bend = rng.normal(-0.1, 0.22) if cut.sleeve > 0.7 else 0.0
        t = np.linspace(0, 1, 9)[1:]
        heading = angle + bend * np.clip((t - 0.45) * 4, 0, 1)
        step = np.column_stack([np.sin(heading), np.cos(heading)]) * cut.sleeve / 8
        axis = (top + pit) / 2 + np.cumsum(step, 0)
        width = np.linalg.norm(pit - top) / 2 * (1 - t) ** 0.8 * 0.9 + cut.cuff * np.minimum(t * 1.6, 1)
        width = np.maximum(width, cut.cuff) + cut.puff * np.sin(np.pi * t**1.4)
        normal = np.column_stack([np.cos(heading), -np.sin(heading)])
        outer, inner = axis + normal * width[:, None], axis - normal * width[:, None]
        outline = np.vstack([[top - (0.02, 0)], curve(np.vstack([top, outer]), 3), inner[::-1], pit, pit - (0.05, 0)])
        flip = np.array((sign, 1.0))
        pieces.append(Panel(outline * flip, cloth, -sign * angle, pleats=0.5 if cut.puff > 0.02 else 0.0))
        edge, along = np.stack([outer[-1], inner[-1]]) * flip, step[-1] / np.linalg.norm(step[-1]) * flip
        pieces.append(_sleeve_end(rng, cut, edge, along, -sign * angle))
    return pieces


def _skirt(rng: Rng, cut: Cut) -> Pieces:
    """A skirt or peplum sewn on at `skirt_y`, straight, flared or in tiers."""
    waist, y, bottom, half = cut.waist / 2, cut.skirt_y, cut.length, cut.hem
    tiers = int(rng.integers(2, 5)) if "tiers" in cut.details else 1
    pieces: Pieces = []
    pleats = float(np.clip((half / waist - 0.9) * 1.2, 0.15, 1.0))
    for k in reversed(range(tiers)):
        top, low = y + (bottom - y) * k / tiers, y + (bottom - y) * (k + 1) / tiers + 0.03 * (k + 1 < tiers)
        a, b = waist + (half - waist) * k / tiers, waist + (half - waist) * (k + 1) / tiers
        drop = cut.hem_drop if k + 1 == tiers else 0.02
        t = np.linspace(0, 1, 24)
        wave = 0.018 * pleats * np.sin(2 * np.pi * t * rng.uniform(1.5, 4) + rng.uniform(0, 6))
        hem = np.column_stack([b * (1 - t), low + drop * np.sin(np.pi * t / 2) + wave])
        bulge = a + (b - a) * rng.uniform(0.5, 0.75)
        half_line = np.vstack([[(0, top)], curve([(a, top), (bulge, (top + low) / 2), (b, low)]), hem])
        pieces.append(Panel(mirror(half_line), "main", 0.0, raised=tiers > 1, pleats=pleats))
    if "hem frill" in cut.details:
        hem_line = curve([(-half, bottom), (0, bottom + cut.hem_drop), (half, bottom)])
        pieces.append(ruffle(rng, hem_line - (0, 0.1), 0.12, int(rng.integers(8, 16))))
    return pieces


def _hem(rng: Rng, cut: Cut, hem: Points) -> Pieces:
    """The lower end of a body without a skirt: a seam, at times with a ruffle; `hem` runs from the side in."""
    seam = Seam(mirror(hem) - (0, 0.035))
    if "hem frill" not in cut.details:
        return [seam]
    whole = np.vstack([hem * (-1, 1), hem[::-1]])
    return [ruffle(rng, whole - (0, 0.1), 0.12, int(rng.integers(8, 14))), seam]


def _back(rng: Rng, cut: Cut, neck: Points) -> Pieces:
    """The inside of the back that shows above the front's neckline, at times with a label."""
    back = curve([(0, min(0.05, cut.neck_depth * 0.6)), (cut.neck_width * 0.7, 0.035), (cut.neck_width, 0)], 4)
    pieces: Pieces = [Panel(mirror(np.vstack([back, neck[::-1]])), "inside")]
    if cut.neck_depth > 0.13 and rng.random() < 0.6:
        pieces.append(Panel(np.array([(-0.04, 0.06), (0.04, 0.06), (0.04, 0.1), (-0.04, 0.1)]), "label"))
    return pieces


def _straps(rng: Rng, cut: Cut, cloth: str) -> Pieces:
    x, thick = rng.uniform(0.24, 0.32), rng.choice([0.012, 0.018, 0.05])
    lean, low = rng.uniform(-0.12, 0.05), cut.neck_depth
    strap = np.array([(x - thick, low), (x + thick, low), (x + lean + thick, -0.05), (x + lean - thick, -0.05)])
    return [Panel(strap * (s, 1), cloth, 0.3 * s) for s in (1, -1)]


def _edges(cut: Cut, neck: Points, side: Points) -> Pieces:
    """Trim about the neck and bare armholes, or the seam of the neck."""
    if cut.neck not in ("round", "v", "square"):
        return []
    if "trim" not in cut.details:
        return [Seam(mirror(np.add(neck, (0, 0.03))))]
    bands = [np.vstack([neck, [neck[-1] + (0.035, 0.005)], np.add(neck, (0, 0.04))[::-1]])]
    if cut.sleeve <= 0.02:
        arm = side[:10]
        bands.append(np.vstack([arm, (arm - (0.035, 0))[::-1]]))
    return [Panel(band * (s, 1), "trim", raised=True) for band in bands for s in (1, -1)]


def _flutter(rng: Rng, side: Points, cloth: str) -> Pieces:
    """A ruffle instead of each sleeve."""
    frills = [(s, np.abs(ruffle(rng, side[:6], 0.1, 4).outline)) for s in (1, -1)]
    return [Panel(frill * (s, 1), cloth, s, raised=True, pleats=0.8) for s, frill in frills]


def assemble(rng: Rng, cut: Cut, *, plain_top: bool) -> Pieces:
    """Pieces of a garment from back to front; with `plain_top` the body is of the second cloth."""
    top = "second" if plain_top else "main"
    neck, side = neckline(cut), body_side(cut)
    drop = 0.0 if cut.skirt_y else cut.hem_drop
    t = np.linspace(0, 1, 9)[1:]
    round_ = np.sin(np.pi / 2 * t) ** (2 if drop > 0.06 else 1)  # a shirt's tail swings out
    hem = np.column_stack([side[-1][0] * (1 - t), side[-1][1] + drop * round_])
    strapless = cut.neck in ("cami", "off")
    pieces: Pieces = [] if strapless else _back(rng, cut, neck)
    if (strapless and cut.sleeve < 0.02) or "straps" in cut.details:
        pieces += _straps(rng, cut, top)
    body = Panel(mirror(np.vstack([neck, side, hem])), top)
    arms = _sleeves(rng, cut, top) if cut.sleeve > 0.02 else []
    arms_on_top = rng.random() < 0.3
    pieces += [body, *arms] if arms_on_top else [*arms, body]
    pieces += _skirt(rng, cut) if cut.skirt_y else _hem(rng, cut, hem)
    pieces += _edges(cut, neck, side)
    pieces += _flutter(rng, side, top) if "flutter" in cut.details else []
    pieces += front(rng, cut)
    pieces += collar(rng, cut) if "collar" in cut.details else []
    return pieces
