"""A secret, wherever venues put secrets, never reaches a recording; everything else stays as it was."""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorders.raw import FRAME_IN, FRAME_OUT, NOTE, REPLY, REQUEST, Closed, Opened, RawRecording, Redactor, encode_note
from recorders.raw.redact import KNOWN_MAX, MARKER
from tests.recorders.raw_scenes import START_NS, frame, read, writer

CANARY = "canaryCANARY0123456789canaryCANARY0123456789canaryCANARY01234567"

# (kind, payload): every place in which a venue's protocol has a secret. "%s" is the secret.
PLACES: dict[str, tuple[int, str]] = {
    "binance signed query": (
        REQUEST,
        '{"method":"POST","url":"https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature=%s"}',
    ),
    "binance header": (REQUEST, '{"url":"https://x/","headers":{"X-MBX-APIKEY":"%s","Accept":"*/*"}}'),
    "binance header pair": (REQUEST, '{"headers":[["X-MBX-APIKEY","%s"],["Accept","*/*"]]}'),
    "binance header lines": (REQUEST, "POST /x HTTP/1.1\r\nX-MBX-APIKEY: %s\r\nHost: x\r\n\r\n"),
    "binance header lines in JSON": (REQUEST, '{"head":"POST / HTTP/1.1\\r\\nX-MBX-APIKEY: %s\\r\\nHost: x"}'),
    "binance listen key reply": (REPLY, '{"listenKey":"%s"}'),
    "binance listen key reply of the API": (REPLY, '{"id":1,"result":{"listenKey": "%s" },"rateLimits":[]}'),
    "binance listen key expired": (FRAME_IN, '{"e":"listenKeyExpired","E":1,"listenKey":"%s"}'),
    "binance listen key by frame": (FRAME_IN, '{"id":"7","status":200,"result":{"listenKey":"%s"}}'),
    "binance keepalive": (FRAME_OUT, '{"id":1,"method":"userDataStream.ping","params":{"apiKey":"%s"}}'),
    "binance listen token": (FRAME_OUT, '{"method":"userDataStream.subscribe","params":{"listenToken":"%s"}}'),
    "binance logon": (
        FRAME_OUT,
        '{"id":1,"method":"session.logon","params":{"apiKey":"k","signature":"%s","timestamp":1}}',
    ),
    "binance path": (NOTE, '{"note":"opened","connection":3,"venue":"b","url":"wss://x/ws/%s","streams":[]}'),
    "binance combined": (NOTE, '{"note":"opened","connection":3,"venue":"b","url":"wss://x/stream?streams=a@b/%s"}'),
    "binance query": (NOTE, '{"note":"opened","connection":3,"url":"wss://x/private/ws?listenKey=%s&events=A"}'),
    "binance subscribe": (FRAME_OUT, '{"method":"SUBSCRIBE","params":["btcusdt@trade","%s"],"id":1}'),
    "bybit auth": (FRAME_OUT, '{"op":"auth","args":["%s",1662350400000,"%s"]}'),
    "bybit auth spaced": (FRAME_OUT, '{"args": ["x", 1, "%s"], "op": "auth"}'),
    "bybit headers": (REQUEST, '{"headers":{"X-BAPI-API-KEY":"%s","X-BAPI-SIGN":"%s","X-BAPI-TIMESTAMP":"1"}}'),
    "bybit query": (REQUEST, '{"url":"https://x/v5?api_key=%s&sign=%s&timestamp=1"}'),
    "bybit keys": (REPLY, '{"result":{"apiKey":"%s","secret":"%s","readOnly":0}}'),
    "okx login": (
        FRAME_OUT,
        '{"op":"login","args":[{"apiKey":"%s","passphrase":"%s","timestamp":"1","sign":"%s"}]}',
    ),
    "okx echo": (
        REPLY,
        '{"event":"error","msg":"Invalid request: {\\"op\\": \\"login\\", \\"args\\":[{\\"sign\\":\\"%s\\"}]}"}',
    ),
    "okx headers": (REQUEST, '{"headers":{"OK-ACCESS-KEY":"%s","OK-ACCESS-SIGN":"%s","OK-ACCESS-PASSPHRASE":"%s"}}'),
    "deribit credentials": (
        FRAME_OUT,
        '{"method":"public/auth","params":{"grant_type":"client_credentials","client_id":"%s","client_secret":"%s"}}',
    ),
    "deribit signature": (FRAME_OUT, '{"method":"public/auth","params":{"client_id":"i","signature":"%s"}}'),
    "deribit refresh": (FRAME_OUT, '{"method":"public/auth","params":{"refresh_token":"%s"}}'),
    "deribit tokens": (REPLY, '{"result":{"refresh_token":"%s","access_token":"%s","expires_in":900}}'),
    "deribit private call": (FRAME_OUT, '{"method":"private/buy","params":{"access_token":"%s","amount":10}}'),
    "deribit key": (FRAME_OUT, '{"params":{"client_id": "%s","nonce":"n"}}'),
    "deribit REST": (REQUEST, '{"url":"https://x/api/v2/public/auth?client_id=%s&client_secret=%s&grant_type=c"}'),
    "deribit header": (REQUEST, '{"headers":{"Authorization":"deri-hmac-sha256 id=%s,ts=1,nonce=n,sig=%s"}}'),
    "hyperliquid action": (
        REQUEST,
        '{"url":"https://x/exchange","body":{"action":{"type":"order"},"nonce":1,'
        '"signature":{"r":"0x%s","s":"0x%s","v":27},"vaultAddress":null}}',
    ),
    "hyperliquid post": (
        FRAME_OUT,
        '{"method":"post","id":1,"request":{"type":"action","payload":{"signature":{"r":"%s","s":"%s","v":28}}}}',
    ),
    "hyperliquid body as text": (REQUEST, '{"body":"{\\"nonce\\":1,\\"signature\\":{\\"r\\":\\"%s\\",\\"v\\":27}}"}'),
    "dydx broadcast": (FRAME_OUT, '{"jsonrpc":"2.0","method":"broadcast_tx_sync","params":{"tx":"%s"}}'),
    "dydx bytes": (REQUEST, '{"body":{"tx_bytes":"%s","mode":"BROADCAST_MODE_SYNC"}}'),
    "user in a URL": (REQUEST, '{"url":"https://me:%s@example.org/"}'),
    "form": (REQUEST, "symbol=BTCUSDT&timestamp=1&signature=%s"),
    "quoted URL": (REQUEST, '{"url":"https://x/?next=a%%3D1%%26signature%%3D%s%%26b%%3D2"}'),
    "an exception's words": (NOTE, "{\"note\":\"closed\",\"connection\":1,\"why\":\"refused {'X-MBX-APIKEY': '%s'}\"}"),
    "upper case": (REQUEST, '{"APIKEY":"%s","Secret-Key":"%s"}'),
    "escaped name": (REQUEST, '{"\\u0061piKey":"%s"}'),
    "twice escaped": (REPLY, '{"a":"{\\"b\\":\\"{\\\\\\"apiKey\\\\\\":\\\\\\"%s\\\\\\"}\\"}"}'),
    "cut off": (REQUEST, '{"apiKey":"%s'),
}  # fmt: skip


def _filled(text: str, secret: str) -> bytes:
    return (text.replace("%s", secret).replace("%%", "%")).encode()


@pytest.mark.parametrize("place", PLACES)
def test_no_place_lets_a_secret_through(place: str, tmp_path: Path) -> None:
    kind, text = PLACES[place]
    recorder = writer(tmp_path)
    recorder.append(kind, 1, START_NS, 1, _filled(text, CANARY))
    recorder.close()
    (record, _), damage = read(recorder.path)
    assert CANARY.encode() not in record.payload and MARKER in record.payload and damage == []
    if text.startswith("{") and place != "cut off":
        cleaned, original = json.loads(record.payload), json.loads(_filled(text, CANARY))
        assert CANARY not in json.dumps(cleaned)
        assert sorted(cleaned) == sorted(original)  # no member is lost


BY_SHAPE = ("binance path", "binance combined", "binance subscribe")  # nothing but its length tells that it is a key


@pytest.mark.parametrize("place", sorted(PLACES.keys() - set(BY_SHAPE)))
def test_a_short_secret_is_known_by_its_name(place: str) -> None:
    kind, text = PLACES[place]
    clean = Redactor().payload(kind, 1, _filled(text, "shortCanary42"))
    assert b"shortCanary42" not in clean and MARKER in clean


SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=64, max_size=64)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(PLACES)), SECRETS, st.lists(st.sampled_from(sorted(PLACES)), max_size=3), st.integers(0, 3)
)
def test_a_secret_seen_once_is_not_told_later(place: str, secret: str, later: list[str], connection: int) -> None:
    redactor = Redactor()
    kind, text = PLACES[place]
    parts = [redactor.payload(kind, connection, _filled(text, secret))]
    redactor.watch(9)
    for name in later:
        parts.append(redactor.payload(PLACES[name][0], connection, _filled(PLACES[name][1], secret)))
    parts.append(redactor.payload(FRAME_IN, 9, b'{"stream":"%s","data":{"e":"ORDER_TRADE_UPDATE"}}' % secret.encode()))
    said = b"".join(parts[:-1])
    assert secret.encode() not in said
    if place not in ("user in a URL", "deribit header"):  # there it is only a part of what was seen
        assert secret.encode() not in parts[-1]


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["apiKey", "a", "args", "signature", "op"]) | st.text(max_size=4), inner, max_size=3
        ),
        max_leaves=12,
    ),
    st.integers(0, 2),
    st.booleans(),
)  # fmt: skip
def test_json_stays_json(value: object, levels: int, ascii_only: bool) -> None:
    for _ in range(levels):
        value = {"inner": json.dumps(value, ensure_ascii=ascii_only)}
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    clean = Redactor().text(content, sent=True)
    again: object = json.loads(clean)
    assert isinstance(again, type(value))
    if not any(name in content.lower() for name in (b"apikey", b"signature", b"secret", b"op", b"sig", b"u00")):
        assert clean == content


@pytest.mark.parametrize(
    "content",
    [
        frame(7),
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":[["1","2"]],"a":[]}}',
        b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","data":{"s":"BTCUSDT","b":[],"u":1,"seq":2}}',
        b'{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}',
        b'{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}',
        b'{"jsonrpc":"2.0","method":"public/subscribe","params":{"channels":["book.BTC-PERPETUAL.100ms"]}}',
        b'{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC"}}',
        b'{"channel":"webData2","user":"0x0123456789abcdef0123456789abcdef01234567"}',
        b'{"type":"subscribe","channel":"v4_subaccounts","id":"dydx1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/0"}',
        b'{"url":"https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"}',
        b'{"note":"opened","connection":1,"venue":"b","url":"wss://x/stream?streams=btcusdt@depth/ethusdt@trade"}',
        b'{"apiKey":null,"sign":""}',
        b'{"s":"\\u00e9\\u0041"}',
        b'{"orders":[{"clientId":"1700756032"},{"client_id":12},{"client_id":"12"},{"newClientOrderId":"mine-1"}]}',
        b"\xff\xfe\x00 not text",
    ],
)
def test_what_is_no_secret_stays_as_it_is(content: bytes) -> None:
    redactor = Redactor()
    for kind in (FRAME_IN, FRAME_OUT, REQUEST, REPLY, NOTE):
        assert redactor.payload(kind, 1, content) is content
    assert redactor.redacted == 0 and redactor.watched == set()


RECORDED = Path(__file__).resolve().parents[3] / "shared/data/hftbacktest/examples"


@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/data is absent")
def test_no_recorded_market_frame_is_touched() -> None:
    redactor = Redactor()
    with gzip.open(RECORDED / "usdm/btcusdt_20240718.gz") as lines:
        frames = [line.partition(b" ")[2].rstrip() for line in itertools.islice(lines, 3_000)]
    redactor.watch(1)  # the whole search, as on a private connection
    assert all(redactor.payload(FRAME_IN, 1, one) is one for one in frames) and redactor.redacted == 0


def test_a_connection_that_carried_a_secret_is_watched() -> None:
    redactor = Redactor()
    event = b'{"result":{"access_token":"%s"}}' % CANARY.encode()
    assert redactor.payload(FRAME_IN, 4, event) is event  # nothing secret was ever sent there
    redactor.payload(FRAME_OUT, 4, _filled(PLACES["deribit signature"][1], CANARY))
    assert CANARY.encode() not in redactor.payload(FRAME_IN, 4, event)
    clean = encode_note(Opened(5, "binance_usdm", "wss://x/ws/[redacted]"))
    assert redactor.payload(NOTE, 0, clean) == clean and 5 in redactor.watched


def test_what_a_recorder_was_told_is_redacted_too(tmp_path: Path) -> None:
    recorder = writer(tmp_path)
    recorder.redactor.learn("a passphrase with spaces")
    recorder.note(Closed(1, "no: a passphrase with spaces"), START_NS, 1)
    recorder.close()
    assert b"with spaces" not in read(recorder.path)[0][0].payload
    other = writer(tmp_path / "other")
    other.close()
    from recorders.raw import RawWriter

    told = RawWriter(tmp_path / "told", {"venue": {"api_key": CANARY, "url": f"wss://x/ws/{CANARY}"}})
    told.close()
    assert RawRecording(told.path).about == {"venue": {"api_key": "[redacted]", "url": "wss://x/ws/[redacted]"}}
    assert CANARY.encode() not in (told.path / "00000001.seg").read_bytes()


def test_the_memory_of_secrets_is_bounded() -> None:
    redactor = Redactor()
    for number in range(1_000):
        redactor.learn(f"a secret of its own {number:08d}")
    assert len(redactor._known) <= KNOWN_MAX + 1
    assert redactor.text(b"a secret of its own 00000999") == MARKER
    redactor.learn("short")
    assert redactor.text(b"short") == b"short"


@pytest.mark.parametrize(
    "unit", [b"\\", b'"', b'{"sign":', b'"args":[', b"://", b"/ws/", b"sign=", b'"sign":"', b"'", b"\\u0061"]
)
def test_hostile_text_takes_linear_time(unit: bytes) -> None:
    """A quarter of a megabyte of whatever a pattern begins with: quadratic searching would take many minutes."""
    content = b'{"op":"auth",' + unit * ((1 << 18) // len(unit))
    assert zlib.crc32(Redactor().text(content, sent=True)) >= 0
