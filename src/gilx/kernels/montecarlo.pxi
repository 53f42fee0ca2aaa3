# montecarlo: what a European call option pays on random paths, step by step for many.
#
# exp, log and the normal quantile repeat those of the C kernel, operation by operation,
# so that both give the same bits; csrc/kernels/elementary_functions.h explains them.

cdef union Bits:
    double number
    uint64_t whole


cdef inline double from_bits(uint64_t whole) noexcept nogil:
    cdef Bits bits
    bits.whole = whole
    return bits.number


cdef inline double rounded(double x) noexcept nogil:
    # 1.5 * 2**52: the last place of such a number is 1.
    return (x + 6755399441055744.0) - 6755399441055744.0


cdef inline double power_of_two(int64_t n) noexcept nogil:
    return from_bits(<uint64_t>(n + 1023) << 52)


cdef double exponential(double x) noexcept nogil:
    cdef double c, n, high, low, r, lost, q, y
    cdef int64_t half
    if x != x:
        return x
    c = x if x < 710.0 else 710.0
    c = c if c > -746.0 else -746.0
    n = rounded(c * 1.4426950408889634)
    high = c - n * 0.6931471805598903
    low = n * 5.497923018708371e-14
    r = high - low
    lost = (high - r) - low
    q = 2.511785118876895e-08
    q = q * r + 2.763128037806136e-07
    q = q * r + 2.755721632951509e-06
    q = q * r + 2.4801489941986953e-05
    q = q * r + 0.00019841269917354886
    q = q * r + 0.0013888888947016294
    q = q * r + 0.008333333333307217
    q = q * r + 0.04166666666651542
    q = q * r + 0.166666666666667
    q = q * r + 0.5000000000000012
    y = 1.0 + (r + ((r * r) * q + lost))
    half = <int64_t>rounded(n * 0.5)
    return (y * power_of_two(half)) * power_of_two(<int64_t>n - half)


cdef double logarithm(double x) noexcept nogil:
    cdef Bits bits
    cdef double k, f, s, z, r, square
    cdef int64_t shift = 0
    if x != x or x == INFINITY:
        return x
    if x == 0.0:
        return -INFINITY
    if x < 0.0:
        return NAN
    if x < 2.2250738585072014e-308:
        x = x * 18014398509481984.0
        shift = 54
    bits.number = x
    # So that the factor beside the power of two lies around 1.
    bits.whole += <uint64_t>0x3ff0000000000000 - <uint64_t>0x3fe6a09e00000000
    k = <double>(<int64_t>(bits.whole >> 52) - 1023 - shift)
    f = from_bits(
        (bits.whole & <uint64_t>0x000fffffffffffff) + <uint64_t>0x3fe6a09e00000000) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 0.14796105555957476
    r = r * z + 0.15314035814324084
    r = r * z + 0.18183564867954755
    r = r * z + 0.2222219856344929
    r = r * z + 0.28571428742475385
    r = r * z + 0.39999999999414315
    r = r * z + 0.6666666666666734
    r = r * z
    square = (0.5 * f) * f
    return k * 0.6931471805598903 + (
        f - (square - (s * (square + r) + k * 5.497923018708371e-14)))


cdef double normal_quantile(double u) noexcept nogil:
    cdef double q = u - 0.5, r, nearer, top, bottom
    if fabs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 2509.0809287301226727
        top = top * r + 33430.575583588128105
        top = top * r + 67265.770927008700853
        top = top * r + 45921.953931549871457
        top = top * r + 13731.693765509461125
        top = top * r + 1971.5909503065514427
        top = top * r + 133.14166789178437745
        top = top * r + 3.387132872796366608
        bottom = 5226.495278852545925
        bottom = bottom * r + 28729.085735721942674
        bottom = bottom * r + 39307.89580009271061
        bottom = bottom * r + 21213.794301586595867
        bottom = bottom * r + 5394.1960214247511077
        bottom = bottom * r + 687.1870074920579083
        bottom = bottom * r + 42.313330701600911252
        bottom = bottom * r + 1.0
        return (q * top) / bottom
    nearer = u if q < 0.0 else 1.0 - u
    if nearer >= 1.3887943864964021e-11:
        r = sqrt(-logarithm(nearer)) - 1.6
        top = 7.7454501427834140764e-4
        top = top * r + 0.0227238449892691845833
        top = top * r + 0.24178072517745061177
        top = top * r + 1.27045825245236838258
        top = top * r + 3.64784832476320460504
        top = top * r + 5.7694972214606914055
        top = top * r + 4.6303378461565452959
        top = top * r + 1.42343711074968357734
        bottom = 1.05075007164441684324e-9
        bottom = bottom * r + 5.475938084995344946e-4
        bottom = bottom * r + 0.0151986665636164571966
        bottom = bottom * r + 0.14810397642748007459
        bottom = bottom * r + 0.68976733498510000455
        bottom = bottom * r + 1.6763848301838038494
        bottom = bottom * r + 2.05319162663775882187
        bottom = bottom * r + 1.0
    else:
        r = sqrt(-logarithm(nearer)) - 5.0
        top = 2.01033439929228813265e-7
        top = top * r + 2.71155556874348757815e-5
        top = top * r + 0.0012426609473880784386
        top = top * r + 0.026532189526576123093
        top = top * r + 0.29656057182850489123
        top = top * r + 1.7848265399172913358
        top = top * r + 5.4637849111641143699
        top = top * r + 6.6579046435011037772
        bottom = 2.04426310338993978564e-15
        bottom = bottom * r + 1.4215117583164458887e-7
        bottom = bottom * r + 1.8463183175100546818e-5
        bottom = bottom * r + 7.868691311456132591e-4
        bottom = bottom * r + 0.0148753612908506148525
        bottom = bottom * r + 0.13692988092273580531
        bottom = bottom * r + 0.59983220655588793769
        bottom = bottom * r + 1.0
    return -(top / bottom) if q < 0.0 else top / bottom


cdef void philox(uint32_t[4] counter, uint32_t key0, uint32_t key1) noexcept nogil:
    """Ten rounds on the counter's four words, in place."""
    cdef uint64_t first, second
    cdef int i
    for i in range(10):
        first = <uint64_t>0xD2511F53 * counter[0]
        second = <uint64_t>0xCD9E8D57 * counter[2]
        counter[0] = <uint32_t>(second >> 32) ^ counter[1] ^ key0
        counter[1] = <uint32_t>second
        counter[2] = <uint32_t>(first >> 32) ^ counter[3] ^ key1
        counter[3] = <uint32_t>first
        key0 += <uint32_t>0x9E3779B9
        key1 += <uint32_t>0xBB67AE85


cdef void draw(uint64_t seed, int64_t first, int count, double *u) noexcept nogil:
    """Fill in the numbers between 0 and 1 of the paths from `first` on."""
    cdef uint32_t[4] words
    cdef uint64_t bits
    cdef int64_t path
    cdef int i
    for i in range(count):
        path = first + i
        # A counter serves two paths, an even one and the odd one after it.
        if path & 1 == 0 or i == 0:
            words[0] = <uint32_t>(path >> 1)
            words[1] = <uint32_t>(path >> 33)
            words[2] = words[3] = 0
            philox(words, <uint32_t>seed, <uint32_t>(seed >> 32))
        bits = words[2 * (path & 1)] | <uint64_t>words[2 * (path & 1) + 1] << 32
        u[i] = (<double><int64_t>(bits >> 12) + 0.5) * 2.220446049250313e-16


cdef int montecarlo_items(
    double spot, double strike, double rate, double volatility, double years,
    int64_t paths, int64_t block, uint64_t seed, double[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A path takes some 25 ns, so this polls every 0.2 ms.
    cdef gilx_poll poll = gilx_poll(control, 8192, 8192)
    cdef double drift = (rate - (0.5 * volatility) * volatility) * years
    cdef double spread = volatility * sqrt(years)
    cdef double[8] total, squares
    cdef double[128] number
    cdef double price, all_total, all_squares
    cdef int64_t item, path, begin, end
    cdef int i, count
    while gilx_share_next(share):
        for item in range(share.start, share.stop):
            memset(total, 0, sizeof(total))
            memset(squares, 0, sizeof(squares))
            begin = item * block
            end = paths if paths - begin < block else begin + block
            path = begin
            while path < end:
                # Step by step for many paths: none has to wait for the one before.
                count = <int>(end - path) if end - path < 128 else 128
                draw(seed, path, count, number)
                for i in range(count):
                    number[i] = normal_quantile(number[i])
                for i in range(count):
                    price = spot * exponential(drift + spread * number[i])
                    number[i] = price - strike if price > strike else 0.0
                # 128 is a multiple of 8: a path's place in a block gives its sum.
                for i in range(count):
                    total[i & 7] += number[i]
                    squares[i & 7] += number[i] * number[i]
                if gilx_poll_stops(&poll, count):
                    return GILX_STOPPED
                path += count
            all_total = all_squares = 0.0
            for i in range(8):
                all_total += total[i]
                all_squares += squares[i]
            out[item, 0] = all_total
            out[item, 1] = all_squares
    return GILX_DONE


# What montecarlo is made of, for the tests.

def _exp(double x):
    return exponential(x)


def _log(double x):
    return logarithm(x)


def _normal(double u):
    return normal_quantile(u)


def _philox(counter, key):
    cdef uint32_t[4] words = counter
    cdef uint32_t[2] keys = key
    philox(words, keys[0], keys[1])
    return words[0], words[1], words[2], words[3]
