// Linear prediction of one plane from its neighbours (docs/ENTROPY.md, section 6).
//
// Recursive least squares with a window of about 256 values: of the features x and the value t the
// sums A = E[x x'] and b = E[x t] are kept, and A k = b is solved by one sweep of coordinate
// descent a value. What needs only the features (A, and A k) is computed before the value is known.
//
// |x| < 2^13 and the window bound A and b by 2^34 + 2^8; |k| <= 2^18, so sums stay below 2^57.
#pragma once

#include <stdint.h>

#include "entropy/tables.h"
#include "simd.h"

namespace smalti::SMALTI_ISA {

constexpr int FEATURES = 14;
constexpr int ROW = 16; // features, padded with zeros

SIMD_INLINE int bit_length(uint32_t x) { return x ? 32 - __builtin_clz(x) : 0; }

// Number of bits of x, doubled, plus the bit below the highest: two steps an octave.
SIMD_INLINE int half_octave(uint32_t x) {
  if (x < 2) return int(x);
  const int n = bit_length(x);
  return 2 * n - 2 + int(x >> (n - 2) & 1);
}

SIMD_INLINE int32_t clamp(int64_t x, int32_t low, int32_t high) {
  return int32_t(x < low ? low : x > high ? high : x);
}

SIMD_INLINE int64_t floor_divide(int64_t a, int64_t b) { // b > 0
  const int64_t q = a / b;
  return q - (a % b < 0);
}

// The levels of a plane, 1 .. 65536, and its values as numbers around 0, within +-8191.
struct Levels {
  int32_t count;
  int bits; // of the highest value

  SIMD_INLINE explicit Levels(int32_t count)
      : count(count), bits(bit_length(uint32_t(count - 1))) {}
  SIMD_INLINE int32_t scaled(int32_t x) const {
    return bits <= 13 ? x * (1 << (13 - bits)) : x >> (bits - 13);
  }
  SIMD_INLINE int32_t centred(int32_t value) const { return scaled(2 * value - (count - 1)); }
  // The value whose number is about mu / 16.
  SIMD_INLINE int32_t nearest(int32_t mu) const {
    const int32_t a = bits <= 13 ? mu >> (17 - bits) : (mu >> 4) * (1 << (bits - 13));
    return clamp((a + count) >> 1, 0, count - 1);
  }
};

struct Predictor {
  alignas(64) int64_t features[ROW];        // of the value at hand, 0 behind the last
  alignas(64) int64_t covariance[ROW][ROW]; // A, symmetric
  alignas(64) int64_t correlation[ROW];     // b
  alignas(64) int64_t coefficients[ROW];    // k, 65536 is 1
  alignas(64) int64_t product[ROW];         // A k
  alignas(64) int64_t inverse[ROW];         // about 2^64 / (A_ii + 2^26)
  int32_t error[18]; // mean absolute errors: by activity, overall, of the fixed prediction
  int32_t seen[18];
  int count; // of features

  void begin(int features_of_plane) {
    *this = {};
    count = features_of_plane;
    error[16] = error[17] = 32768;
  }

  // mu, in 1/16 of the features' unit.
  SIMD_INLINE int32_t predict() const {
    int64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += coefficients[i] * features[i];
    return clamp(sum >> 12, -131071, 131071);
  }

  // All that the features alone decide; before `learn`.
  SIMD_INLINE void prepare() { count <= 8 ? prepare<8>() : prepare<16>(); }

  SIMD_INLINE void learn(int32_t target, int32_t mu, int32_t mu_fixed, int activity) {
    if (!seen[activity]) {
      error[activity] = error[16];
      seen[activity] = 1;
    }
    const int32_t miss = target * 16 - mu, miss_fixed = target * 16 - mu_fixed;
    adapt(activity, miss, 250);
    adapt(16, miss, 100);
    adapt(17, miss_fixed, 100);
    count <= 8 ? sweep<8>(target) : sweep<16>(target);
  }

private:
  SIMD_INLINE void adapt(int which, int32_t miss, int32_t most) {
    const int64_t off = (miss < 0 ? -miss : miss) - error[which];
    error[which] += int32_t(off * ENTROPY.rate[seen[which]] >> 16);
    seen[which] = seen[which] < most ? seen[which] + 1 : most;
  }

  template <int WIDTH>
  SIMD_INLINE void prepare() {
    constexpr int PARTS = WIDTH / LONGS;
    vlong x[PARTS], sums[PARTS];
    for (int p = 0; p < PARTS; ++p) {
      x[p] = load(features + p * LONGS);
      sums[p] = vlong(int64_t(0));
    }
    for (int j = 0; j < count; ++j) {
      int64_t *const column = covariance[j];
      const vlong xj(features[j]), kj(coefficients[j]);
      for (int p = 0; p < PARTS; ++p) {
        vlong a = load(column + p * LONGS);
        a = a + (x[p] * xj - (a >> 8));
        store(column + p * LONGS, a);
        sums[p] = sums[p] + a * kj;
      }
    }
    for (int p = 0; p < PARTS; ++p) store(product + p * LONGS, sums[p]);
    for (int i = 0; i < count; ++i)
      inverse[i] = int64_t(18446744073709551616.0 / double(covariance[i][i] + (1 << 26)));
  }

  template <int WIDTH>
  SIMD_INLINE void sweep(int32_t target) {
    const vlong t = vlong(int64_t(target));
    alignas(64) int64_t gradient[WIDTH];
    for (int p = 0; p < WIDTH; p += LONGS) {
      vlong b = load(correlation + p);
      b = b + (load(features + p) * t - (b >> 8));
      store(correlation + p, b);
      store(gradient + p, (b << 16) - load(product + p));
    }
    for (int i = 0; i < count; ++i) {
      const int64_t g = gradient[i], divisor = covariance[i][i] + (1 << 26);
      // g / divisor rounded down: a product with the inverse is hardly ever off, which shows late
      // but is foreseen, so that the next coefficient need not wait for it
      int64_t moved = int64_t(__int128(g) * inverse[i] >> 64);
      if (__builtin_expect(uint64_t(g - moved * divisor) >= uint64_t(divisor), 0))
        moved = floor_divide(g, divisor);
      const int64_t before = coefficients[i];
      if (__builtin_expect(uint64_t(before + moved + (1 << 18)) > 2 << 18, 0))
        moved = clamp(before + moved, -(1 << 18), 1 << 18) - before;
      coefficients[i] = before + moved;
      for (int j = i + 1; j < count; ++j) gradient[j] -= covariance[i][j] * moved;
    }
  }
};

} // namespace smalti::SMALTI_ISA
