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
from venues.rules import RuleCard

I64 = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]
REASON_COUNT: Final = 1 + max(value for name, value in vars(codes).items() if name.startswith("R_"))
REFUSALS: Final = {
    codes.EV_REJECTED: "order",
    codes.EV_CANCEL_REJECTED: "cancel",
    codes.EV_AMEND_REJECTED: "amend",
    codes.EV_SETTING_REJECTED: "setting",
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
        self.resolution_ns = [card.time_resolution_ns.value for card in cards]  # of times on the private wire
        shape = (len(cards), REASON_COUNT)
        self._codes, self._low_codes = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._texts = np.full(shape, "", object)
        for m, card in enumerate(cards):
            for row in card.reasons.rows:
                self._codes[m, row.reason] = row.code or 0
                self._low_codes[m, row.reason] = row.low_code if row.low_code is not None else row.code or 0
                self._texts[m, row.reason] = row.text
        self._min_lots = np.array([instrument.min_lots for instrument in instruments], np.int64)
        self._min_ticks = np.array([instrument.min_ticks or 1 for instrument in instruments], np.int64)
        self.refused: Counter[tuple[int, int, int, int]] = Counter()  # (instrument, event, reason, code)

    def client_number(self, instrument: int, client_id: str) -> int:
        """A client id as a number above 0, the same for the same text; -1 if it has not the venue's form."""
        form = self._cards[instrument].orders.client_id_form.value
        if form and re.fullmatch(form, client_id) is None:
            return -1
        return self._ids.setdefault(client_id, len(self._ids) + 1)

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

    def code(self, instrument: int, reason: int, side: int, ticks: int, lots: int) -> int | None:
        """The venue's code for one refusal, None where it has none."""
        one = [np.array([value], np.int64) for value in (instrument, reason, side, ticks, lots)]
        return int(self._code_column(*one)[0]) or None

    def text(self, instrument: int, reason: int) -> str:
        return str(self._texts[instrument, reason])

    def _code_column(self, market: I64, reason: I64, side: I64, ticks: I64, lots: I64) -> I64:
        low = (reason == codes.R_PRICE_BAND) & (side == codes.SELL)
        low |= (reason == codes.R_LOT_SIZE) & (lots < self._min_lots[market])
        low |= (reason == codes.R_PRICE_RANGE) & (ticks < self._min_ticks[market])
        return np.where(low, self._low_codes[market, reason], self._codes[market, reason])

    def columns(self, rows: Columns) -> dict[str, npt.NDArray[Any]]:
        """``venue_code`` and ``venue_text`` for rows of the order log; counts the refusals among them."""
        market, reason, event = rows["market"], rows["reason"], rows["event"]
        found = self._code_column(market, reason, rows["side"], rows["ticks"], rows["lots"])
        for kind in REFUSALS:
            at = np.flatnonzero(event == kind)
            if len(at):
                self.refused.update(zip(*(c[at].tolist() for c in (market, event, reason, found)), strict=True))
        return {"venue_code": found, "venue_text": self._texts[market, reason]}

    def refusals(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """What was refused how often, for the summary: most often first."""
        reasons = {value: name[2:].lower() for name, value in vars(codes).items() if name.startswith("R_")}
        return [
            {
                "instrument": names[m], "of": REFUSALS[event], "reason": reasons[reason], "code": code or None,
                "text": self.text(m, reason), "count": count,
            }
            for (m, event, reason, code), count in sorted(self.refused.items(), key=lambda item: (-item[1], item[0]))
        ]  # fmt: skip
