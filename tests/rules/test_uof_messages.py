"""Messages of the Unified Odds Feed: each of them read, and everything that is none refused."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.odds import ONE
from gateway.feeds.uof.identity import RoutingKey
from gateway.feeds.uof.messages import (
    MAX_BYTES,
    MESSAGES,
    Alive,
    BetCancel,
    BetSettlement,
    BetStop,
    Certainty,
    EventStatus,
    FixtureChange,
    MarketName,
    MarketOdds,
    MarketResult,
    MarketStatus,
    OddsChange,
    OutcomeResult,
    RollbackBetCancel,
    RollbackBetSettlement,
    Selection,
    SnapshotComplete,
    SportEventStatus,
    UofError,
    odds_of,
    parse,
)

T = 1_700_000_000_000
HEAD = f'product="1" event_id="sr:match:7" timestamp="{T}"'

READ = [
    (f'<alive product="3" timestamp="{T}" subscribed="1"/>', Alive(3, T, True)),
    (f'<alive product="1" timestamp="{T}" subscribed="0"/>', Alive(1, T, False)),
    (
        f'<snapshot_complete product="3" timestamp="{T}" request_id="12"/>',
        SnapshotComplete(3, T, 12),
    ),
    (
        f'<odds_change {HEAD} request_id="5"><sport_event_status status="1" match_status="6"'
        ' home_score="1" away_score="0" reporting="1"><clock match_time="23:10"/><period_scores>'
        '<period_score number="1" home_score="1" away_score="0"/></period_scores>'
        '</sport_event_status><odds betting_status="2" betstop_reason="45">'
        '<market id="47" specifiers="setnr=4|pointnr=45" status="1" cashout_status="-1"'
        ' favourite="1"><outcome id="1" odds="1.85" probabilities="0.5" active="1"/>'
        '<outcome id="2" active="0"/><outcome id="3" odds="2.00001"/></market>'
        '<market id="1" status="-2"/><market id="2"/></odds></odds_change>',
        OddsChange(
            1,
            T,
            "sr:match:7",
            5,
            SportEventStatus(EventStatus.LIVE, 6, "1", "0", "23:10", (("1", "0"),)),
            2,
            45,
            (
                MarketOdds(
                    47,
                    "pointnr=45|setnr=4",
                    MarketStatus.ACTIVE,
                    -1,
                    (
                        Selection("1", 18_500, True),
                        Selection("2", 0, False),
                        Selection("3", 20_000, True),
                    ),
                ),
                MarketOdds(1, "", MarketStatus.HANDED_OVER, None, ()),
                MarketOdds(2, "", None, None, ()),
            ),
        ),
    ),
    (f"<odds_change {HEAD}/>", OddsChange(1, T, "sr:match:7", None, None, None, None, ())),
    (
        f'<bet_stop {HEAD} groups="1st_half|goals"/>',
        BetStop(1, T, "sr:match:7", None, ("1st_half", "goals"), MarketStatus.SUSPENDED),
    ),
    (
        f'<bet_stop {HEAD} market_status="0"/>',
        BetStop(1, T, "sr:match:7", None, ("all",), MarketStatus.INACTIVE),
    ),
    (
        f'<bet_settlement {HEAD} certainty="2"><outcomes><market id="16" specifiers="hcp=-0.25"'
        ' void_reason="3"><outcome id="1714" result="0" void_factor="0.5"/>'
        '<outcome id="1715" result="1" dead_heat_factor="0.5"/><outcome id="x" result="-1"/>'
        "</market></outcomes></bet_settlement>",
        BetSettlement(
            1,
            T,
            "sr:match:7",
            None,
            Certainty.CONFIRMED,
            (
                MarketResult(
                    16,
                    "hcp=-0.25",
                    3,
                    (
                        OutcomeResult("1714", 0, "0.5", ""),
                        OutcomeResult("1715", 1, "", "0.5"),
                        OutcomeResult("x", -1, "", ""),
                    ),
                ),
            ),
        ),
    ),
    (
        f'<bet_cancel {HEAD} start_time="{T - 9}" end_time="{T}" superceded_by="sr:match:8">'
        '<market id="18" specifiers="total=2.5" void_reason="12"/></bet_cancel>',
        BetCancel(
            1,
            T,
            "sr:match:7",
            None,
            T - 9,
            T,
            "sr:match:8",
            (MarketName(18, "total=2.5", 12),),
        ),
    ),
    (
        f'<rollback_bet_settlement {HEAD}><market id="1"/></rollback_bet_settlement>',
        RollbackBetSettlement(1, T, "sr:match:7", None, (MarketName(1, "", None),)),
    ),
    (
        f'<rollback_bet_cancel {HEAD} start_time="{T}"><market id="1"/></rollback_bet_cancel>',
        RollbackBetCancel(1, T, "sr:match:7", None, T, None, (MarketName(1, "", None),)),
    ),
    (
        f'<fixture_change {HEAD} change_type="2" start_time="{T}"/>',
        FixtureChange(1, T, "sr:match:7", None, 2, T),
    ),
]


@pytest.mark.parametrize(("xml", "message"), READ)
def test_every_message_is_read(xml, message):
    assert parse(xml.encode()) == message
    with_head = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<!-- a -->{xml}\n'
    assert parse(with_head.encode()) == message


def test_the_table_has_every_message():
    assert {xml[1:].split(" ")[0] for xml, _ in READ} == set(MESSAGES)


def test_what_the_feed_adds_is_left_alone():
    xml = f'<alive product="3" timestamp="{T}" subscribed="1" new="x"><more/></alive>'
    assert parse(xml.encode()) == Alive(3, T, True)


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY l0 "lol">'
    + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    + f']><alive product="&l9;" timestamp="{T}" subscribed="1"/>'
)
OUTSIDE = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    f'<alive product="1" timestamp="{T}" subscribed="1">&x;</alive>'
)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (LAUGHS.encode(), "declares a type or an entity"),
        (OUTSIDE.encode(), "declares a type or an entity"),
        (b'<!DOCTYPE alive SYSTEM "http://x/y.dtd"><alive/>', "declares a type or an entity"),
        (LAUGHS.encode("utf-16"), "not XML"),
        (OUTSIDE.encode("utf-16-le"), "not XML"),
        (b"<alive>&unknown;</alive>", "not XML"),
        (b"<alive/>" + b" " * MAX_BYTES, "at most"),
        (b"<a>" * 10_000, "not XML"),
        (b'<alive product="1"', "not XML"),
        (b'<alive product="1" product="2"/>', "not XML"),
        (b"", "not XML"),
        (b"\x00\xff\xfe", "not XML"),
        (b'{"op": "mcm"}', "not XML"),
        (b"<html/>", "'html' is no message"),
        (b'<alive xmlns="urn:x"/>', "is no message"),
    ],
)
def test_tricks_and_rubbish_are_refused(body, why):
    with pytest.raises(UofError, match=why):
        parse(body)


def test_an_entity_in_another_declared_encoding_is_refused():
    """A document that says it is UTF-7 could hide its document type from who looks for one."""
    hidden = b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<alive/>'
    with pytest.raises(UofError):
        parse(hidden)


ODDS = f'<odds_change {HEAD}><odds><market id="1" status="1">%s</market></odds></odds_change>'


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("<alive/>", "alive has no subscribed"),
        ('<alive subscribed="1"/>', "alive has no product"),
        ('<alive product="1" subscribed="1"/>', "alive has no timestamp"),
        (f'<alive product="x" timestamp="{T}" subscribed="1"/>', "alive: product is 'x'"),
        (f'<alive product="1" timestamp="{T}" subscribed="yes"/>', "alive: subscribed is 'yes'"),
        ('<alive product="1" timestamp="-5" subscribed="1"/>', "alive: timestamp is '-5'"),
        (f'<snapshot_complete product="1" timestamp="{T}"/>', "has no request_id"),
        (f'<odds_change product="1" timestamp="{T}"/>', "odds_change has no event_id"),
        (
            f'<odds_change product="1" event_id="7" timestamp="{T}"/>',
            "odds_change: event_id is '7'; it is a URN",
        ),
        (
            f'<odds_change {HEAD}><odds><market status="1"/></odds></odds_change>',
            "odds_change.odds.market has no id",
        ),
        (
            f'<odds_change {HEAD}><odds><market id="1" status="2"/></odds></odds_change>',
            "odds_change.odds.market: status is '2'; it is 1, 0, -1, -2, -3 or -4",
        ),
        (
            f'<odds_change {HEAD}><odds><market id="1" specifiers="total"/></odds></odds_change>',
            "market: specifiers is 'total'; it is name=value",
        ),
        (
            f'<odds_change {HEAD}><odds><market id="1" specifiers="a=1|a=2"/></odds></odds_change>',
            "without a twice",
        ),
        (ODDS % '<outcome odds="2"/>', "market.outcome has no id"),
        (ODDS % '<outcome id="1" odds="NaN"/>', "market.outcome: odds is 'NaN'"),
        (ODDS % '<outcome id="1" odds="-2"/>', "odds is '-2'; it is decimal odds"),
        (ODDS % '<outcome id="1" odds="1e9"/>', "odds is '1e9'"),
        (ODDS % '<outcome id="1" active="2"/>', "active is '2'"),
        (f'<bet_stop {HEAD} market_status="1"/>', "bet_stop: market_status is '1'"),
        (f'<bet_settlement {HEAD} certainty="3"/>', "bet_settlement: certainty is '3'"),
        (
            f'<bet_settlement {HEAD}><outcomes><market id="1"><outcome id="1" result="2"/>'
            "</market></outcomes></bet_settlement>",
            "bet_settlement.outcomes.market.outcome: result is '2'",
        ),
        (
            f'<bet_settlement {HEAD}><outcomes><market id="1"><outcome id="1" result="1"'
            ' void_factor="half"/></market></outcomes></bet_settlement>',
            "outcome: void_factor is 'half'",
        ),
        (
            f'<bet_cancel {HEAD} start_time="9" end_time="8"/>',
            "bet_cancel: end_time is '8'; it is not before start_time, 9",
        ),
        (f'<bet_cancel {HEAD} start_time="-9"/>', "bet_cancel: start_time is '-9'"),
        (f'<bet_cancel {HEAD} superceded_by="x"/>', "bet_cancel: superceded_by is 'x'"),
    ],
)
def test_errors_name_the_message_and_the_attribute(xml, why):
    with pytest.raises(UofError) as error:
        parse(xml.encode())
    assert why in str(error.value)


@given(st.binary(max_size=300) | st.text(alphabet='<>/="& aliveproduct1', max_size=80))
def test_whatever_arrives_is_a_message_or_an_error(body):
    with contextlib.suppress(UofError):
        parse(body if isinstance(body, bytes) else body.encode())


@given(st.integers(0, len(READ) - 1), st.data())
def test_a_damaged_message_is_a_message_or_an_error(n, data):
    body = bytearray(READ[n][0].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UofError):
        parse(bytes(body))


@given(st.decimals(0, 1_000_000, places=6, allow_nan=False))
def test_odds_are_cut_off_below_at_the_ten_thousandth(price):
    odds = odds_of(f"{price:f}")
    assert odds == (int(price * ONE) if int(price * ONE) > ONE else 0)
    assert Decimal(odds) / ONE <= price


@pytest.mark.parametrize(
    ("text", "key"),
    [
        # The feed's documentation of topics.
        (
            "hi.pre.-.odds_change.1.sr:match.1234.-",
            RoutingKey("odds_change", "hi", "pre", "-", "1", "sr:match", "1234", "-"),
        ),
        (
            "lo.-.live.bet_settlement.1.sr:match.1234.-",
            RoutingKey("bet_settlement", "lo", "-", "live", "1", "sr:match", "1234", "-"),
        ),
        (
            "hi.virt.-.odds_change.1.vs:match.1234.-",
            RoutingKey("odds_change", "hi", "virt", "-", "1", "vs:match", "1234", "-"),
        ),
        ("-.-.-.alive.-.-.-.-", RoutingKey("alive")),
        ("-.-.-.snapshot_complete.-.-.-.-", RoutingKey("snapshot_complete")),
    ],
)
def test_routing_keys(text, key):
    assert RoutingKey.parse(text) == key
    assert str(key) == text
    if key.event_number != "-":
        assert key.event_id == f"{key.urn_type}:1234"
        made = RoutingKey.of(
            key.message_type,
            key.event_id,
            sport_id="1",
            pre=key.pre == "pre",
            live=key.live == "live",
        )
        assert str(made) == text.replace("virt", "-")
    else:
        assert str(RoutingKey.of(key.message_type)) == text


def test_a_routing_key_may_lack_its_last_word():
    assert RoutingKey.parse("-.-.-.snapshot_complete.-.-.-") == RoutingKey("snapshot_complete")


@pytest.mark.parametrize("text", ["", "a.b", "up.-.-.alive.-.-.-.-", "-.-.-..-.-.-.-", "." * 7])
def test_what_is_no_routing_key(text):
    with pytest.raises(ValueError, match="is no routing key"):
        RoutingKey.parse(text)
