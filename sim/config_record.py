"""The table ``[record]`` of a run file: what ``perpsim record`` writes, where, and what a full queue does."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sim.config_parts import Part, PositiveSpan, Span

Stream = Literal["depth", "trades", "quotes", "marks", "liquidations"]


class RecordConfig(Part):
    """Recording of raw market data."""

    folder: str = Field("raw", description="recordings are folders in here")
    streams: list[Stream] = Field(
        ["depth", "trades", "quotes", "marks", "liquidations"], min_length=1, description="those a venue has are taken"
    )
    rotate: PositiveSpan = Field(3_600 * 10**9, description="a segment ends at whole multiples of this in UTC")
    rotate_bytes: int = Field(256 << 20, ge=1 << 16, description="or when it is this big")
    block_bytes: int = Field(1 << 20, ge=1 << 10, le=32 << 20, description="written and synced at once")
    sync: Span = Field(10**9, ge=0, description="nothing waits longer for the disk than this")
    queue_bytes: int = Field(32 << 20, ge=1 << 16, description="what may wait for the writer, in memory")
    policy: Literal["block", "drop"] = Field(
        "block", description="when the queue is full: stop reading the connection, or drop frames of the streams named"
    )
    drop: list[Stream] = Field([], description="the streams that policy drop may drop; others block")
    frame_bytes: int = Field(8 << 20, ge=1 << 10, le=32 << 20, description="a longer frame ends its connection")
    status: PositiveSpan = Field(10**9, description="between two status lines")
    limit: PositiveSpan | None = Field(None, description="stop after so long")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.policy == "drop") != bool(self.drop):
            raise PydanticCustomError("record", "policy = drop needs the streams in drop, and the other way round")
        return self
