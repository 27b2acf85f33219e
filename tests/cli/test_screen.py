"""Text for a terminal: how it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workhorse.screen import cut, width

TEXT = st.text(st.sampled_from("aж宽e\u0301"))
"""Letters of one column and of two, and an accent that takes none."""


@given(TEXT, st.integers(0, 12))
def test_a_text_is_cut_as_late_as_can_be(text: str, columns: int) -> None:
    """It is whole, or its longest beginning that leaves room for the ellipsis."""
    shown = cut(text, columns)
    assert width(shown) <= columns
    if width(text) <= columns:
        assert shown == text
    elif columns:
        kept = shown.removesuffix("…")
        assert text.startswith(kept)
        assert width(text[: len(kept) + 1]) > columns - 1


@pytest.mark.timeout(10)
def test_a_long_text_is_cut_in_no_time() -> None:
    """The time grows with the text, not with its square: in any alphabet."""
    assert cut("ж" * 50_000, 80) == "ж" * 79 + "…"
