"""A cart on paper."""

from __future__ import annotations

import json

from basket.cart import Cart


def render(cart: Cart, width: int = 32) -> str:
    """Return the receipt, `width` characters wide."""
    rows = [(f"{line.count} x {line.name}", str(line.total)) for line in cart.lines]
    if cart.discount:
        rows.append((f"-{cart.discount} %", ""))
    rows.append(("total", str(cart.total)))
    return "\n".join(f"{left:<{width - 10}}{right:>10}".rstrip() for left, right in rows)
