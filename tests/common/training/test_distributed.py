"""The loop on two processes is the loop on one: same batches, same result, one writer.

`torchrun` runs this very file; `main` is what each process does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from common.errors import UserError
from common.training import loop
from common.training.loop import FitConfig, FitResult, MixtureSampler, fit

BATCH_SIZE, N_ROWS = 16, 256


def rings(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, 2) points and whether each lies on the outer of two noisy rings."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=generator) > 0.5).float()
    angle = 2 * torch.pi * torch.rand(n, generator=generator)
    radius = 1 + y + 0.2 * torch.randn(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1), y


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Training points; remembers which rows this process has read."""

    def __init__(self) -> None:
        self.x, self.y = rings(N_ROWS, seed=0)
        self.read: list[int] = []

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        self.read.append(key[0])
        return self.x[key[0]], self.y[key[0]]


def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    x, y = batch
    return nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)


def accuracy(model: nn.Module) -> dict[str, float]:
    x, y = rings(2_000, seed=1)
    with torch.inference_mode():
        return {"accuracy": float(((model(x)[:, 0] > 0) == (y > 0.5)).float().mean())}


def network(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(2, 32), *extra, nn.ReLU(), nn.Linear(32, 1))


def train(model: nn.Module, config: FitConfig, rows: Rows, batch_size: int = BATCH_SIZE, **options: Any) -> FitResult:
    sampler = MixtureSampler(torch.zeros(N_ROWS).numpy(), {0: N_ROWS}, seed=3)
    loader = DataLoader(rows, batch_size=batch_size, sampler=sampler, drop_last=True)  # type: ignore[arg-type]
    options = {"loss": loss, "validate": accuracy} | options
    return fit(model, [{"params": list(model.parameters()), "lr": 0.02}], loader, config=config, **options)


def weights(result: FitResult) -> list[float]:
    return torch.cat([t.double().flatten() for t in result.model.state_dict().values()]).tolist()


def without_time(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def interrupted(folder: Path) -> FitResult:
    """Train to the fourth of six epochs, stop there on every process, and go on from the checkpoint."""
    rows = Rows()

    def stop(model: nn.Module, batch: list[Tensor]) -> Tensor:
        if len(rows.read) * int(os.environ.get("WORLD_SIZE", "1")) > 3.5 * N_ROWS:
            raise KeyboardInterrupt
        return loss(model, batch)

    config = FitConfig(epochs=6, ema_decay=0.9)
    try:
        train(network(), config, rows, checkpoint=folder, loss=stop)
    except KeyboardInterrupt:
        return train(network(), config, Rows(), checkpoint=folder)
    raise AssertionError("training was not stopped")


def main(folder: Path) -> dict[str, Any]:
    """What one process does and sees; `folder` is shared by all."""
    rank = int(os.environ.get("RANK", "0"))
    saved: list[int] = []
    save = loop._State.save

    def counted(state: loop._State, target: Path) -> None:
        saved.append(state.epoch)
        save(state, target)

    loop._State.save = counted  # type: ignore[method-assign]
    rows = Rows()
    plain = train(network(), FitConfig(epochs=6, ema_decay=0.9), rows, checkpoint=folder / "plain")
    normed = train(
        network(nn.BatchNorm1d(32), nn.Dropout(0.1)), FitConfig(epochs=20, ema_decay=0.9), Rows(), batch_size=32
    )
    resumed = interrupted(folder / "resumed")
    # Figures that differ by process, as rounding can make them: the first falls on rank 0, rises on the others.
    figures = iter([0.5 + (0.1 if rank else -0.1) * i for i in range(6)])
    stopped = train(
        network(), FitConfig(epochs=6, patience=2), Rows(), validate=lambda _: {"f": next(figures)}, monitor="f"
    )
    try:
        message = str(train(network(), FitConfig(epochs=1), Rows(), batch_size=15).history)
    except UserError as error:
        message = str(error)
    return {
        "rows": rows.read[: len(rows.read) // 6],
        "saved": saved[:6],
        "plain": {"weights": weights(plain), "history": without_time(plain.history)},
        "normed": {"weights": weights(normed), "history": without_time(normed.history)},
        "resumed": weights(resumed),
        "stopped": without_time(stopped.history),
        "batch of 15": message,
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """What each of two CPU processes saw, and all they printed."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, __file__, str(folder)], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)], done.stdout + done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return main(tmp_path_factory.mktemp("one"))


@pytest.mark.slow
def test_each_process_reads_its_half_of_every_row_once(two: tuple[list[dict[str, Any]], str]):
    first, second = (set(process["rows"]) for process in two[0])
    assert len(first) == len(second) == N_ROWS // 2
    assert first | second == set(range(N_ROWS))


@pytest.mark.slow
def test_two_processes_give_the_validation_result_of_one(two: tuple[list[dict[str, Any]], str], one: dict[str, Any]):
    """Without batch statistics and dropout the sums are the same but for their order; with them, within noise."""
    same = two[0][0]["plain"]
    assert same["weights"] == pytest.approx(one["plain"]["weights"], abs=1e-4)
    for a, b in zip(same["history"], one["plain"]["history"], strict=True):
        assert a == pytest.approx(b, abs=2e-3)
    found = [result["normed"]["history"][-1]["accuracy"] for result in (two[0][0], one)]
    assert min(found) > 0.95
    assert abs(found[0] - found[1]) < 0.02


@pytest.mark.slow
def test_all_processes_end_with_the_same_network_and_history(two: tuple[list[dict[str, Any]], str]):
    first, second = two[0]
    for name in ("plain", "normed", "resumed", "stopped"):
        assert first[name] == second[name]
    assert len(first["stopped"]) == 3  # as the main process's figures say


@pytest.mark.slow
def test_one_process_writes_and_none_prints(two: tuple[list[dict[str, Any]], str]):
    assert [process["saved"] for process in two[0]] == [[1, 2, 3, 4, 5, 6], []]
    assert "training:" not in two[1]


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not_stopped(two: tuple[list[dict[str, Any]], str], one: dict[str, Any]):
    """The rows of an epoch are its own, also where counting begins with a later epoch."""
    for result in (*two[0], one):
        assert result["resumed"] == pytest.approx(result["plain"]["weights"], abs=1e-6)


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_out_is_refused(two: tuple[list[dict[str, Any]], str], one: dict[str, Any]):
    assert all("15" in process["batch of 15"] and "2 processes" in process["batch of 15"] for process in two[0])
    assert "accuracy" in one["batch of 15"]


if __name__ == "__main__":
    shared = Path(sys.argv[1])
    (shared / f"{os.environ['RANK']}.json").write_text(json.dumps(main(shared)))
    torch.distributed.destroy_process_group()
