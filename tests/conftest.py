"""What every test may use: a folder of its own, and an honest word about a service that is missing.

A test that needs something the machine may lack says so:

    @pytest.mark.needs("tmpfs")

Where it is missing the test is skipped and the summary names it; under `CI=true` it fails instead,
so that a green run never means "not run".
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.services import binaries

pytest_plugins = ["tests.services.fixtures"]

# What a shell runs in the background ignores Ctrl-C, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may find the developer's own settings.
for name in [name for name in os.environ if name.startswith("WORKHORSE_")]:
    del os.environ[name]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, made the current one for the length of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def needs(service: str) -> None:
    """Skip the running test when `service` is missing; fail it when that happens under CI."""
    if not available(service):
        reason = f"needs {service}, which this machine does not have"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@cache
def available(service: str) -> bool:
    """Whether `service` works here; found out once."""
    return _PROBES[service]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour the `needs` marks before any fixture is made; one called after a service needs it."""
    for mark in item.iter_markers("needs"):
        needs(*mark.args)
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in _PROBES:
            needs(fixture)


def _linux() -> bool:
    return sys.platform == "linux"


def _tmpfs() -> bool:
    """Root may mount: a small disk that can be filled."""
    if not (_linux() and os.geteuid() == 0 and shutil.which("mount")):
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _netns() -> bool:
    """Root may make network namespaces, and switches in them."""
    if not (_linux() and os.geteuid() == 0 and all(map(shutil.which, ("nsenter", "bridge")))):
        return False
    probe = ["unshare", "--net", "ip", "link", "add", "name", "probe", "type", "bridge"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


_PROBES: dict[str, Callable[[], bool]] = {
    "linux": _linux,
    "netns": _netns,
    "pg15": lambda: binaries.postgres("15") is not None,
    "pg18": lambda: binaries.postgres("18") is not None,
    "pgbouncer": lambda: binaries.pgbouncer() is not None,
    "tmpfs": _tmpfs,
}
