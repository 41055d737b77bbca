"""What a running recorder shows: rates, lags, gaps, bytes, the queue and the disk, as one plain dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from venues.session_parts import Channel
from venues.sessions import MarketSession

LAGS_MAX: Final = 2_000  # an interval and channel
LAGS_EVERY: Final = 15  # one of so many frames is kept once there are LAGS_FEW
LAGS_FEW: Final = 100


class Meter:
    """What one channel did since the last look. Lags are receive time minus venue time, in nanoseconds."""

    __slots__ = ("channel", "dropped", "frames", "lags", "octets")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.frames = self.octets = 0
        self.dropped = 0
        self.lags: list[int] = []

    def lag(self, lag_ns: int) -> None:
        """A frame's lag; a sample of them is kept."""
        lags = self.lags
        if len(lags) < LAGS_FEW or (self.channel.frames % LAGS_EVERY == 0 and len(lags) < LAGS_MAX):
            lags.append(lag_ns)

    def look(self, venue: str, seconds: float) -> dict[str, Any]:
        """The interval's figures; the next interval begins."""
        channel = self.channel
        frames, octets = channel.frames - self.frames, channel.octets - self.octets
        self.frames, self.octets = channel.frames, channel.octets
        lags, self.lags = sorted(self.lags), []
        return {
            "venue": venue, "connection": channel.connection, "stream": channel.stream, "symbol": channel.symbol,
            "topic": channel.topic, "frames": channel.frames, "bytes": channel.octets,
            "frames_per_s": round(frames / seconds, 1), "bytes_per_s": round(octets / seconds),
            "lag_p50_ms": _quantile_ms(lags, 50), "lag_p99_ms": _quantile_ms(lags, 99),
            "synced": channel.synced if channel.chained else None, "gaps": channel.gaps,
            "resyncs": channel.resyncs, "duplicates": channel.duplicates, "dropped": self.dropped,
        }  # fmt: skip


def _quantile_ms(lags: Sequence[int], percent: int) -> float | None:
    return round(lags[min(len(lags) - 1, len(lags) * percent // 100)] / 1e6, 3) if lags else None


def link_figures(session: MarketSession, closed: dict[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """The connections of a session; ``closed`` has how often each was closed, and why the last time."""
    rows = []
    for link in session.links:
        times, why = closed.get(link.name, (0, ""))
        rows.append(
            {
                "venue": session.venue,
                "connection": link.name,
                "open": link.is_open,
                "frames": link.frames,
                "bytes": link.octets,
                "closed": times,
                "last_close": why,
            }
        )
    return rows
