"""The loop learns, resumes to the bit after a kill, stops early, and refuses what does not fit."""

import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from common.errors import UserError
from common.training.loop import FitConfig, FitResult, MixtureSampler, fit, flush_denormals, warmup_cosine


def linear_problem() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    return DataLoader(TensorDataset(x, y), batch_size=16)


def squared_error(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    x, y = batch
    return (model(x) - y).square().mean()


def run(config: FitConfig, checkpoint: Path | None = None, **options) -> FitResult:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 1))
    groups = [{"params": list(model.parameters()), "lr": 0.05}]
    return fit(model, groups, linear_problem(), squared_error, config, checkpoint=checkpoint, **options)


def weights(result: FitResult) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


def test_learns_a_linear_map():
    result = run(FitConfig(epochs=40, ema_decay=0.9))
    assert result.history[-1]["loss"] < 0.25 * result.history[0]["loss"]
    assert [row["epoch"] for row in result.history] == list(range(1, 41))


def test_denormals_count_as_before_after_training():
    def half_of_the_smallest_normal() -> float:
        return float(np.float32(np.finfo(np.float32).tiny) * np.float32(0.5))

    run(FitConfig(epochs=1))
    assert half_of_the_smallest_normal() > 0
    with flush_denormals():
        assert half_of_the_smallest_normal() == 0
        with flush_denormals():
            pass
        assert half_of_the_smallest_normal() == 0
    assert half_of_the_smallest_normal() > 0


def test_same_seed_same_weights_other_seed_other_weights():
    assert torch.equal(weights(run(FitConfig(epochs=2))), weights(run(FitConfig(epochs=2))))
    assert not torch.equal(weights(run(FitConfig(epochs=2))), weights(run(FitConfig(epochs=2, seed=1))))


def test_resumes_to_the_same_weights(tmp_path: Path):
    config = FitConfig(epochs=4)
    whole = run(config)
    calls = []

    def stop_in_third_epoch(model: nn.Module) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path, validate=stop_in_third_epoch)
    resumed = run(config, tmp_path)
    assert torch.equal(weights(whole), weights(resumed))
    assert len(resumed.history) == 4


@pytest.mark.slow
def test_resumes_after_a_real_kill(tmp_path: Path):
    """SIGKILL in the middle; what goes on from there ends with the weights of a training never killed."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time, pathlib
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_loop import run
        from common.training.loop import FitConfig
        run(FitConfig(epochs=6), pathlib.Path(sys.argv[1]), validate=lambda model: (time.sleep(0.3), {{}})[1])
        """)
    )
    killed = subprocess.Popen([sys.executable, "-W", "ignore", str(script), str(tmp_path / "killed")])
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    resumed, whole = (run(FitConfig(epochs=6), tmp_path / name, validate=lambda _: {}) for name in ("killed", "whole"))
    assert len(resumed.history) == 6
    assert torch.equal(weights(resumed), weights(whole))


def test_keeps_the_best_epoch_and_stops_early():
    figures = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2])
    seen = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))
        return {"score": next(figures)}

    result = run(FitConfig(epochs=6, patience=2), validate=validate, monitor="score")
    assert len(result.history) == 4
    assert torch.equal(weights(result), seen[1])


def test_an_epoch_whose_figure_is_nan_is_not_the_best_and_hides_no_better_one():
    figures = iter([math.nan, 0.5, math.nan, 0.9, 0.7])
    seen: list[torch.Tensor] = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))
        return {"figure": next(figures)}

    result = run(FitConfig(epochs=5), validate=validate, monitor="figure")
    assert torch.equal(weights(result), seen[3])
    figures = iter([math.nan] * 3)
    result = run(FitConfig(epochs=3, patience=1), validate=validate, monitor="figure")
    assert torch.equal(weights(result), seen[-1])  # all three were trained, and none is the best
    assert len(result.history) == 3


def test_a_monitored_figure_that_nobody_gives_is_named():
    with pytest.raises(ValueError, match=r"'figure' is monitored, but an epoch has only epoch, loss, other, seconds"):
        run(FitConfig(epochs=1), validate=lambda _: {"other": 1.0}, monitor="figure")


def test_other_settings_or_network_than_the_checkpoint_are_refused(tmp_path: Path):
    run(FitConfig(epochs=1), tmp_path)
    with pytest.raises(UserError, match="other settings"):
        run(FitConfig(epochs=2), tmp_path)
    other = nn.Linear(3, 1)
    with pytest.raises(UserError, match="another network"):
        fit(other, [{"params": list(other.parameters()), "lr": 0.1}], linear_problem(), squared_error,
            FitConfig(epochs=1), checkpoint=tmp_path)  # fmt: skip


def test_damaged_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / "state.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="not a checkpoint"):
        run(FitConfig(epochs=1), tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "state.safetensors")  # another program's
    with pytest.raises(UserError, match="not a checkpoint"):
        run(FitConfig(epochs=1), tmp_path)


def test_a_checkpoint_that_does_not_fit_on_the_disk_names_its_place(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*state\.safetensors.*free some space"):
            run(FitConfig(epochs=1), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*tmp_path.iterdir()] == []


def test_loss_that_is_not_finite_is_an_error():
    def explode(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
        return squared_error(model, batch) * float("inf")

    model = nn.Linear(3, 1)
    with pytest.raises(UserError, match="not finite"):
        fit(model, [{"params": list(model.parameters()), "lr": 0.1}], linear_problem(), explode, FitConfig(epochs=1))


def test_data_that_make_no_batch_are_refused():
    rows = TensorDataset(torch.zeros(5, 3), torch.zeros(5, 1))
    loader = DataLoader(rows, batch_size=8, drop_last=True)
    model = nn.Linear(3, 1)
    groups = [{"params": list(model.parameters()), "lr": 0.05}]
    with pytest.raises(UserError, match="not one batch of 8"):
        fit(model, groups, loader, squared_error, FitConfig(epochs=1))


def test_schedule_rises_then_falls_to_zero():
    factors = np.array([warmup_cosine(step, 100, 0.1) for step in range(100)])
    assert factors.argmax() in (9, 10)
    assert factors.max() == 1.0
    assert (np.diff(factors[10:]) < 0).all()
    assert factors[-1] < 1e-3


def test_mixture_takes_the_asked_rows_and_covers_each_source():
    sources = np.repeat([0, 1, -1], [10, 6, 5])
    sampler = MixtureSampler(sources, {0: 4, 1: 6, 2: 9}, seed=3)
    assert len(sampler) == 10
    rows = []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        drawn = [row for row, _ in sampler]
        assert np.bincount(sources[drawn]).tolist() == [4, 6]
        rows += [row for row in drawn if row < 10]
    # 20 draws of 10 rows, without repeats until all were taken
    assert np.bincount(rows).tolist() == [2] * 10


def test_a_source_of_which_nothing_is_asked_gives_nothing():
    rows = [row for row, _ in MixtureSampler(np.array([0, 0, 1]), {0: 2, 1: 0})]
    assert sorted(rows) == [0, 1]


def test_epoch_of_the_mixture_does_not_depend_on_what_came_before():
    sampler = MixtureSampler(np.zeros(20, int), {0: 7}, seed=1)
    sampler.set_epoch(3)
    first = list(sampler)
    for epoch in (0, 1, 2, 3):
        sampler.set_epoch(epoch)
        again = list(sampler)
    assert first == again
