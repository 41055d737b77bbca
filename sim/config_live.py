"""What the modes paper and live, and the recorder, say in a run file: addresses and keys, delay, opt-in, limits.

Keys are never in a run file: ``[connect.NAME]`` names environment variables, or a file that only its owner can read.
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sim.config_parts import Instant, Money, Part, PositiveSpan, Span

_VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"


class ConnectConfig(Part):
    """Where a venue is reached, and what opens the account there. Without addresses: the venue's own."""

    ws: str = Field("", description="market data websocket host, such as wss://host:port; ws:// only on this machine")
    rest: str = Field("", description="REST host, such as https://host; http:// only on this machine")
    ws_api: str = Field("", description="host of the websocket that takes orders; default: ws")
    ws_user: str = Field("", description="host of the private stream; default: ws")
    book: str = Field("", description="kind of book stream, in the venue's words (docs/recording.md)")
    key_env: str = Field("", pattern=f"^$|{_VARIABLE}", description="environment variable with the API key")
    secret_env: str = Field(
        "", pattern=f"^$|{_VARIABLE}", description="environment variable with the secret, or the private key that signs"
    )
    keys: str = Field("", description="instead of both: a TOML file (mode 0600) with key and secret")
    address: str = Field(
        "", pattern=r"^$|^0x[0-9a-fA-F]{40}$", description="of the account, where another key (an agent's) signs for it"
    )
    vault: str = Field("", pattern=r"^$|^0x[0-9a-fA-F]{40}$", description="address of the vault that is traded for")

    @model_validator(mode="after")
    def _one_home_of_keys(self) -> Self:
        if self.keys and (self.key_env or self.secret_env):
            raise PydanticCustomError("connect", "give keys = FILE, or key_env and secret_env, not both")
        if self.key_env and not self.secret_env:
            raise PydanticCustomError("connect", "key_env needs secret_env")
        return self


class PaperConfig(Part):
    """How ``perpsim paper`` simulates: a fixed delay behind the wall clock (docs/paper.md)."""

    delay: Span | None = Field(
        None, ge=0, description="how far the simulated venue is behind; default: measured in the warm-up"
    )
    warm_up: PositiveSpan = Field(
        10 * 10**9, description="feed is watched so long before the strategy starts, to measure what is not given"
    )
    offset: Span | None = Field(
        None, description="added to receive times, for a clock behind the venue's; default: measured in the warm-up"
    )
    begin: Instant | None = Field(None, description="the strategy starts at this instant, if the warm-up is over then")


class RiskConfig(Part):
    """Limits that every command passes before it leaves, in every mode. A limit that is not given does not exist."""

    max_order_value: Money | None = Field(None, gt=0, description="quote money of one order")
    max_position: Money | None = Field(
        None, gt=0, description="base units, either side, counting open orders as if they would fill"
    )
    max_open_orders: int | None = Field(None, ge=1, description="of one instrument")
    max_orders_per_s: int | None = Field(None, ge=1, description="orders and amendments in any second; cancels pass")
    max_loss: Money | None = Field(
        None, gt=0, description="settlement money lost since the start: orders are canceled, the run ends"
    )


class LiveConfig(Part):
    """``perpsim live``. ``enabled`` is one half of the opt-in, the flag --yes-real-orders the other."""

    enabled: bool = Field(False, description="real orders leave only if this and --yes-real-orders say so")
    on_stop: Literal["cancel", "leave"] = Field("cancel", description="what happens to our open orders at the end")
    shadow: bool = Field(False, description="the simulator runs beside on the same feed and orders, as --shadow")
    stop_within: PositiveSpan = Field(10 * 10**9, description="how long the end may wait for the venue's answers")
    max_wait: PositiveSpan = Field(
        2 * 10**9, description="an order or amendment that cannot leave for so long is refused, not sent"
    )
    rehearse: Span = Field(
        2_000_000,
        ge=0,
        description="an order's way is walked so often with nothing behind it, so that it is quick; with busy_poll "
        "whenever nothing is ready, market data too; 0: never",
    )
    busy_poll: bool = Field(False, description="never sleep while waiting for frames: quicker, and takes a whole core")


class StateConfig(Part):
    """What strategies save of themselves, in paper and live."""

    file: str = Field(min_length=1, description="saved here and read again at the next start")
    every: PositiveSpan = Field(60 * 10**9, description="between two saves; always at the end")
