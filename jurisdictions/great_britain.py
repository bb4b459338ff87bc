"""Great Britain: remote betting and casino operating licences of the Gambling Commission.

Source: Gambling Act 2005 (c. 19). Section 45 defines a child as under 16 and a young person as
under 18; section 46 makes it an offence to invite, cause or permit either to gamble.
"""

from __future__ import annotations

import datetime as dt

from jurisdictions.licence import Figure, Licence

LICENCE = Licence(
    code="gb",
    name="Great Britain",
    currency="GBP",
    minimum_age=Figure(
        18, "Gambling Act 2005 (c. 19), sections 45 and 46", since=dt.date(2007, 9, 1)
    ),
)
