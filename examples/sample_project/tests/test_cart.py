import unittest

from basket import Cart


class CartTest(unittest.TestCase):
    def test_an_empty_cart_costs_nothing(self):
        self.assertEqual(str(Cart().total), "0.00")

    def test_lines_add_up(self):
        cart = Cart().add("tea", "3.20", 2).add("milk", "1.10")
        self.assertEqual(str(cart.total), "7.50")

    def test_a_discount_is_taken_off_the_sum(self):
        self.assertEqual(str(Cart(discount=10).add("tea", "3.20", 5).total), "14.40")

    def test_none_of_a_thing_is_refused(self):
        with self.assertRaises(ValueError):
            Cart().add("tea", "3.20", 0)
