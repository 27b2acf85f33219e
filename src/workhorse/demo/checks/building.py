"""Build a project the standard way: call the backend that its pyproject.toml names (PEP 517).

Nothing is downloaded: what the backend requires must be importable. The sample project
brings its own backend, which requires nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

_HOOK = """
import importlib, sys
backend, hook, where, *path = sys.argv[1:]
sys.path[:0] = path
target = importlib.import_module(backend.partition(":")[0])
for name in filter(None, backend.partition(":")[2].split(".")):
    target = getattr(target, name)
print(getattr(target, hook)(where))
"""


class BuildFailed(Exception):
    """The backend ended with an error; the message is the end of what it said."""


def build(folder: Path, hook: str, into: Path) -> dict[str, Any]:
    """Run `hook` (``build_wheel`` or ``build_sdist``) of the project in `folder`.

    Returns the artifact's ``name``, ``size`` in bytes and ``sha256``; it lies in `into`.
    """
    table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    system = table["build-system"]
    paths = [str(folder / path) for path in system.get("backend-path", [])]
    into.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-B", "-c", _HOOK, system["build-backend"], hook, str(into), *paths]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(done.stderr.strip()[-2000:] or f"{hook} ended with {done.returncode}")
    name = done.stdout.strip().splitlines()[-1]
    data = (into / name).read_bytes()
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
