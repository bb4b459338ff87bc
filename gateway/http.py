"""From a request to a handler and back: each step in one place, for every route.

A route is declared as data (`Route`), and what it declares is what is done: who may come in, the
key, the types of path, query and body, the type and status of the reply. The OpenAPI document is
made of the same declarations, so it can't say anything else.

    boundary      counts, and turns whatever is raised into a problem document
    Endpoint      authentication, path, query, key, body; the handler; the reply
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import redis.exceptions
import structlog
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, CONTENT_TYPE
from multidict import MultiMapping, istr

from actors.base import Refused
from actors.errors import KeyReused, Overloaded, Unavailable
from actors.staff import Role
from gateway import devices, problems
from gateway.desk import members
from gateway.problems import Problem
from gateway.services import Services
from gateway.sessions import Session
from ledger.journal import JournalUnavailable
from ledger.reads import BadCursor

log = structlog.get_logger()

MAX_BODY = 64 * 1024
"""Bytes of a request's body, or of one frame of the stream."""
MAX_LARGE_BODY = 4 * 1024 * 1024
"""The same on routes that take many things at once, which are for staff only."""
BODY_TIMEOUT_S = 10.0
MAX_TOKEN = 256
"""Characters; ours are 43."""

_KEY = re.compile(r"[!-~]{1,128}\Z")
_encode = msgspec.json.Encoder().encode
_JSON_TYPE = "application/json"
_JSON = {"Content-Type": _JSON_TYPE, "Cache-Control": "no-store"}
_IDEMPOTENCY_KEY = istr("Idempotency-Key")
_BEARER = {"WWW-Authenticate": 'Bearer realm="grandstand"'}

T = TypeVar("T")
Headers = MultiMapping[str]


class Auth(enum.Enum):
    NOBODY = "nobody"
    PLAYER = "player"
    STAFF = "staff"
    """The machine's own token."""
    DESK = "desk"
    """A member of the staff with the route's role, or the machine's token."""


class Call:
    """A request whose every part has been checked."""

    __slots__ = ("_request", "_staff", "body", "key", "path", "query", "services", "session")

    def __init__(self, services: Services, request: web.Request | None = None) -> None:
        self.services = services
        self._request = request
        self.session: Session | None = None
        self._staff: members.Staff | None = None
        self.path: Any = None
        self.query: Any = None
        self.body: Any = None
        self.key = ""

    @property
    def request(self) -> web.Request:
        """As aiohttp knows it; not on express routes."""
        assert self._request is not None
        return self._request

    @property
    def player_id(self) -> str:
        """Whose request it is; only on routes for players."""
        assert self.session is not None
        return self.session.player_id

    @property
    def staff(self) -> members.Staff:
        """Who asks; only on routes for the desk."""
        assert self._staff is not None
        return self._staff

    @property
    def address(self) -> str:
        """The client's network address, as far as the settings trust what is said about it."""
        proxies = self.services.settings.proxies
        if proxies:
            said = self.request.headers.getall("X-Forwarded-For", [])
            hops = [hop.strip() for line in said for hop in line.split(",")]
            if len(hops) >= proxies:
                return hops[-proxies]
        return self.request.remote or ""

    @property
    def secure(self) -> bool:
        """Whether the client speaks TLS, be it to a proxy in front."""
        if self.services.settings.proxies:
            said = self.request.headers.get("X-Forwarded-Proto", "")
            if said.partition(",")[0].strip().lower() == "https":
                return True
        return self.request.secure

    @property
    def device(self) -> str:
        """What the client's device was given when somebody logged in from it."""
        return self.request.cookies.get(devices.COOKIE, "")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API. `codes`: the problems it has beyond those its parts imply."""

    method: str
    path: str
    handle: Callable[[Call], Awaitable[Any]]
    """Returns a `reply`, or a finished response where that is not JSON."""
    name: str
    summary: str
    tag: str
    reply: Any = None
    status: int = 200
    media_type: str = "application/json"
    auth: Auth = Auth.NOBODY
    role: Role = Role.VIEWER
    """The least that a member of the staff needs, on routes for the desk."""
    keyed: bool = False
    path_type: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    codes: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    """Other statuses with which a `reply` may come."""
    documented: bool = True
    max_body: int = MAX_BODY
    express: bool = False
    """Asked for so often that it has a way of its own (`gateway/express.py`): a route for players,
    with nothing in path or query, whose reply is JSON."""


class Endpoint:
    """A route at work."""

    def __init__(self, route: Route, services: Services) -> None:
        self.route = route
        self.services = services
        self._decoder = msgspec.json.Decoder(route.body) if route.body else None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        route = self.route
        call = Call(self.services, request)
        headers = request.headers
        if route.auth is Auth.PLAYER:
            call.session = await self.services.sessions.find(bearer_token(headers))
        elif route.auth is Auth.STAFF:
            check_staff(self.services.settings.staff_token, bearer_token(headers))
        elif route.auth is Auth.DESK:
            token = bearer_token(headers)
            call._staff = await members.enter(self.services, token, route.role)
        if route.path_type is not None:
            call.path = convert(dict(request.match_info), route.path_type, "path")
        if route.query is not None:
            call.query = convert(query_of(request), route.query, "query")
        if route.keyed:
            call.key = key_of(headers)
        if self._decoder is not None:
            call.body = decode(self._decoder, await body_of(request, route.max_body))
        reply = await route.handle(call)
        if isinstance(reply, web.StreamResponse):
            return reply
        if reply is None:
            return web.Response(status=route.status)
        return json_response(reply, route.status)

    async def reply(self, headers: Headers, raw: bytes) -> bytes:
        """The same for an express request, whose body is there: the body of the answer."""
        call = Call(self.services)
        sessions = self.services.sessions
        token = bearer_token(headers)
        call.session = sessions.known(token) or await sessions.find(token)
        if self.route.keyed:
            call.key = key_of(headers)
        if self._decoder is not None:
            check_media_type(headers)
            if len(raw) > MAX_BODY:
                raise body_too_large(MAX_BODY)
            call.body = decode(self._decoder, raw)
        return _encode(await self.route.handle(call))


# The parts of a request


def bearer_token(headers: Headers) -> str:
    scheme, _, token = headers.get(AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(
            "unauthenticated", "Send the header Authorization: Bearer <token>.", headers=_BEARER
        )
    if len(token) > MAX_TOKEN:
        raise Problem("unauthenticated", "The token is too long.", headers=_BEARER)
    return token.strip()


def check_staff(staff_token: str, token: str) -> None:
    if not hmac.compare_digest(staff_token.encode(), token.encode("utf-8", "surrogateescape")):
        raise Problem("unauthenticated", "The token is not the staff's.", headers=_BEARER)


def key_of(headers: Headers) -> str:
    keys = headers.getall(_IDEMPOTENCY_KEY, [])
    if not keys:
        raise Problem("idempotency_key_missing")
    if len(keys) > 1:
        raise Problem("idempotency_key_invalid", "The Idempotency-Key header came twice.")
    return check_key(keys[0])


def check_key(key: str) -> str:
    if not _KEY.match(key):
        raise Problem("idempotency_key_invalid")
    return key


def query_of(request: web.Request) -> dict[str, str]:
    query = dict(request.query)
    if len(query) != len(request.query):
        raise Problem("invalid_request", "A parameter of the query is given twice.")
    return query


def convert(values: dict[str, str], kind: type[T], where: str) -> T:
    """Texts of a path or query as the Struct that describes them."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as wrong:
        raise Problem("invalid_request", f"In the {where}: {wrong}.") from None


def check_media_type(headers: Headers) -> None:
    media_type = headers.get(CONTENT_TYPE, "")
    if media_type != _JSON_TYPE and media_type.partition(";")[0].strip().lower() != _JSON_TYPE:
        raise Problem("unsupported_media_type")


def body_too_large(most: int) -> Problem:
    return Problem("body_too_large", f"At most {most} bytes are taken.")


async def body_of(request: web.Request, most: int) -> bytes:
    check_media_type(request.headers)
    if most != MAX_BODY:
        request = request.clone(client_max_size=most)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise Problem("request_timeout") from None
    except web.HTTPRequestEntityTooLarge:
        raise body_too_large(most) from None
    except web.RequestPayloadError as broken:
        raise Problem("malformed_json", f"The body could not be read: {broken}.") from None


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    """JSON as the Struct that describes it, or a problem that says where it is not."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as wrong:
        raise Problem("invalid_request", f"{wrong}.") from None
    except msgspec.DecodeError as wrong:
        position = "" if "byte" in str(wrong) else f" (at byte {len(bytes(raw))})"
        raise Problem("malformed_json", f"{wrong}{position}.") from None
    except UnicodeDecodeError as wrong:
        raise Problem("malformed_json", f"Byte {wrong.start} is not UTF-8.") from None


def granted(reply: Any, kind: type[T], services: Services) -> T:
    """The actor's yes; its no ends the request."""
    if isinstance(reply, Refused):
        raise problems.refused(reply)
    assert isinstance(reply, kind), f"{type(reply).__name__} instead of {kind.__name__}"
    return reply


# Answers


def json_response(reply: Any, status: int = 200) -> web.Response:
    return web.Response(body=_encode(reply), status=status, headers=_JSON)


def with_device(reply: Any, device: str, call: Call) -> web.Response:
    """A new session, and in a cookie what the device is known by at the next log-in. Pages can't
    read it, and it is sent to where one logs in only."""
    response = json_response(reply, 201)
    response.set_cookie(
        devices.COOKIE,
        device,
        max_age=devices.LIVES_MS // 1_000,
        path=call.request.path,
        secure=call.secure,
        httponly=True,
        samesite="Strict",
    )
    return response


def problem_parts(
    problem: Problem, request_id: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers of its own, and body of a problem's answer."""
    return problem.kind.status, problem.headers, _encode(problem.document(request_id))


def problem_response(problem: Problem, request_id: str | None = None) -> web.Response:
    status, more, body = problem_parts(problem, request_id)
    headers = {"Content-Type": problems.CONTENT_TYPE, "Cache-Control": "no-store", **more}
    return web.Response(body=body, status=status, headers=headers)


_NO_CONNECTION = (
    OSError,  # and TimeoutError, which is one
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    JournalUnavailable,
)


def problem_of(error: Exception, what: str) -> tuple[Problem, str | None]:
    """What a client is told of anything that was raised, and the id it has in the log.

    The one place where an exception becomes an answer; nothing of an unexpected one gets out.
    """
    if isinstance(error, Problem):
        return error, None
    if isinstance(error, KeyReused):
        return Problem("idempotency_key_reused"), None
    if isinstance(error, Overloaded):
        return Problem("overloaded", retry_after_s=error.retry_after_s), None
    if isinstance(error, Unavailable):
        return Problem("unavailable", retry_after_s=error.retry_after_s), None
    if isinstance(error, BadCursor):
        return Problem("invalid_cursor"), None
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return body_too_large(MAX_BODY), None
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem("method_not_allowed", f"{allowed}.", headers={"Allow": allowed}), None
    if isinstance(error, web.HTTPNotFound):
        return Problem("not_found"), None
    if isinstance(error, web.HTTPException):
        return Problem("invalid_request", f"{error.reason}."), None
    request_id = secrets.token_hex(8)
    if isinstance(error, _NO_CONNECTION):
        log.warning("no_connection", what=what, request_id=request_id, why=repr(error))
        return Problem("unavailable", retry_after_s=1), request_id
    log.error("request_failed", what=what, request_id=request_id, exc_info=error)
    return Problem("internal_error"), request_id


class Boundary:
    """Around every request: what is under way, how long it took, and no exception gets past."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.draining = False
        self.in_flight = 0
        self._idle = asyncio.Event()

    def begin(self) -> None:
        self.in_flight += 1

    def end(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def answer(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        started = time.perf_counter()
        self.begin()
        try:
            response = await handler(request)
        except Exception as error:
            problem, request_id = problem_of(error, f"{request.method} {request.path}")
            response = problem_response(problem, request_id)
        finally:
            self.end()
        if self.draining and not response.prepared:
            response.force_close()
        if not isinstance(response, web.WebSocketResponse):
            resource = request.match_info.route.resource
            route = resource.canonical if resource else "none"
            self.services.metrics.counts.request(
                route, request.method, response.status, time.perf_counter() - started
            )
        return response

    async def idle(self, timeout_s: float) -> None:
        """Return when nothing is under way, or when the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.in_flight:
                    self._idle.clear()
                    await self._idle.wait()

    def middleware(self) -> Any:
        """The form in which aiohttp takes it."""

        @web.middleware
        async def boundary(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            return await self.answer(request, handler)

        return boundary
