"""Group normalisation and SiLU in one pass over memory, forwards and backwards, on a CPU.

    x̂ = (x - mean) rstd of a sample's group;  v = γ x̂ + β;  y = v σ(v)

torch computes the two one after the other, each activation once through memory for either and
with slow paths for bfloat16 in channels-last order. Here a sample is read into float32 once,
where it stays in the second-level cache. `quick.GroupNormSilu` is the readable twin.

Arrays are `N P C`: samples, texels, channels; activations are passed as their bits, bfloat16 as
uint16 and float32 as uint32.
"""

import numpy as np

from smalti.jit import njit

# tanh as an odd polynomial over an even one, within 3e-7 of it in -TANH_END .. TANH_END (beyond it
# is 1 in float32); the coefficients are those of Eigen's generic tanh. It is arithmetic alone, so
# that loops over it become vector instructions, which a call of exp would prevent.
TANH_END = np.float32(7.90531110763549805)
P1, P3, P5, P7 = map(np.float32, (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
                                  5.12229709037114e-08))  # fmt: skip
P9, P11, P13 = map(np.float32, (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
Q0, Q2, Q4, Q6 = map(np.float32, (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04,
                                  1.19825839466702e-06))  # fmt: skip
HALF, ONE = np.float32(0.5), np.float32(1)
BLOCK = 64  # texels summed in float32 before they are added up in float64


@njit(nogil=True, error_model="numpy", fastmath={"contract", "arcp", "nsz"})
def sigmoid(v):
    """σ(v) = (1 + tanh(v / 2)) / 2, of a float32."""
    t = HALF * v
    t = TANH_END if t > TANH_END else t
    t = -TANH_END if t < -TANH_END else t
    s = t * t
    p = ((((((P13 * s + P11) * s + P9) * s + P7) * s + P5) * s + P3) * s + P1) * t
    q = ((Q6 * s + Q4) * s + Q2) * s + Q0
    return HALF + HALF * (p / q)


@njit(nogil=True)
def read(source, target):
    """`P C` bits of bfloat16 or float32 into float32."""
    bits, up = target.view(np.uint32), np.uint32(32 - 8 * source.itemsize)
    for p in range(source.shape[0]):
        for c in range(source.shape[1]):
            bits[p, c] = np.uint32(source[p, c]) << up


@njit(nogil=True)
def write(source, target):
    """`P C` float32 into bits of bfloat16, rounded to nearest even, or of float32."""
    bits, down = source.view(np.uint32), np.uint32(32 - 8 * target.itemsize)
    nearly_half = np.uint32(0x7FFF) if down else np.uint32(0)
    parity = np.uint32(1) if down else np.uint32(0)
    for p in range(source.shape[0]):
        for c in range(source.shape[1]):
            b = bits[p, c]
            target[p, c] = (b + nearly_half + ((b >> down) & parity)) >> down


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def forward(x, gamma, beta, groups, epsilon, y, mean, rstd):
    """y, and the statistics `N G` that the backward pass needs."""
    samples, texels, channels = x.shape
    size = channels // groups
    value = np.empty((texels, channels), np.float32)
    part, squares = np.empty(channels, np.float32), np.empty(channels, np.float32)
    pivot = np.empty(channels, np.float32)
    scale, shift = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for n in range(samples):
        read(x[n], value)
        # Sums of what each channel is beyond its first value: a variance from sums of squares
        # would lose its digits where the mean is large.
        pivot[:] = value[0]
        total, total_squares = np.zeros(channels), np.zeros(channels)
        for start in range(0, texels, BLOCK):
            part[:] = 0
            squares[:] = 0
            for p in range(start, min(start + BLOCK, texels)):
                for c in range(channels):
                    v = value[p, c] - pivot[c]
                    part[c] += v
                    squares[c] += v * v
            for c in range(channels):
                total[c] += part[c]
                total_squares[c] += squares[c]
        for g in range(groups):
            m = 0.0
            for c in range(g * size, (g + 1) * size):
                total[c] /= texels
                m += (pivot[c] + total[c]) / size
            variance = 0.0  # within each channel, and between the channels' means
            for c in range(g * size, (g + 1) * size):
                between = pivot[c] + total[c] - m
                within = total_squares[c] / texels - total[c] * total[c]
                variance += (max(within, 0.0) + between * between) / size
            r = 1 / np.sqrt(variance + epsilon)
            mean[n, g], rstd[n, g] = m, r
            for c in range(g * size, (g + 1) * size):
                scale[c] = gamma[c] * r
                shift[c] = beta[c] - m * gamma[c] * r
        for p in range(texels):
            for c in range(channels):
                v = value[p, c] * scale[c] + shift[c]
                value[p, c] = v * sigmoid(v)
        write(value, y[n])


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def backward(dy, x, gamma, beta, mean, rstd, dx, d_gamma, d_beta):
    """dx, and the parameters' gradients `N C` of each sample.

    With dv = dy · d(v σ(v))/dv: dβ = Σ dv, dγ = Σ dv x̂, and, over the M values of a group,
    dx = rstd (γ dv - (Σ γ dv + x̂ Σ γ dv x̂) / M)
    """
    samples, texels, channels = x.shape
    groups = mean.shape[1]
    size = channels // groups
    unit = np.empty((texels, channels), np.float32)  # x, then x̂
    slope = np.empty((texels, channels), np.float32)  # dy, then dv, then dx
    a, b = np.empty(channels, np.float32), np.empty(channels, np.float32)
    first, second = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for n in range(samples):
        read(x[n], unit)
        read(dy[n], slope)
        for c in range(channels):
            a[c] = rstd[n, c // size]
            b[c] = -mean[n, c // size] * rstd[n, c // size]
        d_beta[n], d_gamma[n] = 0, 0
        for start in range(0, texels, BLOCK):
            first[:] = 0
            second[:] = 0
            for p in range(start, min(start + BLOCK, texels)):
                for c in range(channels):
                    u = unit[p, c] * a[c] + b[c]
                    v = u * gamma[c] + beta[c]
                    s = sigmoid(v)
                    d = slope[p, c] * s * (ONE + v * (ONE - s))
                    unit[p, c] = u
                    slope[p, c] = d
                    first[c] += d
                    second[c] += d * u
            for c in range(channels):
                d_beta[n, c] += first[c]
                d_gamma[n, c] += second[c]
        for g in range(groups):
            mean_first = mean_second = 0.0
            for c in range(g * size, (g + 1) * size):
                mean_first += d_beta[n, c] * gamma[c] / (texels * size)
                mean_second += d_gamma[n, c] * gamma[c] / (texels * size)
            for c in range(g * size, (g + 1) * size):
                first[c] = -rstd[n, g] * mean_first
                second[c] = -rstd[n, g] * mean_second
                a[c] = rstd[n, g] * gamma[c]
        for p in range(texels):
            for c in range(channels):
                slope[p, c] = slope[p, c] * a[c] + (unit[p, c] * second[c] + first[c])
        write(slope, dx[n])
