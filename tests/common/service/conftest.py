import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy_path() -> Path:
    return Path(__file__).with_name("toy_service.py")


@pytest.fixture(scope="session")
def toy(toy_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_service", toy_path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
