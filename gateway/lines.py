"""The lines of a slip, as every answer that names the slip shows them."""

from __future__ import annotations

from msgspec import UNSET

from actors.slips.slip import Slip, folds_in, lines_in
from gateway import api


def lines_json(slip: Slip) -> api.Lines:
    each_way = slip.each_way or UNSET
    return api.Lines(slip.kind, list(folds_in(slip)), lines_in(slip), each_way)
