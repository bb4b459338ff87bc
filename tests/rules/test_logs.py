"""A log line about a failure never shows what was in its variables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from actors.runtime import logs


@pytest.fixture
def configured() -> Iterator[None]:
    before = structlog.get_config()
    logs.configure()
    yield
    structlog.configure(**before)


def log_in(password: str) -> None:
    raise RuntimeError(f"no hasher for {len(password)} characters")


def test_a_stack_trace_shows_no_values(
    configured: None, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        log_in(" ".join(["correct", "horse", "battery", "staple"]))
    except RuntimeError:
        structlog.get_logger().exception("log_in_failed", request_id="r-1")
    printed = capsys.readouterr().out
    assert "log_in_failed" in printed
    assert "no hasher for 28 characters" in printed
    assert "correct horse" not in printed
