"""What the command line does, a file for each command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from grandstand.platform import RunFile, data_folder, read_run_file
from grandstand.settings import Settings, SettingsError, read_settings

T = TypeVar("T")

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def complain(why: object) -> int:
    """One clear line; returns the exit status that goes with it."""
    errors.print(f"[bold red]grandstand:[/] {escape(str(why))}", soft_wrap=True)
    return 1


def fail(why: object) -> NoReturn:
    """One clear line, and exit status 1."""
    raise typer.Exit(complain(why))


def settings() -> Settings:
    """The settings of this shell's environment."""
    try:
        return read_settings(os.environ)
    except SettingsError as problem:
        fail(problem)


def running(data: Path | None = None) -> RunFile:
    """The platform that runs on the data of this folder; it has to run."""
    folder = data or data_folder(settings())
    run = read_run_file(folder)
    if run is None:
        fail(f"no platform runs on {folder}: start one with `grandstand up`")
    return run


def run_async(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
