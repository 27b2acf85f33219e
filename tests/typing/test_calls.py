"""A wrong call is a type error, and a right one has the type it promises."""

from __future__ import annotations

import re
from pathlib import Path

from tests.typing.strict import mypy_strict

SAMPLE = Path(__file__).with_name("sample.py")
MARK = re.compile(r"  # type: ignore\[([a-z-]+)\]$")


def test_exactly_the_wrong_calls_of_the_sample_are_errors(tmp_path: Path) -> None:
    """`mypy --strict`, as a user runs it on the installed package, finds each wrong line, no other.

    `assert_type` in the sample says what is returned, and is an error where that is not so.
    """
    lines = SAMPLE.read_text().splitlines()
    expected = {
        number: mark[1] for number, line in enumerate(lines, 1) if (mark := MARK.search(line))
    }
    (tmp_path / "sample.py").write_text("\n".join(MARK.sub("", line) for line in lines))

    ran = mypy_strict(tmp_path, "sample.py")

    errors = re.findall(r"^sample\.py:(\d+): error: .* \[([a-z-]+)\]$", ran.stdout, re.MULTILINE)
    assert {int(number): code for number, code in errors} == expected, ran.stdout + ran.stderr
    assert len(errors) == len(expected) > 30
    assert ran.returncode == 1
