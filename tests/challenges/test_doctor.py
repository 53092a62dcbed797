"""What the doctor says is what make does and what lies on disk."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from challenges.doctor import REPOSITORY, SHIPPED, describe, examine

MAKEFILE = """\
.ready:
	@touch $@
.missing:
	@echo "setting up: what 'toys' needs" >&2
	@touch $@
toy-play: .ready ## play (DATA=folder)
	@echo playing
toy-learn: .missing ## learn
	@echo learning
demo: .missing ## try
	@echo trying
"""


NET = "radix_toy/net"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "challenges" / "radix_toy").mkdir(parents=True)
    (tmp_path / "challenges" / "radix_toy" / "__init__.py").touch()
    (tmp_path / ".ready").touch()
    shutil.copytree(REPOSITORY / "data" / "weights" / "vinted", tmp_path / "data" / "weights" / "radix_toy" / "net")
    return tmp_path


def test_abilities_are_what_make_would_do(repository: Path):
    toy, _ = examine(repository, [NET])
    assert [(a.name, a.help, a.sets_up) for a in toy.abilities] == [
        ("toy-play", "play (DATA=folder)", None),
        ("toy-learn", "learn", "toys"),
    ]
    assert not (repository / ".missing").exists()  # it was only asked


def test_what_is_shared_and_what_is_not_there_are_told(repository: Path):
    shutil.copytree(REPOSITORY / "data" / "weights" / "vinted", repository / "data" / "weights" / "encoder")
    (repository / "data" / "weights" / "radix_toy" / "net" / "manifest.json").unlink()
    toy, together = examine(repository, [NET, "encoder"])
    assert "none here" in toy.weights["data/weights/radix_toy/net"]
    assert "hashes right" in together.weights["data/weights/encoder"]
    assert [(a.name, a.sets_up) for a in together.abilities] == [("demo", "toys")]
    assert not [line for line in describe(together) if "  data  " in line]


def test_a_checkout_without_any_weights_is_told_so(repository: Path):
    shutil.rmtree(repository / "data" / "weights")
    for challenge, folder in zip(examine(repository, [NET, "encoder"]), (NET, "encoder"), strict=True):
        assert challenge.damaged == []
        assert [line for line in describe(challenge) if f"data/weights/{folder}: none here" in line]


def test_all_shipped_weights_are_looked_for():
    home = REPOSITORY / "data" / "weights"
    assert sorted(path.parent.relative_to(home).as_posix() for path in home.rglob("manifest.json")) == sorted(SHIPPED)


def test_weights_are_checked_and_data_looked_for(repository: Path):
    toy, _ = examine(repository, [NET])
    assert list(toy.weights) == ["data/weights/radix_toy/net"]
    assert (toy.damaged, toy.official) == ([], False)
    (repository / "data" / "radix_toy" / "official").mkdir(parents=True)
    with (repository / "data" / "weights" / "radix_toy" / "net" / "model.onnx").open("ab") as file:
        file.write(b"!")
    toy, _ = examine(repository, [NET])
    assert toy.official
    assert toy.weights == {}
    assert "model.onnx is damaged" in toy.damaged[0]


def test_the_real_one_knows_every_challenge_and_target():
    command = [sys.executable, "-m", "challenges.doctor"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    report = json.loads(done.stdout)
    assert set(report) == {path.parent.name for path in (REPOSITORY / "challenges").glob("*/__init__.py")} | {
        "together"
    }
    assert "data/weights/radix_smurfs/segmenter" in report["radix_smurfs"]["weights"]
    assert [ability["name"] for ability in report["together"]["abilities"]] == ["demo"]
    assert "vinted-predict" in [ability["name"] for ability in report["vinted"]["abilities"]]
    assert report["vinted"]["damaged"] == []
    read = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout
    assert "make vinted-predict" in read
    assert "data/weights/vinted: " in read
