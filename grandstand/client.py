"""A small client of Grandstand's own API, as the command line needs it.

Mutations carry a key and are repeated with it while the platform says that it is busy.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp

ATTEMPTS = 10
MAX_PAUSE_S = 3.0


class ApiProblem(Exception):
    """The API's problem document, in one line."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.code = str(problem.get("code", "unknown"))
        detail = problem.get("detail") or problem.get("title") or "no reason was given"
        super().__init__(f"{detail} ({self.code})")


class Unreachable(Exception):
    """Nobody answers at the address."""


class Api:
    """Requests with one token, or with none."""

    def __init__(self, base_url: str, token: str = "") -> None:
        self.base_url = base_url
        self.token = token

    def get(self, path: str, **query: str) -> Any:
        """The answer's JSON. Raises `ApiProblem` or `Unreachable`."""
        return asyncio.run(self.request("GET", path, query=query))

    def post(self, path: str, body: dict[str, Any], key: str = "") -> Any:
        """Without a `key` one is made: the call is then a new request each time."""
        return asyncio.run(self.request("POST", path, body=body, key=key or uuid4().hex))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        key: str = "",
    ) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        answer: Any = {}
        try:
            async with aiohttp.ClientSession(self.base_url) as client:
                for _ in range(ATTEMPTS):
                    async with client.request(
                        method, path, json=body, params=query, headers=headers
                    ) as response:
                        answer = await response.json(content_type=None)
                        if response.status < 400:
                            return answer
                        pause_s = float(response.headers.get("Retry-After", "1"))
                        if response.status not in (429, 503) or pause_s > MAX_PAUSE_S:
                            break  # a locked log-in is not worth waiting for
                        await asyncio.sleep(pause_s)
        except aiohttp.ClientError as failure:
            raise Unreachable(f"nobody answers at {self.base_url}: {failure}") from None
        raise ApiProblem(answer if isinstance(answer, dict) else {})
