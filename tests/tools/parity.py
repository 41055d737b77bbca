"""One strategy, three modes, one order log: backtest, paper and live against the emulator, in virtual time.

    python tests/tools/parity.py --venue hyperliquid --strategy maker --minutes 60 --runs 3 --out FOLDER

1. A slice: the emulator serves a synthetic market in memory, a recorder records it, and the recording becomes a lake.
2. (b) paper: the emulator serves the slice with every frame at its recorded receive time; the session's feed is that.
3. (c) live: the same slice, and the session's orders go through the venue's connector to the emulator, which matches
   them with the same latency model, seed and delay.
4. (a) backtest of the slice over the same span, with the same delay, latency model and seed.

Then the canonical order logs are compared. ``--runs`` slices, each of a seed of its own, are summed up. Prints JSON;
exit code 1 unless every slice had orders and its three hashes are equal. The venue has no rate limits here, on either
side of the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from recorders.building import build
from recorders.live.recorder import Recorder, Settings
from recorders.raw import RawWriter
from sim.backtest import backtest
from sim.compare import compare
from sim.live.runner import Session
from sim.live.setup import Ports, prepare
from sim.recording import plan as recording_plan
from sim.serve.memory import MemoryWire
from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from sim.strategies import MarketMaker
from sim.synth.feed import MarketFeed
from sim.units import instant_text
from sim.virtual_time import VirtualTime
from venues.ports import CountingEntropy, MemoryFiles

SECOND = 10**9
START_NS = 1_795_392_000 * SECOND + (8 * 3600 - 60) * SECOND  # a minute before a funding boundary of both venues
BEGIN_NS, WARM_UP_S = 20 * SECOND + 51_234_567, 5  # when no message is under way
STREAMS = ["depth", "trades", "marks"]
VENUES = {
    "binance": ("binance_usdm", "BTCUSDT", "USDT"),
    "hyperliquid": ("hyperliquid", "BTC", "USDC"),
}
STRATEGIES = {
    "maker": {
        "class": "tests.tools.parity:QuietEndMaker",
        "params": {
            "lots": 200,
            "max_lots": 2000,
            "interval": "39999917ns",  # never at the very instant of a message
            "gamma": 0.05,
            "k": 2.0,
            "horizon_s": 10,
            "keep_ticks": 0,
        },
    },
    "tight": {  # the same maker near the touch: many fills
        "class": "tests.tools.parity:QuietEndMaker",
        "params": {"lots": 200, "max_lots": 2000, "interval": "39999917ns", "gamma": 0.0005, "k": 0.2, "horizon_s": 5},
    },
    "carry": {  # whatever the rate
        "class": "sim.strategies:FundingCarry",
        "params": {"lots": 1000, "lead_s": 30, "taker_fee_bps": 0, "least_profit_bps": -1000},
    },
}


class QuietEndMaker(MarketMaker):
    """The market maker, done and without orders before the end: a run ends with what is under way, each in its way."""

    def __init__(self, quiet_ns: int = 0, **params: Any) -> None:
        super().__init__(**params)
        self.quiet_ns = quiet_ns

    def requote(self, desk: Any) -> None:
        if self.ctx.now_ns < self.quiet_ns:
            super().requote(desk)
        else:
            self.ctx.cancel_all(desk.index)


def document(venue: str, strategy: str, delay: str, seconds: int, out: Path) -> dict[str, Any]:
    """The run file of all three modes."""
    name, symbol, asset = VENUES[venue]
    chosen = {key: dict(value) if isinstance(value, dict) else value for key, value in STRATEGIES[strategy].items()}
    if strategy != "carry":
        chosen["params"]["quiet_ns"] = START_NS + (seconds - 2) * SECOND
    return {
        "name": f"parity-{strategy}",
        "seed": 7,
        "out": str(out / "runs"),
        "feed": {"lake": str(out / "lake"), "delay": delay},
        "strategy": chosen,
        "venue": [{"name": name, "latency": "7ms", "deposit": {asset: 100_000}, "rate_limits": "none"}],
        "instrument": [{"symbol": symbol, "mark": "recorded", "funding": "recorded", "margin": "card"}],
        "report": {"html": False},
        "connect": {name: {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "key_env": "K", "secret_env": "S"}},
        "record": {"folder": str(out / "raw"), "streams": STREAMS},
        "paper": {
            "delay": delay, "offset": "0ms", "warm_up": f"{WARM_UP_S}s",
            "begin": instant_text(START_NS + BEGIN_NS),
        },
        "live": {"enabled": True, "on_stop": "leave"},
    }  # fmt: skip


def slice_of(venue: str, preset: str, seconds: int, out: Path, seed: int = 0) -> Path:
    """A lake of a synthetic market as a recorder received it."""
    name, symbol, _ = VENUES[venue]
    clock = VirtualTime(START_NS)
    raw = {
        "name": "slice", "venue": [{"name": name, "latency": "none"}], "instrument": [{"symbol": symbol}],
        "connect": {name: {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}},
        "record": {"folder": str(out / "slice"), "limit": f"{seconds}s", "streams": STREAMS},
    }  # fmt: skip
    folder = out / "run.json"
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = recording_plan(raw)

    async def main() -> Path:
        choice = Choice(
            venue, f"synth:{preset}", (symbol,), seed=seed, duration_ns=(seconds + 60) * SECOND, own_time=True
        )
        host, _ = make_host(choice, Options(), clock, CountingEntropy())
        wire = MemoryWire(host, clock)
        writer = RawWriter(out / "slice", made.about)
        settings = Settings(limit_ns=seconds * SECOND, config=made.about)
        recorder = Recorder(made.sessions, writer, wire, clock, CountingEntropy(), settings)
        driving = asyncio.ensure_future(wire.drive())
        try:
            await recorder.run()
        finally:
            driving.cancel()
        return writer.path

    with patch.object(MarketFeed, "_publish_quote", lambda self, now_ns: None):  # nobody records best quotes
        recording = clock.run(main())
    build([recording], out / "lake")
    return out / "lake"


def session(mode: Any, venue: str, strategy: str, delay: str, seconds: int, out: Path) -> dict[str, Any]:
    """Paper or live against the emulator that serves the slice; the run's summary with ``path``."""
    name, symbol, asset = VENUES[venue]
    run = document(venue, strategy, delay, seconds, out)
    if venue == "binance":
        run["connect"][name]["book"] = "0ms"  # every diff of the slice as it was recorded
    served_run = out / "served.toml"
    from sim.toml import toml_text

    served_run.write_text(toml_text({k: run[k] for k in ("name", "seed", "feed", "venue", "instrument")}))
    accounts = out / "accounts.toml"
    accounts.write_text(f'[[account]]\nname = "main"\ndeposit = {{ {asset} = 100000 }}\n')

    choice = Choice(venue, "", (symbol,), run=served_run, own_time=True)
    options = Options(accounts=accounts)
    begun = make_host(choice, options, VirtualTime(START_NS), CountingEntropy(), out)[1]
    clock = VirtualTime(begun.first_ns)  # a feed in its own time begins with the host: then both clocks are one

    async def main() -> dict[str, Any]:
        host, served = make_host(choice, options, clock, CountingEntropy(), out)
        wire = MemoryWire(host, clock)
        credentials = served.accounts[0].credentials[0]
        environment = {"K": credentials.address or credentials.key, "S": credentials.secret}
        setup = prepare(mode, run, clock, environment, yes_real_orders=True)
        played = Session(setup, Ports(clock, CountingEntropy(), MemoryFiles(), wire, wire))
        driving = asyncio.ensure_future(wire.drive())
        stopping = asyncio.ensure_future(stop(played, seconds))
        try:
            result = await played.execute()
        finally:
            driving.cancel()
            stopping.cancel()
        return {**result.summary, "path": str(result.path)}

    async def stop(played: Session, after: int) -> None:
        at_ns = START_NS + after * SECOND + 37_123_456  # when nothing else is due
        await clock.sleep_ns(at_ns - clock.wall_ns())
        played.stop("the slice is over")

    return clock.run(main())


def parity(venue: str, strategy: str, minutes: float, preset: str, delay: str, out: Path, seed: int = 0) -> Any:
    """All three modes; hashes, counts of order events, and what differs."""
    seconds = int(minutes * 60)
    slice_of(venue, preset, seconds + 30, out, seed)
    found: dict[str, Any] = {"seed": seed}
    paper = session("paper", venue, strategy, delay, seconds, out)
    live = session("live", venue, strategy, delay, seconds, out)
    run = document(venue, strategy, delay, seconds, out)
    for mode, one in (("paper", paper), ("live", live)):
        span = {"from": instant_text(paper["first_ns"]), "to": instant_text(one["last_ns"])}
        run["feed"] = run["feed"] | span
        again = backtest(run, show_progress=False)
        found[mode] = {
            "hash": one["hash"], "backtest_hash": again.hash, "order_events": len(again.orders), "fills": one["fills"],
            "path": one["path"], "backtest": str(again.path), "first_ns": one["first_ns"], "last_ns": one["last_ns"],
        }  # fmt: skip
        if one["hash"] != again.hash:
            apart = compare(again.path, one["path"])
            found[mode] |= {"differences": apart["differences"], "pairs": apart["pairs"][:5]}
    found["order_events"] = min(found[mode]["order_events"] for mode in ("paper", "live"))
    found["equal"] = found["order_events"] > 0 and all(
        found[mode]["hash"] == found[mode]["backtest_hash"] for mode in ("paper", "live")
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venue", choices=sorted(VENUES), default="hyperliquid")
    parser.add_argument("--strategy", choices=sorted(STRATEGIES), default="maker")
    parser.add_argument("--minutes", type=float, default=5, help="of each slice")
    parser.add_argument("--runs", type=int, default=1, help="slices, each with a seed of its own")
    parser.add_argument("--seed", type=int, default=0, help="of the first slice")
    parser.add_argument("--preset", default="calm")
    parser.add_argument("--delay", default="50ms")
    parser.add_argument("--out", type=Path, default=Path("build/parity"))
    chosen = parser.parse_args()
    runs = []
    for seed in range(chosen.seed, chosen.seed + chosen.runs):
        folder = chosen.out / f"seed{seed}"
        one = parity(chosen.venue, chosen.strategy, chosen.minutes, chosen.preset, chosen.delay, folder, seed)
        runs.append(one)
        print(f"seed {seed}: {one['order_events']} order events, equal: {one['equal']}", file=sys.stderr)
    names = ("venue", "strategy", "preset", "minutes", "delay")
    found = {name: getattr(chosen, name) for name in names}
    found |= {"order_events": sum(one["order_events"] for one in runs), "equal": all(one["equal"] for one in runs)}
    print(json.dumps(found | {"runs": runs}, indent=1))
    return 0 if found["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
