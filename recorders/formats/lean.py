"""QuantConnect Lean's zips of bars: recognised in order to be refused with the reason, and with what to do instead."""

from __future__ import annotations

import re
from typing import Final

from recorders.formats.reading import Sample
from recorders.formats.request import Request
from recorders.report import ImportReport
from venues.errors import InputError

_MEMBER: Final = re.compile(r"(quote|trade|openinterest)(_perp)?\.csv$")


def recognises(sample: Sample) -> bool:
    """A zip of one CSV named as Lean names bars."""
    return len(sample.names) == 1 and _MEMBER.search(sample.names[0]) is not None


def refuse(request: Request) -> ImportReport:
    """Raises ``InputError``."""
    raise InputError(
        "is refused: bars (open, high, low and close of a minute, hour or day) tell neither trades nor when quotes "
        "changed, and nothing can be matched against them. Lean's margin_interest files are funding tables: name them "
        "in the run file (funding = FILE)",
        source=str(request.files[0]),
    )
