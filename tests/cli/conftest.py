"""A folder with a store in it, and the command line, called in this process."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from workhorse.cli.start import run
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store

URL = "sqlite:///jobs.db"
APP = """
from workhorse import Context, Reject, Workhorse

app = Workhorse()


@app.job(queue="letters")
def hello(ctx: Context, name: str, times: int = 1) -> str:
    ctx.progress(50, "half way")
    ctx.log("greeting", name=name)
    return f"Hello, {name}!" * times


@app.job
def refuse() -> None:
    raise Reject("never")
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def jsonl(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def ids(self) -> list[int]:
        return [int(word) for word in self.out.split()]


class Cli:
    """Calls a command as `workhorse.__main__` does, without a terminal.

    The environment is as before after each: a command may change its process's own.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object, stdin: str = "") -> Ran:
        self._capsys.readouterr()
        given = io.StringIO(stdin)
        with mock.patch.dict(os.environ), mock.patch.object(sys, "stdin", given):
            code = run([str(word) for word in words])
        return Ran(code, *self._capsys.readouterr())


@pytest.fixture
def cli(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line, in an empty folder; what a command loads from there is forgotten."""
    path = list(sys.path)
    yield Cli(capsys)
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{workdir}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def store(workdir: Path) -> Iterator[Store]:
    """A store that the settings of the folder name."""
    (workdir / "workhorse.toml").write_text(f'database_url = "{URL}"\n')
    with closing(open_store(URL)) as store:
        yield store


@pytest.fixture
def app(workdir: Path) -> None:
    """An app that the settings of the folder name, on the store they name."""
    (workdir / "app.py").write_text(APP)
    (workdir / "workhorse.toml").write_text(f'app = "app:app"\ndatabase_url = "{URL}"\n')
