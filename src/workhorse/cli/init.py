"""`workhorse init`: a small app to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

APP: Final = '''"""A Workhorse app: its jobs are the functions below."""

from workhorse import Context, Workhorse

app = Workhorse()  # jobs are kept where the settings say: by default in .workhorse/jobs.db


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
"""

IGNORE: Final = "*\n"


@click.command()
@click.argument(
    "folder", default=".", type=click.Path(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
def init(folder: Path) -> None:
    """Write app.py with a first job, and workhorse.toml, into FOLDER (default: here).

    Nothing that is there is overwritten.
    """
    from workhorse.domain.errors import Conflict

    files = {
        folder / "app.py": APP,
        folder / "workhorse.toml": TOML,
    }
    present = [str(path) for path in files if path.exists()]
    if present:
        raise Conflict(
            f"{' and '.join(present)} would be overwritten.", hint="Nothing was written."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    hidden = folder / ".workhorse" / ".gitignore"
    hidden.parent.mkdir(exist_ok=True)
    hidden.write_text(IGNORE, encoding="utf-8")
    click.echo(
        f"Wrote {' and '.join(map(str, files))}. Now run:\n"
        "  workhorse worker\n"
        "and beside it:\n"
        """  workhorse enqueue hello '{"name": "you"}' --watch"""
    )
