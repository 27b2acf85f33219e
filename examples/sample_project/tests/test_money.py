import unittest

from basket import Money


class ParseTest(unittest.TestCase):
    def test_whole_amounts(self):
        self.assertEqual(Money.parse("12"), Money(1200))

    def test_one_and_two_decimals(self):
        self.assertEqual(Money.parse("12.5"), Money.parse("12.50"))

    def test_words_are_refused(self):
        with self.assertRaises(ValueError):
            Money.parse("twelve")

    def test_a_third_decimal_is_refused(self):
        with self.assertRaises(ValueError):
            Money.parse("1.005")


class ArithmeticTest(unittest.TestCase):
    def test_amounts_add_up(self):
        self.assertEqual(Money(150) + Money(250), Money(400))

    def test_times_a_count(self):
        self.assertEqual(Money(199) * 3, Money(597))

    def test_printed_with_two_decimals(self):
        self.assertEqual(str(Money(5)), "0.05")
