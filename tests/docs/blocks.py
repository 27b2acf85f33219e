"""Find the code blocks of a Markdown file, and run them as a reader would.

A page is read from top to bottom in one empty folder and one namespace:

- a `python` block runs in the page's namespace; `await` is allowed at its top level
- a `py` block is read, not run: what it needs is not at hand (a server, tables of the reader's);
  it must be Python all the same
- a `python` (or `toml`, …) block whose first line is a comment with a file name, `# jobs.py`, is
  written to that file; a Python file is imported as well, so it is known to work
- a `console` block's lines that start with `$ workhorse` run as commands; what is shown below
  each must appear in its output, in that order: white space is collapsed, `…` and `...` stand for
  anything. It must end with 0, unless the page shows that something failed. A command with `&` at
  its end is left running until the end of the page, and must then exit with 0 when it is asked to
  stop. Other commands (`$ make demo`) are for the reader.
"""

import ast
import asyncio
import importlib
import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Self

from workhorse import Workhorse

COMMAND_SECONDS = 60

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w-]*)[^`\n]*$")
_FILE_NAME = re.compile(r"^# (?P<name>[\w./-]+\.\w+)$")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the line its text starts on (from 1)."""

    language: str
    text: str
    line: int

    @property
    def file_name(self) -> str | None:
        """The file this block is, when its first line names one."""
        found = _FILE_NAME.match(self.text.partition("\n")[0])
        return found["name"] if found else None


def blocks(markdown: str) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    lines = enumerate(markdown.splitlines(), start=1)
    for _, line in lines:
        if opened := _FENCE.match(line):
            number, body = 0, []
            for number, inner in lines:  # noqa: B007 — the rest of the same iterator
                if inner.strip() == opened["ticks"]:
                    break
                body.append(inner.removeprefix(opened["indent"]))
            yield Block(opened["language"], "\n".join(body) + "\n", number - len(body))


class Page:
    """One page being read: its folder, its namespace, and the commands left running."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "__page__"}
        self._running: list[tuple[str, subprocess.Popen[str]]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(_importable(self._folder))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            self._close()
            self._stop(judge=error is None)

    def read(self, block: Block) -> None:
        """Do what the block says; an error carries the page's own line numbers."""
        if name := block.file_name:
            self._write(name, block)
        elif block.language == "python":
            self._run(block)
        elif block.language == "py":
            self._compile(block)
        elif block.language == "console":
            self._command_lines(block)

    def _write(self, name: str, block: Block) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        if file.suffix == ".py":
            importlib.invalidate_caches()
            importlib.import_module(name.removesuffix(".py").replace("/", "."))

    def _compile(self, block: Block) -> CodeType:
        source = "\n" * (block.line - 1) + block.text
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(source, str(self._path), "exec", flags=flags)
        return code

    def _run(self, block: Block) -> None:
        code = self._compile(block)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, self._namespace))
        else:
            exec(code, self._namespace)

    def _command_lines(self, block: Block) -> None:
        for typed, shown in _sessions(block.text):
            words = shlex.split(typed, comments=True)
            if words[0] != "workhorse":
                continue
            argv = [sys.executable, "-m", *words]
            if words[-1] == "&":
                self._running.append((typed, _start(argv[:-1], self._folder)))
                continue
            process = _start(argv, self._folder)
            with process:
                output, _ = process.communicate(timeout=COMMAND_SECONDS)
            where = f"{self._path}:{block.line}: $ {typed}"
            compare(where, shown, output)
            told = re.search(r"\b(Error|failed)\b", shown)
            assert told or process.returncode == 0, f"{where}\nended {process.returncode}\n{output}"

    def _close(self) -> None:
        """Close the apps the page made; a short page leaves that to the interpreter's end."""
        for app in {id(app): app for app in self._apps()}.values():
            app.close()

    def _apps(self) -> Iterator[Workhorse]:
        for names in (self._namespace, *(vars(module) for _, module in _modules(self._folder))):
            yield from (value for value in names.values() if isinstance(value, Workhorse))

    def _stop(self, *, judge: bool) -> None:
        """Ask what still runs to stop; a clean stop is a part of what the page shows."""
        for typed, process in reversed(self._running):
            with process:
                process.send_signal(signal.SIGTERM)
                try:
                    output, _ = process.communicate(timeout=COMMAND_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
            print(f"$ {typed}\n{output}")  # shown by pytest when the page fails
            if judge:
                assert process.returncode == 0, f"$ {typed} ended {process.returncode}:\n{output}"


def compare(where: str, shown: str, output: str) -> None:
    """Every line shown appears in the output, in that order."""
    rest = _collapse(output)
    for line in filter(None, map(_collapse, shown.splitlines())):
        pattern = ".*?".join(re.escape(part) for part in re.split(r"…|\.\.\.", line))
        found = re.search(pattern, rest, flags=re.DOTALL)
        assert found, f"{where}\nshows    {line!r}\nbut the output is\n{output}"
        rest = rest[found.end() :]


def _sessions(text: str) -> Iterator[tuple[str, str]]:
    """Each `$ command` with what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        typed, _, shown = part.replace("\\\n", " ").partition("\n")
        yield typed.strip(), shown


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _start(argv: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let Python files of `folder` be imported, and forget them afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, _ in _modules(folder):
            del sys.modules[name]


def _modules(folder: Path) -> list[tuple[str, ModuleType]]:
    """The modules imported from `folder`."""
    return [
        (name, module)
        for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}")
    ]
