// One binary decision of the plane coder: nine adaptive probabilities and three distributions,
// mixed in the logistic domain, refined, coded, and learnt from (docs/ENTROPY.md, sections 3, 7,
// 9).
//
// Contexts, slots and inputs lie in lanes. Numbers are those of the document, of 32 bits where it
// has 64: what a product of two of them would exceed is taken apart into halves. Weights fit: the
// sum of their squares grows by at most 2^27 a decision (the steps follow the gradient of a convex
// cost), so 2^31 is out of reach of any array that fits in memory.
#pragma once

#include <stdint.h>

#include "entropy/prediction.h"
#include "entropy/range.h"
#include "entropy/tables.h"
#include "simd.h"

namespace smalti::SMALTI_ISA {

constexpr int CONTEXTS = 9;
constexpr int INPUTS = CONTEXTS + 3; // and three logistic distributions
constexpr int FLAG = 16;             // the "same as W" decision's place among the depths 0 .. 15
constexpr int MIXERS = 17 + 16 * 17 + 8;
constexpr int REFINEMENTS = 16 * 17 + 8;
constexpr int KNOTS = 37; // of the refinement, 160 apart in the logistic domain
constexpr int RUNS = 264;

// As many vectors as hold the inputs.
constexpr int PARTS = (INPUTS + LANES - 1) / LANES;
constexpr int PADDED = PARTS * LANES;
constexpr int LAST = CONTEXTS / LANES; // the part with the distributions

struct Inputs {
  vint part[PARTS];
};

// The numbers of a node's slots, in all tables together.
struct Places {
  alignas(64) int32_t index[PADDED];
};

// 32-bit hash h with the number x < 2^17 mixed in.
SIMD_INLINE uint32_t fold(uint32_t h, uint32_t x) {
  h = (h + x + 1) * 0x1B873593u;
  return h ^ h >> 15;
}

// The slot (22-bit probability << 8 | count) after one more bit.
SIMD_INLINE int32_t adapted(int32_t slot, int bit) {
  const int64_t probability = slot >> 8, n = slot & 255;
  const int64_t moved = (bit * 0x3FFFFF - probability) * ENTROPY.rate[n] >> 16;
  return int32_t((probability + moved) << 8 | (n < 255 ? n + 1 : 255));
}

struct Model {
  alignas(64) int32_t weights[MIXERS][PADDED]; // 65536 is 1
  alignas(64) uint32_t context[PADDED];        // hashes of the symbol at hand
  int32_t updates[MIXERS];                     // how often each was corrected, up to 300
  int32_t refinement[REFINEMENTS][KNOTS];      // 22-bit probabilities
  int32_t runs[RUNS];                          // as slots
  int32_t *slots;                              // CONTEXTS tables of 2^log_size
  int log_size;

  void begin(int32_t *memory, int log_of_table) {
    slots = memory;
    log_size = log_of_table;
    for (int64_t i = 0; i < int64_t(CONTEXTS) << log_size; ++i) slots[i] = 1 << 29;
    for (auto &row : weights)
      for (int i = 0; i < PADDED; ++i) row[i] = i < CONTEXTS ? 4000 : i < INPUTS ? 12000 : 0;
    for (auto &row : refinement)
      for (int j = 0; j < KNOTS; ++j)
        row[j] = ENTROPY.squash[clamp(160 * j - 2880, -SQUASH_LIMIT, SQUASH_LIMIT) + SQUASH_LIMIT]
                 << 6;
    for (int32_t &slot : runs) slot = 7 << 27;
    for (int32_t &n : updates) n = 0;
    for (uint32_t &hash : context) hash = 0;
  }

  // Where a node's slots are. The processor is asked for them at once: in tables of megabytes most
  // of a decision's time would else be spent waiting for memory.
  SIMD_INLINE void locate(uint32_t node, Places &places) const {
    for (int p = 0; p < PARTS; ++p) {
      const vint hash = load(reinterpret_cast<const int32_t *>(context) + p * LANES);
      store(places.index + p * LANES, place(hash, node, p));
    }
    for (int i = 0; i < CONTEXTS; ++i) __builtin_prefetch(slots + places.index[i], 1);
  }

  // The bit; `places` are those of the decision's node, `share` the inputs of the distributions.
  template <class Coder>
  SIMD_INLINE int decide(Coder &coder, int bit, const Places &places, const int32_t (&share)[3],
                         int mixer_0, int mixer_1, int row) {
    Inputs slot, input;
    for (int p = 0; p < PARTS; ++p) {
      slot.part[p] = gather(slots, load(places.index + p * LANES));
      input.part[p] = stretched(slot.part[p]);
    }
    const vint lane = lane_numbers() + vint(LAST * LANES);
    vint &last = input.part[LAST];
    last = select(lane >= vint(INPUTS), vint(0), last);
    for (int i = 0; i < 3; ++i) last = select(lane == vint(CONTEXTS + i), vint(share[i]), last);

    int32_t dot[2];
    mix(input, weights[mixer_0], weights[mixer_1], dot);
    const int mean = (dot[0] + dot[1]) >> 1;
    int32_t *const knot = refinement[row] + (mean + 2880) / 160;
    const int part = (mean + 2880) % 160;
    const int refined = (knot[0] * (160 - part) + knot[1] * part) / 160 >> 6;
    const uint32_t p = uint32_t(3 * ENTROPY.squash[mean + SQUASH_LIMIT] + refined + 2) >> 2;
    bit = coder.bit(bit, p);

    learn(places, slot, bit);
    correct(mixer_0, 65536 * bit - ENTROPY.squash[dot[0] + SQUASH_LIMIT], input);
    correct(mixer_1, 65536 * bit - ENTROPY.squash[dot[1] + SQUASH_LIMIT], input);
    const int32_t target = bit * (65535 << 6);
    knot[0] += (target - knot[0]) >> 6;
    knot[1] += (target - knot[1]) >> 6;
    return bit;
  }

  // One decision for a whole stretch of equal values.
  template <class Coder>
  SIMD_INLINE int decide_run(Coder &coder, int bit, int which) {
    const int32_t slot = runs[which];
    bit = coder.bit(bit, uint32_t(clamp(slot >> 14, 1, 65535)));
    runs[which] = adapted(slot, bit);
    return bit;
  }

private:
  // Numbers of the slots of a node: (context ^ 0x9E3779B1 node) 0x2C1B3C6D / 2^15 mod 2^log_size in
  // each table. These are bits 15 .. 32 of a product at most; of half of it, bits 14 .. 31.
  SIMD_INLINE vint place(vint hash, uint32_t node, int part) const {
    constexpr uint32_t FACTOR = 0x2C1B3C6D;
    hash = hash ^ vint(int32_t(node * 0x9E3779B1u));
    const vint odd = -(hash & vint(1));
    const vint half =
        shift_right_logical(hash, 1) * vint(int32_t(FACTOR)) + (odd & vint(int32_t(FACTOR >> 1)));
    const vint lane = lane_numbers() + vint(part * LANES);
    const vint table = select(lane < vint(CONTEXTS), lane, vint(0));
    return (shift_right_logical(half, 14) & vint((1 << log_size) - 1)) + (table << log_size);
  }

  SIMD_INLINE static vint stretched(vint slot) {
    const vint p = slot >> 14; // 16 bits
    const vint two = gather(reinterpret_cast<const int32_t *>(ENTROPY.stretch), p >> 1);
    return (two << (vint(16) - ((p & vint(1)) << 4))) >> 16;
  }

  // dot = sum of w x >> 16, within the table of squash, for two mixers. A weight is 65536 h + l
  // with l of 16 bits and a sign: the sum is that of h x, plus that of l x >> 16.
  SIMD_INLINE static void mix(const Inputs &x, const int32_t *w_0, const int32_t *w_1,
                              int32_t (&dot)[2]) {
    vint sums[4] = {vint(0), vint(0), vint(0), vint(0)};
    for (int p = 0; p < PARTS; ++p) {
      const vint low = x.part[p] & vint(0xFFFF), high = x.part[p] << 16;
      const vint w[2] = {load(w_0 + p * LANES), load(w_1 + p * LANES)};
      for (int m = 0; m < 2; ++m) {
        sums[m] += pair_products(w[m] + vint(0x8000), high);
        sums[2 + m] += pair_products(w[m], low);
      }
    }
    int32_t total[2], part[2];
    totals(sums[0], sums[1], total);
    totals(sums[2], sums[3], part);
    for (int m = 0; m < 2; ++m)
      dot[m] = clamp(total[m] + (part[m] >> 16), -SQUASH_LIMIT, SQUASH_LIMIT);
  }

  SIMD_INLINE void learn(const Places &places, const Inputs &slot, int bit) {
    alignas(64) int32_t values[PADDED];
    for (int p = 0; p < PARTS; ++p) {
      const vint s = slot.part[p], n = s & vint(255);
      const vint rate = gather(ENTROPY.rate, n);
      // (off rate) >> 16 with `off` taken apart: 15 bits with the sign, and 8
      const vint off = vint(bit * 0x3FFFFF) - (s >> 8);
      const vint moved = ((off >> 8) * rate + (((off & vint(255)) * rate) >> 8)) >> 8;
      store(values + p * LANES, (((s >> 8) + moved) << 8) | min(n + vint(1), vint(255)));
    }
    for (int i = 0; i < CONTEXTS; ++i) slots[places.index[i]] = values[i];
  }

  // One step of a mixer's weights along the gradient of the bit's cost, fast at first:
  // w += (step x + 2^17) >> 18, with `step` taken apart: 15 bits with the sign, and 8.
  SIMD_INLINE void correct(int mixer, int32_t error, const Inputs &x) {
    const int32_t n = updates[mixer];
    const int32_t step = error * ENTROPY.speed[n];
    const vint high((step >> 8) & 0xFFFF), low(step & 255);
    for (int p = 0; p < PARTS; ++p) {
      int32_t *const w = weights[mixer] + p * LANES;
      const vint by =
          pair_products(x.part[p], high) + ((pair_products(x.part[p], low) + vint(1 << 17)) >> 8);
      store(w, load(w) + (by >> 10));
    }
    updates[mixer] = n < 300 ? n + 1 : 300;
  }
};

} // namespace smalti::SMALTI_ISA
