"""The servers that come with Grandstand: Postgres for the ledger, Valkey for what is shared.

`grandstand up` starts both from PyPI wheels, on loopback, and stops them again, so that
one machine needs nothing installed. A production cluster points elsewhere instead
(`GRANDSTAND_POSTGRES_<LICENCE>`, `GRANDSTAND_REDIS`) and never comes here.
"""


class ServerError(Exception):
    """A server cannot be started or used; the message is one line, for who sits at the terminal."""
