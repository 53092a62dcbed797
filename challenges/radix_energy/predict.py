"""Types + readings -> one row for each household of the file, and what was repaired on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from challenges.radix_energy.dataset import Dataset
from challenges.radix_energy.describe import activity_words, composition_words
from challenges.radix_energy.model import Assignment
from challenges.radix_energy.train import Households, Types

if TYPE_CHECKING:
    import pandas as pd


def tabulate(dataset: Dataset, households: Households, assignment: Assignment, types: Types) -> pd.DataFrame:
    """One row a household, those that cannot be used at the end, without a cluster and with the reason.

    Columns: household_id; cluster (from 0, the largest type) and its name; probability of that cluster; typical
    (False: it fits nowhere, the cluster is only the nearest); composition and activity in words; the descriptors
    of `describe_households`; reason.
    """
    import pandas as pd

    rows = np.arange(len(assignment.types))
    used = pd.DataFrame(
        {
            "household_id": dataset.readings.household_ids,
            "cluster": pd.array(assignment.types, dtype="Int64"),
            "name": np.array(types.names, dtype=object)[assignment.types],
            "probability": assignment.probabilities[rows, assignment.types],
            "typical": pd.array(assignment.typical, dtype="boolean"),
            "composition": composition_words(households.descriptors, types.usual),
            "activity": activity_words(households.descriptors),
        }
    ).join(households.descriptors)
    used["reason"] = None
    unused = pd.DataFrame({"household_id": list(dataset.unused), "reason": list(dataset.unused.values())})
    return pd.concat([used, unused.astype(object)], ignore_index=True) if len(unused) else used
