"""Fixtures that every test may ask for."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: `$CHALLENGES_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("CHALLENGES_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set CHALLENGES_DATA to its folder")
    return folder
