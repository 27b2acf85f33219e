"""From the arguments to the exit code: the one place where errors become words and numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from workhorse.domain.errors import ConfigurationError, WorkhorseError

if TYPE_CHECKING:
    import click

USAGE: Final = 2
BUG: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def run(arguments: Sequence[str]) -> int:
    """Carry out the command line `arguments`; return the exit code. Never raises."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_odd_text(stream)
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    return code


def _run(arguments: list[str]) -> int:
    """Answer the two that must start fast by hand; give the rest to click."""
    if arguments in (["--help"], ["-h"], []):
        from workhorse.cli import menu

        print(menu.page())
        return 0 if arguments else USAGE
    if arguments[0] == "health":
        from workhorse.cli.probe import parse, probe

        options = parse(arguments[1:])
        if options is not None:
            return _guarded(lambda: probe(options))
    return _with_click(arguments)


def _with_click(arguments: list[str]) -> int:
    import click

    from workhorse.cli.root import root

    def call() -> int:
        try:
            code = root.main(arguments, prog_name="workhorse", standalone_mode=False)
        except click.exceptions.Exit as wish:
            return wish.exit_code
        except click.Abort:
            return INTERRUPTED
        except click.ClickException as error:
            return _report_usage(error)
        return code if isinstance(code, int) else 0

    return _guarded(call, debug="--debug" in arguments[:1])


def _guarded(call: Callable[[], int], *, debug: bool = False) -> int:
    """Call, and turn what goes wrong into words on stderr and an exit code."""
    try:
        return call()
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except WorkhorseError as error:
        _show_traceback(debug=debug)
        report(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if not _show_traceback(debug=debug):
            _say(f"Error: {type(error).__name__}: {error}")
            _say("This should not happen. Run `workhorse --debug …` to see where, and report it.")
        return BUG


def report(error: WorkhorseError) -> None:
    """Say the error on stderr: on one line when it is one, else in a frame."""
    if "\n" not in error.message:
        _say(f"Error: {error}")
        return
    title, _, body = error.message.partition("\n")
    word = "Configuration error" if isinstance(error, ConfigurationError) else "Error"
    rule, side, end = ("──", "│", "╰─") if _speaks_unicode() else ("--", "|", "`-")
    _say(f"{'╭' if _speaks_unicode() else '.'}{rule[:1]} {word}: {title}")
    for line in body.splitlines():
        _say(f"{side} {line}".rstrip())
    _say(f"{end} {error.hint}" if error.hint else end)


def _report_usage(error: click.ClickException) -> int:
    """Say a wrong command line the way click words it, with where to read on."""
    context = getattr(error, "ctx", None)
    _say(f"Error: {error.format_message()}")
    if context is not None:
        _say(f"Try: {context.command_path} --help")
    return USAGE


def _show_traceback(*, debug: bool) -> bool:
    """Print the traceback when it is wanted; tell whether it was."""
    wanted = debug or os.environ.get("WORKHORSE_DEBUG", "") not in {"", "0"}
    if wanted:
        import traceback

        traceback.print_exc()
    return wanted


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _speaks_unicode() -> bool:
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def _never_fail_on_odd_text(stream: object) -> None:
    """Print what the encoding cannot hold as an escape instead of failing on it."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Keep the interpreter's last flush from complaining about the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
