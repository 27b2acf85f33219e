"""Every link of a page to another place in the repository leads there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pages in ("*.md", "docs/**/*.md", "tests/*.md", "bench/*.md")
    for page in ROOT.glob(pages)
)


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    text = page.read_text()
    for block in blocks(text):
        text = text.replace(block.text, "", 1)
    return text


def links(page: Path) -> Iterator[str]:
    """Yield where the links of a page lead, but for other sites."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def headings(page: Path) -> set[str]:
    """Return the headings of a page as a link names them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    """Neither the file nor the heading it names is missing."""
    for target in links(page):
        path, _, heading = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), f"{target}: there is no such file"
        if heading:
            assert heading in headings(place), f"{target}: there is no such heading"


def test_the_links_are_found() -> None:
    """The pages are read, and their links told from what only looks like one."""
    assert {page.name for page in PAGES} >= {"README.md", "ARCHITECTURE.md", "glossary.md"}
    assert "docs/promises.md" in links(ROOT / "README.md")
    assert "one-jobs-path" in headings(ROOT / "ARCHITECTURE.md")
