"""What the pages say of the command line is what there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from workhorse.cli import menu
from workhorse.cli.root import root

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_exit_codes_of_the_guide_are_those_of_the_program() -> None:
    """The table in the guide and the list in `workhorse --help` are one."""
    guide = (ROOT / "docs" / "guide" / "operations.md").read_text()
    section = guide.partition("## Exit codes")[2].partition("## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == menu.EXIT_CODES


def typed(page: Path) -> Iterator[list[str]]:
    """Yield every command a page mentions or shows, as words."""
    text = page.read_text()
    for command in re.findall(r"(?:^\$ |`)workhorse ([^`\n]+)", text, re.MULTILINE):
        yield command.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_commands_and_options_that_exist(page: Path) -> None:
    """No page sends its reader to a command or an option that is not there."""
    for words in typed(page):
        command: click.Command = root
        for word in [word for word in words if re.fullmatch(r"[a-z]+", word)]:
            if not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"workhorse {' '.join(words)}"
            command = found
        options = {name for parameter in command.params for name in parameter.opts}
        for word in [word for word in words if word.startswith("-") and len(word) > 1]:
            name = word.partition("=")[0]
            assert name in options | {"--help", "--debug"}, f"workhorse {' '.join(words)}"
