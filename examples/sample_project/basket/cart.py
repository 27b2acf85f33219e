"""What a customer means to buy."""

from __future__ import annotations

from dataclasses import dataclass, field

from basket.money import Money


@dataclass(frozen=True)
class Line:
    """So many of one thing, at one price each."""

    name: str
    price: Money
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"cannot buy {self.count} of {self.name}")

    @property
    def total(self) -> Money:
        return self.price * self.count


@dataclass
class Cart:
    """Lines, and a discount on all of them, in whole percent."""

    lines: list[Line] = field(default_factory=list)
    discount: int = 0

    def add(self, name: str, price: str, count: int = 1) -> Cart:
        """Put `count` of `name` at `price` in, and return the cart."""
        self.lines.append(Line(name, Money.parse(price), count))
        return self

    @property
    def total(self) -> Money:
        return sum((line.total for line in self.lines), Money(0)).less(self.discount)
