import unittest

from basket import Cart, render


class ReceiptTest(unittest.TestCase):
    def test_one_row_per_line_and_a_total(self):
        receipt = render(Cart().add("tea", "3.20", 2).add("milk", "1.10"))
        self.assertEqual(len(receipt.splitlines()), 3)

    def test_the_discount_is_named(self):
        self.assertIn("-10 %", render(Cart(discount=10).add("tea", "3.20")))

    def test_a_discount_is_rounded_to_the_nearest_cent(self):
        # 15 % off 9.99 is 8.4915, on paper 8.49.
        receipt = render(Cart(discount=15).add("tea", "9.99"))
        self.assertEqual(receipt.splitlines()[-1].split()[-1], "8.49")
