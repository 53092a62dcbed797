r"""One explicit training loop: schedule, gradient clipping, weight averaging, early stopping, resuming.

It runs as it is on a CPU or a GPU, and on many of them when it is launched once for each. The program needs no
change, here `-m challenges.vinted train`; each process does its part of every batch:

    accelerate launch --multi_gpu --num_processes 8 -m challenges.vinted train --data ...   # 8 GPUs of a machine

    # 4 machines of 8 GPUs; on each, with its own rank 0 to 3 and the address of the one with rank 0
    accelerate launch --multi_gpu --num_machines 4 --num_processes 32 --machine_rank 0 \
        --main_process_ip 10.0.0.1 --main_process_port 29500 -m challenges.vinted train --data ...

    ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m challenges.vinted train --data ...   # 2 CPU processes

The folder of checkpoints must be one that all machines see.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DataLoaderConfiguration, broadcast, broadcast_object_list
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from common.cli import progress
from common.data.tables import replace_atomically
from common.errors import UserError

Loss = Callable[[nn.Module, Any], Tensor]  # (model, batch) -> scalar
Validate = Callable[[nn.Module], Mapping[str, float]]  # averaged model in evaluation mode -> figures


@dataclass(frozen=True)
class FitConfig:
    """How a network is fitted with AdamW."""

    epochs: int
    weight_decay: float = 0.02
    warmup: float = 0.1  # the part of all steps over which the learning rate rises
    ema_decay: float = 0.99  # of the averaged weights, a step
    clip_norm: float = 5.0  # largest norm of the gradient
    patience: int | None = None  # stop after so many epochs without a better monitored figure
    seed: int = 0
    identity: str = ""  # of all else that decides the run, such as data and rates: a checkpoint of another is refused


@dataclass(frozen=True)
class FitResult:
    """The averaged model and what was seen on the way."""

    model: nn.Module  # exponential moving average of the weights; of the best epoch where one is monitored
    history: list[dict[str, float]] = field(default_factory=list)  # one row an epoch


def fit(
    model: nn.Module,
    parameter_groups: Iterable[dict[str, Any]],
    loader: DataLoader[Any],
    loss: Loss,
    config: FitConfig,
    *,
    validate: Validate | None = None,
    monitor: str | None = None,
    checkpoint: Path | None = None,
    description: str = "training",
) -> FitResult:
    """Fit `model` and return the moving average of its weights.

    Args:
        model: trained in place.
        parameter_groups: as torch optimisers take them; every group has its own peak `lr`.
        loader: batches of one epoch. A sampler with `set_epoch(int)` is told the epoch. On many processes
            each takes its part of every batch, so the batch size is that of all together.
        loss: scalar to minimise, from the model and a batch.
        config: see `FitConfig`.
        validate: called after each epoch with the averaged model; its figures enter the history.
        monitor: the figure of `validate` to maximise; the best epoch's weights are returned.
        checkpoint: folder where the state is kept after each epoch. A killed run that is started again
            with the same folder goes on there, and ends with the same weights as one that was not killed.
        description: of the progress bar.

    Raises:
        UserError: the checkpoint belongs to another configuration or is not seen by every process, the
            batch size is no multiple of the number of processes, there is not one batch, or the loss is no
            longer finite.
        ValueError: `validate` does not give the figure to monitor.
    """
    accelerator = Accelerator(
        mixed_precision="bf16" if torch.cuda.is_available() else "no",
        # A batch is dealt out among the processes: their number changes the speed, not the recipe.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    if (loader.batch_size or 1) % accelerator.num_processes:
        raise UserError(
            f"a batch of {loader.batch_size} cannot be shared out among {accelerator.num_processes} processes; "
            "choose a number of processes that divides it"
        )
    if len(loader) == 0:  # such as fewer rows than a batch, where the loader drops the last one
        raise UserError(f"{description}: the data make not one batch of {loader.batch_size}; give more data")
    optimizer = torch.optim.AdamW(parameter_groups, weight_decay=config.weight_decay)
    model.to(memory_format=torch.channels_last)
    average = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    averaged.to(accelerator.device)
    prepared, optimizer, batches = accelerator.prepare(model, optimizer, loader)
    n_steps = config.epochs * len(batches)
    peaks = [group["lr"] for group in optimizer.param_groups]

    # The bare network, whose names are the same on one process and on many.
    state = _State(accelerator.unwrap_model(prepared), averaged, optimizer, config)
    if checkpoint is not None:
        state.resume(checkpoint)
        _check_same_epoch(accelerator, state, checkpoint)
    is_main = accelerator.is_main_process
    silent: AbstractContextManager[Callable[[int], None]] = nullcontext(lambda _: None)
    shown = progress(description, total=n_steps) if is_main else silent
    with flush_denormals(), shown as advance:
        advance(state.epoch * len(batches))
        while state.epoch < config.epochs and not state.is_stale():
            started, losses = time.perf_counter(), []
            # Dropout, of its own in each process; resuming needs no random state.
            torch.manual_seed(config.seed * 100_003 + state.epoch + accelerator.process_index * 1_000_003)
            batches.set_epoch(state.epoch)  # and so the sampler's; accelerate would count from 0 after resuming
            prepared.train()
            for i, batch in enumerate(batches):
                factor = warmup_cosine(state.epoch * len(batches) + i, n_steps, config.warmup)
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * factor
                value = loss(prepared, batch)
                accelerator.backward(value)
                accelerator.clip_grad_norm_(prepared.parameters(), config.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
                averaged.update_parameters(accelerator.unwrap_model(prepared))
                losses.append(value.detach())
                advance(1)
            mean_loss = accelerator.reduce(torch.stack(losses).mean(), "mean")
            row = {"epoch": state.epoch + 1.0, "loss": float(mean_loss)}
            if not math.isfinite(row["loss"]):
                raise UserError(f"{description}: the loss is not finite in epoch {state.epoch + 1}: lower the rate")
            _share_buffers(averaged.module)
            if validate is not None:
                row |= _validate_once(accelerator, validate, averaged.module)
            row["seconds"] = time.perf_counter() - started
            if monitor and monitor not in row:
                raise ValueError(f"{monitor!r} is monitored, but an epoch has only {', '.join(row)}: mend validate")
            state.record(row, monitor)
            if checkpoint is not None and is_main:
                state.save(checkpoint)
    return FitResult(state.best_model(), state.history)


def is_main_process() -> bool:
    """Whether this is the process that writes results and reports, of those that train together."""
    return bool(PartialState().is_main_process)


def _check_same_epoch(accelerator: Accelerator, state: "_State", checkpoint: Path) -> None:
    """Refuse to start where some processes resumed and others did not: they would wait for each other for ever."""
    epochs = accelerator.gather(torch.tensor([state.epoch], device=accelerator.device)).tolist()
    if len(set(epochs)) > 1:
        raise UserError(f"{checkpoint}: not every process sees the checkpoint; name a folder that all machines share")


def _share_buffers(model: nn.Module) -> None:
    """Give every process the main one's batch statistics; those are not averaged as gradients are."""
    for buffer in model.buffers():
        broadcast(buffer)


def _validate_once(accelerator: Accelerator, validate: Validate, model: nn.Module) -> Mapping[str, float]:
    """Validate in the main process and tell all: figures that differ by a rounding could stop only some of them."""
    figures = [dict(validate(model.eval())) if accelerator.is_main_process else {}]
    broadcast_object_list(figures)
    return figures[0]


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Let denormal floats count as 0 inside, and count again after.

    Pretrained networks have dead channels whose activations are denormal, and on those a CPU is several
    times slower. It is a setting of the whole thread, so it must not outlast the work that wants it.
    """
    was_set = float(torch.tensor(1e-40) * 1) == 0  # torch does not tell
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_set)


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Factor of the learning rate: rises linearly over the first `warmup` part, then falls as a cosine to 0.

    Loshchilov and Hutter, 'SGDR: stochastic gradient descent with warm restarts' (2017), without restarts.
    """
    n_warmup = max(1, round(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


class _State:
    """Everything that a resumed run must know, kept as safetensors and JSON (never pickle)."""

    def __init__(
        self, model: nn.Module, averaged: AveragedModel, optimizer: torch.optim.Optimizer, config: FitConfig
    ) -> None:
        self.model, self.averaged, self.optimizer, self.config = model, averaged, optimizer, config
        self.epoch = 0
        self.best_epoch = 0  # 0: none is monitored
        self.best: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    def record(self, row: dict[str, float], monitor: str | None) -> None:
        """Count an epoch, and remember the averaged weights where the monitored figure is the best so far."""
        self.history.append(row)
        self.epoch += 1
        # Of an epoch whose figure is NaN nothing is known: it is not the best, and nothing need be better than it.
        if monitor and not (
            math.isnan(row[monitor]) or any(earlier[monitor] >= row[monitor] for earlier in self.history[:-1])
        ):
            self.best_epoch = self.epoch
            self.best = {name: t.detach().clone() for name, t in self.averaged.module.state_dict().items()}

    def is_stale(self) -> bool:
        """Tell whether the monitored figure has not improved for `patience` epochs."""
        patience = self.config.patience
        return patience is not None and self.best_epoch > 0 and self.epoch - self.best_epoch >= patience

    def best_model(self) -> nn.Module:
        """Return the averaged model in evaluation mode, with the best epoch's weights where one is monitored."""
        if self.best:
            self.averaged.module.load_state_dict(self.best)
        return self.averaged.module.eval()

    def save(self, folder: Path) -> None:
        """Write the state into `folder`; a kill in between leaves the previous epoch's."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        meta = {"config": asdict(self.config), "epoch": self.epoch, "best_epoch": self.best_epoch}
        meta["history"] = self.history
        # One file holds all, so that no kill can leave tensors of one epoch beside the counter of another.
        with replace_atomically(folder / "state.safetensors") as temporary:
            contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
            # As bytes: of a disk that is full, safetensors' own writer raises no OSError.
            temporary.write_bytes(save(contiguous, metadata={"state": json.dumps(meta)}))

    def resume(self, folder: Path) -> None:
        """Read the state that `save` wrote into `folder`, if there is any."""
        path = folder / "state.safetensors"
        if not path.is_file():
            return
        meta = _read_metadata(path)
        if meta["config"] != asdict(self.config):
            raise UserError(f"{path}: was begun with other settings or data; remove it, or train with the same")
        tensors = load_file(path)

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        try:
            self.model.load_state_dict(part("model."))
            self.averaged.load_state_dict(part("averaged."))
        except RuntimeError as error:
            raise UserError(f"{path}: belongs to another network; remove it to start afresh") from error
        state = self.optimizer.state_dict()
        for name, value in part("optimizer.").items():
            index, key = name.split(".")
            state["state"].setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict(state)
        self.best = part("best.")
        self.epoch, self.best_epoch, self.history = meta["epoch"], meta["best_epoch"], meta["history"]


def _read_metadata(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # without metadata there is None
        raise UserError(f"{path}: not a checkpoint of this project ({error}); remove it to start afresh") from error
    return state


class MixtureSampler(torch.utils.data.Sampler[tuple[int, int]]):
    """Draws (row, seed) pairs: from each source a fixed number of rows an epoch, in one random order.

    The seed is the augmentation's: it depends on the epoch and the row alone, so an epoch is the same
    whatever the number of workers and whether or not training was interrupted before it.

    Args:
        sources: (N,) int, the source of each row.
        rows_per_epoch: for each source, how many rows an epoch takes, without repeats until all were taken.
        seed: of the order.
    """

    def __init__(self, sources: np.ndarray, rows_per_epoch: Mapping[int, int], seed: int = 0) -> None:
        self.rows = {source: np.flatnonzero(sources == source) for source in rows_per_epoch}
        self.rows_per_epoch = {s: n for s, n in rows_per_epoch.items() if n and len(self.rows[s])}
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose which epoch the next iteration is."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Rows an epoch."""
        return sum(self.rows_per_epoch.values())

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Yield the epoch's (row, seed) pairs."""
        rng = np.random.default_rng((self.seed, self.epoch))
        chosen = np.concatenate([self._take(s, n) for s, n in self.rows_per_epoch.items()])
        for row in rng.permutation(chosen).tolist():
            yield row, int(rng.integers(2**63))

    def _take(self, source: int, n: int) -> np.ndarray:
        """Rows `epoch * n` to `(epoch + 1) * n` of an endless sequence of shuffled passes over the source."""
        rows, start = self.rows[source], self.epoch * n
        first, last = start // len(rows), (start + n - 1) // len(rows)
        passes = [np.random.default_rng((self.seed, source, p)).permutation(rows) for p in range(first, last + 1)]
        offset = start - first * len(rows)
        return np.concatenate(passes)[offset : offset + n]
