from sim.strategy import Strategy

SLOTS_MAX: int

class CompiledMaker(Strategy):
    half_ticks: float
    skew_per_lot: float
    lots: int
    position_max_lots: int
    steps: int
    cancels: int
    interval: str

    def __init__(
        self,
        half_ticks: float = 1.0,
        skew_ticks: float = 0.25,
        lots: int = 10,
        position_max_lots: int = 100,
        interval: str = "100ms",
    ) -> None: ...
