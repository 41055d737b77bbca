"""Who may do what, and how often, at the emulated Binance: keys, signatures, time stamps, weights and listen keys.

A signed request is HMAC-SHA256 over its raw query followed by its raw body, without the signature itself (USDM/general-
info). The WS API signs its parameters sorted by name. Time stamps are checked against the machine's clock, never the
feed's. Weight counts by address in fixed minutes; who goes on after a 429 is banned, longer each time (2 minutes to
3 days). The order counters here are what the headers say; that a limit on orders is exceeded, the simulated venue says.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from venues.binance.emulator_wire import Params, Refusal, ms
from venues.emulation import Credentials
from venues.ports import Entropy
from venues.rules import RateLimit, RuleCard

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
LISTEN_KEY_NS: Final = 60 * MINUTE_NS
RECV_WINDOW_MS: Final = 5000
RECV_WINDOW_MOST_MS: Final = 60_000
AHEAD_MOST_MS: Final = 1000
KEY_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ADDRESSES_MOST: Final = 4096
REFUSED_BEFORE_BAN: Final = 20  # requests after the first 429 of a minute; the venue does not say how many
BAN_LEAST_NS: Final = 2 * MINUTE_NS
BAN_MOST_NS: Final = 3 * 24 * 60 * MINUTE_NS


def letters(entropy: Entropy, length: int) -> str:
    """A random name of letters and digits."""
    return "".join(KEY_LETTERS[byte % len(KEY_LETTERS)] for byte in entropy.token(length))


class Keys:
    """The accounts' keys, and the check of what is signed with them."""

    def __init__(self, credentials: Sequence[Credentials]) -> None:
        self._by_key = {one.key: one for one in credentials}

    def account(self, key: str) -> int:
        """The account that a key opens. Raises ``Refusal`` (-2014 without a usable key, -2015 for an unknown one)."""
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise Refusal(-2014)
        found = self._by_key.get(key)
        if found is None:
            raise Refusal(-2015)
        return found.account

    def name(self, account: int) -> str:
        return next((one.name for one in self._by_key.values() if one.account == account), "")

    def check_rest(self, key: str, query: str, body: bytes, values: Mapping[str, str], wall_ns: int) -> int:
        """The account of a signed REST request."""
        account = self.account(key)
        check_time(values, wall_ns)
        signature = values.get("signature", "")
        if not signature:
            raise Refusal(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
        payload = without_signature(query).encode() + without_signature(body.decode("utf-8", "replace")).encode()
        self._check(key, payload, signature)
        return account

    def check_sorted(self, values: Mapping[str, str], wall_ns: int) -> int:
        """The account of a signed request of the WS API: parameters sorted by name."""
        key = values.get("apiKey", "")
        account = self.account(key)
        check_time(values, wall_ns)
        signature = values.get("signature", "")
        if not signature:
            raise Refusal(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
        pairs = sorted((name, value) for name, value in values.items() if name != "signature")
        try:
            self._check(key, "&".join(f"{name}={value}" for name, value in pairs).encode(), signature)
        except Refusal:  # Python clients sign True where they send true
            words = {"true": "True", "false": "False"}
            self._check(key, "&".join(f"{name}={words.get(value, value)}" for name, value in pairs).encode(), signature)
        return account

    def _check(self, key: str, payload: bytes, signature: str) -> None:
        made = hmac.new(self._by_key[key].secret.encode(), payload, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(made.encode(), signature.lower().encode("utf-8", "replace")):
            raise Refusal(-1022)


def without_signature(text: str) -> str:
    """Raw parameters without the pair of the signature."""
    return "&".join(pair for pair in text.split("&") if not pair.startswith("signature=")) if text else ""


def check_time(values: Mapping[str, str], wall_ns: int) -> None:
    """-1021 unless ``timestamp`` is less than a second ahead and not older than ``recvWindow``."""
    params = Params(values)
    stamp = params.integer("timestamp")
    window = params.integer("recvWindow", RECV_WINDOW_MS)
    if not 0 < window <= RECV_WINDOW_MOST_MS:
        raise Refusal(-1131, "recvWindow must be less than 60000.")
    now_ms = ms(wall_ns)
    if stamp >= now_ms + AHEAD_MOST_MS:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - stamp > window:
        raise Refusal(-1021)


class Window:
    """A count in a fixed window of time."""

    __slots__ = ("count", "interval_ns", "start")

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self.start = 0
        self.count = 0

    def add(self, amount: int, now_ns: int) -> int:
        start = now_ns - now_ns % self.interval_ns
        if start != self.start:
            self.start, self.count = start, 0
        self.count += amount
        return self.count


class Address:
    """What one address has used, and until when it is banned."""

    __slots__ = ("banned_until_ns", "bans", "refused", "weight")

    def __init__(self) -> None:
        self.weight = Window(MINUTE_NS)
        self.refused = 0
        self.bans = 0
        self.banned_until_ns = 0


class Budget:
    """Weights by address, order counters by account, by the card's limits; ``limited`` False: by none."""

    def __init__(self, card: RuleCard, ts_ns: int, limited: bool = True) -> None:
        self.rows = card.limits.limits.at(ts_ns).value if limited else ()
        self.weight_most = next((row.units for row in self.rows if row.unit == "weight"), 0)
        self._addresses: dict[str, Address] = {}
        self._orders: dict[int, list[Window]] = {}
        self._order_rows = [row for row in self.rows if row.unit == "orders"]

    def spend(self, peer: str, weight: int, wall_ns: int) -> None:
        """Count a request. Raises ``Refusal``: 429 above the limit, 418 for an address that goes on all the same."""
        one = self._addresses.get(peer)
        if one is None:
            if len(self._addresses) >= ADDRESSES_MOST:
                self._addresses.pop(next(iter(self._addresses)))
            one = self._addresses[peer] = Address()
        if one.banned_until_ns > wall_ns:
            raise self._banned(one)
        if one.weight.add(0, wall_ns) == 0:
            one.refused = 0
        if one.weight.add(weight, wall_ns) <= self.weight_most or not self.weight_most:
            return
        one.refused += 1
        if one.refused > REFUSED_BEFORE_BAN:
            one.banned_until_ns = wall_ns + min(BAN_LEAST_NS << one.bans, BAN_MOST_NS)
            one.bans = min(one.bans + 1, 12)
            one.refused = 0
            raise self._banned(one)
        raise Refusal(
            -1003,
            f"Too many requests; current limit of IP({peer}) is {self.weight_most} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
        )

    def _banned(self, one: Address) -> Refusal:
        return Refusal(
            -1003,
            f"Way too many requests; IP banned until {ms(one.banned_until_ns)}. "
            "Please use the websocket for live updates to avoid bans.",
            418,
        )

    def retry_after(self, peer: str, wall_ns: int) -> int:
        """Seconds until the address may ask again."""
        one = self._addresses.get(peer)
        if one is not None and one.banned_until_ns > wall_ns:
            return -(-(one.banned_until_ns - wall_ns) // SECOND_NS)
        return -(-(MINUTE_NS - wall_ns % MINUTE_NS) // SECOND_NS)

    def count_orders(self, account: int, wall_ns: int, *, batch: bool = False) -> None:
        """One order, or a batch, which counts as the card says."""
        for row, window in zip(self._order_rows, self._windows(account), strict=True):
            window.add((row.batch or 1) if batch else 1, wall_ns)

    def used_weight(self, peer: str, wall_ns: int) -> int:
        one = self._addresses.get(peer)
        return one.weight.add(0, wall_ns) if one is not None else 0

    def headers(self, peer: str, account: int | None, wall_ns: int) -> dict[str, str]:
        found = {"X-MBX-USED-WEIGHT-1M": str(self.used_weight(peer, wall_ns))}
        if account is not None:
            for row, window in zip(self._order_rows, self._windows(account), strict=True):
                found[f"X-MBX-ORDER-COUNT-{_short(row.window_ns)}"] = str(window.add(0, wall_ns))
        return found

    def rate_limits(self, peer: str, account: int | None, wall_ns: int) -> list[dict[str, object]]:
        """As the WS API's replies list them."""
        used = self.used_weight(peer, wall_ns)
        found: list[dict[str, object]] = []
        for row in self.rows:
            shown = self.described(row)
            if row.unit == "weight":
                found.append({**shown, "count": used})
            elif account is not None:
                window = self._windows(account)[self._order_rows.index(row)]
                found.append({**shown, "count": window.add(0, wall_ns)})
        return found

    def described(self, row: RateLimit) -> dict[str, object]:
        minute = row.window_ns % MINUTE_NS == 0
        return {
            "rateLimitType": "REQUEST_WEIGHT" if row.unit == "weight" else "ORDERS",
            "interval": "MINUTE" if minute else "SECOND",
            "intervalNum": row.window_ns // (MINUTE_NS if minute else SECOND_NS),
            "limit": row.units,
        }

    @property
    def order_rows(self) -> list[RateLimit]:
        return self._order_rows

    def _windows(self, account: int) -> list[Window]:
        found = self._orders.get(account)
        if found is None:
            found = self._orders[account] = [Window(row.window_ns) for row in self._order_rows]
        return found


def _short(window_ns: int) -> str:
    return f"{window_ns // MINUTE_NS}M" if window_ns % MINUTE_NS == 0 else f"{window_ns // SECOND_NS}S"


class ListenKeys:
    """Keys of user streams: one an account, valid for an hour after it was made or kept alive."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._of_account: dict[int, str] = {}
        self._ends: dict[str, int] = {}
        self._accounts: dict[str, int] = {}

    def start(self, account: int, wall_ns: int) -> str:
        key = self._of_account.get(account)
        if key is None:
            key = letters(self._entropy, 64)
            self._of_account[account] = key
            self._accounts[key] = account
        self._ends[key] = wall_ns + LISTEN_KEY_NS
        return key

    def extend(self, account: int, wall_ns: int) -> str:
        key = self._of_account.get(account)
        if key is None:
            raise Refusal(-1125)
        self._ends[key] = wall_ns + LISTEN_KEY_NS
        return key

    def stop(self, account: int) -> str | None:
        key = self._of_account.pop(account, None)
        if key is not None:
            self._accounts.pop(key)
            self._ends.pop(key)
        return key

    def key(self, account: int) -> str | None:
        return self._of_account.get(account)

    def account(self, key: str) -> int | None:
        return self._accounts.get(key)

    def expired(self, wall_ns: int) -> list[tuple[int, str]]:
        """(account, key) of keys whose hour is over; they are gone with this call."""
        found = [(self._accounts[key], key) for key, end in self._ends.items() if end <= wall_ns]
        for account, _key in found:
            self.stop(account)
        return found
