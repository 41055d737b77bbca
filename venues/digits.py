"""Decimal strings of the wire as whole steps of a grid, without a detour over Python's numbers.

Theory of operation. A book states hundreds of prices and sizes in one message, most of which were never seen before, so
remembering them does not help and what counts is what one number costs. ``Steps`` reads plain numbers of up to 18
digits that lie on the grid; everything else (longer ones, off the grid, no number at all) it leaves to the exact parser
that it was given, which answers or says what is wrong. ``read_levels`` reads the JSON text of a whole side of a book,
rows of price and size, and refuses what is not written as venues write it: no blanks, no escapes, two strings a row.
"""

import cython

if not cython.compiled:
    QUOTE, COMMA, POINT, ZERO, NINE, OPEN, CLOSE = 34, 44, 46, 48, 57, 91, 93  # ", . 0 9 [ ] in ASCII
    DIGITS_MAX = 18  # as many nines fit 64 bits


class Steps:
    """``steps[text]``: how many steps of a grid a decimal string is. A step is ``units`` of 10**-``decimals``; counts
    are 0 to ``most``. What is written otherwise than plainly, or is off the grid, goes to ``exact``."""

    def __init__(self, decimals, units, most, exact):
        self.decimals = decimals
        self.units = units
        self.most = most
        self.exact = exact
        self.tens = [10**n for n in range(DIGITS_MAX + 1)]

    def __getitem__(self, text):
        """The number of steps of a string; raises what ``exact`` raises."""
        value: cython.longlong = 0
        whole: cython.Py_ssize_t = 0
        fraction: cython.Py_ssize_t = -1  # digits behind the point; -1 before it
        digit: cython.int
        k: cython.Py_ssize_t
        chars: str = text
        for k in range(len(chars)):
            digit = ord(chars[k])
            if ZERO <= digit <= NINE:
                if whole + max(fraction, 0) == DIGITS_MAX:
                    return self.exact(text)
                value = value * 10 + (digit - ZERO)
                if fraction < 0:
                    whole += 1
                else:
                    fraction += 1
            elif digit == POINT and fraction < 0:
                fraction = 0
            else:
                return self.exact(text)
        value = self.count(value, whole, fraction)
        return self.exact(text) if value < 0 else value

    def count(self, value, whole, fraction):
        """Steps of a number with ``whole`` digits before the point and ``fraction`` behind it (-1: there is none), of
        ``value`` without the point; -1 where the exact parser has to decide."""
        if whole == 0 or fraction == 0:
            return -1
        if fraction < 0:
            fraction = 0
        while fraction > self.decimals:
            if value % 10 != 0:
                return -1
            value = value // 10
            fraction -= 1
        if whole + self.decimals > DIGITS_MAX:
            return -1
        value = value * self.tens[self.decimals - fraction]
        if value % self.units != 0:
            return -1
        value = value // self.units
        return value if value <= self.most else -1

    def __reduce__(self):
        return type(self), (self.decimals, self.units, self.most, self.exact)


def read_levels(prices, sizes, raw, ticks, lots):
    """Append the rows of ``[["price","size"],...]`` to ``ticks`` and ``lots``. False where some of it is not written
    like that or needs the exact parser; what was appended until then is of no use."""
    at: cython.Py_ssize_t = 1
    end: cython.Py_ssize_t = len(raw)
    if end < 2 or raw[0] != OPEN or raw[end - 1] != CLOSE:
        return False
    if end == 2:
        return True
    while at < end:
        if end - at < 10 or raw[at] != OPEN:  # no row is shorter than ["1","2"] and the end
            return False
        at = _read_number(prices, raw, at + 1, end, COMMA, ticks)
        if at == 0:
            return False
        at = _read_number(sizes, raw, at, end, CLOSE, lots)
        if at == 0 or at == end:
            return False
        if raw[at] == CLOSE:
            return at == end - 1
        if raw[at] != COMMA:
            return False
        at += 1
    return False


def _read_number(steps, raw, at, end, follower, into):
    """A number in quotes and the character behind it; where the next begins, 0 if it is written otherwise."""
    value: cython.longlong = 0
    whole: cython.Py_ssize_t = 0
    fraction: cython.Py_ssize_t = -1
    byte: cython.int
    if raw[at] != QUOTE:
        return 0
    at += 1
    while at < end - 1:
        byte = raw[at]
        at += 1
        if ZERO <= byte <= NINE:
            if whole + max(fraction, 0) == DIGITS_MAX:
                return 0
            value = value * 10 + (byte - ZERO)
            if fraction < 0:
                whole += 1
            else:
                fraction += 1
        elif byte == POINT and fraction < 0:
            fraction = 0
        elif byte == QUOTE and raw[at] == follower:
            value = steps.count(value, whole, fraction)
            if value < 0:
                return 0
            into.append(value)
            return at + 1
        else:
            return 0
    return 0
