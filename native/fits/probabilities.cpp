#include "fits/probabilities.h"

namespace smalti {

namespace {

typedef unsigned __int128 uint128;
constexpr uint128 ONE = uint128(1) << 64;

// exp(-y / 2^61) in 64 bits after the point, for y / 2^61 < 2^6: Taylor's series of y / 128,
// squared seven times.
constexpr uint128 exp_of_minus(uint128 y) {
  const uint64_t small = uint64_t(y >> 4); // y / 128, 64 bits after the point
  uint128 sum = 0, term = ONE;
  for (int n = 1; term; ++n) {
    sum += n % 2 ? term : -term;
    term = term * small / n >> 64;
  }
  for (int i = 0; i < 7; ++i) sum = sum < ONE ? sum * sum >> 64 : ONE;
  return sum;
}

constexpr int32_t kept(uint128 p) { return int32_t(p < 32 ? 32 : p > 65536 - 32 ? 65536 - 32 : p); }

constexpr Probabilities made() {
  Probabilities first = {};
  for (int w = 0; w < WIDTHS; ++w) {
    // the inverse width u = exp(w / 8 - 6), 57 bits after the point
    const uint128 eighth = uint128(1) << 58;
    const uint128 u = w <= 48 ? exp_of_minus((48 - w) * eighth) >> 7
                              : (uint128(1) << 121) / exp_of_minus((w - 48) * eighth);
    for (int depth = 0; depth < DEPTHS; ++depth)
      first.further[w][depth] = kept(exp_of_minus(16 * u) >> 48);
    for (int place = 0; place < PLACES; ++place) {
      // beyond 1/2 above and below the whole number: masses exp(-u (1/2 - f)) / 2, exp(-u (1/2 +
      // f)) / 2
      const uint128 upper = exp_of_minus((16 - place) * u), lower = exp_of_minus(place * u);
      first.nearest[w][place] = kept((2 * ONE - upper - lower - 1) >> 49); // neither is ever 0
      // their ratio, from the smaller over the larger
      const uint128 ratio = exp_of_minus(2 * u * (place < 8 ? 8 - place : place - 8));
      first.above[w][place] = kept(((place < 8 ? ratio : ONE) << 16) / (ONE + ratio));
    }
  }
  return first;
}

} // namespace

constinit const Probabilities FIRST = made();

} // namespace smalti
