"""Photos per second of a training step on the CPU, with and without the settings that `make vinted-train` uses.

    python benchmarks/vinted_train.py [--steps N] [--rounds N]

Every way runs in a process of its own, rounds in turn, so that drift of the machine hits all alike:
- plain: PyTorch as it is installed;
- denormals flushed: as `common.training.loop.fit` does, because the pretrained trunk has dead channels whose
  activations are denormal numbers;
- memory kept: also with the environment that the Makefile sets, so that glibc does not hand large tensors back to
  the kernel between two layers.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from common.data.tables import write_json
from common.inference.batch import available_cores

HERE = Path(__file__).resolve()
BATCH_SIZE = 32
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
WAYS: dict[str, tuple[bool, dict[str, str]]] = {
    "plain": (False, {}),
    "denormals flushed": (True, {}),
    "denormals flushed, memory kept": (True, KEEP_MEMORY),
}


def seconds_a_step(flush: bool, n_steps: int) -> float:
    """Median seconds of a step of the recipe's network and input size, on noise; the first two warm up."""
    import torch

    from challenges.vinted.model import GarmentNet, Targets, multi_task_loss
    from challenges.vinted.train import Recipe
    from common.training.loop import flush_denormals

    recipe = Recipe(batch_size=BATCH_SIZE)
    torch.manual_seed(0)
    net = GarmentNet()
    net.freeze_stages(recipe.n_frozen_stages)
    net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameter_groups(1e-4))
    pixels = torch.randint(0, 256, (BATCH_SIZE, *recipe.training_size, 3), dtype=torch.uint8)
    targets = Targets(
        torch.eye(5, dtype=torch.bool)[torch.arange(BATCH_SIZE) % 5],
        torch.zeros(BATCH_SIZE, 3),
        torch.zeros(BATCH_SIZE, dtype=torch.long),
    )
    seconds = []
    with flush_denormals() if flush else nullcontext():
        for _ in range(n_steps + 2):
            started = time.perf_counter()
            multi_task_loss(net(pixels), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def in_a_process(way: str, n_steps: int) -> float:
    """Run one way in a fresh process with its environment; return photos per second."""
    command = [sys.executable, str(HERE), "--run", way, "--steps", str(n_steps)]
    environment = os.environ | WAYS[way][1] | {"PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return BATCH_SIZE / float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every way and write the JSON beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(seconds_a_step(WAYS[options.run][0], options.steps))
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            rates[way].append(in_a_process(way, options.steps))
    medians = {way: statistics.median(found) for way, found in rates.items()}
    result = {
        "machine": f"{available_cores()} cores, {platform.machine()}",
        "photos_per_second": {way: round(rate, 1) for way, rate in medians.items()},
        "times_plain": {way: round(rate / medians["plain"], 2) for way, rate in medians.items()},
    }
    write_json(result, HERE.with_suffix(".json"))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
