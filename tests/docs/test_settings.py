"""docs/guide/settings.md and .env.example say what the code says."""

import re
from pathlib import Path

from workhorse.settings import settings_table

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_the_one_in_the_code() -> None:
    """Every setting is on the page, with its variable, default and meaning."""
    page = (ROOT / "docs" / "guide" / "settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(.+?)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == settings_table()


def test_the_example_of_an_environment_has_every_setting() -> None:
    """Every setting stands in .env.example, commented out, below its meaning, with its default."""
    example = (ROOT / ".env.example").read_text()
    without = {"WORKHORSE_APP": "", "WORKHORSE_DATABASE_URL": "", "WORKHORSE_LISTEN_URL": ""}
    rows = settings_table()
    shown = re.findall(r"^((?:# .+\n)+)# (WORKHORSE_\w+)=(.*)$", example, re.MULTILINE)
    assert [(variable, default) for _, variable, default in shown] == [
        (variable, without.get(variable, default)) for _, variable, default, _ in rows
    ]
    for (comment, *_), (*_, meaning) in zip(shown, rows, strict=True):
        assert " ".join(comment.replace("#", "").split()).startswith(meaning)
