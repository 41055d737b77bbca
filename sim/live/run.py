"""A run whose feed is given to it as it comes: what differs from a backtest's ``Run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from matching.codes import WAKE_MARKET, WAKE_PRIVATE
from matching.kernel import Core
from sim.assembly import Plan, build_core
from sim.backtest import Run
from sim.live.words import Words
from sim.strategy import Strategy
from sim.venue_face import VenueFace
from venues.instruments import Instrument
from venues.ports import Clock
from venues.rules import RuleCard
from venues.trading import AccountState

E8: Final = 10**8


class LiveRun(Run):
    """``accounts``: what each venue (by place) says that the account holds, in live; empty in paper. ``simulated``:
    what was taken over goes on at the simulated venues (a shadow), not at the real ones."""

    def __init__(
        self, plan: Plan, strategies: list[Strategy], names: list[str], folder: Path, clock: Clock,
        accounts: Mapping[int, AccountState], simulated: bool = False,
    ) -> None:  # fmt: skip
        self.is_external = bool(accounts) and not simulated
        for place, state in accounts.items():
            venue = plan.venues[place]
            settled = {market.instrument.settle for market in plan.markets if market.venue == place}
            wallets = {
                asset: Decimal(state.wallets_e8.get(asset, 0)) / E8
                for asset in sorted(settled | set(venue.config.collateral))
            }
            venue.config = venue.config.model_copy(update={"deposit": wallets})
        super().__init__(plan, strategies, names, folder, False, clock)
        self._began_ns = clock.monotonic_ns()
        self._start_e8: dict[tuple[int, int], int] = {}

    def _face(self, cards: list[RuleCard], instruments: list[Instrument], venues: list[int]) -> VenueFace:
        self.words = Words(cards, instruments, venues)
        return self.words

    def _core(self) -> Core:
        return build_core(self.plan, len(self.strategies), external=self.is_external)

    def _loop_sources(self) -> Sequence[Any]:
        return [None] * len(self.sources)

    def _refused(self, market: int, order_no: int, why: str) -> None:
        text = f"{self.plan.name_of(market)} order {order_no} was not sent: {why}"
        self.writer.log(-1, self.core.now, text, {"level": "warning"})

    def hear(self) -> None:
        """The contexts' books follow what was brought in, and the strategies are not told: after a run's last step."""
        while self.core.pop_private():
            self.contexts[self.core.ev_lane].apply_private()

    def move_on(self, until_ns: int) -> None:
        """Time goes on after a run's last step, and no strategy is told."""
        while self.core.advance(until_ns) in (WAKE_MARKET, WAKE_PRIVATE):
            self.hear()

    def start(self) -> None:
        """``on_start``, with the windows up to the begin given to the core."""
        self.core.sample_accounts(self.plan.first_ns)
        self.loop.begin()
        self._start_e8 = self._equities_e8()

    def close(self) -> None:
        """Finish every file."""
        self.wall_ns = self.clock.monotonic_ns() - self._began_ns
        super().close()

    def _equities_e8(self) -> dict[tuple[int, int], int]:
        accounts = range(len(self.strategies) * len(self.plan.venues))
        assets = range(len(self.plan.assets))
        return {
            (account, asset): self.core.ledger.equity_e8(account, asset) for account in accounts for asset in assets
        }

    def lost(self) -> tuple[Decimal, str]:
        """The greatest loss since the start, over all accounts, in any one asset: how much, and of what."""
        worst, name = Decimal(0), ""
        for title, gained_e8 in self.gained_e8().items():
            if Decimal(-gained_e8) / E8 > worst:
                worst, name = Decimal(-gained_e8) / E8, title
        return worst, name

    def gained_e8(self) -> dict[str, int]:
        """What equity has grown by since the start, over all accounts, by asset."""
        now = self._equities_e8()
        return {
            title: sum(now[key] - self._start_e8[key] for key in now if key[1] == asset)
            for asset, title in enumerate(self.plan.assets)
        }
