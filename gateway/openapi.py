"""The OpenAPI 3.1 document, made of the routes as they are declared.

What a route demands is what the document says, because both are the same declaration; the schemas
are those that decode. The frames of the streams, for which OpenAPI has no words, are under
`x-stream` and `x-desk-stream`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, get_args

import msgspec

from gateway import api, frames, problems, risk_api
from gateway.desk import api as desk_api
from gateway.desk.stream import SUBPROTOCOL as DESK_SUBPROTOCOL
from gateway.http import MAX_BODY, MAX_LARGE_BODY, Auth, Route

_REF = "#/components/schemas/{name}"

_INTRODUCTION = f"""\
Amounts are whole minor units of the currency beside them (1050 is 10.50 of a currency with two
digits), odds are whole ten-thousandths of the decimal price (25000 is 2.5), times are RFC 3339 in
UTC with milliseconds. Bodies are JSON of at most {MAX_BODY // 1024} KiB (from staff:
{MAX_LARGE_BODY // 1024**2} MiB); an unknown field is refused.

What is for players needs the header `Authorization: Bearer <token>`, with the `token` that
`POST /v1/sessions` gave; what is for staff needs the same header with the staff's token. What is
for the desk needs the token of a session of staff (`POST /v1/desk/sessions`), with at least the
role named under `x-role`; every change made there says why in `reason`, which is kept with it.

Who logs in is also given a cookie, `grandstand-device`: by it the next log-ins from that device are
counted by themselves, so that whoever guesses at the account elsewhere is not in its way. It opens
nothing, and nobody needs it. Attempts are counted, right and wrong ones alike (`rate_limited`).

Whatever changes something needs an `Idempotency-Key` header. A request repeated with its key is
done once, and gets the first answer again; with another body it is refused (422). After a 503, or
when no answer came, repeat with the same key. A key belongs to the player, fixture or address
that the request is about.

Every answer that is not a yes is `application/problem+json` (RFC 9457) with a stable `code`.
"""

_SERVER_FRAMES = (
    frames.Ok,
    frames.Pong,
    frames.ProblemFrame,
    frames.BetAnswer,
    frames.Snapshot,
    frames.MarketSnapshot,
    frames.FixtureAdded,
    frames.Prices,
    frames.MarketAdded,
    frames.Status,
    frames.Withdrawn,
    frames.Results,
    frames.SelectionAdded,
    frames.Settled,
    frames.PhaseDelta,
    frames.Balance,
    frames.BetUpdate,
    frames.ReferralUpdate,
)
_DESK_FRAMES = (
    desk_api.DeskWelcome,
    desk_api.FixtureNow,
    risk_api.ReferralsNow,
    desk_api.DeskProblem,
)
_CLOSE_CODES = {
    frames.DRAINING: "The server is being drained: connect again, it will be another one",
    frames.BAD_FRAME: "A frame that is not one of these",
    frames.NOT_LOGGED_IN: "The token is unknown, or the session has ended",
    frames.PROTOCOL: "Not the subprotocol, or a binary frame",
    frames.TOO_SLOW: "Too much waited to be read",
}


def document(routes: list[Route], version: str) -> dict[str, Any]:
    """The whole document, in the order of the routes."""
    routes = [route for route in routes if route.documented]
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Grandstand", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "player": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer <token>`, with the token of a session",
                },
                "staff": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer <token>`, with the staff's token",
                },
                "desk": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer <token>`, with the token of a session "
                    "of staff, whose role has to be enough (`x-role`)",
                },
            },
        },
        "x-stream": _stream(schemas),
        "x-desk-stream": _desk_stream(schemas),
        "x-problems": {
            str(code): {"status": kind.status, "title": kind.title}
            for code, kind in problems.KINDS.items()
        },
    }


def _schemas(routes: list[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The schema of every type in use, and the components that they refer to."""
    parameters = {kind for route in routes for kind in (route.path_type, route.query) if kind}
    types: list[Any] = [api.Problem, api.IdempotencyKey, *parameters]
    for route in routes:
        types += [kind for kind in (route.body, route.reply) if kind is not None]
    types += [*get_args(frames.AnyClientFrame), *_SERVER_FRAMES]
    types += [*get_args(desk_api.AnyDeskFrame), *_DESK_FRAMES]
    types = list(dict.fromkeys(types))
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = dict(zip(types, found, strict=True))
    for kind in parameters:
        # A parameter stands where it is used, so that its struct is not a component.
        schemas[kind] = components.pop(kind.__name__)
    return schemas, dict(sorted(components.items()))


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
    }
    parameters = _parameters(route, schemas)
    if parameters:
        operation["parameters"] = parameters
    if route.auth is not Auth.NOBODY:
        operation["security"] = [{route.auth.value: []}]
    if route.auth is Auth.DESK:
        operation["x-role"] = route.role.value
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    operation["responses"] = _responses(route, schemas)
    return operation


def _parameters(route: Route, schemas: dict[Any, Any]) -> list[dict[str, Any]]:
    parameters = []
    for kind, where in ((route.path_type, "path"), (route.query, "query")):
        if kind is None:
            continue
        for name, schema in schemas[kind]["properties"].items():
            parameters.append(_parameter(name, where, schema))
    if route.keyed:
        key = _parameter("Idempotency-Key", "header", schemas[api.IdempotencyKey])
        parameters.append({**key, "required": True})
    return parameters


def _parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be null is one that may be left out."""
    options = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        schema = {**options[0], **rest}
    if isinstance(schema.get("type"), list):
        schema = {**schema, "type": next(one for one in schema["type"] if one != "null")}
    if None in schema.get("enum", []):
        schema = {**schema, "enum": [one for one in schema["enum"] if one is not None]}
    schema = {key: value for key, value in schema.items() if value is not None or key != "default"}
    description = schema.pop("description", "")
    parameter = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (route.status, *route.also):
        response: dict[str, Any] = {"description": route.summary}
        if route.reply is not None:
            response["content"] = {route.media_type: {"schema": schemas[route.reply]}}
        elif route.media_type != "application/json":
            response["content"] = {route.media_type: {"schema": {"type": "string"}}}
        responses[str(status)] = response
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in codes_of(route):
        by_status[problems.KINDS[code].status].append(str(code))
    for status, codes in sorted(by_status.items()):
        if str(status) not in responses:
            responses[str(status)] = _problem(codes, schemas)
    return responses


def _problem(codes: list[str], schemas: dict[Any, Any]) -> dict[str, Any]:
    of_these = {"properties": {"code": {"enum": codes}}}
    return {
        "description": " ".join(f"`{code}`: {problems.KINDS[code].title}." for code in codes),
        "content": {problems.CONTENT_TYPE: {"schema": {"allOf": [schemas[api.Problem], of_these]}}},
    }


def codes_of(route: Route) -> list[str]:
    """Every problem that the route can answer with: its own, and those that its parts imply."""
    codes: list[str] = list(route.codes)
    if route.body is not None:
        codes += ["invalid_request", "malformed_json", "request_timeout", "body_too_large"]
        codes.append("unsupported_media_type")
    if route.path_type is not None or route.query is not None:
        codes += ["invalid_request", "not_found"]
    if route.keyed:
        codes += ["idempotency_key_missing", "idempotency_key_invalid", "idempotency_key_reused"]
    if route.auth is not Auth.NOBODY:
        codes.append("unauthenticated")
    if route.auth is Auth.DESK:
        codes.append("forbidden")
    if route.path.startswith("/v1/"):
        codes += ["overloaded", "unavailable"]
    codes.append("internal_error")
    return list(dict.fromkeys(codes))


def _stream(schemas: dict[Any, Any]) -> dict[str, Any]:
    return {
        "path": "/v1/stream",
        "subprotocol": frames.SUBPROTOCOL,
        "client": [schemas[kind] for kind in get_args(frames.AnyClientFrame)],
        "server": [schemas[kind] for kind in _SERVER_FRAMES],
        "closeCodes": {str(code): text for code, text in _CLOSE_CODES.items()},
    }


def _desk_stream(schemas: dict[Any, Any]) -> dict[str, Any]:
    return {
        "path": "/v1/desk/stream",
        "subprotocol": DESK_SUBPROTOCOL,
        "client": [schemas[kind] for kind in get_args(desk_api.AnyDeskFrame)],
        "server": [schemas[kind] for kind in _DESK_FRAMES],
        "closeCodes": {
            str(code): _CLOSE_CODES[code]
            for code in (frames.DRAINING, frames.BAD_FRAME, frames.NOT_LOGGED_IN, frames.PROTOCOL)
        },
    }
