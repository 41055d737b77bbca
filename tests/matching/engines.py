"""The two engines that play cases, behind one face: the kernel (as this process has it) and the reference."""

from __future__ import annotations

from typing import Any

from matching.brackets import Brackets
from matching.codes import MARK_MID, QUEUE_CUSTOM
from matching.kernel import LOG_COLUMNS, Core, LatencyTable
from matching.ledger import Ledger
from matching.reference import Reference, TableRow
from matching.reference_account import Contract, ExactAccounts
from matching.reference_latency import ConstantLatency, Latency, QuantileLatency, SeriesLatency
from matching.reference_orders import MarketRules
from tests.matching.cases import Case, LatencySettings, MarketSettings

ENTRY_SCALE = 100
MARGIN = {
    "floor_e8": (0, 10**13),
    "cap_e8": (10**13, 10**15),
    "rate_e12": (10**10, 5 * 10**10),
    "cum_e8": (0, 4 * 10**11),
    "max_leverage": (20, 5),
}


def n_venues(case: Case) -> int:
    return len(case.latencies)


def account_of(case: Case, lane: int, venue: int) -> int:
    return lane * n_venues(case) + venue


def make_ledger(case: Case) -> Ledger:
    accounts = case.lanes * n_venues(case)
    ledger = Ledger(accounts, len(case.markets), 1)
    for m, settings in enumerate(case.markets):
        ledger.configure_market(
            m, 0, settings.is_inverse, settings.value_num, settings.value_den, settings.lot_num, settings.lot_den,
            settings.maker_rate_e12, settings.taker_rate_e12, 12_500_000_000,
            Brackets(**MARGIN) if settings.has_margin else None,
            entry_scale=ENTRY_SCALE,
        )  # fmt: skip
    for account in range(accounts):
        if case.deposit_e8:
            ledger.deposit(account, 0, case.deposit_e8)
        for m, settings in enumerate(case.markets):
            if settings.has_margin:
                ledger.set_leverage(account, m, 20)
    return ledger


class Even:
    """A queue model of our own: what left stood behind us in proportion."""

    def probability(self, front: float, back: float) -> float:
        return back / (front + back)


def custom_queue(settings: MarketSettings) -> Even | None:
    return Even() if settings.queue_model == QUEUE_CUSTOM else None


class KernelEngine:
    """``Core`` and its ledger."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.ledger = make_ledger(case)
        self.core = Core(len(case.markets), case.lanes, self.ledger, case.seed)
        for lane in range(case.lanes):
            self.core.configure_lane(lane, [account_of(case, lane, venue) for venue in range(n_venues(case))])
        for m, settings in enumerate(case.markets):
            self.core.configure_market(
                m, settings.venue, settings.queue_model, settings.queue_param, settings.exchange, settings.l1_only,
                settings.mark_source, settings.post_only_reject, settings.fok_reject, settings.min_lots,
                settings.max_lots, settings.window_ticks, custom_queue=custom_queue(settings),
                margin=settings.has_margin, funding_from_marks=settings.funding_from_marks,
                tick_e8=(settings.tick_e8, 1),
            )  # fmt: skip
            if case.tables and case.tables[m]:
                self.core.set_plan(m, *([row[c] for row in case.tables[m]] for c in range(4)))
        self.core.sample_every(*case.sample_ns)
        for venue, (entry, response) in enumerate(case.latencies):
            self.core.set_latency(venue, latency_table(entry), latency_table(response))
        for lane, masks in enumerate(case.masks):
            for m, mask in enumerate(masks):
                self.core.listen(lane, m, mask)
        self.set_window = self.core.set_window
        self.needs = self.core.needs
        self.advance = self.core.advance
        self.pop_private = self.core.pop_private
        self.submit = self.core.submit
        self.cancel = self.core.cancel
        self.amend = self.core.amend
        self.best_ticks = self.core.best_ticks
        self.state_hash = self.core.state_hash
        self.resting_orders = self.core.resting_orders

    @property
    def now(self) -> int:
        return self.core.now

    def private_event(self) -> tuple[int, ...]:
        e = self.core
        return (
            e.ev_lane, e.ev_market, e.ev_order_no, e.ev_slot, e.ev_kind, e.ev_reason, e.ev_ts, e.ev_deliver, e.ev_ticks,
            e.ev_lots, e.ev_leaves, e.ev_liquidity, e.ev_fee_e8, e.ev_cause, e.ev_front, e.ev_realized_e8, e.ev_side,
            e.ev_sent,
        )  # fmt: skip

    def market_message(self) -> tuple[int, ...]:
        e = self.core
        return e.msg_market, e.msg_kind, e.msg_ts_event, e.msg_ts_recv, e.msg_rows

    def whole_log(self) -> tuple[tuple[int, ...], ...]:
        columns = self.core.drain_log(True)
        names = [name for name in LOG_COLUMNS if name != "slot"]
        return tuple(sorted(zip(*(columns[name].tolist() for name in names), strict=True)))

    def account_state(self) -> tuple[tuple[int, ...], ...]:
        return account_state(self.case, self.ledger)

    def samples(self) -> tuple[tuple[int, ...], ...]:
        taken = self.core.drain_samples()
        return tuple(tuple(int(value) for value in row) for row in [*taken["bbo"], *taken["positions"]])


class ReferenceEngine:
    """`Reference` over exact fractions, or over a ledger of its own where margin is checked."""

    def __init__(self, case: Case) -> None:
        self.case = case
        has_margin = any(settings.has_margin for settings in case.markets)
        self.accounts: Any = make_ledger(case) if has_margin else ExactAccounts(
            [contract_of(settings) for settings in case.markets]
        )  # fmt: skip
        if not has_margin and case.deposit_e8:
            for account in range(case.lanes * n_venues(case)):
                self.accounts.wallets_e8[account, 0] = case.deposit_e8
        reference = self.reference = Reference(len(case.markets), case.lanes, self.accounts)
        for lane in range(case.lanes):
            reference.configure_lane(lane, [account_of(case, lane, venue) for venue in range(n_venues(case))])
        for m, settings in enumerate(case.markets):
            reference.configure_market(m, rules_of(settings, self.accounts if settings.has_margin else None))
            if case.tables:
                reference.set_table(m, [TableRow(*row) for row in case.tables[m]])
        for venue, (entry, response) in enumerate(case.latencies):
            reference.set_latency(venue, latency_model(entry, case.seed), latency_model(response, case.seed))
        reference.sample_every(*case.sample_ns)
        for lane, masks in enumerate(case.masks):
            for m, mask in enumerate(masks):
                reference.listen(lane, m, mask)
        self.set_window = reference.set_window
        self.needs = reference.needs
        self.advance = reference.advance
        self.pop_private = reference.pop_private
        self.submit = reference.submit
        self.cancel = reference.cancel
        self.amend = reference.amend
        self.best_ticks = reference.best_ticks
        self.state_hash = reference.state_hash
        self.resting_orders = reference.resting_orders

    @property
    def now(self) -> int:
        return self.reference.now

    def private_event(self) -> tuple[int, ...]:
        e = self.reference.ev
        assert e is not None
        return (
            e.lane, e.market, e.order_no, e.order_no, e.event, e.reason, e.ts_event_ns, e.ts_deliver_ns, e.ticks,
            e.lots, e.leaves, e.liquidity, e.fee_e8, e.cause, e.queue_front_micro, e.realized_e8, e.side, e.ts_sent_ns,
        )  # fmt: skip

    def market_message(self) -> tuple[int, ...]:
        message = self.reference.msg
        assert message is not None
        return message.market, message.kind, message.ts_event, message.ts_recv, len(message.rows)

    def whole_log(self) -> tuple[tuple[int, ...], ...]:
        return tuple(sorted(self.reference.log_rows()))

    def account_state(self) -> tuple[tuple[int, ...], ...]:
        return account_state(self.case, self.accounts)

    def samples(self) -> tuple[tuple[int, ...], ...]:
        return (*self.reference.quote_samples, *self.reference.account_samples)


def account_state(case: Case, accounts: Any) -> tuple[tuple[int, ...], ...]:
    """Wallet and positions of every account."""
    markets = range(len(case.markets))
    return tuple(
        (accounts.wallet(account, 0), *(accounts.position(account, m) for m in markets))
        for account in range(case.lanes * n_venues(case))
    )


def contract_of(settings: MarketSettings) -> Contract:
    return Contract(
        0, settings.is_inverse, settings.value_num, settings.value_den, settings.lot_num, settings.lot_den,
        settings.maker_rate_e12, settings.taker_rate_e12, ENTRY_SCALE,
    )  # fmt: skip


def rules_of(settings: MarketSettings, margin: Any) -> MarketRules:
    return MarketRules(
        venue=settings.venue,
        asset=0,
        queue_model=settings.queue_model,
        queue_param=settings.queue_param,
        custom_queue=custom_queue(settings),
        exchange=settings.exchange,
        l1_only=settings.l1_only,
        post_only_reject=settings.post_only_reject,
        fok_reject=settings.fok_reject,
        min_lots=settings.min_lots,
        max_lots=settings.max_lots,
        margin=margin,
        funding_from_marks=settings.funding_from_marks,
        mark_is_mid=settings.mark_source == MARK_MID,
        tick_e8=(settings.tick_e8, 1),
    )


def latency_table(settings: LatencySettings) -> LatencyTable:
    values_ns = list(settings.values_ns)
    if settings.ts_ns:
        return LatencyTable.series(list(settings.ts_ns), values_ns)
    return LatencyTable.constant(values_ns[0]) if len(values_ns) == 1 else LatencyTable.quantiles(values_ns)


def latency_model(settings: LatencySettings, seed: int) -> Latency:
    if settings.ts_ns:
        return SeriesLatency(settings.ts_ns, settings.values_ns)
    if len(settings.values_ns) > 1:
        return QuantileLatency(settings.values_ns, seed)
    return ConstantLatency(settings.values_ns[0])


def kernel_engine(case: Case) -> KernelEngine:
    return KernelEngine(case)


def reference_engine(case: Case) -> ReferenceEngine:
    return ReferenceEngine(case)
