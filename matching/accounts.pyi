from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FAILURES: Final[dict[int, str]]

class Accounts:
    n_accounts: int
    n_markets: int
    n_assets: int
    failed: int
    failed_account: int
    failed_market: int
    last_realized_e8: int
    last_fee_e8: int
    last_ticks: int
    last_lots: int
    last_cause: int
    last_released_e8: int
    arrays: dict[str, npt.NDArray[np.int64]]
    venue_fees: Sequence[int]
    market_pnl: Sequence[int]
    funding_pool: Sequence[int]
    insurance: Sequence[int]

    def __init__(self, n_accounts: int, n_markets: int, n_assets: int) -> None: ...
    def configure_market(
        self,
        m: int,
        asset: int,
        inverse: bool,
        value_num: int,
        value_den: int,
        lot_num: int,
        lot_den: int,
        maker_rate_e12: int,
        taker_rate_e12: int,
        liquidation_rate_e12: int = 0,
        brackets: Mapping[str, Sequence[int]] | Any = None,
        *,
        fee_rounding: int = 3,
        funding_rounding: int = 3,
        entry_scale: int = 100,
        fee_unit: int = 1,
        funding_unit: int = 1,
    ) -> None: ...
    def configure_margin(
        self,
        m: int,
        *,
        form: str = "bracket_deduction",
        tier_key: str = "notional",
        initial_from: str = "leverage",
        close_fee: str = "none",
        liquidation_price: str = "exact",
        open_interest_lower_e8: int = 0,
        open_interest_upper_e8: int = 0,
        settle_on_touch: bool = False,
        isolated_funding: str = "isolated",
    ) -> None: ...
    def set_open_interest(self, m: int, notional_e8: int) -> None: ...
    def set_legs(self, long_m: int, short_m: int) -> None: ...
    def deposit(self, account: int, asset: int, amount_e8: int) -> None: ...
    def limit_insurance(self, asset: int, amount_e8: int) -> None: ...
    def failure(self) -> str | None: ...
    def raise_if_failed(self) -> None: ...
    def total_e8(self, asset: int) -> int: ...
    def deposited_e8(self, asset: int) -> int: ...
    def state_hash(self) -> str: ...
