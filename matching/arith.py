"""Arithmetic that gives the same digits on every machine, compiled or not.

Three families, all usable without the interpreter lock from other kernels (see ``arith.pxd``):

* integers. ``mul_div(a, b, c, rounding)`` is a*b/c with a 128-bit intermediate, since the product of a price, a size
  and a rate does not fit 64 bits; ``mul3_div`` is a*b*c/(d*e), so that a funding payment is rounded once. A result
  (or a 128-bit intermediate) that does not fit is never wrapped: the answer is ``INVALID``, which every function here
  passes on when it meets it as an argument, so a chain of operations needs one check at its end. A zero divisor is
  ``INVALID`` too. Divisors may be negative.
* ``ln1p`` and ``power``, from IEEE additions, multiplications and divisions alone: the platform's libm differs in the
  last digit between machines, and a queue model must not.
* ``draw``, counter-based random bits: a function of (seed, instrument, order number, leg) and of nothing else, so that
  neither call order nor the number of lanes can change an outcome.

Arguments are int64 (``draw``: unsigned 64); from Python, an integer outside raises OverflowError in both forms.
"""

import cython

if not cython.compiled:
    FLOOR = 0  # toward minus infinity
    CEIL = 1
    TRUNC = 2  # toward zero
    HALF_EVEN = 3

_MIN = -(1 << 63)
_MASK = (1 << 64) - 1

# A name of its own in arith.pxd, where it is a C constant; a plain assignment would be one to that.
globals()["INVALID"] = _MIN


# -- integers: what the C forms in arith.pxd do, in Python. Only the uncompiled kernels come to these.


def _require_int64(values):
    for value in values:
        if not _MIN <= value < 1 << 63:
            raise OverflowError(f"{value} does not fit int64")


def _fits(value):
    return value if _MIN < value < 1 << 63 else _MIN


def _round_quotient(p, d, rounding):
    q, r = divmod(p, d)
    if r:
        if rounding == 1:
            q += 1
        elif rounding == 2:
            q += q < 0
        elif rounding != 0:
            twice, whole = 2 * abs(r), abs(d)
            q += twice > whole or (twice == whole and q & 1)
    return _fits(q)


def _mul_div(a, b, c, rounding):
    _require_int64((a, b, c))
    if _MIN in (a, b, c) or c == 0:
        return _MIN
    return _round_quotient(a * b, c, rounding)


def _mul3_div(a, b, c, d, e, rounding):
    _require_int64((a, b, c, d, e))
    if _MIN in (a, b, c, d, e) or d == 0 or e == 0 or abs(a * b * c) >= 1 << 127:
        return _MIN
    return _round_quotient(a * b * c, d * e, rounding)


def _add_exact(a, b):
    _require_int64((a, b))
    return _MIN if _MIN in (a, b) else _fits(a + b)


def _sub_exact(a, b):
    _require_int64((a, b))
    return _MIN if _MIN in (a, b) else _fits(a - b)


def _floor_div(a, b):
    _require_int64((a, b))
    return _MIN if _MIN in (a, b) or b == 0 else a // b


def _require_uint64(*values):
    for value in values:
        if not 0 <= value <= _MASK:
            raise OverflowError(f"{value} does not fit an unsigned 64-bit integer")


# -- the public face


def mul_div(a, b, c, rounding):
    """a * b / c rounded (FLOOR, CEIL, TRUNC or HALF_EVEN), exact inside; ``INVALID`` if it does not fit int64."""
    if cython.compiled:
        return c_mul_div(a, b, c, rounding)  # noqa: F821
    return _mul_div(a, b, c, rounding)


def mul3_div(a, b, c, d, e, rounding):
    """a * b * c / (d * e), rounded once. ``INVALID`` if the result leaves int64 or |a*b*c| reaches 2**127."""
    if cython.compiled:
        return c_mul3_div(a, b, c, d, e, rounding)  # noqa: F821
    return _mul3_div(a, b, c, d, e, rounding)


def add_exact(a, b):
    """a + b, or ``INVALID`` if it does not fit or one of them is ``INVALID``."""
    if cython.compiled:
        return c_add_exact(a, b)  # noqa: F821
    return _add_exact(a, b)


def sub_exact(a, b):
    """a - b, or ``INVALID`` if it does not fit or one of them is ``INVALID``."""
    if cython.compiled:
        return c_sub_exact(a, b)  # noqa: F821
    return _sub_exact(a, b)


def floor_div(a, b):
    """a / b toward minus infinity for every sign, which ``//`` is not once compiled."""
    if cython.compiled:
        return c_floor_div(a, b)  # noqa: F821
    return _floor_div(a, b)


# -- logarithm and power


def _series(f):
    """ln(1 + f) for 1 + f in [0.707, 1.415]: with s = f / (2 + f), it is f - s * (f - 2 s^2/3 - 2 s^4/5 - ...).

    Eleven terms of the area tangent's series; what is left out is below 2e-19 relative.
    """
    s: cython.double
    z: cython.double
    tail: cython.double
    s = f / (2.0 + f)
    z = s * s
    tail = 2.0 / 23.0
    tail = 2.0 / 21.0 + z * tail
    tail = 2.0 / 19.0 + z * tail
    tail = 2.0 / 17.0 + z * tail
    tail = 2.0 / 15.0 + z * tail
    tail = 2.0 / 13.0 + z * tail
    tail = 2.0 / 11.0 + z * tail
    tail = 2.0 / 9.0 + z * tail
    tail = 2.0 / 7.0 + z * tail
    tail = 2.0 / 5.0 + z * tail
    tail = 2.0 / 3.0 + z * tail
    return f - s * (f - z * tail)


def _log(x, rest):
    """ln(x) + rest / x for a normal positive x and a rest far below x: x = 2^k m, m in [0.707, 1.415]."""
    m: cython.double
    correction: cython.double
    k: cython.longlong
    correction = rest / x
    m = x
    k = 0
    while m >= 65536.0:
        m = m * 0.0000152587890625
        k = k + 16
    while m >= 2.0:
        m = m * 0.5
        k = k + 1
    while m < 0.0000152587890625:
        m = m * 65536.0
        k = k - 16
    while m < 1.0:
        m = m * 2.0
        k = k - 1
    if m > 1.4142135623730951:
        m = m * 0.5
        k = k + 1
    # ln 2 in two parts: the first has 32 bits, so k times it is exact
    return k * 0.6931471803691238 + (_series(m - 1.0) + (k * 1.9082149292705877e-10 + correction))


def _scale(x, k):
    """x * 2^k by exact multiplications (one rounding if the result is subnormal, to infinity if too large)."""
    factor: cython.double
    base: cython.double
    left: cython.longlong
    left = k if k >= 0 else -k
    base = 2.0 if k >= 0 else 0.5
    if left > 2200:
        left = 2200
    while left >= 1000:  # in steps, so that 2^k itself need not be a number
        x = x * (1.0715086071862673e301 if k >= 0 else 9.332636185032189e-302)  # 2^1000, 2^-1000
        left = left - 1000
    factor = 1.0
    while left > 0:
        if left & 1:
            factor = factor * base
        base = base * base
        left = left >> 1
    return x * factor


def _exp(y):
    """e^y by y = k ln 2 + r, |r| <= 0.35, and thirteen terms of the series."""
    k: cython.longlong
    r: cython.double
    total: cython.double
    i: cython.longlong
    if y > 710.0:
        return 1e308 * 1e308
    if y < -746.0:
        return 0.0
    k = cython.cast(cython.longlong, y * 1.4426950408889634 + (0.5 if y >= 0.0 else -0.5))
    r = (y - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    total = 1.0 + r / 14.0
    i = 13
    while i > 0:
        total = 1.0 + r * total / i
        i = i - 1
    return _scale(total, k)


def ln1p(x):
    """ln(1 + x), within 1.5 units in the last place of the true value; -inf for x <= -1, x for inf and NaN."""
    u: cython.double
    if x != x or x > 1.7976931348623157e308:
        return x
    if x <= -1.0:
        return -1e308 * 1e308
    if -0.29 < x < 0.41:
        return _series(x)
    u = 1.0 + x
    return _log(u, x - (u - 1.0) if x < 9007199254740992.0 else 0.0)


def power(x, n):
    """x^n for x >= 0 and any n: repeated multiplication for whole |n| <= 64 (relative error below |n| 2^-53),
    else exp(n ln x) (below (2 + 2 |n ln x|) 2^-52).

    0^n is 0 for n > 0, 1 for n = 0 and infinite below; a negative x is taken only to a whole |n| <= 64, NaN otherwise.
    """
    whole: cython.longlong
    left: cython.longlong
    result: cython.double
    base: cython.double
    if -64.0 <= n <= 64.0:
        whole = cython.cast(cython.longlong, n)
        if whole == n:
            left = whole if whole >= 0 else -whole
            result = 1.0
            base = x
            while left > 0:
                if left & 1:
                    result = result * base
                left = left >> 1
                if left > 0:
                    base = base * base
            if whole >= 0:
                return result
            return 1.0 / result if result != 0.0 else 1e308 * 1e308
    if x != x or n != n or x < 0.0:
        return 1e308 * 1e308 - 1e308 * 1e308
    if x == 0.0:
        return 0.0 if n > 0.0 else 1e308 * 1e308
    if x > 1.7976931348623157e308:
        return x if n > 0.0 else 0.0
    if x < 2.2250738585072014e-308:  # subnormal: into the normal range first
        return _exp(n * (_log(x * 18014398509481984.0, 0.0) - 54 * 0.6931471805599453))
    return _exp(n * _log(x, 0.0))


# -- random bits


def mix64(z):
    """The output function of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014;
    constants of Vigna's splitmix64.c): every bit of z reaches every bit of the result, and no two z share one.
    """
    first: cython.ulonglong = 0xBF58476D1CE4E5B9
    second: cython.ulonglong = 0x94D049BB133111EB
    if not cython.compiled:
        _require_uint64(z)
        z = ((z ^ (z >> 30)) * first) & _MASK
        z = ((z ^ (z >> 27)) * second) & _MASK
        return z ^ (z >> 31)
    z = (z ^ (z >> 30)) * first
    z = (z ^ (z >> 27)) * second
    return z ^ (z >> 31)


def draw(seed, instrument, order_no, leg):
    """64 random bits of (seed, instrument, order number, leg): h = mix64(seed + g), then h = mix64((h ^ key) + g) for
    each of the three keys in turn, modulo 2^64, with g = 0x9E3779B97F4A7C15.

    ``draw(1234567, ...)`` thus starts from splitmix64's published first output for that seed, 6457827717110365317.
    Test vectors: tests/matching/test_arith.py.
    """
    g: cython.ulonglong = 0x9E3779B97F4A7C15
    h: cython.ulonglong
    if not cython.compiled:
        _require_uint64(seed, instrument, order_no, leg)
        h = mix64((seed + g) & _MASK)
        h = mix64(((h ^ instrument) + g) & _MASK)
        h = mix64(((h ^ order_no) + g) & _MASK)
        return mix64(((h ^ leg) + g) & _MASK)
    h = mix64(seed + g)
    h = mix64((h ^ instrument) + g)
    h = mix64((h ^ order_no) + g)
    return mix64((h ^ leg) + g)


def below(bits, n):
    """A number in [0, n) from 64 random bits: floor(bits * n / 2^64). Uneven by less than n / 2^64; n = 0 gives 0."""
    if cython.compiled:
        return c_below(bits, n)  # noqa: F821
    _require_uint64(bits, n)
    return bits * n >> 64
