"""What this checkout can do now: `make doctor`.

The challenges are the packages beside this file, what each can do are its targets in the Makefile, and make itself says
what a target would set up first. Only the folders of weights are declared: looking would not find one that is gone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from common.artifacts import MANIFEST_NAME, load_artifact
from common.cli import create_app, print_summary, run
from common.errors import UserError
from common.inference.batch import available_cores

REPOSITORY: Final = Path(__file__).resolve().parents[1]
_TARGET: Final = re.compile(r"^(?P<name>demo|[a-z]+-[a-z-]+):.*?## (?P<help>.*)$", re.MULTILINE)
SHIPPED: Final = (
    *("radix_movies", "radix_neurips", "radix_smurfs/classifier", "radix_smurfs/segmenter"),
    *("text_encoder", "vinted"),
)
"""Folders of data/weights, as they come with a checkout."""
_SETS_UP: Final = re.compile(r"setting up: (?:what )?'?(?P<what>\w+)")

app = create_app("doctor", "What is installed, which weights and data are here, what each challenge can do now.")


@dataclass(frozen=True)
class Ability:
    """A target of the Makefile."""

    name: str
    help: str
    sets_up: str | None  # what running it would install first; None: nothing


@dataclass(frozen=True)
class Challenge:
    """What there is of one challenge."""

    name: str  # of its package; "together" is what several share
    weights: dict[str, str]  # what is to be said of each artifact, by folder
    damaged: list[str]  # one line for each artifact that cannot be used
    official: bool | None  # the official data lie where commands look for them; None: it has no data of its own
    abilities: list[Ability]


def examine(repository: Path, shipped: Sequence[str] = SHIPPED) -> list[Challenge]:
    """Look at every challenge of a checkout, at what they share, and at the folders of weights that belong to it."""
    targets = dict(_targets(repository))
    names = sorted(path.parent.name for path in (repository / "challenges").glob("*/__init__.py"))

    def look(name: str, folders: list[str], prefix: str, official: bool | None) -> Challenge:
        weights: dict[str, str] = {}
        damaged: list[str] = []
        for folder in folders:
            try:
                weights[f"data/weights/{folder}"] = _describe_weights(repository / "data" / "weights" / folder)
            except (UserError, ValueError, AttributeError) as error:
                damaged.append(str(error))
        abilities = [Ability(t, text, _sets_up(repository, t)) for t, text in targets.items() if t.startswith(prefix)]
        return Challenge(name, weights, damaged, official, abilities)

    def of(name: str) -> list[str]:
        return [folder for folder in shipped if folder.partition("/")[0] == name]

    found = [
        look(name, of(name), f"{name.removeprefix('radix_')}-", (repository / "data" / name / "official").is_dir())
        for name in names
    ]
    shared = [folder for folder in shipped if folder.partition("/")[0] not in names]
    return [*found, look("together", shared, "demo", None)]


def _targets(repository: Path) -> Iterator[tuple[str, str]]:
    for match in _TARGET.finditer((repository / "Makefile").read_text("utf-8")):
        yield match["name"], match["help"]


def _sets_up(repository: Path, target: str) -> str | None:
    """What make would install before the target's own command."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--dry-run", "--no-print-directory", target]
    planned = subprocess.run(command, cwd=repository, env=alone, capture_output=True, text=True, check=False)  # noqa: S603
    return ", ".join(_SETS_UP.findall(planned.stdout)) or None


def _describe_weights(folder: Path) -> str:
    """What is to be said of an artifact; what `load_artifact` raises is raised where it is damaged."""
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file():
        return "none here: training, or `git checkout data/weights`, brings them"
    artifact = load_artifact(folder, str(json.loads(manifest.read_bytes()).get("challenge")))
    size = sum((folder / name).stat().st_size for name in artifact.manifest.files)
    return f"{size / 1e6:.1f} MB of {artifact.manifest.created:%Y-%m-%d}, hashes right"


def describe_machine() -> str:
    """One line: Python, cores, memory, accelerator."""
    parts = [f"Python {platform.python_version()}", f"{available_cores()} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB memory")
    parts.append(f"{shutil.disk_usage(REPOSITORY).free / 2**30:.0f} GiB of disk free")
    parts.append("NVIDIA driver found" if shutil.which("nvidia-smi") else "no NVIDIA driver: training uses the CPU")
    return ", ".join(parts)


@app.command()
def report(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Print what this checkout can do now. The exit code is 2 if shipped weights are damaged."""
    challenges = examine(REPOSITORY)
    if as_json:
        print_summary({challenge.name: dataclasses.asdict(challenge) for challenge in challenges}, "", as_json=True)
    else:
        typer.echo("\n".join([describe_machine(), *(line for challenge in challenges for line in describe(challenge))]))
        typer.echo("\nEach target sets up what it lacks; make setup installs everything.")
    if any(challenge.damaged for challenge in challenges):
        raise UserError("shipped weights are damaged, see above: `git checkout data/weights` brings them back")


def describe(challenge: Challenge) -> Iterator[str]:
    """What to print of one challenge, line by line."""
    yield f"\n{challenge.name}"
    yield from (f"  weights  {folder}: {what}" for folder, what in challenge.weights.items())
    yield from (f"  DAMAGED  {what}" for what in challenge.damaged)
    names = [ability.name for ability in challenge.abilities]
    if not challenge.abilities:
        yield f"  to read: challenges/{challenge.name}, notebooks/{challenge.name}.ipynb"
    elif challenge.official is not None:
        place = f"data/{challenge.name}/official"
        gets = [f"make {name} gets some" for name in names if name.endswith("-data")]
        adds = gets[0] if gets else "put yours there, see data/README.md"
        state = f"found in {place}" if challenge.official else f"none in {place}: a sample is generated; {adds}"
        yield f"  data     {state}"
    width = max(map(len, names), default=0)
    for ability in challenge.abilities:
        state = f"[first sets up: {ability.sets_up}]" if ability.sets_up else ""
        yield f"  make {ability.name:{width}}  {ability.help.partition(' (')[0]} {state}".rstrip()


if __name__ == "__main__":
    run(app, ["report", *sys.argv[1:]])
