#include "tables.h"

namespace smalti {

namespace {

typedef unsigned __int128 uint128;
constexpr uint128 ONE = uint128(1) << 64;

// values[i] = 2^bits / (1 + exp(-(i - reach) / step)), i = 0 .. 2 reach: rounded down in the upper
// half, mirrored in the lower. exp(-1 / step) has 64 bits: the Taylor series, each term rounded
// down, until it vanishes.
constexpr void logistic(int step, int reach, int bits, int32_t *values) {
  uint128 ratio = 0, term = ONE;
  for (int n = 0; term; term /= uint128(step) * ++n) ratio += n % 2 ? -term : term;
  uint128 power = ONE;
  for (int k = 0; k <= reach; ++k) {
    values[reach + k] = int32_t((ONE << bits) / (ONE + power));
    values[reach - k] = int32_t((1 << bits) - values[reach + k]);
    power = power * ratio >> 64;
  }
  values[reach] = 1 << (bits - 1);
}

constexpr EntropyTables made() {
  EntropyTables t = {};
  logistic(256, SQUASH_LIMIT, 16, t.squash);
  for (int32_t &p : t.squash) p = p < 1 ? 1 : p > 65535 ? 65535 : p;
  logistic(64, 1024, 30, t.cdf);
  t.cdf[2049] = t.cdf[2048];
  for (int n = 0; n < 256; ++n) t.rate[n] = 65536 / (n + 2);
  for (int n = 0; n <= 300; ++n) t.speed[n] = 6 + 640 / (n + 16);

  // the inverse of squash: for p >= 1/2 the least k with squash[k] >= p, mirrored below
  int16_t stretch[65536] = {};
  for (int p = 32768, k = 0; p < 65536; ++p) {
    while (t.squash[SQUASH_LIMIT + k] < p) ++k;
    stretch[p] = int16_t(k);
    stretch[65536 - p] = int16_t(-k);
  }
  stretch[0] = stretch[1];
  for (int p = 0; p < 65536; p += 2)
    t.stretch[p / 2] = uint16_t(stretch[p]) | uint32_t(uint16_t(stretch[p + 1])) << 16;
  return t;
}

} // namespace

constinit const EntropyTables ENTROPY = made();

} // namespace smalti
