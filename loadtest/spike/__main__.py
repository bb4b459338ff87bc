"""`make spike`, or `python -m loadtest.spike --help`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from loadtest.house import House, HouseError
from loadtest.report import RESULTS
from loadtest.spike import story
from loadtest.spike.books import NotUpToDate
from loadtest.spike.desk import NoAnswer, Refused
from loadtest.spike.early import TooSlow
from loadtest.spike.evening import Spoilt, play
from loadtest.spike.plan import Plan, quick
from loadtest.spike.stage import NotHere

KINDS = {"int": int, "float": float}


def chosen(words: list[str], environment: dict[str, str]) -> tuple[Plan, argparse.Namespace]:
    """The plan that the words and the variables SCALE and QUICK ask for. Ends with a message
    where that can't be played."""
    parser = argparse.ArgumentParser(
        prog="make spike", description="Play a Super Bowl at a platform of its own."
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=environment.get("SCALE") or "1",
        help="so many times as much of everything but time (also the variable SCALE)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        default=environment.get("QUICK", "") not in ("", "0"),
        help="a small evening of about a minute (also the variable QUICK=1)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the report")
    parser.add_argument("--name", default="spike", help="name of the report's files")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the raw counts")
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the platform, such as shards=2; may be repeated",
    )
    for field in msgspec.structs.fields(Plan):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=KINDS[str(field.type.__name__)],
            help=f"default {field.default:g}",
        )
    options = parser.parse_args(words)
    base = quick() if options.quick else Plan()
    try:
        base = base.scaled(options.scale)
        names = (field.name for field in msgspec.structs.fields(Plan))
        given = {name: getattr(options, name) for name in names}
        asked = {name: value for name, value in given.items() if value is not None}
        return msgspec.structs.replace(base, **asked), options
    except ValueError as wrong:
        parser.error(str(wrong))


def main() -> int:
    plan, options = chosen(sys.argv[1:], dict(os.environ))
    folder = Path(tempfile.mkdtemp(prefix="spike-"))
    began = time.monotonic()
    spoilt = False

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

    try:
        settings = dict(word.split("=", 1) for word in options.setting)
        say("the platform")
        with House(**settings) as house:
            played = play(plan, house, folder, say)
        page = story.tell(played, took_s=time.monotonic() - began).write(options.out, options.name)
    except (
        *(Spoilt, HouseError, NotHere, NotUpToDate, NoAnswer, Refused, TooSlow, OSError),
        ValueError,
    ) as problem:
        print(f"spike: {problem}", file=sys.stderr)
        spoilt = True
        return 1
    except KeyboardInterrupt:
        print("spike: stopped", file=sys.stderr)
        return 130
    finally:
        if options.keep or spoilt:
            print(f"what was counted, and what the processes printed: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for line in story.summary(played):
        print(line)
    say(f"report: {page}")
    return 0 if story.is_whole(played) else 1


if __name__ == "__main__":
    sys.exit(main())
