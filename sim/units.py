"""Durations and instants as people write them; they live in ``venues.units``, where recorders find them too."""

from venues.units import MAX_NS as MAX_NS
from venues.units import UNIT_NS as UNIT_NS
from venues.units import duration_ns as duration_ns
from venues.units import duration_text as duration_text
from venues.units import instant_ns as instant_ns
from venues.units import instant_text as instant_text
