"""What the fine-tuned network found is kept, and found again only for what it was found on."""

from pathlib import Path

import numpy as np
import pytest

from challenges.radix_movies import finetune
from challenges.radix_movies.dataset import Dataset
from challenges.radix_movies.finetune import Schedule, cross_validate_upper


def test_predictions_are_kept_by_folds_and_schedule(
    sample: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    shape = sample.labels.shape
    monkeypatch.setattr(finetune, "frozen_maps", lambda dataset: None)
    monkeypatch.setattr(finetune, "fit_upper", lambda *of: fitted.append(of))
    monkeypatch.setattr(finetune, "predict_upper", lambda net, maps, rows: np.full((len(rows), shape[1]), len(fitted)))
    halves = np.arange(shape[0]) % 2
    for folds, schedule, n_fitted in (
        (halves, Schedule(), 1),
        (halves, Schedule(), 1),
        (1 - halves, Schedule(), 2),  # as many films: another seed
        (np.arange(shape[0]) % 3, Schedule(), 3),
        (halves, Schedule(epochs=1), 4),
        (halves, Schedule(), 4),
    ):
        chances = cross_validate_upper(sample, folds, [0], tmp_path, schedule)
        assert len(fitted) == n_fitted
        assert np.isnan(chances[folds != 0]).all()
    assert (chances[halves == 0] == 1).all()
