"""The files of `gateway/web`, read once when the gateway starts."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

import msgspec
from aiohttp import web

WEB = Path(__file__).parent / "web"

# Everything comes from here: no other site is asked for anything, and none may frame the page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class File(msgspec.Struct, frozen=True):
    body: bytes
    content_type: str
    etag: str

    def response(self, request: web.Request) -> web.Response:
        headers = {
            "Content-Type": self.content_type,
            "Cache-Control": "no-cache",
            "ETag": self.etag,
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        if request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, headers=headers)


def read_pages(folder: Path = WEB) -> dict[str, File]:
    """Every file below `folder` by its path within it, such as `assets/main.js`."""
    return {
        path.relative_to(folder).as_posix(): file_of(path.name, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def file_of(name: str, body: bytes) -> File:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if content_type.startswith("text/") or content_type.endswith(("javascript", "json")):
        content_type += "; charset=utf-8"
    return File(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
