"""Drawn photos of second-hand garments. Everything is a function of the random generator that is passed in.

In the order of the work: `colors`, `folds` and `prints` make a `cloth`; `cuts` give the measures whose `outlines`
and `details` the `assembly` sews together; `drawing` lays the garment flat; `scene` puts it before one of the
`backgrounds` and takes the photo.
"""

from challenges.vinted.rendering.arrays import Image
from challenges.vinted.rendering.cloth import weave
from challenges.vinted.rendering.colors import PALETTE
from challenges.vinted.rendering.drawing import draw_garment
from challenges.vinted.rendering.scene import DEFAULT_SIZE, render_photo, render_with_mask

__all__ = ["DEFAULT_SIZE", "PALETTE", "Image", "draw_garment", "render_photo", "render_with_mask", "weave"]
