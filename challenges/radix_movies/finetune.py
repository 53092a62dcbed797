"""The poster network fine-tuned on genres, for comparison with the frozen one and its kernels.

The first five stages stay as they are: their maps are computed once, for the poster and its mirror image, and kept in
half precision, so that an epoch costs a fraction of a pass through the whole network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from challenges.radix_movies.dataset import Dataset, Poster, read_poster
from challenges.radix_movies.export import poster_network
from challenges.radix_movies.features import POSTER_SIZE
from common.cli import progress
from common.data.tables import replace_atomically

Floats = NDArray[np.float32]
N_FROZEN: Final = 5


class Schedule(NamedTuple):
    """How long and how fast."""

    epochs: int = 4
    batch: int = 16
    learning_rate: float = 4e-4  # of the stages; the head learns five times as fast
    weight_decay: float = 0.02
    dropout: float = 0.4


class Upper(nn.Module):
    """The last stages and a head: (B, 112, 18, 12) -> (B, G) logits. Batch statistics stay those of ImageNet."""

    def __init__(self, n_genres: int, dropout: float) -> None:
        super().__init__()
        trunk: Any = poster_network().trunk
        self.stages = nn.Sequential(*trunk.blocks[N_FROZEN:], trunk.conv_head, trunk.bn2)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(trunk.num_features, n_genres)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, 112, 18, 12) -> (B, G)."""
        logits: Tensor = self.head(self.dropout(self.stages(maps).mean((2, 3))))
        return logits

    def train(self, mode: bool = True) -> Upper:
        """Only dropout knows of training."""
        super().train(False)
        self.dropout.train(mode)
        return self


def frozen_maps(dataset: Dataset) -> NDArray[np.float16]:
    """(2, N, 112, 18, 12) of the poster and of its mirror image; zeros where there is none. 0.4 GB for 3,750 films."""
    net: Any = poster_network()
    maps = np.zeros((2, len(dataset.films), 112, POSTER_SIZE[0] // 16, POSTER_SIZE[1] // 16), np.float16)
    with torch.inference_mode(), progress("frozen stages", total=len(dataset.films)) as advance:
        for row, film in enumerate(dataset.films):
            poster = read_poster(dataset.posters, film.movie_id, POSTER_SIZE)
            if isinstance(poster, Poster):
                views = np.stack([poster.pixels, poster.pixels[:, ::-1]])
                x = (torch.from_numpy(views).permute(0, 3, 1, 2).float() - net.mean) / net.std
                x = net.trunk.bn1(net.trunk.conv_stem(x))
                for stage in net.trunk.blocks[:N_FROZEN]:
                    x = stage(x)
                maps[:, row] = x.half().numpy()
            advance()
    return maps


def fit_upper(
    maps: NDArray[np.float16], labels: NDArray[np.bool_], rows: NDArray[np.int64], seed: int, schedule: Schedule
) -> Upper:
    """Fine-tune on some films, each time either as it is or mirrored."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Upper(labels.shape[1], schedule.dropout).train()
    frequency = torch.from_numpy(labels[rows].mean(axis=0)).clamp(1e-3, 1 - 1e-3)
    nn.init.zeros_(net.head.weight)
    net.head.bias.data = torch.logit(frequency).float()
    groups = [
        {"params": net.stages.parameters(), "lr": schedule.learning_rate},
        {"params": net.head.parameters(), "lr": 5 * schedule.learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
    n_steps = schedule.epochs * -(-len(rows) // schedule.batch)
    rates = [schedule.learning_rate, 5 * schedule.learning_rate]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=n_steps, pct_start=0.2)
    with progress("fine-tuning", total=n_steps) as advance:
        for _ in range(schedule.epochs):
            for batch in _batches(rng.permutation(rows), schedule.batch):
                x = torch.from_numpy(maps[rng.integers(len(maps), size=len(batch)), batch]).float()  # (B, 112, 18, 12)
                loss = F.binary_cross_entropy_with_logits(net(x), torch.from_numpy(labels[batch]).float())
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                scheduler.step()
                advance()
    return net.eval()


def _batches(rows: NDArray[np.int64], size: int) -> Sequence[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def predict_upper(net: Upper, maps: NDArray[np.float16], rows: NDArray[np.int64]) -> Floats:
    """(n, G) probabilities of some films: the mean logit of both views."""
    parts = []
    with torch.inference_mode():
        for batch in _batches(rows, 32):
            views = [net(torch.from_numpy(view[batch]).float()) for view in maps]
            parts.append(torch.stack(views).mean(0).sigmoid().numpy())
    return np.concatenate(parts)


def cross_validate_upper(
    dataset: Dataset,
    folds: NDArray[np.int64],
    held_out: Sequence[int],
    runs: Path,
    schedule: Schedule = Schedule(),
) -> Floats:
    """(N, G) probabilities for the films of the folds `held_out`, nan for the others.

    What a fold took minutes to find is kept in the folder `runs`, which is this data's, by what else decides it.
    """
    labels = dataset.labels
    chances = np.full(labels.shape, np.nan, np.float32)
    maps: NDArray[np.float16] | None = None
    settings = repr((schedule, N_FROZEN, POSTER_SIZE))
    key = hashlib.sha256(folds.tobytes() + settings.encode()).hexdigest()[:16]
    for fold in held_out:
        kept, inside = runs / f"fine-tuned-{key}-fold-{fold}.npy", folds == fold
        if not kept.is_file():
            maps = frozen_maps(dataset) if maps is None else maps
            net = fit_upper(maps, labels, np.flatnonzero(~inside), fold, schedule)
            with replace_atomically(kept) as part, part.open("wb") as file:
                np.save(file, predict_upper(net, maps, np.flatnonzero(inside)))
        chances[inside] = np.load(kept, allow_pickle=False)
    return chances
