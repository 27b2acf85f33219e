"""The code in README.md and docs/ runs, and shows what it is said to show."""

from pathlib import Path

import pytest

from tests.docs.blocks import Block, Page, blocks, compare

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if any(block.language in {"python", "py", "console"} for block in blocks(page.read_text()))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_shows(page: Path, workdir: Path) -> None:
    """A reader who types what the page says gets what the page shows."""
    with Page(page, workdir) as reading:
        for block in blocks(page.read_text()):
            reading.read(block)


def test_blocks_know_their_lines_and_files() -> None:
    """The block that names a file is that file; its line is where the page has it."""
    page = "Text\n\n```python\n# jobs.py\nx = 1\n```\n\n- item\n\n  ```console\n  $ ls\n  ```\n"
    first, second = blocks(page)
    assert (first.language, first.line, first.file_name) == ("python", 4, "jobs.py")
    assert second == Block("console", "$ ls\n", 11)


def test_a_page_keeps_its_names_and_may_await(workdir: Path) -> None:
    """Later blocks see what earlier ones made, files can be imported, an error has its line."""
    with Page(Path("page.md"), workdir) as reading:
        reading.read(Block("python", "# made_here.py\nvalue = 3\n", 1))
        reading.read(Block("python", "from made_here import value\n", 1))
        reading.read(Block("python", "import asyncio\nvalue = await asyncio.sleep(0, value)\n", 1))
        with pytest.raises(ZeroDivisionError) as caught:
            reading.read(Block("python", "value / 0\n", 41))
    assert caught.traceback[-1].lineno == 40  # counted from 0


def test_code_that_is_not_run_is_python(workdir: Path) -> None:
    """What a `py` block needs may be missing; its form may not be wrong."""
    with Page(Path("page.md"), workdir) as reading:
        reading.read(Block("py", "async with missing() as session:\n    ...\n", 1))
        with pytest.raises(SyntaxError) as caught:
            reading.read(Block("py", "with Session(engine) as session\n", 7))
    assert caught.value.lineno == 7


def test_shown_output_is_compared_loosely_but_in_order() -> None:
    """`…` stands for anything, white space does not count, order does."""
    compare("here", "id  …  succeeded\ndone", "id    17\n  succeeded\nall done\n")
    with pytest.raises(AssertionError, match="shows"):
        compare("here", "done\nid", "id\ndone\n")
