"""What the platform says of itself, each second: the figures of all gateways, put together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

import aiohttp
import msgspec

PREFIX = "grandstand_"
TIMEOUT_S = 2.0
_LINE = re.compile(rf"^({PREFIX}\w+)(\{{[^}}]*\}})? (\S+)$", re.MULTILINE)

OF_THE_WHOLE = (
    "grandstand_ledger_lag",
    "grandstand_shard",
    "grandstand_spare",
    "grandstand_part",
    "grandstand_settled",
)
"""Figures that every gateway tells of the whole platform; all others are of one gateway, and are
added up."""


class Sample(msgspec.Struct):
    """All figures at one moment, by name and labels as they were written."""

    at_s: float
    figures: dict[str, float]

    def total(self, name: str) -> float | None:
        """The sum over all labels; None where it was not told."""
        found = [value for key, value in self.figures.items() if key.partition("{")[0] == name]
        return sum(found) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """By one of its labels."""
        table: dict[str, float] = {}
        for key, value in self.figures.items():
            own, _, labels = key.partition("{")
            named = re.search(rf'\b{label}="([^"]*)"', labels) if own == name else None
            if named:
                table[named[1]] = table.get(named[1], 0.0) + value
        return table


def together(texts: Iterable[str]) -> dict[str, float]:
    """The figures of several gateways as those of the platform."""
    figures: dict[str, float] = {}
    for text in texts:
        for name, labels, value in _LINE.findall(text):
            key = name + labels
            if name.startswith(OF_THE_WHOLE):
                figures[key] = max(float(value), figures.get(key, 0.0))
            else:
                figures[key] = figures.get(key, 0.0) + float(value)
    return figures


async def watch(urls: list[str], now_s: Callable[[], float], samples: list[Sample]) -> None:
    """Look once a second, until cancelled. A second without an answer has no sample."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:

        async def figures(url: str) -> str:
            async with client.get(url) as answer:
                return await answer.text()

        while True:
            at_s = now_s()
            try:
                texts = await asyncio.gather(*(figures(url) for url in urls))
                samples.append(Sample(at_s, together(texts)))
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(max(0.0, at_s + 1.0 - now_s()))
