# Exact integer arithmetic for the kernels; arith.py beside this file holds the same functions in Python and says what
# they do. The c_ forms are static inline C, so a kernel that cimports them under the plain name
# (`from matching.arith cimport c_mul_div as mul_div`) pays no call; the others are one call through a pointer.
cdef extern from *:
    """
    #ifndef PERPSIM_ARITH
    #define PERPSIM_ARITH
    #ifndef __SIZEOF_INT128__
    #error "perpsim's kernels need a C compiler with __int128 (gcc or clang on a 64-bit machine)"
    #endif

    typedef __int128 perpsim_i128;
    typedef unsigned __int128 perpsim_u128;
    #define PERPSIM_INVALID (-9223372036854775807LL - 1)

    /* p / d rounded; d != 0. Dividing in 64 bits where both fit is several times faster. */
    static inline long long perpsim_round_quotient(perpsim_i128 p, perpsim_i128 d, int rounding) {
        perpsim_i128 q, r;
        if (p == (long long)p && d == (long long)d && p != PERPSIM_INVALID) {
            q = (long long)p / (long long)d;
            r = (long long)p % (long long)d;
        } else {
            q = p / d;
            r = p % d;
        }
        if (r != 0 && rounding != 2) {
            int negative = (r < 0) != (d < 0);
            if (rounding == 0) {
                q -= negative;
            } else if (rounding == 1) {
                q += !negative;
            } else {
                perpsim_u128 rest = r < 0 ? -(perpsim_u128)r : (perpsim_u128)r;
                perpsim_u128 twice = 2 * rest;
                perpsim_u128 whole = d < 0 ? -(perpsim_u128)d : (perpsim_u128)d;
                if (twice > whole || (twice == whole && (q & 1))) q += negative ? -1 : 1;
            }
        }
        return q == (long long)q ? (long long)q : PERPSIM_INVALID;
    }

    static inline long long perpsim_mul_div(long long a, long long b, long long c, int rounding) {
        if (a == PERPSIM_INVALID || b == PERPSIM_INVALID || c == PERPSIM_INVALID || c == 0) return PERPSIM_INVALID;
        return perpsim_round_quotient((perpsim_i128)a * b, c, rounding);
    }

    /* -1 for 0; else the place of the highest set bit. */
    static inline int perpsim_high_bit(perpsim_u128 x) {
        unsigned long long high = (unsigned long long)(x >> 64), low = (unsigned long long)x;
        if (high) return 127 - __builtin_clzll(high);
        return low ? 63 - __builtin_clzll(low) : -1;
    }

    static inline long long perpsim_mul3_div(long long a, long long b, long long c,
                                             long long d, long long e, int rounding) {
        perpsim_i128 p;
        perpsim_u128 size, factor;
        if (a == PERPSIM_INVALID || b == PERPSIM_INVALID || c == PERPSIM_INVALID) return PERPSIM_INVALID;
        if (d == PERPSIM_INVALID || e == PERPSIM_INVALID || d == 0 || e == 0) return PERPSIM_INVALID;
        p = (perpsim_i128)a * b;
        size = p < 0 ? -(perpsim_u128)p : (perpsim_u128)p;
        factor = c < 0 ? -(perpsim_u128)c : (perpsim_u128)c;
        /* below 2^(high + high + 2) <= 2^127 for sure; at the edge the division decides */
        if (perpsim_high_bit(size) + perpsim_high_bit(factor) > 125
            && factor != 0 && size > (~(perpsim_u128)0 >> 1) / factor) return PERPSIM_INVALID;
        return perpsim_round_quotient(p * c, (perpsim_i128)d * e, rounding);
    }

    static inline long long perpsim_add_exact(long long a, long long b) {
        long long sum;
        if (a == PERPSIM_INVALID || b == PERPSIM_INVALID || __builtin_add_overflow(a, b, &sum)) return PERPSIM_INVALID;
        return sum;
    }

    static inline long long perpsim_sub_exact(long long a, long long b) {
        long long rest;
        if (a == PERPSIM_INVALID || b == PERPSIM_INVALID || __builtin_sub_overflow(a, b, &rest)) return PERPSIM_INVALID;
        return rest;
    }

    static inline long long perpsim_floor_div(long long a, long long b) {
        long long q;
        if (a == PERPSIM_INVALID || b == PERPSIM_INVALID || b == 0) return PERPSIM_INVALID;
        q = a / b;
        return q - (a % b != 0 && (a < 0) != (b < 0));
    }

    static inline unsigned long long perpsim_below(unsigned long long bits, unsigned long long n) {
        return (unsigned long long)(((perpsim_u128)bits * n) >> 64);
    }
    #endif
    """
    const long long INVALID "PERPSIM_INVALID"
    long long c_mul_div "perpsim_mul_div"(long long a, long long b, long long c, int rounding) noexcept nogil
    long long c_mul3_div "perpsim_mul3_div"(
        long long a, long long b, long long c, long long d, long long e, int rounding) noexcept nogil
    long long c_add_exact "perpsim_add_exact"(long long a, long long b) noexcept nogil
    long long c_sub_exact "perpsim_sub_exact"(long long a, long long b) noexcept nogil
    long long c_floor_div "perpsim_floor_div"(long long a, long long b) noexcept nogil
    unsigned long long c_below "perpsim_below"(unsigned long long bits, unsigned long long n) noexcept nogil

cpdef enum:
    FLOOR = 0
    CEIL = 1
    TRUNC = 2
    HALF_EVEN = 3

cpdef long long mul_div(long long a, long long b, long long c, int rounding) noexcept nogil
cpdef long long mul3_div(
    long long a, long long b, long long c, long long d, long long e, int rounding) noexcept nogil
cpdef long long add_exact(long long a, long long b) noexcept nogil
cpdef long long sub_exact(long long a, long long b) noexcept nogil
cpdef long long floor_div(long long a, long long b) noexcept nogil
cpdef double ln1p(double x) noexcept nogil
cpdef double power(double x, double n) noexcept nogil
cpdef unsigned long long mix64(unsigned long long z) noexcept nogil
cpdef unsigned long long draw(
    unsigned long long seed, unsigned long long instrument, unsigned long long order_no,
    unsigned long long leg) noexcept nogil
cpdef unsigned long long below(unsigned long long bits, unsigned long long n) noexcept nogil

cdef double _series(double f) noexcept nogil
cdef double _log(double x, double rest) noexcept nogil
cdef double _exp(double y) noexcept nogil
cdef double _scale(double x, long long k) noexcept nogil
