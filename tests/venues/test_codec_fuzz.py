"""The promise of every codec: any bytes, in any order, decode to a record or raise ``VenueError``, nothing else.

Longer campaigns, guided by coverage: ``tests/tools/fuzz_codecs.py``.
"""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tools import fuzz_codecs
from tests.venues.codec_payloads import INSTRUMENTS, VENUES, messages, new_codec
from tests.venues.wire_cases import changed, decodes_or_raises_venue_error, encoded, mutilated
from venues.codecs import market_codec
from venues.errors import InstrumentError, PayloadError, VenueError
from venues.instruments import CACHE_ENTRIES
from venues.market_data import Record
from venues.wire import NumberCache, WireCodec, id_of, plain_number

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PAYLOADS = {venue: [encoded(message) for message in messages(venue)] for venue in VENUES}
CODECS = {venue: new_codec(venue) for venue in VENUES}


@pytest.fixture(params=[venue for venue in VENUES if not venue.startswith(("binance", "bybit_inverse"))])
def venue(request: pytest.FixtureRequest) -> str:
    """Binance's codec has the same tests in its own file; inverse contracts have the codec of linear ones."""
    return str(request.param)


@given(data=st.data())
@settings(SETTINGS, max_examples=100)
def test_any_bytes(venue: str, data: st.DataObject) -> None:
    decodes_or_raises_venue_error(CODECS[venue], data.draw(st.binary(max_size=300)))


@given(data=st.data())
@settings(SETTINGS, max_examples=200)
def test_mutilated_frames(venue: str, data: st.DataObject) -> None:
    decodes_or_raises_venue_error(CODECS[venue], mutilated(data.draw, PAYLOADS[venue]))


@given(data=st.data())
@settings(SETTINGS, max_examples=200)
def test_well_formed_nonsense(venue: str, data: st.DataObject) -> None:
    message = changed(data.draw, data.draw(st.sampled_from(messages(venue))))
    decodes_or_raises_venue_error(CODECS[venue], encoded(message), data.draw(st.sampled_from(["", "BTC-USD", "X"])))


@given(data=st.data())
@settings(SETTINGS, max_examples=60)
def test_what_a_connection_remembers_never_changes_the_promise(venue: str, data: st.DataObject) -> None:
    """Whole connections of good, changed and mutilated frames in any order, and their restarts; the same frames
    always give the same records."""
    frames = data.draw(st.lists(st.sampled_from(PAYLOADS[venue]), min_size=1, max_size=12))
    if data.draw(st.booleans()):
        frames.insert(data.draw(st.integers(0, len(frames))), mutilated(data.draw, PAYLOADS[venue]))
    restart_at = data.draw(st.integers(0, 12))
    runs = []
    for _ in range(2):
        codec, run = new_codec(venue), []
        for place, raw in enumerate(frames):
            if place == restart_at:
                codec.restart()
            try:
                run.append(repr(codec.decode(raw)))
            except VenueError as error:
                run.append(repr(error))
        runs.append(run)
    assert runs[0] == runs[1]


def test_bytes_that_are_no_message(venue: str) -> None:
    for raw in (
        b"", b"{", b"nonsense", b"\xff\xfe", b'{"topic":"\xff"}', b"[" * 100_000, b'{"a":' * 50_000, b"1e999", b"NaN",
        b'{"topic":"orderbook.50.BTCUSDT","data":' + b"[" * 100_000, b"9" * 5_000, b'{"channel":' + b"9" * 5_000 + b"}",
        b'{"arg":{"channel":"books","instId":' + b"[" * 100_000, b'{"jsonrpc":"2.0","result":' + b"[" * 100_000,
    ):  # fmt: skip
        with pytest.raises(PayloadError):
            new_codec(venue).decode(raw)


def test_every_truncation_of_every_payload_is_refused(venue: str) -> None:
    codec = new_codec(venue)
    for raw in PAYLOADS[venue]:
        if raw[:1] not in b"[{":
            continue
        for length in range(len(raw)):
            with pytest.raises(PayloadError):
                codec.decode(raw[:length])


def test_names_that_go_on_and_on_are_cut() -> None:
    """Importers count what is other by its name, which must not grow with what a connection sends."""
    for name, codec in CODECS.items():
        for key in ("e", "topic", "type", "method", "channel", "event"):
            for message in (
                {key: "x" * 5000},
                {key: "x" * 5000, "s": "y" * 5000, "message_id": 1, "connection_id": ""},
            ):
                decodes_or_raises_venue_error(codec, encoded(message), name)


def test_numbers_made_to_waste_time_are_refused_at_once() -> None:
    """A rate or a price with an exponent could be written as a number of a billion digits."""
    wire = WireCodec(INSTRUMENTS["deribit"])
    long = "9999999." + "9" * 28  # a campaign found that it does not fit 64 bits
    for text in ("1e999999999", "-1e999999999", "1e-999999999", "1e7", long, "9" * 41, "nan", "inf", "", "x"):
        with pytest.raises(PayloadError, match="is no funding rate"):
            wire.forecast_e12(text, "rate")
        assert len(plain_number(text)) <= 50
    assert wire.forecast_e12("0.00000254545454545455", "rate") == 2_545_455
    assert [wire.forecast_e12(text, "rate") for text in ("5e-13", "15e-13", "-5e-13", "0e-30")] == [0, 2, 0, 0]


def test_parse_caches_are_emptied_when_full() -> None:
    cache = NumberCache(INSTRUMENTS["deribit"][0].lots_from_str)
    for number in range(CACHE_ENTRIES + 10):
        assert cache[str(number * 10).encode()] == number
    assert len(cache) == 10


def test_ids_of_every_spelling() -> None:
    assert id_of("2290000000061666327") == 2290000000061666327
    assert id_of("20f43950-d8dd-5b31-9112-a178eb6023af") == 0x20F43950D8DD5B31 >> 1
    texts = ["9" * 19, "9" * 20, "", "-1", "１", "\ud800", "20f43950d8dd5b319112a178eb6023af"]
    found = [id_of(text) for text in texts]
    assert len(set(found)) == len(texts)
    assert all(0 <= number < 2**63 for number in found)


def test_every_payload_is_a_record(venue: str) -> None:
    codec = new_codec(venue)
    for raw in PAYLOADS[venue]:
        assert isinstance(codec.decode(raw, INSTRUMENTS[venue][0].symbol), Record)


def test_campaigns_reach_every_codec_and_the_reader_of_raw_segments() -> None:
    """The targets of the tool, on their first inputs and some changed ones, without atheris."""
    draw = random.Random(1)
    known = fuzz_codecs.targets()
    assert set(known) == {*VENUES, "reader"}
    for make, seeds in known.values():
        run = make()
        for content in seeds():
            run(content)
            run(fuzz_codecs.mutated_json(content, draw) or content[: len(content) // 2])


def test_without_atheris_the_tool_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(sys, "argv", ["fuzz_codecs.py", "--target", "okx", "--seconds", "1"])
    assert fuzz_codecs.main() == 3
    assert "pip install atheris" in capsys.readouterr().err


def test_a_codec_needs_an_instrument() -> None:
    for name in VENUES:
        with pytest.raises(InstrumentError, match="at least one instrument"):
            market_codec(name, [])
    with pytest.raises(InstrumentError, match="market data of mtgox cannot be decoded; known are binance_usdm"):
        market_codec("mtgox", [])
