// Planes of small integers <-> bytes: neighbours, contexts and the order of decisions
// (docs/ENTROPY.md, sections 4 to 8). Encoder and decoder are one function of the range coder's
// type.

#include "entropy/mixer.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

constexpr int MIN_RUN = 32; // shorter constant stretches are cheaper one by one
constexpr int32_t MAX_LEVELS = 65536;
constexpr int64_t CUT_ONE = 1 << 30; // of the distributions' cumulative probabilities

SIMD_INLINE static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
SIMD_INLINE static int32_t greatest(int32_t a, int32_t b) { return a > b ? a : b; }
SIMD_INLINE static int32_t distance(int32_t a, int32_t b) { return a < b ? b - a : a - b; }

// a / b rounded down, for 0 <= a < 2^53. Exact: a quotient that is no whole number is at least 1 /
// b below the next one, which is more than the rounding of a float64.
SIMD_INLINE static int64_t divide(int64_t a, int64_t b) { return int64_t(double(a) / double(b)); }

// A logistic distribution's share below a border, 30 bits: t in 1/2^14, linear between entries.
SIMD_INLINE static int64_t logistic_cdf(int64_t t) {
  const int32_t u = clamp(t + (1024 << 8), 0, 2048 << 8), k = u >> 8;
  return ENTROPY.cdf[k] + (int64_t(ENTROPY.cdf[k + 1] - ENTROPY.cdf[k]) * (u & 255) >> 8);
}

// Logit of the upper part's probability, (high - cut) / (high - low).
SIMD_INLINE static int32_t logit(int64_t low, int64_t cut, int64_t high) {
  const int64_t p = divide((high - cut + 4096) << 16, high - low + 8192);
  return int16_t(ENTROPY.stretch[p >> 1] >> (p & 1) * 16);
}

// What is known of a value before it is coded.
struct Outlook {
  int32_t mu, mu_fixed; // the two predictions
  int activity, cell;
};

// The value's bits, the highest first; a bit that could only be 0 is not coded.
template <class Coder>
SIMD_INLINE static int32_t code_tree(Coder &coder, Model &model, const Predictor &linear,
                                     const Levels &levels, const Outlook &outlook, int32_t value) {
  // A logistic distribution of scale s has the mean absolute error 2 ln(2) s: 22713 = 2^14 2 ln 2
  const int overall = linear.error[16], activity = outlook.activity;
  const int local = linear.seen[activity] ? linear.error[activity] : overall;
  const int64_t scale[3] = {(22713 << 16) / (local + 1), (22713 << 16) / (overall + 1),
                            (22713 << 16) / (linear.error[17] + 1)};
  const int32_t centre[3] = {outlook.mu, outlook.mu, outlook.mu_fixed};
  int64_t low[3] = {0, 0, 0}, high[3] = {CUT_ONE, CUT_ONE, CUT_ONE};
  uint32_t node = 1;
  int32_t base = 0;
  Places places[2][2]; // of the node at hand and of those below it, by their last bits
  model.locate(node, places[0][1]);
  for (int depth = 0; depth < levels.bits; ++depth) {
    const int shift = levels.bits - 1 - depth;
    const int32_t middle = base + (1 << shift);
    int bit = value >> shift & 1; // the decoder finds it out
    for (uint32_t b = 0; b < 2; ++b)
      if (Coder::DECODES || b == uint32_t(bit))
        model.locate(2 * node + b, places[1 - depth % 2][b]);
    if (middle < levels.count) {
      const int32_t border = levels.scaled(2 * middle - levels.count) * 16;
      int64_t cut[3];
      int32_t share[3];
      for (int i = 0; i < 3; ++i) {
        cut[i] = logistic_cdf((border - centre[i]) * scale[i] >> 16);
        share[i] = logit(low[i], cut[i], high[i]);
      }
      bit = model.decide(coder, bit, places[depth % 2][node & 1], share, depth,
                         17 + 17 * activity + depth, 17 * outlook.cell + depth);
      base = bit ? middle : base;
      for (int i = 0; i < 3; ++i) {
        low[i] = bit ? cut[i] : low[i];
        high[i] = bit ? high[i] : cut[i];
      }
    } else {
      bit = 0;
    }
    node = 2 * node + uint32_t(bit);
  }
  return base;
}

// The values of one plane, C H W, and where it stands among the others.
struct Plane {
  int32_t *values; // of all planes
  const int32_t *levels;
  int c;
  int64_t height, width;

  SIMD_INLINE int32_t *row(int back, int64_t y) const {
    return values + ((c - back) * height + y) * width;
  }
};

// One row; false where the data has ended too early.
template <class Coder>
static bool code_row(Coder &coder, Model &model, Predictor &linear, const Plane &plane, int64_t y) {
  const int c = plane.c;
  const int64_t width = plane.width;
  const Levels levels(plane.levels[c]);
  const int quantise = greatest(levels.bits - 4, 0);
  int32_t *const here = plane.row(0, y);
  const int32_t *const above = y > 0 ? here - width : nullptr;
  const int32_t *const above_2 = y > 1 ? above - width : nullptr;
  const int32_t *const other = c > 0 ? plane.row(1, y) : nullptr;
  const Levels levels_1(c > 0 ? plane.levels[c - 1] : 1), levels_2(c > 1 ? plane.levels[c - 2] : 1),
      levels_3(c > 2 ? plane.levels[c - 3] : 1);
  int64_t no_run_before = 0;

  for (int64_t x = 0; x < width; ++x) {
    if (coder.exhausted()) return false;
    int32_t n = above ? above[x] : 0;
    const int32_t w = x > 0 ? here[x - 1] : n;
    if (!above) n = w;
    const int32_t nw = above && x > 0 ? above[x - 1] : n;
    const int32_t ne = above && x + 1 < width ? above[x + 1] : n;
    const int32_t nee = above && x + 2 < width ? above[x + 2] : ne;
    const int32_t ww = x > 1 ? here[x - 2] : w;
    const int32_t nn = above_2 ? above_2[x] : n;
    const int32_t nne = above_2 && x + 1 < width ? above_2[x + 1] : nn;

    const bool flat = w == n && w == nw && w == ne;
    if (flat && nee == w && x >= no_run_before) {
      int64_t length = 1;
      while (x + length < width &&
             (!above || x + length + 2 >= width || above[x + length + 2] == w))
        ++length;
      if (length >= MIN_RUN) {
        int same = 1;
        if (!Coder::DECODES)
          for (int64_t i = x; i < x + length && same; ++i) same = here[i] == w;
        const int which = half_octave(uint32_t(length)) * 4 + 2 * (nn == w) + (ww == w);
        if (model.decide_run(coder, same, which)) {
          if (Coder::DECODES)
            for (int64_t i = x; i < x + length; ++i) here[i] = w;
          x += length - 1;
          continue;
        }
        no_run_before = x + length;
      }
    }

    // Planes already coded, at the same place and around it
    int64_t *f = linear.features;
    int32_t p = 0, p_2 = 0;
    const int32_t own[] = {w, n, nw, ne, ww, nn};
    for (const int32_t near : own) *f++ = levels.centred(near);
    if (c > 0) {
      p = other[x];
      const int32_t p_e = x + 1 < width ? other[x + 1] : p, p_w = x > 0 ? other[x - 1] : p;
      const int32_t p_s = y + 1 < plane.height ? other[x + width] : p;
      const int32_t p_n = y > 0 ? other[x - width] : p;
      const int32_t others[] = {p, p_e, p_s, p_w, p_n};
      for (const int32_t near : others) *f++ = levels_1.centred(near);
    }
    if (c > 1) *f++ = levels_2.centred(p_2 = plane.row(2, y)[x]);
    if (c > 2) *f++ = levels_3.centred(plane.row(3, y)[x]);
    *f = 4096;

    // Two predictions, learnt and fixed, in 1/16 of the features' unit
    const int64_t *const g = linear.features;
    const int32_t mu = linear.predict();
    const int32_t mu_fixed = int32_t(floor_divide((3 * g[0] + 3 * g[1] + g[3] - g[2]) * 16, 6));
    const int32_t median = greatest(least(w, n), least(greatest(w, n), w + n - nw));
    const int32_t rough = (distance(w, nw) + distance(n, nw) + distance(n, ne)) << 6 >>
                          least(levels.bits, 6) >> greatest(levels.bits - 8, 0);
    const int activity = least(half_octave(uint32_t(rough)), 15);
    const int cell = (mu + 131072) >> 14;
    const uint32_t first = uint32_t(c) * 16;
    const uint32_t w_q = uint32_t(w >> quantise), n_q = uint32_t(n >> quantise);
    uint32_t *const context = model.context;
    context[0] = fold(first, 0);
    context[1] = fold(fold(first + 1, w), p);
    context[2] = fold(first + 2, n);
    context[3] = fold(fold(fold(first + 3, w_q), n_q), p);
    context[4] = fold(fold(fold(fold(first + 4, w), n), nw), ne);
    context[5] = fold(fold(first + 5, cell), activity);
    context[6] = fold(first + 6, median);
    if (c > 0) {
      context[7] = fold(first + 7, p);
      context[8] = fold(fold(first + 8, p >> quantise), p_2 >> quantise);
    } else {
      context[7] = fold(fold(fold(fold(fold(fold(7, n), ne), nee), w), nn), nne);
      context[8] = fold(fold(8, median), activity);
    }

    int32_t value = Coder::DECODES ? 0 : here[x];
    // Ask for the slots on the way to the value, or to where it is expected
    const int32_t guess = Coder::DECODES ? levels.nearest(mu) : value;
    Places places;
    for (int depth = 0; depth < levels.bits; ++depth)
      model.locate((1u << depth) + (uint32_t(guess) >> (levels.bits - depth)), places);
    if (flat) model.locate(0, places);
    linear.prepare();

    int same = 0;
    if (flat) {
      const int equals = (nee == w) + 2 * (ww == w) + 4 * (nn == w);
      const int32_t share[3] = {0, 0, 0};
      same = model.decide(coder, value == w, places, share, FLAG, 17 + 16 * 17 + equals,
                          16 * 17 + equals);
      if (same) value = w;
    }
    if (!same)
      value = code_tree(coder, model, linear, levels, {mu, mu_fixed, activity, cell}, value);
    if (Coder::DECODES) here[x] = value;
    linear.learn(levels.centred(value), mu, mu_fixed, activity);
  }
  return true;
}

// Bits of the number of slots in each context's table.
static int log_size_of(int64_t count) {
  int bits = 2;
  for (; count > 0; count >>= 1) ++bits; // of 4 count
  return bits < 12 ? 12 : bits > 18 ? 18 : bits;
}

// Whether the shape is one, some plane is to be coded, and there is room for the slots.
template <class Args>
static bool usable(const Args &args) {
  if (args.planes < 1 || args.height < 1 || args.width < 1) return false;
  constexpr int64_t most = INT64_C(1) << 40; // values
  if (args.planes > MAX_LEVELS || args.width > most || args.height > most / args.width ||
      args.height * args.width > most / args.planes)
    return false;
  bool some = false;
  for (int64_t c = 0; c < args.planes; ++c) {
    if (args.levels[c] < 1 || args.levels[c] > MAX_LEVELS) return false;
    some |= args.levels[c] > 1;
  }
  const int64_t count = args.planes * args.height * args.width;
  return some && args.slot_count >= int64_t(CONTEXTS) << log_size_of(count);
}

// Every plane with more than one level, and the end; false where the data is not an encoder's.
template <class Coder, class Args>
static bool code_planes(Coder &coder, int32_t *values, const Args &args) {
  Model model;
  Predictor linear;
  model.begin(args.slots, log_size_of(args.planes * args.height * args.width));
  for (int c = 0; c < args.planes; ++c) {
    if (args.levels[c] == 1) continue;
    linear.begin(c == 0 ? 7 : c == 1 ? 12 : c == 2 ? 13 : 14);
    const Plane plane = {values, args.levels, c, args.height, args.width};
    for (int64_t y = 0; y < args.height; ++y)
      if (!code_row(coder, model, linear, plane, y)) return false;
  }
  return coder.finish();
}

KERNEL(entropy_encode) {
  if (!usable(args) || args.capacity < 0) return SMALTI_INVALID;
  const int64_t texels = args.height * args.width;
  for (int64_t c = 0; c < args.planes; ++c)
    for (int64_t i = 0; i < texels; ++i)
      if (uint32_t(args.values[c * texels + i]) >= uint32_t(args.levels[c])) return SMALTI_INVALID;
  RangeEncoder coder(args.data, args.capacity);
  code_planes(coder, const_cast<int32_t *>(args.values), args); // which an encoder only reads
  *args.size = coder.position;
  return SMALTI_OK;
}

KERNEL(entropy_decode) {
  if (!usable(args) || args.size < 0) return SMALTI_INVALID;
  for (int64_t c = 0, texels = args.height * args.width; c < args.planes; ++c)
    if (args.levels[c] == 1)
      for (int64_t i = 0; i < texels; ++i) args.values[c * texels + i] = 0;
  RangeDecoder coder(args.data, args.size);
  const bool sound = code_planes(coder, args.values, args);
  *args.position = coder.position;
  return sound ? SMALTI_OK : SMALTI_DAMAGED;
}

} // namespace smalti::SMALTI_ISA
