"""From readings to saved types: what is saved reads back, and either engine gives the same table."""

import json

import numpy as np
import pandas as pd
import pytest

from challenges.radix_energy import model, train
from challenges.radix_energy.dataset import Readings
from challenges.radix_energy.sample import generate
from challenges.radix_energy.train import find_types, load_types, look_at, save_types, verdict
from common.errors import UserError
from common.inference.batch import Engine

SAMPLE = generate(120, 4, seed=4)
READINGS = Readings(SAMPLE.household_ids, SAMPLE.dates, SAMPLE.kwh)


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "MAX_TYPES", 6)
        yield find_types(READINGS)


def test_saved_types_sort_households_as_before(found, tmp_path):
    save_types(tmp_path, found, "0" * 64)
    loaded = load_types(tmp_path)
    again = loaded.model.predict(found.households.features)
    assert np.array_equal(again.probabilities, found.assignment.probabilities)
    assert np.array_equal(again.typical, found.assignment.typical)
    assert loaded.names == found.names
    pd.testing.assert_series_equal(loaded.usual, found.usual)


def test_a_model_of_another_kind_is_refused(found, tmp_path):
    save_types(tmp_path, found, "0" * 64)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"challenge": "vinted"}))
    with pytest.raises(UserError, match="is for 'vinted'"):
        load_types(tmp_path)
    del manifest["config"]["spherical"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="lacks 'spherical': find the types again"):
        load_types(tmp_path)


def test_the_verdict_says_how_sure_the_number_is(found):
    assert "adjusted Rand index" in verdict(found)
    unsure = model.Candidate(12, spherical=False, stability=0.3, bic=0.0)
    sure = model.Candidate(4, spherical=False, stability=0.99, bic=0.0)
    found.model.n_types, chosen, supported = 12, found.model.chosen_, found.model.supported_
    try:
        found.model.chosen_, found.model.supported_ = unsure, sure
        assert verdict(found).startswith("the data supports fewer types than the 12 asked for")
        found.model.n_types, found.model.supported_ = None, unsure
        assert verdict(found).startswith("no clear types")
    finally:
        found.model.n_types, found.model.chosen_, found.model.supported_ = None, chosen, supported


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_ray_cluster_gives_the_same_table(ray_cluster, monkeypatch):
    monkeypatch.setattr(train, "BLOCK", 50)
    local, spread = (look_at(READINGS, engine) for engine in (Engine.LOCAL, Engine.RAY))
    assert np.array_equal(local.features.shape, spread.features.shape)
    assert np.array_equal(local.features.level, spread.features.level)
    pd.testing.assert_frame_equal(local.descriptors, spread.descriptors)
