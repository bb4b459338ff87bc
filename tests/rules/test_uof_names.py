"""Specifiers, ids and names: one market has one id, and reads as people say it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.uof.descriptions import (
    Card,
    Description,
    Descriptions,
    ordinal,
    parse_answer,
    shipped,
)
from gateway.feeds.uof.identity import canonical, fixture_id, market_key, safe, specifiers
from gateway.feeds.uof.messages import UofError

ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
CARD = Card(
    "sr:match:7",
    "1",
    "Football",
    "Cup",
    "Ayr v Bath",
    0,
    ("Ayr", "Bath"),
    {"sr:competitor:1": "Ayr", "sr:competitor:2": "Bath"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("total=2.5", "total=2.5"),
        ("setnr=4|pointnr=45", "pointnr=45|setnr=4"),
        ("pointnr=45|setnr=4", "pointnr=45|setnr=4"),
        ("variant=sr:exact_goals:6+", "variant=sr:exact_goals:6+"),
        ("score=1:0|hcp=-0.25", "hcp=-0.25|score=1:0"),
    ],
)
def test_specifiers_have_one_order(text, expected):
    assert canonical(text) == expected
    assert canonical(expected) == expected


names = st.text(alphabet="abcdefgh_", min_size=1, max_size=5)
values = st.text(alphabet="0123456789.:+-_=ab", min_size=1, max_size=8)


@given(st.dictionaries(names, values, max_size=5), st.randoms())
def test_any_order_is_the_same_market(pairs, rng):
    parts = [f"{name}={value}" for name, value in pairs.items()]
    rng.shuffle(parts)
    assert canonical("|".join(parts)) == canonical("|".join(sorted(parts)))
    assert specifiers(canonical("|".join(parts))) == pairs


@pytest.mark.parametrize("text", ["total", "=1", "a=", "a=1|", "a=1|a=1", "1a=2"])
def test_bad_specifiers_are_refused(text):
    with pytest.raises(ValueError, match=r"name=value|twice"):
        canonical(text)


@pytest.mark.parametrize(
    ("number", "text", "key"),
    [
        (1, "", "1"),
        (18, "total=2.5", "18__total_.2.5"),
        (16, "hcp=-0.25", "16__hcp_.-0.25"),
        (47, "pointnr=45|setnr=4", "47__pointnr_.45__setnr_.4"),
    ],
)
def test_market_ids_are_stable(number, text, key):
    assert market_key(number, text) == key


text_of_ids = st.text(alphabet="a1|=:_.-+ é/h", min_size=1, max_size=80)


@given(text_of_ids, text_of_ids)
def test_ids_are_safe_and_never_the_same_for_two(one, other):
    assert ID.fullmatch(safe(one))
    assert (safe(one) == safe(other)) == (one == other)


@given(text_of_ids, st.from_regex(r"[A-Za-z0-9-]{1,24}", fullmatch=True))
def test_fixture_ids_are_short_enough_for_any_run(event_id, run):
    assert re.fullmatch(r"uof-[A-Za-z0-9_.-]{1,60}", fixture_id(event_id, run))


@pytest.mark.parametrize(
    ("template", "text", "name"),
    [
        ("1x2", "", "1x2"),
        ("{$competitor1} or {$competitor2}", "", "Ayr or Bath"),
        ("{$event} - total", "", "Ayr v Bath - total"),
        ("{!setnr} set - winner", "setnr=1", "1st set - winner"),
        ("{!setnr} set - winner", "setnr=2", "2nd set - winner"),
        ("{!goalnr} goal", "goalnr=3", "3rd goal"),
        ("{!goalnr} goal", "goalnr=11", "11th goal"),
        ("over {total}", "total=2.5", "over 2.5"),
        ("{$competitor1} ({+hcp})", "hcp=1.5", "Ayr (+1.5)"),
        ("{$competitor1} ({+hcp})", "hcp=-0.25", "Ayr (-0.25)"),
        ("{$competitor2} ({-hcp})", "hcp=1.5", "Bath (-1.5)"),
        ("{$competitor2} ({-hcp})", "hcp=-0.25", "Bath (+0.25)"),
        ("{$competitor2} ({-hcp})", "hcp=0", "Bath (0)"),
        ("{+hcp}", "hcp=0.0", "0"),
        ("games {setnr} and {(setnr+1)}", "setnr=3", "games 3 and 4"),
        ("{!(setnr-1)} set", "setnr=3", "2nd set"),
        ("{%player} to score", "player=sr:player:9", "Zoe Quick to score"),
        ("{%player} to score", "player=sr:competitor:2", "Bath to score"),
        ("{%player} to score", "player=sr:player:8", "sr:player:8 to score"),
        # What can't be filled in.
        ("over {total}", "", "over <total>"),
        ("{+hcp}", "hcp=x", "<hcp>"),
        ("{+hcp}", "hcp=Infinity", "<hcp>"),
        ("{$competitor3}", "", "<competitor3>"),
        ("{$venue}", "", "<venue>"),
    ],
)
def test_templates(template, text, name):
    found = Descriptions([Description(1, template, ("all",), {"1": template})])
    found.players["sr:player:9"] = "Zoe Quick"
    assert found.market_name(1, text, CARD) == name
    assert found.outcome_name(1, text, "1", CARD) == name


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (10, "10th"), (11, "11th"), (12, "12th"),
        (13, "13th"), (21, "21st"), (22, "22nd"), (101, "101st"), (111, "111th"),
    ],
)  # fmt: skip
def test_ordinals(number, text):
    assert ordinal(number) == text


@pytest.mark.parametrize(
    ("number", "text", "name", "outcomes"),
    [
        (1, "", "1x2", ["Ayr", "draw", "Bath"]),
        (10, "", "Double chance", ["Ayr or draw", "Ayr or Bath", "draw or Bath"]),
        (11, "", "Draw no bet", ["Ayr", "Bath"]),
        (16, "hcp=0.5", "Handicap", ["Ayr (+0.5)", "Bath (-0.5)"]),
        (18, "total=2.5", "Total", ["over 2.5", "under 2.5"]),
        (29, "", "Both teams to score", ["yes", "no"]),
        (186, "", "Winner", ["Ayr", "Bath"]),
        (202, "setnr=2", "2nd set - winner", ["Ayr", "Bath"]),
        (219, "", "Winner (incl. overtime)", ["Ayr", "Bath"]),
        (223, "hcp=-3.5", "Handicap (incl. overtime)", ["Ayr (-3.5)", "Bath (+3.5)"]),
        (225, "total=45.5", "Total (incl. overtime)", ["over 45.5", "under 45.5"]),
    ],
)
def test_the_commonest_markets_come_with_names(number, text, name, outcomes):
    found = shipped()
    assert found.market_name(number, text, CARD) == name
    ids = found.outcome_ids(number, text)
    assert [found.outcome_name(number, text, of, CARD) for of in ids] == outcomes


def test_the_correct_score_has_all_scores():
    found = shipped()
    shown = {found.outcome_name(45, "", of, CARD) for of in found.outcome_ids(45, "")}
    assert shown == {f"{home}:{away}" for home in range(5) for away in range(5)} | {"other"}


def test_unknown_markets_and_outcomes_still_have_a_name():
    found = shipped()
    assert found.market_name(777, "a=1", CARD) == "Market 777 a=1"
    assert found.outcome_name(777, "", "sr:competitor:1", CARD) == "Ayr"
    assert found.outcome_name(777, "", "sr:competitor:1,sr:competitor:2", CARD) == "Ayr & Bath"
    assert found.outcome_name(777, "", "pre:outcometext:5", CARD) == "pre:outcometext:5"


LIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<market_descriptions xmlns="http://schemas.sportradar.com/sportsapi/v1/unified" response_code="OK">
  <market id="18" name="Goals {total}" groups="all|goals"><outcomes>
    <outcome id="12" name="More than {total}"/></outcomes></market>
  <market id="145" name="Any" variant="sr:point_range:6+"><outcomes>
    <outcome id="sr:point_range:6+:1" name="0-1"/></outcomes></market>
</market_descriptions>"""


def test_a_downloaded_list_takes_the_place_of_ours():
    found = shipped()
    found.add(parse_answer(LIST))
    assert found.market_name(18, "total=2.5", CARD) == "Goals 2.5"
    assert found.groups(18, "total=2.5") == ("all", "goals")
    assert found.market_name(1, "", CARD) == "1x2"
    text = "variant=sr:point_range:6+"
    assert found.market_name(145, text, CARD) == "Any"
    assert found.outcome_name(145, text, "sr:point_range:6+:1", CARD) == "0-1"
    assert shipped().market_name(18, "total=2.5", CARD) == "Total"


FIXTURE = b"""<fixtures_fixture xmlns="http://schemas.sportradar.com/sportsapi/v1/unified">
  <fixture id="sr:match:7" start_time="2026-11-22T15:00:00+00:00" status="not_started">
    <tournament id="sr:tournament:1" name="Premier Cup"><sport id="sr:sport:1" name="Soccer"/>
    </tournament><competitors><competitor id="sr:competitor:2" name="Bath" qualifier="away"/>
    <competitor id="sr:competitor:1" name="Ayr" qualifier="home"/></competitors>
  </fixture></fixtures_fixture>"""


def test_a_fixture_is_read():
    card = parse_answer(FIXTURE)
    assert card == Card(
        "sr:match:7",
        "1",
        "Soccer",
        "Premier Cup",
        "Ayr v Bath",
        1_795_359_600_000,
        ("Ayr", "Bath"),
        {"sr:competitor:2": "Bath", "sr:competitor:1": "Ayr"},
    )


def test_players_are_read():
    body = b'<player_profile><player id="sr:player:9" name="Quick, Zoe"/></player_profile>'
    assert parse_answer(body) == {"sr:player:9": "Quick, Zoe"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<fixtures_fixture/>", "fixtures_fixture has no fixture"),
        (b"<fixtures_fixture><fixture/></fixtures_fixture>", "fixture has no id"),
        (
            b'<fixtures_fixture><fixture id="sr:match:1" start_time="soon"/></fixtures_fixture>',
            "start_time is 'soon'",
        ),
        (b'<market_descriptions><market id="1"/></market_descriptions>', "market has no name"),
        (b"<schedule/>", "'schedule' is no answer"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><fixtures_fixture/>', "declares a type or an entity"),
    ],
)
def test_bad_answers_are_refused(body, why):
    with pytest.raises(UofError, match=why):
        parse_answer(body)


@given(st.text(max_size=200), st.text(alphabet="{}$!%+-()abc1=|", max_size=60))
def test_a_name_is_one_short_line_whatever_the_template(template, more):
    found = Descriptions([Description(1, template + more, ("all",), {})])
    name = found.market_name(1, "a=1|b=-2", CARD)
    assert 0 < len(name) <= 100
    assert name.isprintable()


def test_what_is_shipped_is_where_it_is_looked_for():
    assert len(shipped()) >= 15
    assert (Path(__file__).parents[2] / "gateway/feeds/uof/descriptions.xml").is_file()
