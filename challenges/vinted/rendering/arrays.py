"""The array types of the renderer."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W)
Floats: TypeAlias = NDArray[np.float32]
Points: TypeAlias = NDArray[np.float64]  # (n, 2): x to the right, y down
Rng: TypeAlias = np.random.Generator


def floats(values: ArrayLike) -> Floats:
    """Values as a float32 array."""
    return np.asarray(values, np.float32)
