"""Amounts of money as whole cents: no float ever holds a price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Money:
    """An amount in cents of one currency."""

    cents: int

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read ``12``, ``12.5`` or ``12.50``; anything else is a `ValueError`."""
        whole, _, part = text.strip().partition(".")
        if not whole.isdigit() or len(part) > 2 or (part and not part.isdigit()):
            raise ValueError(f"{text!r} is not an amount")
        return cls(int(whole) * 100 + int(part.ljust(2, "0")))

    def __add__(self, other: Money) -> Money:
        return Money(self.cents + other.cents)

    def __mul__(self, times: int) -> Money:
        return Money(self.cents * times)

    def less(self, percent: int) -> Money:
        """Take `percent` off, rounding to the nearest cent."""
        return Money(self.cents - (self.cents * percent) // 100)

    def __str__(self) -> str:
        return f"{self.cents // 100}.{self.cents % 100:02}"
