"""What peers in Node share: programs in bench/node, and the Node that its lock names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.environments import NODE
from bench.peers.on_postgres import OnPostgres
from bench.peers.on_redis import OnRedis
from bench.peers.protocol import Command


class NodePeer:
    """The Node half of a `Peer`; `module` is its file in bench/node/peers."""

    durability: str

    def __init__(
        self,
        name: str,
        *,
        module: str,
        look: Any,
        packages: Sequence[str],
        settings: Mapping[str, Any],
        share: float = 1.0,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.look = look
        self.share = share
        self.without = without
        self._module = module
        self._packages = packages
        self._settings = settings

    def missing(self) -> str | None:
        if why := self.missing_server():
            return why
        if node() is None or not all(_manifest(package).is_file() for package in self._packages):
            return f"{self.name} is not installed (`make bench` does it, if there is an npm)"
        return None

    def versions(self) -> Mapping[str, str]:
        manifests = {name: json.loads(_manifest(name).read_text()) for name in self._packages}
        found = {name: manifest["version"] for name, manifest in manifests.items()}
        said = subprocess.check_output([str(node()), "--version"], text=True)
        return {**found, "node": said.strip().removeprefix("v"), **self.server_version()}

    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def client(self, folder: Path) -> Command:
        return self._node("client.js", folder, str(folder))

    def worker(self, folder: Path) -> Command:
        return self._node("worker.js", folder)

    def install(self, folder: Path) -> None:
        arguments, environment = self._node("install.js", folder)
        subprocess.run(arguments, env={**os.environ, **environment}, check=True)

    def _node(self, program: str, folder: Path, *arguments: str) -> Command:
        command = [str(node()), str(NODE / program), self._module, *arguments]
        return Command(command, {"NODE_ENV": "production", **self.environment(folder)})

    # The other half's:

    def environment(self, folder: Path) -> Mapping[str, str]:
        raise NotImplementedError

    def missing_server(self) -> str | None:
        raise NotImplementedError

    def server_version(self) -> Mapping[str, str]:
        raise NotImplementedError


class NodeOnPostgres(OnPostgres, NodePeer):
    """A peer in Node on PostgreSQL."""

    install = NodePeer.install


class NodeOnRedis(OnRedis, NodePeer):
    """A peer in Node on Redis."""


@cache
def node() -> Path | None:
    """Return the Node that was installed beside the peers."""
    return next((NODE / "node_modules").glob("node-linux-*/bin/node"), None)


def _manifest(package: str) -> Path:
    return NODE / "node_modules" / package / "package.json"
