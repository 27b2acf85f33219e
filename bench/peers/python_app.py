"""Peers in Python that a module of bench/peers/apps describes, in an environment of its group."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench.environments import ROOT, interpreter
from bench.peers.on_postgres import OnPostgres
from bench.peers.on_redis import OnRedis
from bench.peers.protocol import Client, Command

_VERSIONS: Final = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


class PythonApp:
    """The Python half of a `Peer`."""

    durability: str

    def __init__(
        self,
        name: str,
        *,
        module: str,
        look: Any,
        packages: Sequence[str] = (),
        group: str = "",
        options: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        share: float = 1.0,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Describe it: `options` go to the module's `work`, and with `settings` in the report."""
        self.name = name
        self.look = look
        self.share = share
        self.without = without
        self._module = module
        self._packages = (module, *packages)
        self._group = group
        self._options = dict(options or {})
        self._settings = dict(settings or {})

    def missing(self) -> str | None:
        if why := self.missing_server():
            return why
        if _versions(interpreter(self._group), self._packages) is None:
            return f"{self._module} is not installed (`make bench` does it)"
        return None

    def versions(self) -> Mapping[str, str]:
        found = _versions(interpreter(self._group), self._packages)
        return {**(found or {}), **self.server_version()}

    def settings(self) -> Mapping[str, Any]:
        return {**self._options, **self._settings}

    def client(self, folder: Path) -> Command:
        return self._python(folder, "bench.client", self.name, str(folder))

    def worker(self, folder: Path) -> Command:
        return self._call(folder, "work", self._options)

    def install(self, folder: Path) -> None:
        arguments, environment = self._call(folder, "install", {})
        subprocess.run(arguments, cwd=ROOT, env={**os.environ, **environment}, check=True)

    def open(self) -> Client:
        """Open the client in this process, which has the peer's environment."""
        url = next(url for name in _URLS if (url := os.environ.get(name)))
        client: Client = import_module(f"bench.peers.apps.{self._module}").connect(url)
        return client

    def _call(self, folder: Path, function: str, options: Mapping[str, Any]) -> Command:
        arguments = (self._module, function, self.url(folder), json.dumps(options))
        return self._python(folder, "bench.app", *arguments)

    def _python(self, folder: Path, module: str, *arguments: str) -> Command:
        command = [str(interpreter(self._group)), "-m", module, *arguments]
        return Command(command, self.environment(folder))

    # The other half's:

    def url(self, folder: Path) -> str:
        raise NotImplementedError

    def environment(self, folder: Path) -> Mapping[str, str]:
        raise NotImplementedError

    def missing_server(self) -> str | None:
        raise NotImplementedError

    def server_version(self) -> Mapping[str, str]:
        raise NotImplementedError


_URLS: Final = ("BENCH_DATABASE_URL", "BENCH_REDIS_URL")


class AppOnPostgres(OnPostgres, PythonApp):
    """A peer in Python on PostgreSQL."""

    install = PythonApp.install


class AppOnRedis(OnRedis, PythonApp):
    """A peer in Python on Redis."""


@cache
def _versions(python: Path, packages: Sequence[str]) -> Mapping[str, str] | None:
    try:
        said = subprocess.check_output(
            [python, "-c", _VERSIONS, *packages], stderr=subprocess.DEVNULL, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found: dict[str, str] = json.loads(said)
    return found
