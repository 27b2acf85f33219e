"""Hosts on a network of their own: network namespaces around one switch. Root only.

    with Network("a", "b") as network, Cluster("18", host=network.hub) as cluster:
        network["a"].run(["ip", "address"])
        network["b"].cut()

The hub is where the servers are, and holds the switch. The namespaces have no names: each lives as
long as the process that holds it, so nothing is left behind, and nothing of this network is seen
from the machine, nor reaches it. Files and Unix sockets are shared, as ever.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.scenarios.facts import eventually
from tests.services.process import Process

SUBNET: Final = "10.99.0"
_SWITCH: Final = "switch"
_DISABLED, _FORWARDING = "0", "3"


class Host:
    """One network namespace, with one address."""

    def __init__(self, name: str, number: int, holder: Process, hub: Host | None = None) -> None:
        self.name = name
        self.port = f"port-{name}"
        self.address = f"{SUBNET}.{number}"
        self._holder = holder
        self._hub = hub

    def inside(self, command: Sequence[str] = ()) -> list[str]:
        """Return the command that runs `command` on this host, in the same process."""
        return ["nsenter", f"--net={_namespace(self._holder.pid)}", "--", *command]

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end, and return what it said. Raises when it failed."""
        return subprocess.run(
            self.inside(command), capture_output=True, text=True, check=True, **options
        )

    def cut(self) -> None:
        """Lose every packet to and from this host. It only sees that nobody answers."""
        self._port(_DISABLED)

    def heal(self) -> None:
        """Let packets through again."""
        self._port(_FORWARDING)

    def _port(self, state: str) -> None:
        assert self._hub, "the hub has no link to cut: cut its peers"
        self._hub.run(["bridge", "link", "set", "dev", self.port, "state", state])


class Network:
    """Hosts by name, and their hub. A context manager: left, none of it exists."""

    def __init__(self, *names: str, folder: Path) -> None:
        self._names = names
        self._folder = folder
        self._hosts: dict[str, Host] = {}
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        with self._stack:
            self.hub = Host("hub", 1, self._hold())
            _set_up(self.hub, _SWITCH, f"link add name {_SWITCH} type bridge")
            for number, name in enumerate(self._names, start=2):
                holder = self._hold()
                host = self._hosts[name] = Host(name, number, holder, self.hub)
                _ip(
                    self.hub,
                    f"link add name {host.port} type veth peer name net netns {holder.pid}",
                )
                _ip(self.hub, f"link set dev {host.port} master {_SWITCH} up")
                _set_up(host, "net")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _hold(self) -> Process:
        """Start the process that keeps a new namespace in being."""
        command = ["unshare", "--net", "--", "sleep", "infinity"]
        holder = Process(command, folder=self._folder, log=self._folder / "network.log")
        self._stack.enter_context(holder)
        ours = _namespace("self").readlink()
        eventually(lambda: _namespace(holder.pid).readlink() != ours, every=0.002)
        return holder


def _namespace(pid: int | str) -> Path:
    return Path(f"/proc/{pid}/ns/net")


def _set_up(host: Host, device: str, *first: str) -> None:
    for command in (
        *first,
        "link set dev lo up",
        f"address add {host.address}/24 dev {device}",
        f"link set dev {device} up",
    ):
        _ip(host, command)


def _ip(host: Host, command: str) -> None:
    host.run(["ip", *command.split()])
