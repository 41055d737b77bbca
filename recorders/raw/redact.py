"""What never reaches a recording: keys, signatures, passphrases, tokens, listen keys, and whole authentication frames.

Theory of operation. Everything passes a ``Redactor`` on its way into a recording. It works on the bytes, so that all
but the secret stays exactly as it was, and puts ``[redacted]`` where the secret stood: as a string, whatever the
value was, so that JSON stays JSON. It knows secrets

- by the name beside them: JSON members (also inside a string that holds JSON, as error replies that echo a
  request do), URL parameters and form fields, HTTP header lines and pairs;
- by their place: listen keys in a URL's path, the arguments of ``op: auth`` and ``op: login``, dYdX's transactions;
- by their shape, in what we send: a string of 60 or more characters of which nothing but keys is made;
- by having seen them: a key found once is known from then on, so that Binance's private streams, which use
  the listen key as a stream's name, do not tell it.

Frames from the venue are most of a recording and must cost nothing. Secrets come from a venue only where we sent one,
so its frames are searched on the connections on which something was redacted before (``watch`` adds one by hand), and
on the others small frames for the one word ``listenKey``.

Sources of the names: the venues' documentation of authentication (Binance signed requests, user data streams and
WebSocket API ``session.logon``; Bybit ``op: auth`` and X-BAPI headers; OKX ``op: login`` and OK-ACCESS headers;
Deribit ``public/auth`` and ``deri-hmac-sha256``; Hyperliquid's ``signature`` of an action; dYdX's ``broadcast_tx``).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes

from recorders.raw.records import FRAME_IN, FRAME_OUT, NOTE, REQUEST

MARKER: Final = b"[redacted]"
KNOWN_MAX: Final = 64  # secrets remembered; a session has a few
KNOWN_LENGTH_MIN: Final = 16  # shorter ones could be words of a market
QUICK_BYTES: Final = 1 << 10  # frames below are searched for LISTEN_KEY on every connection
LISTEN_KEY: Final = b"listenKey"

# Names in any case, with - or _ or nothing between their parts.
_NAMES: Final = (
    "api key", "api secret", "secret key", "secret", "api signature", "signature", "sign", "sig", "listen key",
    "listen token", "passphrase", "pass phrase", "client secret", "refresh token", "access token",
    "private key", "agent key", "mnemonic", "seed phrase", "password", "authorization", "cookie", "set cookie",
    "x mbx apikey", "x bapi api key", "x bapi sign", "ok access key", "ok access sign", "ok access passphrase",
    "tx bytes",
)  # fmt: skip
_HEADERS: Final = (
    "x mbx apikey", "x bapi api key", "x bapi sign", "ok access key", "ok access sign", "ok access passphrase",
    "authorization", "cookie", "set cookie",
)  # fmt: skip


def _any(names: tuple[str, ...]) -> bytes:
    longest_first = sorted(names, key=len, reverse=True)
    return "|".join(name.replace(" ", "[-_]?") for name in longest_first).encode()


# Deribit's client_id names a key; dYdX's clientId, or a client_id that is a number, an order.
_CLIENT_ID: Final = rb"|client[-_]id"
_A_WORD: Final = rb"(?=\1\2\s*:\s*\1\2(?!\d+\1\2))"
_MEMBER: Final = re.compile(rb"(?i)(?<!\\)(\\*)([\"'])(?:" + _any(_NAMES) + _CLIENT_ID + _A_WORD + rb")\1\2\s*:\s*")
_ARGS: Final = re.compile(rb"(?<!\\)(\\*)([\"'])args\1\2\s*:\s*")
_TX: Final = re.compile(rb"(?<!\\)(\\*)([\"'])tx\1\2\s*:\s*")
_PAIR: Final = re.compile(rb"(?i)(?<!\\)(\\*)([\"'])(?:" + _any(_HEADERS) + rb")\1\2\s*,\s*")
_PARAMETER: Final = re.compile(
    rb"(?i)(?:(?<=%26)|(?<=%3F)|(?<![A-Za-z0-9]))((?:"
    + _any((*_NAMES, "token"))
    + _CLIENT_ID
    + rb")(?:=|%3D))((?:(?!%26)[^&\s\"'\\<>{},;#])+)"
)
_HEADER: Final = re.compile(
    rb"(?i)(?:(?<=\\n)|(?<![A-Za-z0-9_-]))((?:" + _any(_HEADERS) + rb")\s*:\s*)((?:(?!\\[rn])[^\r\n\"'])+)"
)
_LOGIN: Final = re.compile(rb"(?<!\\)\\*[\"']op\\*[\"']\s*:\s*\\*[\"'](?:auth|login)\\*[\"']")
_BROADCAST: Final = re.compile(rb"broadcast_tx")
_USER: Final = re.compile(rb"(://)([^/@\s\"'?]+)(@)")
_STREAM_PATH: Final = re.compile(rb"(?:/ws/|[?&]streams?=)([^\s\"'\\&?#]+)")
_STREAM_KEY: Final = re.compile(rb"[A-Za-z0-9]{24,}")
_KEY_SHAPE: Final = re.compile(rb"(?<=\")((?:0x)?[A-Za-z0-9+/=_-]{60,})(?=\\*\")")
_ESCAPED: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u00([2-7][0-9A-Fa-f])")
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_-]")
_QUOTE: Final = re.compile(rb"(?<!\\)(\\*)([\"'])")
_STRUCTURE: Final = re.compile(rb"(?<!\\)(\\*)([\"'])|[{}\[\]]")
_BARE: Final = re.compile(rb"[^\s,}\]\"'\\]*")
_OPENED: Final = re.compile(rb'"note":"opened"')
_CONNECTION: Final = re.compile(rb'"connection":(\d+)')
_INNER: Final = re.compile(rb"[\"']([^\"'\\]+)")
_EMPTY: Final = (b"null", b"true", b"false", b"None", b"True", b"False", b"")


class Redactor:
    """Takes secrets out of what is recorded. ``secrets`` are known ones; ``redacted`` counts what was taken out,
    ``watched`` are the connections on which the venue's frames are searched.

    Memory is bounded: at most ``KNOWN_MAX`` secrets are remembered, the oldest are forgotten first.
    """

    def __init__(self, secrets: tuple[str | bytes, ...] = ()) -> None:
        self.redacted = 0
        self._known: dict[bytes, None] = {}
        self.watched: set[int] = set()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str | bytes) -> None:
        """Redact this value wherever it appears from now on. Values under 16 characters are left to their names."""
        value = secret.encode() if isinstance(secret, str) else bytes(secret)
        if len(value) < KNOWN_LENGTH_MIN or MARKER in value:
            return
        if value.startswith(b"0x"):
            self.learn(value[2:])
        for form in {value, quote_from_bytes(value, safe="").encode()}:
            self._known.pop(form, None)
            self._known[form] = None
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def watch(self, connection: int) -> None:
        """Search the venue's frames on this connection from now on: it is a private one."""
        self.watched.add(connection)

    def payload(self, kind: int, connection: int, payload: bytes) -> bytes:
        """A record's payload without secrets; the same object when there are none."""
        if kind == FRAME_IN:
            if connection not in self.watched and not (len(payload) < QUICK_BYTES and LISTEN_KEY in payload):
                return payload
            return self.text(payload)
        clean = self.text(payload, sent=kind in (FRAME_OUT, REQUEST))
        if MARKER in clean:  # also what was redacted before it came here
            self.watched.add(connection)
            if kind == NOTE and _OPENED.search(clean):
                self.watched.update(int(number) for number in _CONNECTION.findall(clean))
        return clean

    def text(self, content: bytes, *, sent: bool = False) -> bytes:
        """Any text, JSON, URL or headers without secrets. ``sent``: it is ours, and key-shaped strings are keys."""
        before = self.redacted
        plain = _ESCAPED.sub(_unescape, content) if b"\\u00" in content else content
        clean = self._members(plain)
        clean = self._patterns(clean, sent)
        for secret in self._known:
            if secret in clean:
                self.redacted += clean.count(secret)
                clean = clean.replace(secret, MARKER)
        return clean if self.redacted > before else content

    def url(self, url: str) -> str:
        """A URL without secrets."""
        return self.text(url.encode(), sent=True).decode()

    def _members(self, content: bytes) -> bytes:
        patterns = [_MEMBER, _PAIR]
        if _LOGIN.search(content):
            patterns.append(_ARGS)
        if _BROADCAST.search(content):
            patterns.append(_TX)
        for pattern in patterns:
            content = self._values(pattern, content)
        return content

    def _values(self, pattern: re.Pattern[bytes], content: bytes) -> bytes:
        """The content with every value that stands behind a match replaced."""
        parts: list[bytes] = []
        at = 0
        while (match := pattern.search(content, at)) is not None:
            begin = match.end()
            end = _value_end(content, begin)
            value = content[begin:end]
            parts.append(content[at:begin])
            bare = value.strip(b"\\\"'")
            if value in _EMPTY or bare in (b"", MARKER):
                parts.append(value)
            else:
                quotes = match[1] + match[2]
                parts.append(quotes + MARKER + quotes)
                self.redacted += 1
                for inner in _INNER.findall(value) or (bare,):
                    self.learn(inner)
            at = end
        parts.append(content[at:])
        return b"".join(parts)

    def _patterns(self, content: bytes, sent: bool) -> bytes:
        def value(match: re.Match[bytes]) -> bytes:
            if match[2] == MARKER:
                return match[0]
            self.redacted += 1
            self.learn(match[2])
            return match[1] + MARKER + (match[3] if match.re is _USER else b"")

        def path(match: re.Match[bytes]) -> bytes:
            names = [MARKER if self._is_key(name) else name for name in match[1].split(b"/")]
            return match[0][: match.start(1) - match.start()] + b"/".join(names)

        def shape(match: re.Match[bytes]) -> bytes:
            self.redacted += 1
            self.learn(match[1])
            return MARKER

        content = _PARAMETER.sub(value, content)
        content = _HEADER.sub(value, content)
        if b"://" in content:
            content = _USER.sub(value, content)
        if b"/ws/" in content or b"stream" in content:
            content = _STREAM_PATH.sub(path, content)
        return _KEY_SHAPE.sub(shape, content) if sent else content

    def _is_key(self, name: bytes) -> bool:
        if not _STREAM_KEY.fullmatch(name):
            return False
        self.redacted += 1
        self.learn(name)
        return True


def _value_end(content: bytes, begin: int) -> int:
    """Where the value that begins here ends, quotes and brackets included; the content's end when it never does."""
    opening = _QUOTE.match(content, begin)
    if opening is not None:
        return _string_end(content, opening.end(), opening[1], opening[2])
    if content[begin : begin + 1] not in (b"{", b"["):
        found = _BARE.match(content, begin)
        return found.end() if found else begin
    depth, at = 0, begin
    while (match := _STRUCTURE.search(content, at)) is not None:
        at = match.end()
        if match[2] is not None:
            at = _string_end(content, at, match[1], match[2])
        else:
            depth += 1 if match[0] in (b"{", b"[") else -1
            if depth == 0:
                return at
    return len(content)


def _string_end(content: bytes, at: int, slashes: bytes, quote: bytes) -> int:
    """Behind the quote that ends a string, whose own quotes have these backslashes before them.

    A string inside a string has one more level of escaping: its quotes are \\", a backslash in it takes four. So a
    quote ends the string when what remains of the backslashes before it, whole escaped ones taken off, is what the
    opening had.
    """
    unit = 2 * (len(slashes) + 1)
    while (match := _QUOTE.search(content, at)) is not None:
        at = match.end()
        if match[2] == quote and len(match[1]) % unit == len(slashes):
            return at
    return len(content)


def _unescape(match: re.Match[bytes]) -> bytes:
    character = bytes((int(match[2], 16),))
    return match[1] + character if _PLAIN.fullmatch(character) else match[0]
