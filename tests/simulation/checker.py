"""What must be true after an evening: what everybody was told, against journal, ledger and books.

The sums are the checker's own, over a journal that it has read by itself (`history`).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import Any

import msgspec

from actors.base import Refused
from actors.bet import BetView
from actors.book import WHOLE, Line
from actors.market import MarketView
from actors.runtime.addresses import BOOK, partition_of
from actors.wallet import WalletView
from gateway import api
from gateway.exchanges.exchange import Matched
from tests.simulation.evening import LICENCE, START_MS, Evening, Op, Wrong, Yes
from tests.simulation.gateways import promised_bet
from tests.simulation.history import Carrier, History, claim, naive_payout

__all__ = ["Wrong", "check"]


def check(evening: Evening) -> History:
    """Raises `Wrong` for the first promise that was not kept."""
    for complaint in evening.simulation.complaints:
        raise Wrong(f"an error that should never be: {complaint}")
    history = read_journals(evening)
    _nothing_lost_nothing_twice(evening, history)
    _payments_are_the_banks(evening, history)
    _reads_showed_what_was_durable(evening, history)
    _money_is_conserved(history)
    promised = _promises_were_kept_once(evening, history)
    _bets_are_right(history, promised)
    _the_ledger_says_the_same(evening, history)
    _limits_were_kept(evening, history)
    _no_book_was_ever_above_its_limit(evening, history)
    _stakes_were_as_large_as_they_may_be(evening, history)
    _books_are_right(evening, history)
    _hedges_are_the_exchanges(evening, history)
    _alerts_are_about_something(history)
    _nothing_is_left_to_the_desk(evening)
    if not evening.plan.kinds:
        claim(not evening.unavailable, "nothing was wrong, and somebody got no answer")
    return history


def read_journals(evening: Evening) -> History:
    """The fold of all partitions, those of the book first: bets refer to its prices."""
    history = History()
    for scope in (BOOK, LICENCE):
        database = evening.simulation.databases[scope]
        for partition in database.partitions:
            history.read(database.journal._chains[partition])
    return history


def _partition_of(evening: Evening, op: Op) -> str:
    partitions = evening.simulation.databases[op.scope].partitions
    return partition_of(op.scope, op.routing_id, len(partitions))


# What clients were told


def _nothing_lost_nothing_twice(evening: Evening, history: History) -> None:
    by_key: defaultdict[tuple[str, str, str], list[Op]] = defaultdict(list)
    for op in evening.ops:
        by_key[_partition_of(evening, op), op.owner, op.key].append(op)
    for place, ops in by_key.items():
        entry = history.entries.get(place)
        for op in ops:
            name = f"{op.method} {op.key!r} of {op.owner}"
            claim(op.answered, f"{name} never got an answer")
            claim(entry is not None, f"{name} was answered and is not in the journal")
            claim(not (op.answers and op.reused), f"{name} got an answer, and was reused")
            for answer in op.answers:
                claim(answer == op.answers[0], f"{name}: told {op.answers[0]} and later {answer}")
                assert entry is not None
                _is_the_first_answer(name, history, place, entry, answer)
        answered = [op.arguments for op in ops if op.answers]
        same = all(arguments == answered[0] for arguments in answered)
        claim(same, f"{place} answered two different requests")
        for op in ops:
            if op.reused:
                others = [other for other in ops if other.arguments != op.arguments]
                claim(bool(others), f"{place} was used for nothing else")
    asked = set(by_key)
    for partition, owner, key in history.entries:
        known = (partition, owner, key) in asked or key.partition(" ")[0] in ("payment", "hedge")
        claim(known, f"the journal has {key!r} of {owner}, for which nobody asked")


def _is_the_first_answer(
    name: str, history: History, place: tuple[str, str, str], entry: list[Any], told: Any
) -> None:
    first = entry[4][-1]
    if isinstance(told, api.PaymentDone):
        _is_the_payment(name, history, place, first, told)
    elif isinstance(told, tuple):
        _, code, facts = told
        if first[0] == "Refused":
            claim(code == first[1], f"{name}: told {code}, journal {first}")
        else:
            claim(code == "payment_declined", f"{name}: told {code}, journal {first}")
            payment = first[3]
            claim(facts["payment_id"] == payment, f"{name}: told {facts}, journal {first}")
            became = history.payments[payment]
            claim(became == "failed", f"{name}: told {code}, it is {became}")
    else:
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(told))
        claim(plain == first, f"{name}: told {plain}, journal {first}")


def _is_the_payment(
    name: str,
    history: History,
    place: tuple[str, str, str],
    first: list[Any],
    told: api.PaymentDone,
) -> None:
    kind, _, _, payment, money = first[:5]
    claim(told.payment_id == payment, f"{name}: told {told}, journal {first}")
    claim(told.amount_minor == money[0], f"{name}: told {told}, journal {first}")
    claim(history.payments[payment] == "completed", f"{name}: told {told}, and it is not done")
    done = history.entries[place[0], place[1], f"payment {payment}"][4][-1]
    cash_after = done[-1] if kind == "DepositRequested" else first[-1]
    claim(told.cash_after_minor == cash_after, f"{name}: told {told}, journal {done}")


def _payments_are_the_banks(evening: Evening, history: History) -> None:
    for payment, became in history.payments.items():
        moved = payment in evening.bank.moved
        claim(became != "pending", f"payment {payment} is never finished")
        claim(moved == (became == "completed"), f"payment {payment} is {became}, bank: {moved}")
    for payment, order in evening.bank.moved.items():
        claim(payment in history.payments, f"the bank moved {order}, for which nobody asked")


def _reads_showed_what_was_durable(evening: Evening, history: History) -> None:
    for view in evening.views:
        if isinstance(view, WalletView):
            shown = (view.cash_minor, view.held_minor, view.withdrawing_minor, view.debt_minor)
            durable = history.past.get((view.player_id, view.version))
            claim(shown == durable, f"{view.player_id} read {shown}, durable was {durable}")
        elif isinstance(view, BetView):
            bet = history.slips.get(view.bet_id) or history.multis.get(view.bet_id)
            claim(bet is not None, f"{view.bet_id} was read and is not there")
            assert bet is not None
            state = (str(view.state), view.payout_minor, view.result_version)
            past = bet.past
            claim(state in past, f"{view.bet_id} was read as {state}, it was {past}")
        elif isinstance(view, MarketView):
            board = history.boards.get(view.market_id)
            claim(board is not None, f"{view.market_id} was read and is not there")
            assert board is not None
            for selection in view.selections:
                shown = (selection.selection_id, selection.odds, view.odds_version)
                known = not selection.odds or shown in board.seen
                claim(known, f"{view.market_id} was read with {shown}")
            claim(view.result_version <= board.version, f"{view.market_id}: a result was read")
            claim(view.seq <= history.seqs[view.fixture_id], f"{view.market_id}: read the future")
    last = {view.player_id: view for view in evening.last_views if isinstance(view, WalletView)}
    for player, purse in history.purses.items():
        shown = last[player].version
        claim(shown == purse.version, f"{player} is at {purse.version} and reads {shown}")


# What was promised


def _promises_were_kept_once(evening: Evening, history: History) -> set[str]:
    """An offer and a trader's yes are each good for one bet, as they were told, and in time.

    Returns the bets that were placed so.
    """
    by_promise: defaultdict[str, set[str]] = defaultdict(set)
    said_yes_s: dict[str, float] = {}
    for moment in evening.moments:
        said_yes_s.setdefault(moment.bet_id, moment.at_s)
    offers = _offers(evening)
    for op in evening.ops:
        if op.method not in ("place", "place_slip") or not op.arguments[1].promised:
            continue
        player, request = op.arguments
        bet = promised_bet(player, request, op.key)
        if op.method == "place_slip":
            multi = history.multis.get(bet)
            if multi is not None:
                prices = " ".join(str(odds) for _, _, odds, _ in multi.legs)
                claim(request.offer_id in offers, f"{bet} takes an offer that nobody made")
                terms_of_slip = (multi.player, multi.stake + multi.bought, prices)
                claim(terms_of_slip == offers[request.offer_id], f"{bet} is not as it was offered")
                late_ms = START_MS + int(said_yes_s[bet] * 1_000)
                late_ms -= evening.offered[request.offer_id]
                claim(late_ms <= 2 * evening.skew_ms, f"{bet} is {late_ms} ms too late")
                by_promise[f"offer {request.offer_id}"].add(bet)
            continue
        slip = history.slips.get(bet)
        if slip is None:
            continue
        told_at_s = said_yes_s[bet]
        wanted = (request.market_id, request.selection_id, request.odds)
        claim((slip.market, slip.selection, slip.odds) == wanted, f"{bet} is not as it was wanted")
        if request.offer_id:
            promise = f"offer {request.offer_id}"
            claim(request.offer_id in offers, f"{bet} takes an offer that nobody made")
            terms = offers[request.offer_id]
            until_ms = evening.offered[request.offer_id]
        else:
            promise = f"referral {request.referral_id}"
            referral = history.referrals[request.referral_id]
            claim(referral.bet == bet, f"{promise} is taken by {referral.bet}, and {bet} is placed")
            assert referral.accepted is not None
            terms = (referral.player, referral.accepted[3][0], int(referral.accepted[4]))
            until_ms = referral.until_ms
        wanted_terms = (player, request.stake.minor, request.odds)
        claim(wanted_terms == terms, f"{bet} has {wanted_terms}, and {promise} is {terms}")
        late_ms = START_MS + int(told_at_s * 1_000) - until_ms
        # The market's clock may be behind that of whoever said until when.
        claim(late_ms <= 2 * evening.skew_ms, f"{bet} takes {promise} {late_ms} ms too late")
        by_promise[promise].add(bet)
    for promise, bets in by_promise.items():
        claim(len(bets) == 1, f"{promise} is taken by {sorted(bets)}")
    return {bet for bets in by_promise.values() for bet in bets}


def _offers(evening: Evening) -> dict[str, tuple[str, int, int | str]]:
    """Whose each offer is, its stake and odds, as somebody was told; of a slip all prices."""
    offers: dict[str, tuple[str, int, int | str]] = {}
    for op in evening.ops:
        for answer in op.answers:
            if isinstance(answer, Refused) and "offer_id" in answer.facts:
                facts = answer.facts
                odds = facts.get("offer_prices") or int(facts["offer_odds"])
                terms = (op.routing_id, int(facts["offer_stake_minor"]), odds)
                known = offers.setdefault(str(facts["offer_id"]), terms)
                claim(known == terms, f"offer {facts['offer_id']} is {known} and {terms}")
    return offers


def _hedges_are_the_exchanges(evening: Evening, history: History) -> None:
    """What was made is what is recorded, and each was written down before."""
    durable_s = _when_durable(evening)
    for name, (order, answer, at_s) in evening.exchange.made.items():
        known = history.hedges.get(name)
        claim(known is not None, f"{name} was given to the exchange and is in no journal")
        assert known is not None
        ordered_s = durable_s[known.ordered]
        claim(ordered_s <= at_s, f"{name} was given to the exchange before it was written down")
        wanted = (known.market, known.selection, known.stake, known.odds)
        given = (order.market_id, order.selection_id, order.stake.minor, order.odds)
        claim(given == wanted, f"{name} was given as {given}, and written down as {wanted}")
        if isinstance(answer, Matched) and answer.stake.minor:
            made = (known.became, known.made_stake, known.reference)
            told = ("made", answer.stake.minor, answer.reference)
            claim(made == told, f"{name} is {made}, the exchange says {told}")
        else:
            claim(known.became == "lapsed", f"{name} is {known.became}, the exchange: {answer}")
    for name, known in history.hedges.items():
        claim(known.became != "", f"{name} is ordered for ever")
        claim(name in evening.exchange.made, f"{name} is {known.became} without the exchange")


def _alerts_are_about_something(history: History) -> None:
    bets = history.slips.keys() | history.multis.keys()
    for name, facts in history.alerts.items():
        about = {facts[key] for key in ("bet_id", "last_bet_id") if key in facts}
        claim(bool(about) and about <= bets, f"alert {name} is about {facts}")


def _nothing_is_left_to_the_desk(evening: Evening) -> None:
    """Whoever has heard everything has done everything, however often it died meanwhile."""
    for market, commands in evening.moves_left.items():
        heard = not evening.news.missed
        claim(not (heard and commands), f"{market} was never told {commands}")


# What the journal says


def _money_is_conserved(history: History) -> None:
    sums: Counter[str] = Counter()
    for (account, currency), balance in history.accounts.items():
        sums[currency] += balance
        kind, _, owner = account.partition("/")
        if kind in ("cash", "held", "withdrawing"):
            claim(balance >= 0, f"{account} is {balance}")
            claim(balance == getattr(history.purses[owner], kind), f"{account} is {balance}")
        if kind == "debt":
            claim(balance <= 0, f"{account} is {balance}")
            claim(-balance == history.purses[owner].debt, f"{account} is {balance}")
    claim(not any(sums.values()), f"money is not conserved: {sums}")
    held: Counter[str] = Counter()
    for slip in history.slips.values():
        held[slip.player] += 0 if slip.settled else slip.stake
    for multi in history.multis.values():
        held[multi.player] += multi.stake if multi.state == "open" else 0
    for player, purse in history.purses.items():
        claim(purse.held == held[player], f"{player} holds {purse.held}, bets are {held[player]}")
        claim(purse.withdrawing == 0, f"{player} has {purse.withdrawing} on its way for ever")


def _bets_are_right(history: History, promised: set[str]) -> None:
    for bet, slip in history.slips.items():
        board = history.boards[slip.market]
        on_board = (slip.selection, slip.odds, slip.odds_version)
        there = on_board in board.seen or bet in promised
        claim(there, f"{bet} has a price that there never was: {on_board}")
        result = board.result(slip.selection, slip.at_ms)
        last = board.last_word(slip.selection)
        if result is None or slip.outcome == "cashed_out":
            claim(not slip.settled, f"{bet} is settled without a result")
            claim(slip.highest <= last, f"{bet} was told of {slip.highest}, the last is {last}")
            continue
        claim(slip.settled == last, f"{bet} is settled by version {slip.settled}, not {last}")
        payout = naive_payout(slip.stake, slip.odds, *result)
        became = (slip.outcome, slip.payout)
        claim(became == (result[0], payout), f"{bet} is {became}, the result {result}")
    for bet, multi in history.multis.items():
        for number, (market, *priced) in enumerate(multi.legs):
            board = history.boards[market]
            there = tuple(priced) in board.seen or bet in promised
            claim(there, f"{bet} has a price that there never was: {priced}")
            result = board.result(priced[0], multi.at_ms)
            last = board.last_word(priced[0])
            known, version = multi.known.get(number, (None, 0))
            if multi.state != "cashed_out":
                claim(known == result, f"{bet}: {market} is {known}, the result {result}")
                by = f"{bet}: {market} is settled by {version}, not {last}"
                claim(version == (last if known else 0), by)
    for market, board in history.boards.items():
        claim(board.settled_version == board.version, f"{market} is not settled")


def _open_bets(history: History) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """By market and selection: how many, their stakes, and what they cost if they win; and what
    of that slips do."""
    lines: dict[tuple[str, str], tuple[int, int, int, int]] = {}
    for slip in history.slips.values():
        if not slip.settled and slip.outcome != "cashed_out":
            place = (slip.market, slip.selection)
            bets, stakes, risk, slips = lines.get(place, (0, 0, 0, 0))
            lines[place] = (bets + 1, stakes + slip.stake, risk + slip.risk, slips)
    for multi in history.multis.values():
        for place, carried in multi.risks().items():
            bets, stakes, risk, slips = lines.get(place, (0, 0, 0, 0))
            lines[place] = (bets + 1, stakes, risk + carried, slips + carried)
    return lines


def _carried(line: Line) -> tuple[int, int, int, int]:
    return line.bets, line.stakes_minor, line.liability_minor, line.slips_minor


# What the ledger says


def _the_ledger_says_the_same(evening: Evening, history: History) -> None:
    ledger = evening.ledger
    balances = {place: row.balance_minor for place, row in ledger.accounts.items()}
    expected = dict(history.accounts)
    different = _differences(balances, expected)
    claim(not different, f"the ledger's balances differ: {different}")
    bets = {
        bet: (
            row.player_id,
            row.stake_minor,
            str(row.state),
            row.payout_minor,
            row.result_version,
            row.cashed_out_minor,
        )
        for bet, row in ledger.bets.items()
    }
    slips = {
        bet: (one.player, one.stake, one.outcome or "open", one.payout, one.highest, one.closed)
        for bet, one in history.slips.items()
    }
    slips |= {
        bet: (one.player, one.stake, one.state, one.paid, 0, one.closed)
        for bet, one in history.multis.items()
    }
    claim(bets == slips, f"the ledger's bets differ: {_differences(bets, slips)}")
    payments = {payment: row.state for (_, payment), row in ledger.payments.items()}
    claim(
        payments == history.payments,
        f"the ledger's payments differ: {_differences(payments, history.payments)}",
    )
    exposure = {
        place: _carried(line) for place, line in ledger.exposure.items() if any(_carried(line))
    }
    lines = _open_bets(history)
    claim(exposure == lines, f"the ledger's exposure differs: {_differences(exposure, lines)}")
    book = evening.simulation.databases[BOOK].ledger
    for market, board in history.boards.items():
        row = book.markets[market]
        told = (row.odds_version, row.result_version, row.settled_version)
        known = (board.odds_version, board.version, board.settled_version)
        claim(told == known, f"the ledger's {market} is at {told}, the journal at {known}")


def _differences(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    different = [
        f"{place}: {one.get(place)} and {other.get(place)}"
        for place in sorted({*one, *other}, key=str)
        if one.get(place) != other.get(place)
    ]
    return "; ".join(different[:3])


# What the books said


def _limits_were_kept(evening: Evening, history: History) -> None:
    """No market took a bet beyond its limit by what it could know.

    A book knows the bets that it said yes to itself, and those in the ledger when it last read it.
    What it can't know is a bet on its way that a former owner said yes to, until it has read the
    ledger after the last of those must have run out: then it is `whole`, and knows all, unless it
    is a former owner's itself that has not noticed.
    """
    durable_s = _when_durable(evening)
    newest: Counter[str] = Counter()
    said_yes: defaultdict[int, set[str]] = defaultdict(set)
    everybody: set[str] = set()
    for moment in evening.moments:
        bet = history.carriers.get(moment.bet_id)
        if bet is None:
            continue  # it never became a bet
        newest[bet.market] = max(newest[bet.market], moment.book)
        if moment.at_s > durable_s[bet.place]:
            continue  # a request that came late, or twice: the bet was placed by an earlier yes
        said_yes[moment.book].add(moment.bet_id)
        everybody.add(moment.bet_id)
        board = history.boards[bet.market]
        limit = board.slip_limit if bet.of_slip else board.limit + moment.hedged_minor
        known = 0
        total = 0
        for hold, other in history.carriers.items():
            there = (other.market, other.selection, other.of_slip)
            if there != (bet.market, bet.selection, bet.of_slip):
                continue
            partition, seq = other.place
            ledger_is_at = moment.heads.get(partition, 0)
            if seq <= ledger_is_at:
                known += other.as_of(ledger_is_at)
            elif hold in said_yes[moment.book]:
                known += other.changes[0][1]
            if hold in everybody:
                # A slip may have become dearer elsewhere, which its book may hear of later.
                of_lines = hold.partition("/")[0] in history.multis
                total += other.risk if of_lines else _weight(other, moment.at_s, durable_s)
        kind = "slips" if bet.of_slip else "singles"
        place = f"{bet.market} {bet.selection}, limit of {kind} {limit}"
        claim(known <= limit, f"{place}: {moment.bet_id} makes it {known}")
        if moment.whole and moment.book == newest[bet.market]:
            claim(total <= limit, f"{place}: {moment.bet_id} makes it {total}, by all there are")


def _no_book_was_ever_above_its_limit(evening: Evening, history: History) -> None:
    """Block by block, in the order in which they were committed: what is open on each selection is
    within its limit, with what hedges win that are durable by then.

    A market whose memory was lost may exceed it by the bets that were on their way just then: those
    that the book can't have known which said yes last.
    """
    durable_s = _when_durable(evening)
    number = {place: at for at, place in enumerate(durable_s)}
    yes: defaultdict[str, list[Yes]] = defaultdict(list)
    for moment in evening.moments:
        bet = history.carriers.get(moment.bet_id)
        if bet is not None and moment.at_s <= durable_s[bet.place]:
            yes[moment.bet_id].append(moment)
    changes: list[tuple[int, str, int]] = []
    for name, bet in history.carriers.items():
        for seq, risk in bet.changes:
            # What slips cost may rise elsewhere: there the least counts that they ever did.
            weight = min(risk, bet.risk or risk) if bet.of_slip else risk
            changes.append((number[bet.place[0], seq], name, weight))
    wins: list[tuple[int, tuple[str, str, bool], int]] = [
        (number[hedge.place], (hedge.market, hedge.selection, False), hedge.wins)
        for hedge in history.hedges.values()
        if hedge.became == "made"
    ]
    wins.sort()
    changes.sort()
    open_: defaultdict[tuple[str, str, bool], dict[str, int]] = defaultdict(dict)
    hedged: Counter[tuple[str, str, bool]] = Counter()
    for block, touched in itertools.groupby(changes, lambda change: change[0]):
        while wins and wins[0][0] <= block:
            _, place, won = wins.pop(0)
            hedged[place] += won
        places = set()
        for _, name, weight in touched:
            bet = history.carriers[name]
            place = (bet.market, bet.selection, bet.of_slip)
            places.add(place)
            open_[place][name] = weight
        for place in places:
            board = history.boards[place[0]]
            limit = (board.slip_limit if place[2] else board.limit) + hedged[place]
            total = sum(open_[place].values())
            if total > limit:
                total -= _on_their_way(history, open_[place], yes)
                where = f"{place[0]} {place[1]}, block {block}"
                claim(total <= limit, f"{where}: {total} is open, and the limit {limit}")


def _on_their_way(history: History, open_: dict[str, int], yes: dict[str, list[Yes]]) -> int:
    """What of the open bets the book could not know that said yes last."""
    said = {name: yes[name][-1] for name, weight in open_.items() if weight}
    last = max(said.values(), key=lambda moment: moment.at_s)
    unknown = 0
    for name, moment in said.items():
        partition, seq = history.carriers[name].place
        if moment.book != last.book and seq > last.heads.get(partition, 0):
            unknown += open_[name]
    return unknown


def _stakes_were_as_large_as_they_may_be(evening: Evening, history: History) -> None:
    for moment in evening.moments:
        bet = history.slips.get(moment.bet_id)
        if bet is None or moment.promised:
            continue
        known = history.factors.get(bet.player, set()) | {WHOLE}
        claim(moment.factor in known, f"{moment.bet_id}: a factor of {moment.factor}, of {known}")
        board = history.boards[bet.market]
        most = board.max_stake * moment.factor // WHOLE
        most = min(most, board.refer_above or most)
        claim(moment.stake_minor <= most, f"{moment.bet_id} stakes {moment.stake_minor} of {most}")


def _weight(bet: Carrier, at_s: float, durable_s: dict[tuple[str, int], float]) -> int:
    """What a single weighs at that moment; before it is durable, as much as when it is."""
    partition, _ = bet.place
    durable = (risk for seq, risk in reversed(bet.changes) if durable_s[partition, seq] <= at_s)
    return next(durable, bet.changes[0][1])


def _when_durable(evening: Evening) -> dict[tuple[str, int], float]:
    """The moment of each commit, by partition and block."""
    return {
        (details[0], details[1]): at_s
        for at_s, event, details in evening.simulation.trace
        if event == "committed"
    }


def _books_are_right(evening: Evening, history: History) -> None:
    lines = _open_bets(history)
    for market, board in history.boards.items():
        exposure = evening.exposures[market]
        claim(exposure.holds == 0, f"{market} has {exposure.holds} holds left")
        for selection in evening.markets[market]:
            if selection in board.results:
                continue  # over: its line is history
            expected = lines.get((market, selection), (0, 0, 0, 0))
            known = _carried(exposure.lines.get(selection) or Line())
            claim(known == expected, f"{market} {selection}: book {known}, bets {expected}")
