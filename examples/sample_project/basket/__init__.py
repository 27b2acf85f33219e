"""Prices, carts and receipts."""

from basket.cart import Cart, Line
from basket.money import Money
from basket.receipt import render

__all__ = ["Cart", "Line", "Money", "render"]
