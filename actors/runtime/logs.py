"""How the hosts log: one line an event, as keys and values, to the process' own output.

A stack trace shows no values of variables: among them are passwords, tokens and names.
"""

from __future__ import annotations

import structlog


def configure() -> None:
    """To be called once in every process that serves."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(bool_as_flag=False),
        ]
    )
