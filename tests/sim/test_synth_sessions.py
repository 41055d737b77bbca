"""``perpsim synth``: presets do what they say, and files, lake and raw recording hold one and the same session."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from matching.codes import GAP, GAP_SEQUENCE, MARK
from recorders.commands import build, gaps, import_, ls, verify
from recorders.lake import Lake
from recorders.raw import FRAME_IN, NOTE, REPLY, REQUEST, RawRecord, RawRecording, decode_note
from sim.cli import app
from sim.synth.feed import MarketFeed
from sim.synth.listed import LISTED, find_listed
from sim.synth.making import choose, lines, synth
from sim.synth.presets import PRESETS, preset, scenario
from sim.synth.scenario import SECOND_NS
from venues.errors import InputError

MINUTE_NS = 60 * SECOND_NS
runner = CliRunner()


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("crash", "volatile")])
def test_every_preset_imports_and_verifies_clean(name: str, tmp_path: Path) -> None:
    made = synth(name, 5, 30 * SECOND_NS, lake=tmp_path / "lake")
    totals = made["lake"]["totals"]
    assert made["ok"] and totals["messages"] > 300
    assert totals["crossed"] == totals["bbo_different"] == totals["malformed"] == totals["duplicates"] == 0
    assert verify(tmp_path / "lake")["ok"]
    assert totals["gaps"] == (3 if name == "outage" else 0)


def test_an_outages_gaps_are_found_where_they_are(tmp_path: Path) -> None:
    made = synth("outage", 3, 60 * SECOND_NS, lake=tmp_path / "lake")
    truth = [o for o in made["truth"]["BTCUSDT"]["outages"] if o["kind"] != "stall"]
    found = []
    source = Lake(tmp_path / "lake").source("binance_usdm", "BTCUSDT")
    while (window := source.next_window()) is not None:
        rows = window.ref[window.kind == GAP] - window.aux_base
        assert (window.aux[rows, 0] == GAP_SEQUENCE).all()
        found += window.ts_recv[window.kind == GAP].tolist()
    assert len(gaps(tmp_path / "lake")["gaps"]) >= len(found) == len(truth) == 3
    for at_ns, outage in zip(found, truth, strict=True):
        assert outage["from_ns"] < at_ns < outage["to_ns"] + 2 * SECOND_NS


def played(name: str, duration_ns: int, seed: int = 7) -> MarketFeed:
    made = scenario(name, duration_ns)
    feed = MarketFeed(LISTED[0], made, seed)
    now_ns = made.start_ns
    while now_ns < made.end_ns:
        now_ns += SECOND_NS
        feed.advance(now_ns)
    return feed


def test_a_crash_sets_off_a_cascade_and_a_calm_hour_none() -> None:
    feed = played("crash", MINUTE_NS)
    cascades = feed.cascades.all()
    assert max(cascade.orders for cascade in cascades) > 50
    fall_ns = feed.scenario.start_ns + feed.scenario.path.drifts[0].from_ns
    assert max(cascades, key=lambda cascade: cascade.orders).start_ns > fall_ns
    start = LISTED[0].market.start_ticks
    assert feed.flow.ladders[0].best < start * 995 // 1000, "part of the fall stays"
    assert played("calm", 20 * SECOND_NS).cascades.all() == []


def test_the_same_crowd_is_as_heavy_for_a_sparse_market(tmp_path: Path) -> None:
    """Its sizes are in proportion to what is displayed: a cascade there too, and no mark out of all reason."""
    made = synth("crash", 23, MINUTE_NS, ("BTCUSD_PERP",), lake=tmp_path / "lake")
    assert made["truth"]["BTCUSD_PERP"]["cascades"]["largest"] > 50
    assert verify(tmp_path / "lake")["ok"], "verification names marks that jump"


def test_presets_differ_as_they_say() -> None:
    found = {name: played(name, 40 * SECOND_NS) for name in ("calm", "volatile", "thin", "trending")}
    sent = {name: feed._sent for name, feed in found.items()}
    assert sent["thin"] * 3 < sent["calm"] * 2 < sent["volatile"]
    shown = {name: sum(lots for _, lots in feed.flow.ladders[0].top(200)) for name, feed in found.items()}
    assert shown["thin"] * 4 < shown["volatile"] * 2 < shown["calm"] * 2
    path = played("trending", 5 * MINUTE_NS, 3)
    assert path.flow.ladders[0].best > LISTED[0].market.start_ticks * 1002 // 1000


def test_the_rate_follows_the_premium_and_rolls_over_the_boundary(tmp_path: Path) -> None:
    rates = {}
    for name in ("calm", "funding"):
        feed = played(name, 5 * SECOND_NS)
        rates[name] = feed.prices.rate_e12
    assert abs(rates["calm"] - 10**8) < 2 * 10**7, "0.01 %: the premium is within the damped band"
    assert 9 * 10**8 < rates["funding"] < 13 * 10**8
    start_ns = PRESETS["funding"].start_ns + 5 * MINUTE_NS - 8 * SECOND_NS
    synth("funding", 2, 16 * SECOND_NS, lake=tmp_path / "lake", start_ns=start_ns)
    source = Lake(tmp_path / "lake").source("binance_usdm", "BTCUSDT")
    named = []
    while (window := source.next_window()) is not None:
        named += window.aux[window.ref[window.kind == MARK] - window.aux_base, 3].tolist()
    boundary = start_ns + 8 * SECOND_NS
    assert named == [boundary] * 8 + [boundary + 8 * 3600 * SECOND_NS] * 7


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"symbols": ("BTCUSDT", "BTCUSD_PERP")}
    for name in "ab":
        synth("outage", 4, 30 * SECOND_NS, out=tmp_path / name, raw=tmp_path / name, **arguments)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    other = synth("outage", 5, 30 * SECOND_NS, out=tmp_path / "c", **arguments)
    file = other["files"][0]
    text = gzip.decompress(Path(file["path"]).read_bytes())
    assert hashlib.sha256(text).hexdigest() == file["sha256"] and text.count(b"\n") == file["lines"]
    assert text != gzip.decompress((tmp_path / "a" / Path(file["path"]).name).read_bytes())


def test_bytes_are_those_of_every_other_machine() -> None:
    """Known answers: these change only when the generator is changed on purpose."""
    made = scenario("calm", 10 * SECOND_NS)
    digests = [hashlib.sha256("\n".join(lines(one, made, 11)).encode()).hexdigest()[:12] for one in LISTED]
    assert digests == KNOWN


KNOWN = ["d8d4b129655c", "09a4323cff46", "1f70d2407ced"]


def test_a_raw_recording_holds_the_same_messages_and_says_what_the_link_did(tmp_path: Path) -> None:
    made = synth("outage", 4, 30 * SECOND_NS, ("ETHUSDT",), out=tmp_path / "out", raw=tmp_path / "raw")
    records = list(RawRecording(made["raw"]["path"]).records())
    assert all(isinstance(record, RawRecord) for record in records)
    kept = [record for record in records if isinstance(record, RawRecord)]
    assert [record.seq for record in kept] == list(range(1, len(kept) + 1))
    plain = gzip.decompress(Path(made["files"][0]["path"]).read_bytes()).splitlines()
    market = [record for record in kept if record.kind in (FRAME_IN, REPLY)]
    assert [b"%d %s" % (record.wall_ns // 1000, record.payload) for record in market] == plain
    notes = [decode_note(record.payload) for record in kept if record.kind == NOTE]
    kinds = [type(note).__name__ for note in notes]
    assert kinds[0] == "Started" and kinds[-1] == "Stopped"
    assert (kinds.count("Opened"), kinds.count("Closed"), kinds.count("Resynced")) == (3 + 4, 4, 3)
    assert {note.why for note in notes if type(note).__name__ == "Gap"} == {"disconnect", "sequence"}
    build([tmp_path / "raw"], tmp_path / "built")
    import_("binance", [made["files"][0]["path"]], tmp_path / "imported")
    feeds = [ls(tmp_path / lake)["feeds"] for lake in ("built", "imported")]
    counts = [[(row["messages"], row["rows"], row["gaps"]) for row in found] for found in feeds]
    assert counts[0] == counts[1] and counts[0][0][2] == 3
    assert verify(tmp_path / "built")["ok"]
    asked = [json.loads(record.payload)["url"] for record in kept if record.kind == REQUEST]
    assert asked == ["https://fapi.binance.com/fapi/v1/depth?symbol=ETHUSDT&limit=1000"] * 4
    with pytest.raises(Exception, match="exist"):
        synth("outage", 4, 30 * SECOND_NS, ("ETHUSDT",), raw=tmp_path / "raw")


def test_markets_of_one_asset_follow_one_value_and_bases_revert(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    synth("volatile", 6, 40 * SECOND_NS, ("BTCUSDT", "BTCUSD_PERP"), lake=lake)
    series = []
    for one in (LISTED[0], find_listed("BTCUSD_PERP")):
        source = Lake(lake).source(one.market.venue, one.market.symbol)
        parts = []
        while (window := source.next_window()) is not None:
            rows = window.ref[window.kind == MARK] - window.aux_base
            parts.append(
                pl.DataFrame({"at": window.ts_event[window.kind == MARK] // 10**9, "index": window.aux[rows, 1]})
            )
        series.append(pl.concat(parts))
    both = series[0].join(series[1], on="at")
    moves = both.select(pl.col("index").diff(), pl.col("index_right").diff()).drop_nulls()
    assert moves.select(pl.corr("index", "index_right")).item() > 0.7
    basis = both.select((pl.col("index_right") / pl.col("index") - 1).abs().max()).item()
    assert basis < 0.001


def test_the_pages_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "synthetic.md").read_text()
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "SessionFeed" in text]
    exec(compile(block, "synthetic.md", "exec"), {})
    assert "messages in the first second" in capsys.readouterr().out
    assert all(f"| {name} |" in page for name in PRESETS)


def test_markets_are_chosen_by_symbol_and_venue() -> None:
    def names(symbols: tuple[str, ...], venues: tuple[str, ...]) -> list[str]:
        return [one.market.symbol for one in choose(symbols, venues)]

    assert names((), ()) == ["BTCUSDT"] and names((), ("binance_coinm",)) == ["BTCUSD_PERP"]
    assert names(("ETHUSDT", "BTCUSDT"), ()) == ["ETHUSDT", "BTCUSDT"]
    for symbols, venues, why in (
        ((), ("okx",), "no synthetic markets of 'okx'"), (("DOGE",), (), "no synthetic market 'DOGE'"),
        (("BTCUSDT",), ("binance_coinm",), "not among"), (("BTCUSDT", "btcusdt"), (), "named twice"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            choose(symbols, venues)
    with pytest.raises(InputError, match="there is no preset 'x'; there are calm"):
        preset("x")
    with pytest.raises(InputError, match="crash needs at least 60 s, not 5 s"):
        scenario("crash", 5 * SECOND_NS)
    with pytest.raises(InputError, match="whole second"):
        scenario("calm", 5 * SECOND_NS, 17)
    with pytest.raises(InputError, match="give a folder"):
        synth()


def test_the_command(tmp_path: Path) -> None:
    listed = runner.invoke(app, ["synth", "--list"])
    assert listed.exit_code == 0 and all(name in listed.stdout for name in (*PRESETS, "BTCUSD_PERP"))
    arguments = ["synth", "--duration", "5s", "--instrument", "ETHUSDT", "--seed", "9", "--out", str(tmp_path / "o")]
    made = runner.invoke(app, [*arguments, "--lake", str(tmp_path / "l"), "--raw", str(tmp_path / "r"), "--json"])
    result = json.loads(made.stdout)
    assert made.exit_code == 0 and result["ok"] and result["lake"]["totals"]["messages"] > 50
    assert {"files", "lake", "raw", "truth"} <= set(result)
    text = runner.invoke(app, [*arguments, "--start", "2026-01-02T03:04:05Z"])
    assert text.exit_code == 0 and "ethusdt.dat.gz" in text.stdout and "0 outages" in text.stdout
    first = gzip.decompress((tmp_path / "o" / "binance_usdm_ethusdt.dat.gz").read_bytes()).split(b" ", 1)[0]
    assert first.startswith(b"1767323045")
    for wrong in (["--duration", "soon"], ["--preset", "x"], ["--start", "noon"], []):
        assert runner.invoke(app, ["synth", *wrong, *(["--out", str(tmp_path / "w")] if wrong else [])]).exit_code == 2
