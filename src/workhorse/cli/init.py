"""`workhorse init`: a small app to start from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from workhorse.cli.shared import fail_usage
from workhorse.domain.errors import Conflict

APP: Final = '''"""A Workhorse app: its jobs are the functions below."""

from workhorse import Context, Workhorse

app = Workhorse()  # the jobs are kept where workhorse.toml says


@app.job()
def hello(ctx: Context, name: str) -> str:
    """Greet somebody."""
    ctx.progress(50, "thinking of a greeting")
    ctx.log("greeting", name=name)
    return f"Hello, {name}!"


if __name__ == "__main__":
    handle = hello.enqueue("you")
    print(f"Job {handle.id} is queued; `workhorse jobs watch {handle.id}` shows it.")
'''

TOML: Final = """# Settings of Workhorse. Flags and WORKHORSE_* variables win over this file;
# `workhorse config show` lists them all.
app = "app:app"
database_url = "sqlite:///.workhorse/jobs.db"
"""

IGNORE: Final = "*\n"


@click.command()
@click.argument(
    "folder", default=".", type=click.Path(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
def init(folder: Path) -> None:
    """Write a small app and its settings here.

    They are app.py, with a first job, and workhorse.toml, in FOLDER. Nothing that is there is
    overwritten.
    """
    files = {folder / "app.py": APP, folder / "workhorse.toml": TOML}
    present = [str(path) for path in files if path.exists()]
    if present:
        raise Conflict(f"{' and '.join(present)} would be overwritten; nothing was written.")
    ignore = folder / ".workhorse" / ".gitignore"
    try:
        _write(files if ignore.exists() else files | {ignore: IGNORE})
    except OSError as error:
        fail_usage(f"Cannot write {error.filename}: {error.strerror}.")
    print(f"Wrote {' and '.join(map(str, files))}. Now run:")
    if folder != Path():
        print(f"  cd {shlex.quote(str(folder))}")
    print("  workhorse worker")
    print("and beside it:")
    print("""  workhorse enqueue hello '{"name": "you"}' --watch""")


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
