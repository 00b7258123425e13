// Grid values in training: noise in the place of rounding, and Adam.

#include "fits/noise.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

constexpr int64_t CHUNK = 1 << 15; // values that a thread takes at a time

KERNEL(fits_soften) {
  if (!(args.temperature > 0)) return SMALTI_INVALID;
  const vfloat one(1.0f), half(0.5f);
  const vfloat inverse(1.0f / args.temperature), amplitude(args.amplitude);
  const vfloat scale = half / tanh(half * inverse);
  const vfloat steep = scale * inverse;
  parallel(args.threads, args.count, CHUNK, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
      const int64_t n = last - i;
      vfloat y = load_first(args.values + i, n);
      vfloat whole = floor(y) + half;
      const vfloat t = tanh((y - whole) * inverse);
      const vint number = lane_numbers() + vint(int32_t(i));
      y = fma(scale, t, whole) + amplitude * uniform(number, args.key);
      whole = floor(y) + half;
      const vfloat u = tanh((y - whole) * inverse);
      store_first(args.seen + i, fma(scale, u, whole), n);
      store_first(args.slope + i, steep * (one - t * t) * steep * (one - u * u), n);
    }
  });
  return SMALTI_OK;
}

KERNEL(fits_adam) {
  const vfloat beta_1(args.beta_1), beta_2(args.beta_2), one(1.0f);
  const vfloat unbias_1(args.unbias_1), unbias_2(args.unbias_2);
  parallel(args.threads, args.count, CHUNK, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
      const int64_t n = last - i;
      const vfloat g = load_first(args.gradient + i, n);
      const vfloat m = fma(beta_1, load_first(args.mean + i, n), (one - beta_1) * g);
      const vfloat v = fma(beta_2, load_first(args.spread + i, n), (one - beta_2) * g * g);
      store_first(args.mean + i, m, n);
      store_first(args.spread + i, v, n);
      const vfloat step =
          vfloat(args.rate) * (m * unbias_1) / (sqrt(v * unbias_2) + vfloat(args.tiny));
      store_first(args.values + i, load_first(args.values + i, n) - step, n);
      store_first(args.gradient + i, vfloat(0.0f), n);
    }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
