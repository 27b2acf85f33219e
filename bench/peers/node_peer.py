"""What peers in Node share: programs in bench/node, and the Node that its lock names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from bench.peers.on_postgres import OnPostgres
from bench.peers.protocol import Command

HOME: Final = Path(__file__).parent.parent / "node"


class NodePeer:
    """The Node half of a `Peer`; `module` is its file in bench/node/peers."""

    store: str
    durability: str

    def __init__(
        self,
        name: str,
        *,
        module: str,
        packages: tuple[str, ...],
        settings: Mapping[str, Any],
        share: float = 1.0,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.module = module
        self.packages = packages
        self.share = share
        self.without = without
        self._settings = settings

    def missing(self) -> str | None:
        if node() is None or any(not _manifest(package).is_file() for package in self.packages):
            return f"{self.packages[0]} is not installed (`npm ci --prefix {HOME}`)"
        return None

    def versions(self) -> Mapping[str, str]:
        found = {name: json.loads(_manifest(name).read_text())["version"] for name in self.packages}
        return found | {
            "node": subprocess.check_output([str(node()), "--version"], text=True).strip()
        }

    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Return what tells its programs where the store in `folder` is."""
        raise NotImplementedError

    def client(self, folder: Path) -> Command:
        return self._run("client.js", folder, str(folder))

    def worker(self, folder: Path) -> Command:
        return self._run("worker.js", folder)

    def install(self, folder: Path) -> None:
        arguments, environment = self._run("install.js", folder)
        subprocess.run(arguments, env={**os.environ, **environment}, check=True)

    def _run(self, program: str, folder: Path, *arguments: str) -> Command:
        command = [str(node()), str(HOME / program), self.module, *arguments]
        return Command(command, {"NODE_ENV": "production", **self.environment(folder)})


class NodeOnPostgres(OnPostgres, NodePeer):
    """A peer in Node on PostgreSQL."""


class Graphile(NodeOnPostgres):
    look = "select from graphile_worker._private_jobs limit 1"


class PgBoss(NodeOnPostgres):
    look = "select from pgboss.job where state < 'completed' and name = 'bench' limit 1"


@cache
def node() -> Path | None:
    """Return the Node that was installed beside the peers."""
    return next((HOME / "node_modules").glob("node-linux-*/bin/node"), None)


def _manifest(package: str) -> Path:
    return HOME / "node_modules" / package / "package.json"
