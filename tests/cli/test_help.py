"""The pages of help, and the hints for who types something else."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from tests.cli.conftest import Cli
from workhorse.cli import menu
from workhorse.cli.root import root


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command below `group`, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is on the menu, but there is no such command"
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(root))


def test_the_first_page_names_every_command_and_exit_code(cli: Cli) -> None:
    """Whether asked for by flag, by another flag, or by nothing at all."""
    page = cli("--help")
    assert page.code == 0
    for name in menu.COMMANDS:
        assert f"\n  {name} " in page.out
    for code, meaning in menu.EXIT_CODES.items():
        assert f"\n  {code:<4} {meaning}" in page.out
    assert cli("-h").out == page.out
    assert cli("--debug", "--help").out == page.out
    nothing = cli()
    assert (nothing.code, nothing.out) == (2, page.out)


def test_the_commands_are_those_of_the_guide() -> None:
    """Nothing is missing, nothing is there that was not planned."""
    assert {" ".join(words) for words, command in COMMANDS.items() if not is_group(command)} == {
        *("init", "demo", "worker", "enqueue", "health", "doctor", "migrate", "copy"),
        "config show",
        *("jobs list", "jobs show", "jobs watch", "jobs wait", "jobs logs"),
        *("jobs cancel", "jobs requeue", "jobs delete"),
        *("queues list", "queues pause", "queues resume", "workers list", "events export"),
    }


def is_group(command: click.Command) -> bool:
    return isinstance(command, click.Group)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(cli: Cli, words: tuple[str, ...]) -> None:
    """`--help` and `-h` say what it does, and something about each of its options."""
    page = cli(*words, "--help")
    assert (page.code, page.err) == (0, "")
    assert cli(*words, "-h").out == page.out
    command = COMMANDS[words]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help or parameter.show_default, f"{parameter.name} is not explained"
    if is_group(command):
        assert "..." not in page.out.partition("Commands:")[2], "a summary is cut"


@pytest.mark.parametrize("name", menu.COMMANDS)
def test_the_menu_says_what_the_command_says(name: str) -> None:
    """The line on the first page is how the command's own page begins."""
    said = COMMANDS[(name,)].help
    assert said is not None
    assert said.startswith(menu.COMMANDS[name].about)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["jobz"], "There is no command 'jobz'. Did you mean 'jobs'?"),
        (["jobs", "lst"], "There is no command 'lst'. Did you mean 'list'?"),
        (["jobs", "list", "--stat", "failed"], "No such option '--stat'. Did you mean '--state'?"),
        (["jobs"], "Say which: cancel, delete, list, logs, requeue, show, wait, watch."),
        (["jobs", "list", "--state", "faild"], "'faild' is not one of 'scheduled', 'blocked'"),
        (["jobs", "list", "-o", "xml"], "'xml' is not one of 'table', 'json', 'jsonl', 'ids'"),
        (["jobs", "show", "seven"], "'seven' is not a valid integer"),
        (["enqueue"], "Missing argument 'KIND'"),
    ],
)
def test_a_wrong_command_line_is_met_with_a_hint(cli: Cli, words: list[str], hint: str) -> None:
    """Exit 2, what is wrong with the nearest right word, and where to read on."""
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert hint in ran.err
    assert "\nTry: workhorse" in ran.err
