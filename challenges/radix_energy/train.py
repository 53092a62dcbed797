"""Readings -> types of households, described and saved as an artifact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_energy.dataset import Readings
from challenges.radix_energy.describe import describe_households, name_types, usual_household
from challenges.radix_energy.features import Features, household_features
from challenges.radix_energy.mixture import StudentMixture
from challenges.radix_energy.model import Assignment, HouseholdTypes, Space
from common.artifacts import load_artifact, save_artifact
from common.errors import UserError
from common.inference.batch import Engine, map_blocks

if TYPE_CHECKING:
    import pandas as pd

CHALLENGE: Final = "radix_energy"
WEIGHTS: Final = "types.safetensors"
CLEAR: Final = 0.8
"""Types less stable than this are regions of a continuum."""
BLOCK: Final = 2_000
"""Households at a time: the arrays in between stay within a few hundred MB, and threads or machines share them."""


@dataclass(frozen=True)
class Households:
    """What the readings say of N households."""

    features: Features
    descriptors: pd.DataFrame  # N rows, see `describe_households`


@dataclass(frozen=True)
class Types:
    """What is saved: types, ready to take new households."""

    model: HouseholdTypes
    names: list[str]  # K, of the types
    usual: pd.Series  # descriptors of the usual household, which "high" and "low" are measured from


@dataclass(frozen=True)
class Found(Types):
    """Types, and the households they were found on."""

    households: Households
    assignment: Assignment


def look_at(readings: Readings, engine: Engine = Engine.LOCAL) -> Households:
    """Features and descriptors of each household: a map over blocks of households, on either engine."""
    import pandas as pd

    blocks = [readings.kwh[start : start + BLOCK] for start in range(0, len(readings.kwh), BLOCK)]
    parts = map_blocks(partial(_look_at_block, dates=readings.dates), blocks, engine, description="households")
    features = Features(*(np.concatenate(columns) for columns in zip(*(part[0] for part in parts), strict=True)))
    return Households(features, pd.concat([part[1] for part in parts], ignore_index=True))


def _look_at_block(kwh: NDArray[np.float32], dates: NDArray[np.datetime64]) -> tuple[Features, pd.DataFrame]:
    features = household_features(kwh, dates)
    return features, describe_households(kwh, dates, features)


def find_types(
    readings: Readings, n_types: int | None = None, *, seed: int = 0, engine: Engine = Engine.LOCAL
) -> Found:
    """Find the types of the households, as many as `n_types` or as the data supports.

    Raises:
        UserError: too few households.
    """
    households = look_at(readings, engine)
    model = HouseholdTypes(n_types, seed=seed).fit(households.features)
    assignment = model.predict(households.features)
    # Those that fit nowhere have no say in what a type is called.
    members = np.where(assignment.typical, assignment.types, -1)
    names = name_types(households.descriptors, members, model.mixture_.n_clusters)
    return Found(model, names, usual_household(households.descriptors), households, assignment)


def verdict(found: Found) -> str:
    """One sentence on how far the data supports the number of types."""
    chosen, asked, supported = found.model.chosen_, found.model.n_types, found.model.supported_
    again = f"other households give the same types with an adjusted Rand index of {chosen.stability:.2f}"
    if asked and supported.n_types < asked and supported.stability > chosen.stability:
        return (
            f"the data supports fewer types than the {asked} asked for: {again}, "
            f"for {supported.n_types} types it is {supported.stability:.2f}"
        )
    if chosen.stability < CLEAR:
        return f"no clear types, households differ by degrees: {again}"
    return again


def save_types(folder: Path, found: Types, data_fingerprint: str) -> None:
    """Write the model to `folder`, in which `load_types` finds it."""
    from importlib.metadata import version

    from safetensors.numpy import save

    model, mixture = found.model, found.model.mixture_
    arrays = {f"space.{name}": array for name, array in asdict(model.space_).items()}
    arrays |= {"centers": mixture.centers_, "scale": mixture.scale_, "weights": mixture.weights_}
    save_artifact(
        folder,
        challenge=CHALLENGE,
        files={WEIGHTS: save({name: np.ascontiguousarray(array) for name, array in arrays.items()})},
        config={
            "n_types": model.n_types,
            "seed": model.seed,
            "spherical": mixture.spherical,
            "usual_household": found.usual.to_dict(),
        },
        labels={"types": found.names},
        input={"readings": "kWh in each hour of the wall clock", "shape": ["households", "days", 24]},
        data_fingerprint=data_fingerprint,
        metrics={
            "chosen": asdict(model.chosen_),
            "supported": asdict(model.supported_),
            "candidates": [asdict(candidate) for candidate in model.candidates_],
        },
        packages={name: version(name) for name in ("numpy", "scikit-learn", "scipy")},
    )


def load_types(folder: Path) -> Types:
    """Read what `save_types` wrote.

    Raises:
        UserError: no model there, a damaged one, or one of another kind.
    """
    import pandas as pd
    from safetensors import SafetensorError
    from safetensors.numpy import load

    artifact = load_artifact(folder, CHALLENGE)
    manifest = artifact.manifest
    try:
        arrays = load(artifact.path(WEIGHTS).read_bytes())
        model = HouseholdTypes(manifest.config["n_types"], seed=manifest.config["seed"])
        model.space_ = Space(**{name: arrays[f"space.{name}"] for name in Space.__dataclass_fields__})
        mixture = StudentMixture(len(arrays["centers"]), spherical=manifest.config["spherical"])
        mixture.centers_, mixture.scale_, mixture.weights_ = arrays["centers"], arrays["scale"], arrays["weights"]
        usual = pd.Series(manifest.config["usual_household"], dtype="float64")
    except (KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the model in {folder} lacks {error}: find the types again with the verb cluster") from error
    model.mixture_ = mixture
    return Types(model, list(manifest.labels["types"]), usual)
