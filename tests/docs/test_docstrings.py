"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import workhorse

MODULES = [
    module.name
    for module in pkgutil.walk_packages(workhorse.__path__, "workhorse.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["workhorse", *MODULES])
def test_a_docstring_shows_what_happens(name: str, workdir: Path) -> None:
    """Each `>>>` example gives what it shows."""
    assert workdir.is_dir()
    assert doctest.testmod(importlib.import_module(name)).failed == 0
