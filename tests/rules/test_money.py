"""Money: whole minor units, one currency, one rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import CurrencyMismatch, Money, UnknownCurrency, divide_half_up, minor_digits

minors = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [
        (0, 1, 0),
        (1, 3, 0),
        (1, 2, 1),
        (2, 3, 1),
        (3, 2, 2),
        (5, 2, 3),
        (10, 5, 2),
        (14, 10, 1),
        (15, 10, 2),
        (25, 10, 3),
    ],
)
def test_a_half_rounds_up(numerator, denominator, quotient):
    assert divide_half_up(numerator, denominator) == quotient


@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_a_quotient_is_the_nearest_whole_number(numerator, denominator):
    error = divide_half_up(numerator, denominator) - Fraction(numerator, denominator)
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(1_050, "GBP"), "10.50"),
        (Money(5, "GBP"), "0.05"),
        (Money(0, "GBP"), "0.00"),
        (Money(-5, "GBP"), "-0.05"),
        (Money(-1_050, "GBP"), "-10.50"),
        (Money(1_050, "JPY"), "1050"),
        (Money(-1, "JPY"), "-1"),
        (Money(1_050, "KWD"), "1.050"),
    ],
)
def test_text_has_the_digits_of_its_currency(money, text):
    assert money.text() == text


@given(minors, minors)
def test_adding_and_taking_away_are_exact(left, right):
    total = Money(left, "EUR") + Money(right, "EUR")
    assert total == Money(left + right, "EUR")
    assert total - Money(right, "EUR") == Money(left, "EUR")


@pytest.mark.parametrize("operation", [Money.__add__, Money.__sub__])
def test_two_currencies_never_meet(operation):
    with pytest.raises(CurrencyMismatch, match="GBP and EUR"):
        operation(Money(1, "GBP"), Money(1, "EUR"))


@pytest.mark.parametrize("code", ["XXX", "gbp", "", "POUND"])
def test_an_unknown_currency_is_refused_by_name(code):
    with pytest.raises(UnknownCurrency, match=repr(code)):
        minor_digits(code)
