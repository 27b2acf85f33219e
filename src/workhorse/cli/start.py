"""From the arguments to the exit code: the one place where errors become words and numbers."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from workhorse.domain.errors import WorkhorseError
from workhorse.screen import clean, speaks_unicode

if TYPE_CHECKING:
    import click

USAGE: Final = 2
FAULT: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

CANNOT_WRITE: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""How a stream fails: an error of these without a file is one of stdout or stderr."""


def run(arguments: Sequence[str]) -> int:
    """Carry out the command line `arguments`; return the exit code. Never raises."""
    _stand_in_for_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_odd_text(stream)
    try:
        code = _guarded(list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _silence_stdout()
        _say(f"Error: The output cannot be written: {error.strerror}.")
        return FAULT
    return code


def _guarded(arguments: list[str]) -> int:
    """Carry it out, and turn what goes wrong into words on stderr and an exit code."""
    try:
        return _dispatch(arguments)
    except WorkhorseError as error:
        _show_traceback()
        report(error)
        return error.exit_code
    except Exception as error:
        if isinstance(error, OSError) and error.errno in CANNOT_WRITE and not error.filename:
            raise
        if not _show_traceback():
            _say(f"Error: {type(error).__name__}: {error}")
            _say("This should not happen. Run `workhorse --debug …` to see where, and report it.")
        return FAULT


def _dispatch(arguments: list[str]) -> int:
    """Answer the two that must start fast by hand; give the rest to click.

    All but help and version look into the current folder, so there must be one.
    """
    if arguments in (["--help"], ["-h"], []):
        from workhorse.cli import menu

        print(menu.page())
        return 0 if arguments else USAGE
    if not {"--help", "-h", "--version"}.intersection(arguments):
        from workhorse.sources import current_folder

        current_folder()
    if arguments[0] == "health":
        from workhorse.cli.probe import parse, probe

        options = parse(arguments[1:])
        if options is not None:
            return probe(options)
    return _with_click(arguments)


def _with_click(arguments: list[str]) -> int:
    """Let click read the arguments; not by its `main`, which has exit codes of its own."""
    import click

    from workhorse.cli.root import root

    try:
        with root.make_context("workhorse", arguments) as context:
            code = root.invoke(context)
    except click.exceptions.Exit as wish:
        return wish.exit_code
    except click.Abort:
        _say("Nothing was changed.")
        return INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error)
    return code if isinstance(code, int) else 0


def report(error: WorkhorseError) -> None:
    """Say the error on stderr: on one line when it is one, else in a frame."""
    title, *body = error.message.splitlines() or [""]
    if not body:
        _say(f"Error: {error}")
        return
    top, side, end = ("╭─", "│", "╰─") if speaks_unicode(sys.stderr) else (".-", "|", "`-")
    _say(f"{top} Error: {title}")
    for line in body:
        _say(f"{side} {line}")
    _say(f"{end} {error.hint or ''}")


def _report_usage(error: click.ClickException) -> int:
    """Say a wrong command line the way click words it, with where to read on."""
    context = getattr(error, "ctx", None)
    _say(f"Error: {error.format_message()}")
    if context is not None:
        _say(f"Try: {context.command_path} --help")
    return USAGE


def _show_traceback() -> bool:
    """Print the traceback when it is wanted; tell whether it was."""
    wanted = os.environ.get("WORKHORSE_DEBUG", "") not in {"", "0"}
    if wanted:
        import traceback

        traceback.print_exc()
    return wanted


def _say(line: str) -> None:
    print(clean(line).rstrip(), file=sys.stderr)


def _stand_in_for_closed_streams() -> None:
    """Lead nowhere what the caller has closed, here and in children.

    Otherwise the next file that is opened would stand there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003 - the only way to say it
            setattr(sys, name, stream)


def _never_fail_on_odd_text(stream: object) -> None:
    """Print what the encoding cannot hold as an escape instead of failing on it."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Keep the interpreter's last flush from complaining about the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
