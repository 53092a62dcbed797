"""What is given to make reaches the command, letter by letter."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = re.findall(r"^([a-z-]+):.*## (.+)$", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
# DATABASE_URL is read from the environment, where make puts it.
TAKEN = {target: [v for v in re.findall(r"([A-Z_]+)=", told) if v != "DATABASE_URL"] for target, told in TARGETS}
SET_UP = ("CORE", "SERVE", "ENERGY", "SMURFS", "TEXT", "AVALANCHE", "DASHBOARD", "DISTRIBUTED", "FULL")


def arguments(target: str, *given: str) -> list[str]:
    """What `make target` would give to Python: the recipe as `make -n` prints it, run with a program that tells."""
    program = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    command = ["make", "-ns", target, f"PYTHON={program}", *(f"{name}=" for name in SET_UP), *given]
    recipe = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
    done = subprocess.run(["bash", "-c", recipe], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("target", [target for target, variables in TAKEN.items() if variables])
@pytest.mark.parametrize("value", ["of {} ünder one's roof", '-{} "b" $c `false` \\e #f'])
def test_every_variable_that_help_names_is_one_argument(target: str, value: str):
    values = [value.format(name) for name in TAKEN[target]]
    found = arguments(target, *(f"{n}={v}" for n, v in zip(TAKEN[target], values, strict=True)))
    assert [v for v in values if v not in found] == []
    assert len(found) - len(arguments(target)) == 2 * len(values)  # an option each, or the `--` before a file


def test_what_is_not_given_is_left_to_the_command():
    assert arguments("neurips-search") == ["-m", "challenges.radix_neurips", "search"]
    assert arguments("smurfs-segment", "DATA=a b.mp4") == [
        "-m",
        "challenges.radix_smurfs",
        "segment",
        "--video",
        "a b.mp4",
    ]
