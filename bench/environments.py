"""Where the interpreters of Python peers are: ours, or one apart for those that clash with it.

`python -m bench.environments UV` makes those apart, from the lock, and installs the peers in Node.
What cannot be had is said, and measured without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
HOME: Final = ROOT / ".workhorse" / "peers"
NODE: Final = ROOT / "bench" / "node"
APART: Final = {"bench-redis": "", "bench-arq": "", "bench-oban": "3.12"}
"""Dependency groups with an environment of their own, and the least Python they need."""


def interpreter(group: str) -> Path:
    """Return the Python in which the peers of this group run; "" is ours."""
    return HOME / group / "bin" / "python" if group else Path(sys.executable)


def main(uv: str) -> None:
    for group, least in APART.items():
        command = [uv, "sync", "--quiet", "--locked", "--only-group", group]
        command += ["--python", _newer(least)] if least else []
        _install(group, command, UV_PROJECT_ENVIRONMENT=str(HOME / group))
    if npm := shutil.which("npm"):
        _install("the peers in Node", [npm, "ci", "--silent", "--prefix", str(NODE)])
    else:
        print("npm is not installed: the peers in Node are left out.", file=sys.stderr)


def _install(what: str, command: list[str], **variables: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)
    if done.returncode:
        print(f"Cannot install {what}: {' '.join(command)}", file=sys.stderr)


def _newer(least: str) -> str:
    """Return an installed Python of that version or newer if we see one; else uv looks for it."""
    if sys.version_info >= tuple(map(int, least.split("."))):
        return sys.executable
    found = sorted(Path.home().glob(f".pyenv/versions/{least}.*/bin/python"))
    return str(found[-1]) if found else f">={least}"


if __name__ == "__main__":
    main(*sys.argv[1:])
