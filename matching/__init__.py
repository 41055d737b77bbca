"""The kernels: integers in, integers out. No I/O, clocks or venue names below this line."""

from matching._build import build_info, install

__all__ = ["build_info"]

install()
