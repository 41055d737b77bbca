"""What a client sees of the venues beside their events: their words for refusals, the form of ids, sizes of batches.

The simulator reasons in the integers of ``matching.codes``; a strategy, the order log and the report also show what the
venue itself would have answered. Where a venue tells "too low" from "too high", the order decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching import codes
from sim.gates import checks_nothing
from venues.instruments import Instrument
from venues.rules import ASKED, TIMELESS, RuleCard

I64 = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]
REASON_COUNT: Final = 1 + max(value for name, value in vars(codes).items() if name.startswith("R_"))
REFUSALS: Final = {
    codes.EV_REJECTED: "order",
    codes.EV_CANCEL_REJECTED: "cancel",
    codes.EV_AMEND_REJECTED: "amend",
    codes.EV_SETTING_REJECTED: "setting",
}
SETTINGS: Final = (codes.EV_SETTING, codes.EV_SETTING_REJECTED)
# what a row of the order log answers, as a place in ASKED: by its event, and where that is a setting's by which one
EVENT_ASKED: Final = {codes.EV_CANCEL_REJECTED: "cancel", codes.EV_AMEND_REJECTED: "amend"}
SETTING_ASKED: Final = {
    codes.SETTING_LEVERAGE: "leverage",
    codes.SETTING_MODE: "margin mode",
    codes.SETTING_MARGIN: "margin",
    codes.SETTING_SHORT_MARGIN: "margin",
    codes.SETTING_DEAD_MAN: "countdown",
}


class VenueFace:
    """The venues of every instrument of a run. A code of 0 and an empty text: the venue has none."""

    def __init__(
        self, cards: Sequence[RuleCard], instruments: Sequence[Instrument], venues: Sequence[int] | None = None
    ) -> None:
        """``cards[m]`` is the rule card of ``instruments[m]``, ``venues[m]`` the place of its venue in the run."""
        self._venues = list(venues) if venues is not None else [0] * len(cards)
        self._cards = list(cards)
        self._ids: dict[str, int] = {}
        self._numbers = 0
        self.resolution_ns = [card.time_resolution_ns.value for card in cards]  # of times on the private wire
        self.timeless = np.zeros((len(cards), codes.EV_SETTING_REJECTED + 1), np.bool_)  # by market and event
        for m, card in enumerate(cards):
            for word in card.timeless.value:
                self.timeless[m, list(TIMELESS[word])] = True
        shape = (len(cards), len(ASKED), REASON_COUNT)
        self._codes, self._low_codes = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._texts = np.full(shape, "", object)
        for m, card in enumerate(cards):
            for row in sorted(card.reasons.rows, key=lambda row: bool(row.asked)):  # special ones over general ones
                at = (m, [ASKED.index(word) for word in row.asked or ASKED], row.reason)
                self._codes[at] = row.code or 0
                self._low_codes[at] = row.low_code if row.low_code is not None else row.code or 0
                self._texts[at] = row.text
        self._min_lots = np.array([instrument.min_lots for instrument in instruments], np.int64)
        self._min_ticks = np.array([instrument.min_ticks or 1 for instrument in instruments], np.int64)
        self.refused: Counter[tuple[int, int, int, int, str]] = Counter()  # (instrument, event, reason, code, text)

    def client_number(self, instrument: int, client_id: str) -> int:
        """A client id as a number above 0, the same for the same text; -1 if it has not the venue's form."""
        form = self._cards[instrument].orders.client_id_form.value
        if form and re.fullmatch(form, client_id) is None:
            return -1
        known = self._ids.get(client_id)
        if known is None:
            self._numbers += 1
            known = self._ids[client_id] = self._numbers
        return known

    def forget_client(self, instrument: int, client_id: str) -> None:
        """No open order has this client id any longer; where the venue lets it be used again, it may be forgotten."""
        if self._cards[instrument].orders.client_id_unique.value != "always":
            self._ids.pop(client_id, None)

    def check_batch(self, instruments: Sequence[int], cancels: bool) -> None:
        """Refuse a batch that no single request could carry: ValueError with the venue's limit."""
        if len({self._venues[i] for i in instruments}) > 1:
            raise ValueError("a batch is one request: its orders must be at one venue")
        if not instruments or checks_nothing(self._cards[instruments[0]]):
            return
        card = self._cards[instruments[0]]
        most = (card.orders.max_batch_cancel if cancels else card.orders.max_batch).value
        if len(instruments) > most:
            raise ValueError(f"{card.title} takes at most {most} {'cancels' if cancels else 'orders'} in one request")

    def code(self, instrument: int, event: int, reason: int, side: int, ticks: int, lots: int) -> int | None:
        """The venue's code for one refusal, None where it has none. A setting's ``ticks`` is its kind (SETTING_*)."""
        one = [np.array([value], np.int64) for value in (instrument, event, reason, side, ticks, lots)]
        return int(self._code_column(*one)[0]) or None

    def text(self, instrument: int, event: int, reason: int, ticks: int = 0) -> str:
        """The venue's words for one refusal, terms as for ``code``."""
        asked = self._asked(np.array([event], np.int64), np.array([ticks], np.int64))
        return str(self._texts[instrument, asked[0], reason])

    def _asked(self, event: I64, ticks: I64) -> I64:
        asked = np.full(len(event), ASKED.index("order"), np.int64)
        for kind, word in EVENT_ASKED.items():
            asked[event == kind] = ASKED.index(word)
        settings = np.isin(event, SETTINGS)
        if settings.any():
            for kind, word in SETTING_ASKED.items():
                asked[settings & (ticks == kind)] = ASKED.index(word)
        return asked

    def _code_column(self, market: I64, event: I64, reason: I64, side: I64, ticks: I64, lots: I64) -> I64:
        asked = self._asked(event, ticks)
        low = (reason == codes.R_PRICE_BAND) & (side == codes.SELL)
        low |= (reason == codes.R_LOT_SIZE) & (lots < self._min_lots[market])
        low |= (reason == codes.R_PRICE_RANGE) & (ticks < self._min_ticks[market])
        return np.where(low, self._low_codes[market, asked, reason], self._codes[market, asked, reason])

    def columns(self, rows: Columns) -> dict[str, npt.NDArray[Any]]:
        """``venue_code`` and ``venue_text`` for rows of the order log; counts the refusals among them."""
        market, reason, event = rows["market"], rows["reason"], rows["event"]
        found = self._code_column(market, event, reason, rows["side"], rows["ticks"], rows["lots"])
        texts = self._texts[market, self._asked(event, rows["ticks"]), reason]
        for kind in REFUSALS:
            at = np.flatnonzero(event == kind)
            if len(at):
                self.refused.update(zip(*(c[at].tolist() for c in (market, event, reason, found, texts)), strict=True))
        return {"venue_code": found, "venue_text": texts}

    def refusals(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """What was refused how often, for the summary: most often first."""
        reasons = {value: name[2:].lower() for name, value in vars(codes).items() if name.startswith("R_")}
        ranked = sorted(self.refused.items(), key=lambda item: (-item[1], item[0]))
        return [
            {
                "instrument": names[m], "of": REFUSALS[event], "reason": reasons[reason], "code": code or None,
                "text": text, "count": count,
            }
            for (m, event, reason, code, text), count in ranked
        ]  # fmt: skip
