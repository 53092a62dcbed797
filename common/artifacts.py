"""The artifact directory: weights and everything needed to trust and use them. Never pickle.

`manifest.json` names the other files with their sha256. It is written last, so a directory with a manifest
is complete; loading checks every file against it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints
from pydantic import ValidationError as ManifestError

from common.data.tables import json_text, replace_atomically
from common.errors import UserError

FORMAT_VERSION: Literal[1] = 1
MANIFEST_NAME = "manifest.json"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _check_name(name: str) -> str:
    """A file of an artifact lies directly in its directory, under a name every system can write."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name.lower() == MANIFEST_NAME:
        raise ValueError(f"{name!r} is no plain file name of letters, digits, '.', '_' and '-'")
    return name


FileName = Annotated[str, AfterValidator(_check_name)]


class Manifest(BaseModel):
    """What an artifact is, where it came from and which files it consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    challenge: str
    created: AwareDatetime
    config: dict[str, Any]
    """Settings of the training run."""
    labels: dict[str, list[str]]
    """Names of the outputs in their order, by output: {"category": ["BLOUSES", ...], ...}."""
    input: dict[str, Any]
    """What the model takes: size, layout, normalisation."""
    data_fingerprint: str
    """`fingerprint` of the training data."""
    metrics: dict[str, Any]
    packages: dict[str, str]
    """Versions of the packages that trained and exported it."""
    files: dict[FileName, Sha256]


@dataclass(frozen=True)
class Artifact:
    """A directory whose files have been checked against its manifest."""

    directory: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Path of one of its files.

        Raises:
            UserError: the manifest does not list it.
        """
        if name not in self.manifest.files:
            listed = ", ".join(sorted(self.manifest.files)) or "none"
            raise UserError(
                f"the model in {self.directory} has no file {name!r} (it has: {listed}): "
                "give another model, or export this one again"
            )
        return self.directory / name


def save_artifact(
    directory: Path,
    *,
    challenge: str,
    files: Mapping[str, bytes | Path],
    config: Mapping[str, Any],
    labels: Mapping[str, Sequence[str]],
    input: Mapping[str, Any],
    data_fingerprint: str,
    metrics: Mapping[str, Any],
    packages: Mapping[str, str],
) -> Manifest:
    """Write an artifact: each file beside its place and then renamed, the manifest last.

    Other files in the directory, such as a model card, are left alone. config, input and metrics hold plain
    JSON values; NumPy scalars and arrays are understood, NaN becomes null.

    Args:
        directory: made where it does not exist.
        challenge: package name of the challenge, e.g. "vinted".
        files: contents, or a file to copy, by name.
        config: settings of the training run.
        labels: names of the outputs in their order, by output.
        input: what the model takes.
        data_fingerprint: `fingerprint` of the training data.
        metrics: what was measured on held-out data.
        packages: version by package name.

    Raises:
        ValueError, TypeError: a file name that is no plain name, or values that are not JSON; nothing has
            been written then.
    """
    fields = {
        "challenge": challenge,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config),
        "labels": {output: list(names) for output, names in labels.items()},
        "input": dict(input),
        "data_fingerprint": data_fingerprint,
        "metrics": dict(metrics),
        "packages": dict(packages),
        "files": {
            name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else _file_sha256(content)
            for name, content in files.items()
        },
    }
    # Through JSON and back: what is returned is what a later load returns (tuples are lists, NaN is None).
    manifest = Manifest.model_validate_json(json_text(fields))
    for name, content in files.items():
        with replace_atomically(directory / name) as part:
            if isinstance(content, bytes):
                part.write_bytes(content)
            else:
                shutil.copyfile(content, part)
    with replace_atomically(directory / MANIFEST_NAME) as part:
        part.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def load_artifact(directory: Path, challenge: str) -> Artifact:
    """Read an artifact's manifest and check every file it lists.

    Args:
        directory: where `save_artifact` wrote it.
        challenge: the challenge it must be for.

    Raises:
        UserError: no directory or manifest, another format version or challenge, fields missing or unknown, a
            file that is missing, lies outside the directory or has other contents than when it was saved.
    """
    manifest = _read_manifest(directory)
    if manifest.challenge != challenge:
        raise UserError(f"the model in {directory} is for {manifest.challenge!r}, not for {challenge!r}: give another")
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()):
            raise UserError(f"{path} is a link that leads out of {directory}: put the file itself there")
        if not path.is_file():
            raise UserError(f"{path} is missing, though {MANIFEST_NAME} lists it: copy the directory again")
        if _file_sha256(path) != expected:
            raise UserError(
                f"{path} is damaged or was changed: its sha256 is not the one in {MANIFEST_NAME}; "
                "copy the whole directory again, or train anew"
            )
    return Artifact(directory, manifest)


def fingerprint(paths: Iterable[Path]) -> str:
    """One sha256 of files, and of all files in folders, by name and contents.

    It does not depend on where they lie or on the order they are given in: it is the sha256 of the sorted
    lines "<sha256 of the file>  <name>", a name in a folder being relative to that folder.

    Raises:
        UserError: a path that cannot be read.
    """
    lines: list[str] = []
    for path in paths:
        if path.is_dir():
            names = {file: file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        else:
            names = {path: path.name}
        lines += [f"{_file_sha256(file)}  {name}\n" for file, name in names.items()]
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"there is no model in {directory} ({MANIFEST_NAME}: {error.strerror}): "
            "give a folder that training (or index, or cluster) wrote"
        ) from error
    version: object = None
    try:
        fields = json.loads(text)
        version = fields.get("format_version") if isinstance(fields, dict) else None
    except (ValueError, RecursionError):
        pass  # Manifest says below what is wrong with it
    # First, because a newer format may differ in any other field.
    if version is not None and (version != FORMAT_VERSION or isinstance(version, bool)):
        raise UserError(
            f"{path} has format version {version!r}, and this program reads {FORMAT_VERSION}: "
            "update the program, or train the model anew"
        )
    try:
        return Manifest.model_validate_json(text)
    except ManifestError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # One line, whatever line breaks a key of the file may hold.
        what = " ".join(": ".join([*map(str, first["loc"]), first["msg"]]).split())
        raise UserError(f"{path} is not a manifest: {what}; copy the whole directory again") from error


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
