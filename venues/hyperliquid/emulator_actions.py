"""The actions of ``POST /exchange`` (and of websocket posts): read, checked, handed to the desk or to the engine.

Theory of operation. ``Exchange.perform`` is given a signed request and somewhere to answer. It either answers at once
or leaves that to the desk, when the engine has decided. A request that has no action's form is ``Unreadable`` (422);
one that the venue refuses as a whole is answered ``{"status": "err", "response": text}``.

Transfers, vaults, staking, sub-accounts and TWAP orders are not simulated: once the signature is good they are refused,
in the venue's words where these fit (an account that has nothing there), else as "... is not simulated". Setting a
referrer and approving a builder are accepted; no fee follows from either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matching import codes
from venues.emulation import VenueEngine
from venues.hyperliquid.emulator_accounts import Accounts
from venues.hyperliquid.emulator_desk import Desk, Waiting
from venues.hyperliquid.emulator_market import Market
from venues.hyperliquid.emulator_numbers import plain
from venues.hyperliquid.emulator_orders import BadTerms, Order, Terms, read_cloid, read_terms
from venues.hyperliquid.emulator_signers import Refused, Signers, Unreadable
from venues.orders import SettingChanged, SettingRejected, SettingRequest
from venues.wire import MS

DONE: Final = {"type": "default"}
_GROUPINGS: Final = frozenset(("na", "normalTpsl", "positionTpsl"))
_BATCH_MOST: Final = 1000
_NO_BALANCE: Final = "Insufficient balance for token transfer."
_REFUSED: Final = {
    "usdSend": _NO_BALANCE,
    "spotSend": _NO_BALANCE,
    "sendAsset": _NO_BALANCE,
    "usdClassTransfer": _NO_BALANCE,
    "agentSendAsset": _NO_BALANCE,
    "withdraw3": "Insufficient balance for withdrawal.",
}
_NOT_SIMULATED: Final = frozenset(
    (
        "tokenDelegate", "cDeposit", "cWithdraw", "convertToMultiSigUser", "userDexAbstraction", "userSetAbstraction",
        "agentSetAbstraction", "agentEnableDexAbstraction", "subAccountTransfer", "subAccountSpotTransfer",
        "subAccountModify", "vaultModify", "vaultDistribute", "createVault", "spotDeploy", "perpDeploy", "spotUser",
        "registerReferrer", "setDisplayName", "claimRewards", "evmUserModify", "multiSig", "reserveRequestWeight",
        "topUpIsolatedOnlyMargin", "borrowLend", "userOutcome", "gossipPriorityBid",
    )
)  # fmt: skip
_OWN: Final = frozenset(("approveAgent", "scheduleCancel"))  # they need the clock
_SETTING_TEXTS: Final = {
    codes.R_OPEN_POSITION: "Cannot switch leverage type with open position.",
    codes.R_LEVERAGE: "Invalid leverage value",
    codes.R_MARGIN: "Cross position does not have sufficient margin available to decrease leverage.",
    codes.R_NO_POSITION: "Position does not use isolated margin.",
    codes.R_EXPIRY: "Scheduled cancel time too early, must be at least 5 seconds from now.",
    codes.R_RATE_LIMIT: "Cannot set scheduled cancel time: too many triggers today.",
}


class Exchange:
    """Performs actions. ``answer(to, payload)`` sends an answer that is known at once."""

    def __init__(
        self,
        engine: VenueEngine,
        markets: Sequence[Market],
        accounts: Accounts,
        signers: Signers,
        desk: Desk,
        answer: Callable[[Waiting], None],
    ) -> None:
        self._engine, self._markets, self._accounts = engine, markets, accounts
        self._signers, self._desk, self._answer = signers, desk, answer
        self._writers = [market.writer for market in markets]
        self._settings: dict[tuple[int, int], tuple[Waiting, list[SettingRequest]]] = {}
        self._setting_numbers: dict[int, int] = {}
        self._actions: dict[str, Callable[[Mapping[str, Any], int, object], None]] = {
            "order": self._order,
            "cancel": self._cancel,
            "cancelByCloid": self._cancel_by_cloid,
            "modify": self._modify,
            "batchModify": self._batch_modify,
            "updateLeverage": self._update_leverage,
            "updateIsolatedMargin": self._update_margin,
            "setReferrer": self._accept,
            "noop": self._accept,
            "approveBuilderFee": self._approve_builder,
            "createSubAccount": self._create_sub_account,
            "vaultTransfer": self._vault_transfer,
            "twapOrder": self._twap,
            "twapCancel": self._twap,
        }

    def perform(self, request: Mapping[str, Any], to: object, wall_ns: int) -> None:
        """Do what a request asks. Raises ``Unreadable`` for one without an action's form."""
        kind = kind_of(request)
        if not (kind in self._actions or kind in _REFUSED or kind in _NOT_SIMULATED or kind in _OWN):
            raise Unreadable(f"action {kind[:40]}")
        action = request["action"]
        try:
            now_ms = wall_ns // MS
            account, user, _ = self._signers.acting(request, now_ms)
            self._accounts.all[account].requests += batch_of(action)
            if kind == "approveAgent":
                self._signers.approve_agent(action, user, now_ms)
                self._accept(action, account, to)
            elif kind in _REFUSED:
                raise Refused(_REFUSED[kind])
            elif kind in _NOT_SIMULATED:
                raise Refused(f"{kind} is not simulated")
            elif kind == "scheduleCancel":
                self._schedule(action, account, to, wall_ns)
            else:
                self._actions[kind](action, account, to)
        except Refused as refused:
            self._answer(_failed(to, str(refused)))

    # -- orders

    def _order(self, action: Mapping[str, Any], account: int, to: object) -> None:
        grouping = action.get("grouping")
        by_name = isinstance(grouping, str) and grouping in _GROUPINGS
        if not by_name and not (isinstance(grouping, dict) and set(grouping) == {"p"}):
            raise Unreadable("grouping")
        terms = [self._terms(wire) for wire in _rows(action, "orders")]
        kind = grouping if isinstance(grouping, str) else "na"
        read = [one for one in terms if isinstance(one, Terms)]
        if kind != "na" and any(one.tpsl and not one.reduce_only for one in read):
            raise Refused("TP/SL orders must be reduce only.")
        if kind == "normalTpsl" and (not read or read[0].tpsl or not all(one.tpsl for one in read[1:])):
            raise Refused("Unexpected number of trigger orders")
        if kind == "positionTpsl":
            if not all(one.tpsl for one in read):
                raise Refused("Unexpected number of trigger orders")
            terms = [self._sized(one, account) if isinstance(one, Terms) else one for one in terms]
        self._desk.place(account, terms, kind, Waiting(to, "order", len(terms), account))

    def _terms(self, wire: object) -> Terms | BadTerms:
        try:
            terms = read_terms(wire, self._writers)
        except BadTerms as bad:
            return bad
        if not terms.lots and not terms.tpsl:
            return BadTerms(f"Order has zero size. asset={terms.instrument}")
        return terms

    def _sized(self, terms: Terms, account: int) -> Terms | BadTerms:
        """An order of the whole position has the position's size (as it is now)."""
        held = self._engine.position(account, terms.instrument).lots
        if terms.lots:
            return terms
        if not held:
            return BadTerms(f"Order has zero size. asset={terms.instrument}")
        return terms._replace(lots=abs(held))

    def _cancel(self, action: Mapping[str, Any], account: int, to: object) -> None:
        found: list[tuple[Order | None, int]] = []
        for row in _rows(action, "cancels"):
            asset, oid = _integer(row, "a"), _integer(row, "o")
            found.append((self._desk.orders.find(account, oid), asset))
        self._desk.cancel(account, found, Waiting(to, "cancel", len(found), account))

    def _cancel_by_cloid(self, action: Mapping[str, Any], account: int, to: object) -> None:
        found: list[tuple[Order | None, int]] = []
        for row in _rows(action, "cancels"):
            cloid = read_cloid(row.get("cloid"))
            if cloid is None:
                raise Unreadable("cloid")
            found.append((self._desk.orders.find(account, cloid), _integer(row, "asset")))
        self._desk.cancel(account, found, Waiting(to, "cancel", len(found), account))

    def _changes(self, rows: list[Mapping[str, Any]], account: int) -> list[tuple[Order | None, Terms | BadTerms]]:
        found = []
        for row in rows:
            key = row.get("oid")
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise Unreadable("oid")
            found.append((self._desk.orders.find(account, key), self._terms(row.get("order"))))
        return found

    def _modify(self, action: Mapping[str, Any], account: int, to: object) -> None:
        self._desk.modify(account, self._changes([action], account), Waiting(to, "default", 1, account))

    def _batch_modify(self, action: Mapping[str, Any], account: int, to: object) -> None:
        changes = self._changes(_rows(action, "modifies"), account)
        self._desk.modify(account, changes, Waiting(to, "order", len(changes), account))

    # -- settings

    def _schedule(self, action: Mapping[str, Any], account: int, to: object, wall_ns: int) -> None:
        at_ms = action.get("time")
        if at_ms is None:
            value = 0
        elif isinstance(at_ms, int) and not isinstance(at_ms, bool):
            value = max(1, at_ms * MS - wall_ns)
        else:
            raise Unreadable("time")
        self._change(account, to, [(0, codes.SETTING_DEAD_MAN, value)])

    def _update_leverage(self, action: Mapping[str, Any], account: int, to: object) -> None:
        asset, leverage, is_cross = self._asset(action), _integer(action, "leverage"), action.get("isCross")
        if not isinstance(is_cross, bool):
            raise Unreadable("isCross")
        if leverage < 1:
            raise Refused(_SETTING_TEXTS[codes.R_LEVERAGE])
        state = self._engine.position(account, asset)
        steps = []
        if state.isolated == is_cross:
            steps.append((asset, codes.SETTING_MODE, codes.MODE_CROSS if is_cross else codes.MODE_ISOLATED))
        steps.append((asset, codes.SETTING_LEVERAGE, leverage))
        self._change(account, to, steps)

    def _update_margin(self, action: Mapping[str, Any], account: int, to: object) -> None:
        asset, amount = self._asset(action), _integer(action, "ntli")
        if not self._engine.position(account, asset).isolated:
            raise Refused(_SETTING_TEXTS[codes.R_NO_POSITION])
        self._change(account, to, [(asset, codes.SETTING_MARGIN, amount * 100)])

    def _asset(self, action: Mapping[str, Any]) -> int:
        asset = _integer(action, "asset")
        if not 0 <= asset < len(self._markets):
            raise Refused(f"Invalid asset: asset={asset}")
        return asset

    def _change(self, account: int, to: object, steps: list[tuple[int, int, int]]) -> None:
        """Change settings one after the other; the first refusal ends it."""
        requests = []
        for instrument, setting, value in steps:
            number = self._setting_numbers[account] = self._setting_numbers.get(account, 0) + 1
            requests.append(
                SettingRequest(account=account, instrument=instrument, number=number, setting=setting, value=value)
            )
        waiting = Waiting(to, "default", 1, account)
        self._next_change(waiting, requests)

    def _next_change(self, waiting: Waiting, requests: list[SettingRequest]) -> None:
        first = requests.pop(0)
        self._settings[first.account, first.number] = (waiting, requests)
        self._engine.change(first)

    def on_setting(self, event: SettingChanged | SettingRejected) -> None:
        """The engine's answer to a change."""
        waiting, rest = self._settings.pop((event.account, event.number), (None, []))
        if waiting is None:
            return
        if isinstance(event, SettingRejected) and event.reason not in (codes.R_SAME_SETTING, codes.R_NO_CHANGE):
            waiting.put(0, {"error": _SETTING_TEXTS.get(event.reason) or event.text or "refused"}, event.reason)
        elif rest:
            self._next_change(waiting, rest)
            return
        else:
            waiting.put(0, "success")
        waiting.left = -1
        self._answer(waiting)

    # -- the rest

    def _accept(self, _action: Mapping[str, Any], account: int, to: object) -> None:
        waiting = Waiting(to, "default", 1, account)
        waiting.put(0, "success")
        self._answer(waiting)

    def _approve_builder(self, action: Mapping[str, Any], account: int, to: object) -> None:
        self._signers.approve_builder(action, account)
        self._accept(action, account, to)

    def _create_sub_account(self, _action: Mapping[str, Any], account: int, _to: object) -> None:
        traded = plain(self._accounts.all[account].cum_volume_e8 // 10**6, 2)
        raise Refused(f"Cannot create sub-accounts until enough volume traded. Required: $100000. Traded: ${traded}.")

    def _vault_transfer(self, action: Mapping[str, Any], _account: int, _to: object) -> None:
        raise Refused(f"Vault not registered: {str(action.get('vaultAddress')).lower()[:42]}")

    def _twap(self, action: Mapping[str, Any], account: int, to: object) -> None:
        error = "TWAP was never placed, already canceled, or filled."
        if action.get("type") == "twapOrder":
            error = "TWAP orders are not simulated."
        waiting = Waiting(to, str(action["type"]), 1, account)
        waiting.put(0, {"error": error})
        self._answer(waiting)


def response(waiting: Waiting, over_budget: Callable[[int], str]) -> dict[str, Any]:
    """The body that answers an action."""
    statuses = waiting.statuses
    if (
        waiting.reasons
        and all(reason == codes.R_RATE_LIMIT for reason in waiting.reasons)
        and waiting.kind != "default"
    ):
        return {"status": "err", "response": over_budget(waiting.account)}
    first = statuses[0] if statuses else None
    if waiting.kind == "default":
        if isinstance(first, dict) and "error" in first:
            return {"status": "err", "response": first["error"]}
        return {"status": "ok", "response": DONE}
    if waiting.kind.startswith("twap"):
        return {"status": "ok", "response": {"type": waiting.kind, "data": {"status": first}}}
    return {"status": "ok", "response": {"type": waiting.kind, "data": {"statuses": statuses}}}


def _failed(to: object, text: str) -> Waiting:
    waiting = Waiting(to, "default", 1, -1)
    waiting.put(0, {"error": text})
    return waiting


def kind_of(request: object) -> str:
    """The type of a request's action. Raises ``Unreadable``."""
    action = request.get("action") if isinstance(request, dict) else None
    kind = action.get("type") if isinstance(action, dict) else None
    if not isinstance(kind, str):
        raise Unreadable("action")
    return kind


def batch_of(action: Mapping[str, Any]) -> int:
    """How many orders, cancels or changes an action carries (1 for any other)."""
    for name in ("orders", "cancels", "modifies"):
        rows = action.get(name)
        if isinstance(rows, list):
            return max(1, len(rows))
    return 1


def _rows(action: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = action.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unreadable(name)
    if not rows:
        raise Refused("Empty batch is not allowed.")
    if len(rows) > _BATCH_MOST:
        raise Refused(f"Too many {name} in one action: at most {_BATCH_MOST}.")
    return rows


def _integer(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(name)
    return value
