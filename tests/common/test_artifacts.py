"""Artifacts: what is saved is what is loaded, and anything else is refused by name."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.artifacts import Manifest, fingerprint, load_artifact, save_artifact
from common.errors import UserError

FIELDS: dict[str, Any] = {
    "challenge": "vinted",
    "config": {"size": (224, 224), "learning_rate": 1e-3, "freeze": None},
    "labels": {"category": ("BLOUSES", "SHIRTS"), "tags": ["floral"]},
    "input": {"layout": "NCHW", "mean": np.array([0.5, 0.5, 0.5])},
    "data_fingerprint": "0" * 64,
    "metrics": {"top_1": np.float32(0.5), "macro_f1": float("nan"), "n_rows": np.int64(3)},
    "packages": {"torch": "2.15.0"},
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An artifact of two files, one given as bytes and one as a path."""
    weights = tmp_path / "epoch_3.bin"
    weights.write_bytes(b"\x00weights" * 1000)
    directory = tmp_path / "runs" / "model"
    save_artifact(directory, files={"model.onnx": b"onnx", "model.safetensors": weights}, **FIELDS)
    return directory


def edit_manifest(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = directory / "manifest.json"
    fields = json.loads(path.read_text())
    edit(fields)
    path.write_text(json.dumps(fields))


def load_error(directory: Path, challenge: str = "vinted") -> str:
    with pytest.raises(UserError) as caught:
        load_artifact(directory, challenge)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_saved_is_loaded(directory: Path) -> None:
    artifact = load_artifact(directory, "vinted")
    assert artifact.path("model.onnx").read_bytes() == b"onnx"
    assert artifact.path("model.safetensors").read_bytes() == b"\x00weights" * 1000
    manifest = artifact.manifest
    assert manifest.config == {"size": [224, 224], "learning_rate": 1e-3, "freeze": None}
    assert manifest.labels["category"] == ["BLOUSES", "SHIRTS"]
    assert manifest.input["mean"] == [0.5, 0.5, 0.5]
    assert manifest.metrics == {"top_1": 0.5, "macro_f1": None, "n_rows": 3}
    assert manifest.created.utcoffset() is not None


def test_save_returns_what_load_reads(tmp_path: Path) -> None:
    manifest = save_artifact(tmp_path, files={"a.bin": b""}, **FIELDS)
    assert isinstance(manifest, Manifest)
    assert load_artifact(tmp_path, "vinted").manifest == manifest


def test_only_the_artifact_is_left_behind(directory: Path) -> None:
    (directory / "MODEL_CARD.md").write_text("kept")
    save_artifact(directory, files={"model.onnx": b"new"}, **FIELDS)
    names = {path.name for path in directory.iterdir()}
    assert names == {"MODEL_CARD.md", "manifest.json", "model.onnx", "model.safetensors"}
    assert load_artifact(directory, "vinted").path("model.onnx").read_bytes() == b"new"


def test_a_file_may_already_lie_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"exported here")
    save_artifact(tmp_path, files={"model.onnx": tmp_path / "model.onnx"}, **FIELDS)
    assert load_artifact(tmp_path, "vinted").path("model.onnx").read_bytes() == b"exported here"


def test_interrupted_over_an_older_artifact_is_noticed(directory: Path, tmp_path: Path) -> None:
    files = {"model.onnx": b"newer", "model.safetensors": tmp_path / "vanishes.bin"}
    with pytest.raises(UserError, match=r"vanishes\.bin"):  # before anything is written
        save_artifact(directory, files=files, **FIELDS)
    load_artifact(directory, "vinted")
    (directory / "model.onnx").write_bytes(b"newer")  # killed between a file and the manifest
    assert "model.onnx" in load_error(directory)


@pytest.mark.parametrize("position", [0, 3500, 7999])
def test_one_changed_byte_is_named(directory: Path, position: int) -> None:
    path = directory / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    message = load_error(directory)
    assert str(path) in message
    assert "damaged" in message


def test_truncated_file_is_named(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(b"onn")
    assert "model.onnx is damaged" in load_error(directory)


def test_missing_file_is_named(directory: Path) -> None:
    (directory / "model.onnx").unlink()
    assert "model.onnx is missing" in load_error(directory)


def test_folder_in_place_of_a_file(directory: Path) -> None:
    (directory / "model.onnx").unlink()
    (directory / "model.onnx").mkdir()
    assert "model.onnx is missing" in load_error(directory)


def test_no_directory_and_no_manifest(tmp_path: Path) -> None:
    assert f"no model in {tmp_path / 'nowhere'}" in load_error(tmp_path / "nowhere")
    assert f"no model in {tmp_path}" in load_error(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    assert f"no model in {tmp_path}" in load_error(tmp_path)


def test_another_challenge(directory: Path) -> None:
    assert "for 'vinted', not for 'radix_movies'" in load_error(directory, "radix_movies")


@pytest.mark.parametrize("version", [0, 2, "1", 1.5, True])
def test_another_format_version_is_said_before_anything_else(directory: Path, version: object) -> None:
    edit_manifest(directory, lambda fields: fields.update(format_version=version, shards=[]))
    assert f"format version {version!r}" in load_error(directory)


@pytest.mark.parametrize(
    "name",
    [
        "../x", "..", ".", "", "/etc/passwd", "sub/x", "..\\x", "C:x", ".hidden", "a\nb", "a\x00b",
        "manifest.json", "Manifest.JSON",
    ],
)  # fmt: skip
def test_file_names_that_lead_elsewhere(directory: Path, name: str) -> None:
    (directory.parent / "x").write_bytes(b"x")
    edit_manifest(directory, lambda fields: fields["files"].update({name: hashlib.sha256(b"x").hexdigest()}))
    message = load_error(directory)
    assert "manifest.json is not a manifest: files" in message
    assert "no plain file name" in message
    with pytest.raises(ValueError, match="no plain file name"):
        save_artifact(directory.parent / "new", files={name: b"x"}, **FIELDS)
    assert not (directory.parent / "new").exists()


def test_link_that_leads_out(directory: Path) -> None:
    outside = directory.parent / "outside"
    (directory / "model.onnx").rename(outside)
    (directory / "model.onnx").symlink_to(outside)
    assert "leads out" in load_error(directory)


def test_the_directory_itself_may_be_a_link(directory: Path) -> None:
    link = directory.parent / "latest"
    link.symlink_to(directory)
    assert load_artifact(link, "vinted").directory == link


def test_unknown_and_absent_fields_are_named(directory: Path) -> None:
    edit_manifest(directory, lambda fields: fields.update(surprise=1))
    assert "surprise: Extra inputs" in load_error(directory)
    edit_manifest(directory, lambda fields: (fields.pop("surprise"), fields.pop("labels")))
    assert "labels: Field required" in load_error(directory)


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, "0" * 64 + "\n"])
def test_what_is_no_sha256(directory: Path, digest: str) -> None:
    edit_manifest(directory, lambda fields: fields["files"].update({"model.onnx": digest}))
    assert "files: model.onnx: " in load_error(directory)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b'{"format_version": 1', b"[]", b"null", b"1", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "zip", "cut", "list", "null", "number", "not-utf-8", "deep"],
)
def test_what_is_no_manifest(directory: Path, content: bytes) -> None:
    (directory / "manifest.json").write_bytes(content)
    assert "manifest.json is not a manifest: " in load_error(directory)


def test_a_file_the_artifact_lacks(directory: Path) -> None:
    artifact = load_artifact(directory, "vinted")
    with pytest.raises(UserError, match=r"no file 'int8\.onnx' \(it has: model\.onnx, model\.safetensors\)"):
        artifact.path("int8.onnx")


def test_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.parquet").write_bytes(b"rows")
        (tmp_path / folder / "data.zip").write_bytes(b"photos")
    here, there = sorted((tmp_path / "here").iterdir()), sorted((tmp_path / "there").iterdir())
    first = fingerprint(here)
    assert first == fingerprint(reversed(here)) == fingerprint(there)
    assert first == fingerprint([tmp_path / "here"])
    lines = sorted(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in here)
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()

    there[0].write_bytes(b"r0ws")
    assert fingerprint(there) != first
    there[0].write_bytes(b"rows")
    assert fingerprint(there) == first
    there[0].rename(there[0].with_name("test.parquet"))
    assert fingerprint([tmp_path / "there"]) != first


def test_fingerprint_names_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.zip"):
        fingerprint([tmp_path / "absent.zip"])
