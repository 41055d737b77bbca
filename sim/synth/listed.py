"""The markets that can be made: instrument and order flow together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sim.synth.market import BTCUSD_PERP, BTCUSDT, ETHUSDT, SyntheticMarket
from sim.synth.model import BTCUSD_PERP_FLOW, BTCUSDT_FLOW, ETHUSDT_FLOW, FlowModel
from venues.errors import InputError


@dataclass(frozen=True, slots=True)
class Listed:
    """One market: the instrument, its order flow, and how much later than others it sees the asset's value."""

    market: SyntheticMarket
    flow: FlowModel
    lag_ns: int = 0

    def crowded(self) -> SyntheticMarket:
        """The instrument as a crowd of holders sees it: its sizes in proportion to what is displayed behind the touch,
        so that the same crowd is as heavy for a deep market as for a sparse one."""
        _, filled, lots = min(self.flow.profile, key=lambda row: abs(row[0] - 100))
        return replace(self.market, touch_lots=max(1, 3 * filled * lots // 1000))

    def flow_of(self, depth_e3: int) -> FlowModel:
        """The order flow with a displayed depth of so many per mille of the calibrated one."""
        if depth_e3 == 1000:
            return self.flow
        flow = self.flow
        return replace(
            flow,
            touch_lots=max(2, flow.touch_lots * depth_e3 // 1000),
            profile=tuple(
                (distance, filled, max(1, lots * depth_e3 // 1000)) for distance, filled, lots in flow.profile
            ),
        )


LISTED: Final = (
    Listed(BTCUSDT, BTCUSDT_FLOW),
    Listed(ETHUSDT, ETHUSDT_FLOW, lag_ns=50_000_000),
    Listed(BTCUSD_PERP, BTCUSD_PERP_FLOW, lag_ns=100_000_000),
)


def find_listed(symbol: str, venue: str | None = None) -> Listed:
    """A market by its symbol, and its venue where several have it. Raises ``InputError`` naming those there are."""
    for one in LISTED:
        if one.market.symbol == symbol.upper() and venue in (None, one.market.venue):
            return one
    known = ", ".join(f"{one.market.venue} {one.market.symbol}" for one in LISTED)
    raise InputError(
        f"there is no synthetic market {symbol!r}{f' at {venue!r}' if venue else ''}; there are {known}", source="synth"
    )
