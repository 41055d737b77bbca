from collections.abc import Callable
from typing import Final

class Steps:
    """Steps of a grid in decimal strings; a step is ``units`` of 10**-``decimals``, counts are 0 to ``most``."""

    decimals: Final[int]
    units: Final[int]
    most: Final[int]
    exact: Final[Callable[[str], int]]
    def __init__(self, decimals: int, units: int, most: int, exact: Callable[[str], int]) -> None: ...
    def __getitem__(self, text: str) -> int: ...

def read_levels(prices: Steps, sizes: Steps, raw: bytes, ticks: list[int], lots: list[int]) -> bool: ...
