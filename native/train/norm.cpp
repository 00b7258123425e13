// Group normalisation and SiLU, channels in lanes, each sample read twice and written once.
//
// A sample is `texels channels`. Sums over texels are of what each channel is beyond its first value
// (a variance from sums of squares would lose its digits where the mean is large), in float32 over
// BLOCK texels and in float64 over blocks; every channel by itself, so no order depends on lanes.
//
// Per value: 4 operations for the sums, 24 and a division for v and SiLU, forwards; backwards 60
// and two divisions, because the slope is computed again rather than kept: 4 bytes a value written
// and read once more cost as much.

#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int MAX_CHANNELS = 4096;
constexpr int BLOCK = 64; // texels summed in float32

// 1 / (1 + exp(-v)) = (1 + tanh(v / 2)) / 2. tanh as an odd polynomial over an even one, within
// 3e-7 of it in -END .. END (beyond it is 1 in float32); the coefficients are those of Eigen's
// generic tanh.
SIMD_INLINE vfloat sigmoid(vfloat v) {
  const vfloat end(7.90531110763549805f), half(0.5f);
  const vfloat t = max(-end, min(end, half * v));
  const vfloat s = t * t;
  vfloat p = fma(vfloat(-2.76076847742355e-16f), s, vfloat(2.00018790482477e-13f));
  p = fma(p, s, vfloat(-8.60467152213735e-11f));
  p = fma(p, s, vfloat(5.12229709037114e-08f));
  p = fma(p, s, vfloat(1.48572235717979e-05f));
  p = fma(p, s, vfloat(6.37261928875436e-04f));
  p = fma(p, s, vfloat(4.89352455891786e-03f)) * t;
  vfloat q = fma(vfloat(1.19825839466702e-06f), s, vfloat(1.18534705686654e-04f));
  q = fma(q, s, vfloat(2.26843463243900e-03f));
  q = fma(q, s, vfloat(4.89352518554385e-03f));
  return fma(half, p / q, half);
}

// The sums, in float64, of what `step(c, n, p, one, other)` adds for every texel p of a sample to the
// channels c .. c + n - 1.
template <class Step>
SIMD_INLINE void sum(int64_t texels, int64_t channels, double *one, double *other,
                     const Step &step) {
  for (int64_t c = 0; c < channels; ++c) one[c] = other[c] = 0;
  for (int64_t start = 0; start < texels; start += BLOCK) {
    const int64_t end = least(start + BLOCK, texels);
    for (int64_t c = 0; c < channels; c += LANES) {
      const int64_t n = least(LANES, channels - c);
      vfloat a(0.0f), b(0.0f);
      if (n == LANES)
        for (int64_t p = start; p < end; ++p) step(c, int64_t(LANES), p, a, b);
      else
        for (int64_t p = start; p < end; ++p) step(c, n, p, a, b);
      float part[2][LANES];
      store(part[0], a);
      store(part[1], b);
      for (int64_t i = 0; i < n; ++i) {
        one[c + i] += part[0][i];
        other[c + i] += part[1][i];
      }
    }
  }
}

template <class Item> SIMD_INLINE vfloat read(const Item *p, int64_t n) {
  return n == LANES ? load(p) : load_first(p, n);
}
template <class Item> SIMD_INLINE void write(Item *p, vfloat a, int64_t n) {
  if (n == LANES)
    store(p, a);
  else
    store_first(p, a, n);
}

template <class Item> void forward(const smalti_norm_forward_args &args, int64_t sample) {
  const int64_t texels = args.texels, channels = args.channels, size = channels / args.groups;
  const Item *x = static_cast<const Item *>(args.x) + sample * texels * channels;
  Item *y = static_cast<Item *>(args.y) + sample * texels * channels;
  double total[MAX_CHANNELS], squares[MAX_CHANNELS];
  float pivot[MAX_CHANNELS], scale[MAX_CHANNELS], shift[MAX_CHANNELS];
  for (int64_t c = 0; c < channels; c += LANES)
    store_first(pivot + c, read(x + c, least(LANES, channels - c)), channels - c);
  sum(texels, channels, total, squares,
      [&](int64_t c, int64_t n, int64_t p, vfloat &a, vfloat &b) {
        const vfloat v = read(x + p * channels + c, n) - read(pivot + c, n);
        a += v;
        b = fma(v, v, b);
      });
  for (int64_t g = 0; g < args.groups; ++g) {
    double mean = 0, variance = 0; // within each channel, and between the channels' means
    for (int64_t c = g * size; c < (g + 1) * size; ++c) {
      total[c] /= double(texels);
      mean += (pivot[c] + total[c]) / double(size);
    }
    for (int64_t c = g * size; c < (g + 1) * size; ++c) {
      const double between = pivot[c] + total[c] - mean;
      const double within = squares[c] / double(texels) - total[c] * total[c];
      variance += ((within > 0 ? within : 0) + between * between) / double(size);
    }
    const double r = 1 / __builtin_sqrt(variance + double(args.epsilon));
    args.mean[sample * args.groups + g] = float(mean);
    args.rstd[sample * args.groups + g] = float(r);
    for (int64_t c = g * size; c < (g + 1) * size; ++c) {
      scale[c] = float(args.gamma[c] * r);
      shift[c] = float(args.beta[c] - mean * args.gamma[c] * r);
    }
  }
  for (int64_t p = 0; p < texels; ++p)
    for (int64_t c = 0; c < channels; c += LANES) {
      const int64_t n = least(LANES, channels - c), at = p * channels + c;
      const vfloat v = fma(read(x + at, n), read(scale + c, n), read(shift + c, n));
      write(y + at, v * sigmoid(v), n);
    }
}

template <class Item> void backward(const smalti_norm_backward_args &args, int64_t sample) {
  const int64_t texels = args.texels, channels = args.channels, size = channels / args.groups;
  const int64_t start = sample * texels * channels;
  const Item *x = static_cast<const Item *>(args.x) + start;
  const Item *dy = static_cast<const Item *>(args.dy) + start;
  Item *dx = static_cast<Item *>(args.dx) + start;
  const float *mean = args.mean + sample * args.groups, *rstd = args.rstd + sample * args.groups;
  double d_beta[MAX_CHANNELS], d_gamma[MAX_CHANNELS];
  float a[MAX_CHANNELS], b[MAX_CHANNELS], first[MAX_CHANNELS], second[MAX_CHANNELS];
  for (int64_t c = 0; c < channels; ++c) {
    a[c] = rstd[c / size];
    b[c] = -mean[c / size] * rstd[c / size];
  }
  // x^ and dv of some channels of one texel
  const auto slope = [&](int64_t c, int64_t n, int64_t p, vfloat &u) {
    const vfloat one(1.0f);
    const int64_t at = p * channels + c;
    u = fma(read(x + at, n), read(a + c, n), read(b + c, n));
    const vfloat v = fma(u, read(args.gamma + c, n), read(args.beta + c, n));
    const vfloat s = sigmoid(v);
    return read(dy + at, n) * s * fma(v, one - s, one);
  };
  sum(texels, channels, d_beta, d_gamma,
      [&](int64_t c, int64_t n, int64_t p, vfloat &one, vfloat &other) {
        vfloat u;
        const vfloat d = slope(c, n, p, u);
        one += d;
        other = fma(d, u, other);
      });
  for (int64_t g = 0; g < args.groups; ++g) {
    double mean_first = 0, mean_second = 0;
    for (int64_t c = g * size; c < (g + 1) * size; ++c) {
      mean_first += d_beta[c] * args.gamma[c] / double(texels * size);
      mean_second += d_gamma[c] * args.gamma[c] / double(texels * size);
    }
    for (int64_t c = g * size; c < (g + 1) * size; ++c) {
      first[c] = float(-rstd[g] * mean_first);
      second[c] = float(-rstd[g] * mean_second);
      args.d_beta[sample * channels + c] = float(d_beta[c]);
      args.d_gamma[sample * channels + c] = float(d_gamma[c]);
    }
  }
  for (int64_t p = 0; p < texels; ++p)
    for (int64_t c = 0; c < channels; c += LANES) {
      const int64_t n = least(LANES, channels - c);
      vfloat u;
      const vfloat d = slope(c, n, p, u) * read(a + c, n);
      const vfloat rest = fma(u, read(second + c, n), read(first + c, n));
      write(dx + p * channels + c, fma(d, read(args.gamma + c, n), rest), n);
    }
}

template <class Args> bool valid(const Args &args) {
  return args.samples >= 0 && args.texels >= 1 && args.groups >= 1 && args.channels >= 1 &&
         args.channels <= MAX_CHANNELS && args.channels % args.groups == 0 &&
         (args.item_size == 2 || args.item_size == 4);
}

} // namespace

KERNEL(norm_forward) {
  if (!valid(args)) return SMALTI_INVALID;
  parallel(args.threads, args.samples, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n)
      args.item_size == 2 ? forward<uint16_t>(args, n) : forward<float>(args, n);
  });
  return SMALTI_OK;
}

KERNEL(norm_backward) {
  if (!valid(args)) return SMALTI_INVALID;
  parallel(args.threads, args.samples, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n)
      args.item_size == 2 ? backward<uint16_t>(args, n) : backward<float>(args, n);
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
