"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import challenges
import common

MODULES = [
    module.name
    for package in (common, challenges)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    # Alembic and Streamlit run these; on their own they cannot be imported.
    if not module.name.endswith(("__main__", ".migrations.env", ".views.app"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0
