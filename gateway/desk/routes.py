"""How the routes of the desk are alike."""

from __future__ import annotations

from typing import Any

from gateway.http import Auth, Route


def desk_route(
    method: str, path: str, handle: Any, name: str, summary: str, *, tag: str = "Desk", **more: Any
) -> Route:
    """One for members of the staff, under `/v1/desk`; what changes something has a key, where it
    is not said otherwise."""
    return Route(
        method=method,
        path=f"/v1/desk/{path}",
        handle=handle,
        name=name,
        summary=summary,
        tag=tag,
        auth=Auth.DESK,
        **{"keyed": method == "POST", **more},
    )
