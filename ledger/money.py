"""Money as whole minor units of one currency, and nothing else.

    Money(1_050, "GBP") + Money(50, "GBP")   -> Money(1_100, "GBP")
    Money(1_050, "GBP") + Money(50, "EUR")   -> CurrencyMismatch
    Money(1_050, "GBP").text()               -> "10.50"
    Money(1_050, "JPY").text()               -> "1050"

There are no floats here. The one division Grandstand makes, a payout from a stake and odds,
goes through `divide_half_up`, which is the only rounding there is.
"""

from __future__ import annotations

import msgspec

# ISO 4217, the active list: currencies whose minor unit is not two digits. Every other
# three-letter code Grandstand knows has two.
_TWO_DIGITS = frozenset(
    {"AED", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EUR", "GBP", "GEL", "HKD"}
    | {"HUF", "IDR", "ILS", "INR", "KES", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP", "PLN"}
    | {"RON", "RSD", "SEK", "SGD", "THB", "TRY", "UAH", "USD", "ZAR"}
)
_OTHER_DIGITS = {"BHD": 3, "CLP": 0, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3, "TND": 3}

MAX_MINOR = 10**12
"""No single amount is larger than this, so that millions of them fit a 64-bit balance."""


class UnknownCurrency(ValueError):
    """The code is not one that Grandstand knows from ISO 4217."""


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met in one sum."""


def minor_digits(currency: str) -> int:
    """How many digits the currency's minor unit has (GBP 2, JPY 0, KWD 3)."""
    if currency in _TWO_DIGITS:
        return 2
    try:
        return _OTHER_DIGITS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not an ISO 4217 currency known here") from None


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide non-negative integers, a half rounded up: the one rounding of money there is."""
    return (2 * numerator + denominator) // (2 * denominator)


class Money(msgspec.Struct, frozen=True, array_like=True):
    """An amount in minor units (pence, cents) and its ISO 4217 currency."""

    minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.minor - other.minor, self.currency)

    def _check(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} in one sum")

    def text(self) -> str:
        """Major units with the currency's own number of digits, such as "10.50"."""
        digits = minor_digits(self.currency)
        if digits == 0:
            return str(self.minor)
        sign = "-" if self.minor < 0 else ""
        whole, part = divmod(abs(self.minor), 10**digits)
        return f"{sign}{whole}.{part:0{digits}d}"
