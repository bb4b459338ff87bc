"""The API against its own document: whatever is sent, the answer is one that is documented."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.desk.api import DeskTold
from gateway.http import Auth, Route
from gateway.openapi import document
from gateway.problems import KINDS
from gateway.routes import all_routes
from tests.gateway.backend import STAFF_TOKEN
from tests.gateway.desk import Desk
from tests.patience import PATIENCE_S

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]
MAX_EXAMPLES = 15
"""For each operation, of requests as documented and of others."""

# A WebSocket is no request and answer, logging out would end the session of the others, and a stop
# of everything would suspend their markets.
ROUTES = [
    route
    for route in all_routes()
    if route.documented and route.name not in ("stream", "deskStream", "logOut", "orderStop")
]


def test_the_document_names_each_thing_once() -> None:
    names = [route.name for route in all_routes()]
    assert len(names) == len(set(names))
    places = [(route.method, route.path) for route in all_routes()]
    assert len(places) == len(set(places))


def test_the_document_is_complete() -> None:
    made = document(all_routes(), "1.2.3")
    assert made["info"]["version"] == "1.2.3"
    assert set(made["x-problems"]) == set(KINDS)
    bets = made["paths"]["/v1/bets"]["post"]
    assert bets["security"] == [{"player": []}]
    assert [one["name"] for one in bets["parameters"]] == ["Idempotency-Key"]
    assert set(bets["responses"]) >= {"201", "400", "401", "404", "409", "413", "415", "422", "429"}
    text = str(made)
    for name in made["components"]["schemas"]:
        assert f"#/components/schemas/{name}'" in text, f"nothing refers to {name}"
        assert "." not in name, f"{name} has its name with another one"
    told = {one["$ref"].rpartition("/")[2] for one in made["x-desk-stream"]["server"]}
    assert told == {kind.__name__ for kind in DeskTold.__subclasses__()}


def test_a_result_can_have_a_figure_out_of_its_bounds() -> None:
    paths = document(all_routes(), "1.2.3")["paths"]
    for path in ("settlement", "settlement/preview"):
        refused = paths[f"/v1/desk/markets/{{market_id}}/{path}"]["post"]["responses"]["409"]
        assert "`out_of_bounds`" in refused["description"]


@pytest.fixture(scope="module")
async def document_of_the_gateway(gateway: Any, http: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await Desk(http, await gateway.port()).get("/v1/openapi.json")).json
    return found


@pytest.fixture(scope="module")
async def somebody(gateway: Any, http: Any) -> Desk:
    return await Desk(http, await gateway.port()).player()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_every_operation(
    document_of_the_gateway: dict[str, Any], somebody: Desk, route: Route, mode: GenerationMode
) -> None:
    if mode is GenerationMode.NEGATIVE and not (route.body or route.query or route.path_type):
        return  # there is nothing to get wrong
    operation = schemathesis.openapi.from_dict(document_of_the_gateway)[route.path][route.method]
    tokens = {
        Auth.NOBODY: "",
        Auth.PLAYER: somebody.token,
        Auth.STAFF: STAFF_TOKEN,
        Auth.DESK: STAFF_TOKEN,
    }
    token = tokens[route.auth]
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @hypothesis.settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(
            base_url=somebody.base, headers=headers, checks=CHECKS, timeout=PATIENCE_S
        )

    await asyncio.to_thread(check)
