// Rate-distortion optimisation of BC7 blocks, block after block.
//
//     candidate                              bytes matched      bytes new
//     an earlier block                       all                none
//     indices of an earlier mode 6 block     8..15, often more  endpoints, fitted to them
//     endpoints of an earlier mode 6 block   0..7               indices, chosen anew
//     endpoints of one, indices of another   0..7 and 8..15     none
//     indices of an earlier mode 1 block     10..15             endpoints, fitted to them
//
// Scans over the books of earlier entries give the error of each, exactly or as a lower bound; only
// the most promising are made, decoded and priced. The readable twin is
// src/smalti/bc7/reference/rdo.py.

#include "bc7/rdo_book.h"

namespace smalti::SMALTI_ISA {

namespace rdo {

constexpr int FITTED = 4; // patterns of each mode, the most promising, that endpoints are fitted to
constexpr int ENDS_SHARE = 4; // the book of endpoints holds this part of the others' capacity

// Bits that new endpoints take at least, for the lower bounds: about 6 opaque bytes.
constexpr int ENDS_6_BITS = 40;
constexpr int ENDS_1_BITS = 64;

// A number that no float32 below x exceeds: for a first, quick comparison in lanes.
SIMD_INLINE vfloat above(double x) {
  const float near = float(x);
  return vfloat(near + __builtin_fabsf(near) * 1e-6f + 1e-30f);
}

// The best candidate of a block so far.
struct Best {
  double cost; // squared error + price * rate
  Words words;
  int64_t front, tail; // blocks with the same first and the same last bytes, or NONE
};

struct Near {
  int place;
  double bound; // cost at least
};

class Segment {
public:
  Segment(const smalti_bc7_rdo_args &arguments, int64_t first, int64_t last);
  static int64_t memory_bytes(int window);
  void run(uint8_t *memory); // zeroed

private:
  const smalti_bc7_rdo_args &args;
  const int64_t first, last; // blocks
  Picture picture;
  Stream stream;
  Book wholes, patterns_6, patterns_1, ends;
  // of the block at work
  Block block;
  Best best;
  double price; // squared error that a unit of rate is worth

  int number() const { return int(stream.number - first); }
  // How far back entry n of a book was used last, or 0 where no match reaches it.
  int reach(const Book &book, int n) const {
    const int back = number() - book.used[n];
    return back <= FARTHEST ? back : 0;
  }
  double match_cost(int back) const { return price * stream.match_rate(back); }

  void optimise(int64_t columns);
  void consider(Words words, int64_t front, int64_t tail);
  void try_wholes();
  void try_patterns_6();
  void try_patterns_1();
  void try_pairs(uint64_t high, int64_t tail);
  void try_ends();
  void alpha_ends(int n, int *fixed) const;
  template <class Errors>
  int most_promising(const Book &patterns, Near *near, const Errors &errors_of) const;
};

Segment::Segment(const smalti_bc7_rdo_args &arguments, int64_t from, int64_t to)
    : args(arguments), first(from), last(to),
      picture{args.image,
              args.height,
              args.width,
              {args.weights[0], args.weights[1], args.weights[2], args.weights[3]}} {}

int64_t Segment::memory_bytes(int window) {
  const int pairs = window / ENDS_SHARE > 1 ? window / ENDS_SHARE : 1;
  return Book::bytes(BLOCK_ROWS, window) + Book::bytes(PATTERN_ROWS, window) +
         Book::bytes(2 * PATTERN_ROWS, window) + Book::bytes(ENDS_ROWS, pairs);
}

void Segment::run(uint8_t *memory) {
  const int window = args.window;
  memory = wholes.place(memory, BLOCK_ROWS, window);
  memory = patterns_6.place(memory, PATTERN_ROWS, window);
  memory = patterns_1.place(memory, 2 * PATTERN_ROWS, window);
  ends.place(memory, ENDS_ROWS, window / ENDS_SHARE > 1 ? window / ENDS_SHARE : 1);
  stream.start(args.blocks, first, last);
  const int64_t columns = (args.width + 3) / 4;
  for (stream.number = first; stream.number < last; ++stream.number) optimise(columns);
}

void Segment::optimise(int64_t columns) {
  const Words before = stream.words(stream.number);
  const double deviation = block.read(picture, stream.number / columns, stream.number % columns);
  int32_t texels[16];
  decode_block(before, texels);
  // What the block promises for alpha, and every candidate must keep.
  const AlphaMasks now = alpha_masks(texels);
  block.promised.opaque &= now.opaque;
  block.promised.transparent &= now.transparent;
  // Errors in flat blocks are seen as edges of blocks: they count more.
  const double share = deviation / args.flat_limit;
  const double flat = 1.0 - (share < 1.0 ? share : 1.0);
  price = args.lagrangian / (1.0 + (args.flat_weight - 1.0) * flat * flat) / UNITS;

  const double cost = block.squared_error(texels) + price * stream.spans(before, NONE, NONE).rate;
  best = {cost, before, NONE, NONE};
  try_wholes();
  try_patterns_6();
  if (block.least_alpha == 255) try_patterns_1();
  try_ends();

  const Words after = best.words;
  stream.accept(after, best.front, best.tail);
  decode_block(after, texels);
  enter_block(wholes, after, number(), texels);
  const int mode = mode_of(after);
  if (mode == 6) {
    enter_pattern_6(patterns_6, after.high, number());
    enter_ends(ends, after, number());
  } else if (mode == 1) {
    enter_pattern_1(patterns_1, after, number());
  }
}

// Decode a candidate; keep it if it is the best and keeps what the block promises for alpha.
void Segment::consider(Words words, int64_t front, int64_t tail) {
  int32_t texels[16];
  decode_block(words, texels);
  if (!block.keeps_alpha(alpha_masks(texels))) return;
  double cost = block.squared_error(texels);
  if (!(cost < best.cost)) return;
  cost += price * stream.spans(words, front, tail).rate;
  if (cost < best.cost) best = {cost, words, front, tail};
}

void Segment::try_wholes() {
  const int channels = block.promised.opaque == ALL_TEXELS ? 3 : 4;
  for (int base = 0; base < wholes.count; base += LANES) {
    const vfloat limit = above(best.cost);
    const vfloat errors = channels == 3 ? block_errors(wholes.entry(base), block, 3, limit)
                                        : block_errors(wholes.entry(base), block, 4, limit);
    uint32_t lanes = bits_of((errors < limit) & first_lanes(wholes.count - base));
    if (!lanes) continue;
    float error[LANES];
    store(error, errors);
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes), n = base + lane, back = reach(wholes, n);
      if (!(double(error[lane]) < best.cost) || !back) continue;
      const double cost = double(error[lane]) + match_cost(back);
      const AlphaMasks masks{uint32_t(wholes.masks[0][n]), uint32_t(wholes.masks[1][n])};
      if (cost < best.cost && block.keeps_alpha(masks)) {
        const int64_t source = stream.number - back;
        best = {cost, {wholes.keys[0][n], wholes.keys[1][n]}, source, source};
      }
    }
  }
}

void Segment::try_patterns_6() {
  const vfloat variance(float(block.variance));
  const auto of_colour = [&](int n) {
    return variance - pattern_gains<1, 3>(patterns_6.entry(n), block, args.weights);
  };
  const auto of_colour_and_alpha = [&](int n) {
    return variance - pattern_gains<1, 4>(patterns_6.entry(n), block, args.weights);
  };
  Near near[FITTED];
  // With the endpoints of an earlier block too, nothing else is paid.
  const int found = block.least_alpha == 255
                        ? most_promising(patterns_6, near, of_colour)
                        : most_promising(patterns_6, near, of_colour_and_alpha);
  for (int k = 0; k < found; ++k) {
    const int n = near[k].place;
    const uint64_t high = patterns_6.keys[0][n];
    const int64_t tail = first + patterns_6.used[n];
    if (near[k].bound + price * ENDS_6_BITS * UNITS < best.cost) {
      int fixed[2];
      alpha_ends(n, fixed);
      if (fixed[1] == FREE || (fixed[1] & 1) == int(high & 1))
        consider({fit_6(high, block, fixed[0], fixed[1]), high}, NONE, tail);
    }
    try_pairs(high, tail);
  }
}

void Segment::try_patterns_1() {
  if (!patterns_1.count) return;
  double partitions[64];
  float least[64];
  partition_errors(block, picture, partitions);
  const double ends_cost = price * ENDS_1_BITS * UNITS;
  for (int p = 0; p < 64; ++p) least[p] = float(partitions[p] + ends_cost);
  Near near[FITTED];
  const int found = most_promising(patterns_1, near, [&](int n) {
    return gather(least, load(patterns_1.masks[0] + n)) -
           pattern_gains<2, 3>(patterns_1.entry(n), block, args.weights);
  });
  for (int k = 0; k < found; ++k) {
    if (!(near[k].bound < best.cost)) continue;
    const int n = near[k].place;
    const Words pattern{patterns_1.keys[0][n], patterns_1.keys[1][n]};
    consider(fit_1(pattern, block), NONE, first + patterns_1.used[n]);
  }
}

// Sort the least errors + cost of the match; return how many. errors_of: of LANES entries.
template <class Errors>
int Segment::most_promising(const Book &patterns, Near *near, const Errors &errors_of) const {
  int found = 0;
  double limit = best.cost;
  for (int base = 0; base < patterns.count; base += LANES) {
    const vfloat errors = errors_of(base);
    uint32_t lanes = bits_of((errors < above(limit)) & first_lanes(patterns.count - base));
    if (!lanes) continue;
    float error[LANES];
    store(error, errors);
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes), n = base + lane, back = reach(patterns, n);
      if (!(double(error[lane]) < limit) || !back) continue;
      const double bound = double(error[lane]) + match_cost(back);
      if (!(bound < limit)) continue;
      found = found < FITTED ? found + 1 : FITTED;
      int place = found - 1;
      for (; place > 0 && near[place - 1].bound > bound; --place) near[place] = near[place - 1];
      near[place] = {n, bound};
      if (found == FITTED) limit = near[FITTED - 1].bound;
    }
  }
  return found;
}

// Indices of one block with the endpoints of another.
void Segment::try_pairs(uint64_t high, int64_t tail) {
  PatternSums sums;
  for (int t = 0; t < 16; ++t) {
    const float w = float(weight_of(4, index_6(high, t))) * float(1.0 / 64), u = 1.0f - w;
    sums.uu += u * u;
    sums.uw += u * w;
    sums.ww += w * w;
    for (int c = 0; c < 4; ++c) {
      sums.starts[c] += u * block.texels[c][t];
      sums.stops[c] += w * block.texels[c][t];
    }
  }
  const double constant = block.black_error + match_cost(int(stream.number - tail));
  int choice = -1;
  double least = best.cost;
  for (int base = 0; base < ends.count; base += LANES) {
    const vfloat errors = pair_errors(ends.entry(base), sums);
    // Rounding of the exact comparison below is within a millionth of `constant`.
    const vfloat limit = above(least - constant + 1e-6 * constant);
    uint32_t lanes = bits_of((errors < limit) & first_lanes(ends.count - base));
    if (!lanes) continue;
    float error[LANES];
    store(error, errors);
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes), n = base + lane, back = reach(ends, n);
      if (!(double(error[lane]) + constant < least) || !back) continue;
      const double cost = double(error[lane]) + constant + match_cost(back);
      if (cost < least) least = cost, choice = n;
    }
  }
  if (choice >= 0) consider({ends.keys[0][choice], high}, first + ends.used[choice], tail);
}

void Segment::try_ends() {
  int choice = -1;
  double least = best.cost;
  for (int base = 0; base < ends.count; base += LANES) {
    const vfloat limit = above(least);
    const vfloat errors = ends_errors(ends.entry(base), block, limit);
    uint32_t lanes = bits_of((errors < limit) & first_lanes(ends.count - base));
    if (!lanes) continue;
    float error[LANES];
    store(error, errors);
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes), n = base + lane, back = reach(ends, n);
      if (!(double(error[lane]) < least) || !back) continue;
      const double cost = double(error[lane]) + match_cost(back);
      if (cost < least) least = cost, choice = n;
    }
  }
  if (choice < 0) return;
  const Words pair{ends.keys[0][choice], ends.keys[1][choice]};
  consider({pair.low, choose_6(pair, block)}, first + ends.used[choice], NONE);
}

// Alpha that the two endpoints must have: 0 or 255 if the block has texels of it, else FREE.
void Segment::alpha_ends(int n, int *fixed) const {
  const int least = block.least_alpha, greatest = block.greatest_alpha;
  const int low = least == 0 || least == 255 ? least : FREE, high = greatest == 255 ? 255 : FREE;
  float slope = 0;
  const float *row = patterns_6.entry(n);
  for (int t = 0; t < 16; ++t) slope += row[t * GROUP] * block.texels[3][t];
  fixed[0] = slope < 0 ? high : low;
  fixed[1] = slope < 0 ? low : high;
}

} // namespace rdo

KERNEL(bc7_rdo) {
  if (args.height < 1 || args.width < 1 || args.window < 1 || args.window > rdo::FARTHEST + 1 ||
      args.segment < 1 || args.segment > INT32_MAX)
    return SMALTI_INVALID;
  const int64_t blocks = ((args.height + 3) / 4) * ((args.width + 3) / 4);
  const int64_t segments = (blocks + args.segment - 1) / args.segment;
  int status = SMALTI_OK;
  parallel(args.threads, segments, 1, [&](int64_t first, int64_t last) {
    for (int64_t number = first; number < last; ++number) {
      // Too much for a thread's stack where the window is wide: half a megabyte.
      void *memory = __builtin_calloc(1, size_t(rdo::Segment::memory_bytes(args.window)));
      if (!memory) {
        __atomic_store_n(&status, int(SMALTI_NO_MEMORY), __ATOMIC_RELAXED);
        continue;
      }
      const int64_t start = number * args.segment, stop = start + args.segment;
      rdo::Segment(args, start, stop < blocks ? stop : blocks).run(static_cast<uint8_t *>(memory));
      __builtin_free(memory);
    }
  });
  return status;
}

} // namespace smalti::SMALTI_ISA
