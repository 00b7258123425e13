// Grid values of a fitted picture <-> bytes: the context model in integers, and the range coder
// (docs/FORMAT.md, codec `fitted`). Encoder and decoder are one function of the range coder's type.
//
// A value waits for the one to its left, whose value the processor foresees as the one nearest to
// its mean. So what counts is the way from mean to mean: two layers of 16, each a vector of sums.

#include "entropy/range.h"
#include "fits/probabilities.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int NEAR = 12, COARSE = 5, INPUTS = NEAR + COARSE;
constexpr int HIDDEN = 16;
constexpr int REACH = 3;    // of the neighbours, up, left and right
constexpr int FRACTION = 8; // bits after the point of an activation
constexpr int TOP = 32767;  // of an activation
constexpr int CLAMP = 255;  // of a neighbour
constexpr int FURTHER = 20; // decisions "one further"; what is left is an Elias gamma code
constexpr int RATE = 6;     // a probability moves by 1/2^RATE of what it is wrong by
constexpr int LIMIT = 1 << 15;
constexpr int MAX_WEIGHT = 2047; // so that sums stay below 2^31
constexpr int PARTS = HIDDEN / LANES;

// Rows of the network's table: bias and a row an input, of each layer in turn.
constexpr int BIAS_2 = 1 + INPUTS, BIAS_3 = BIAS_2 + 1 + HIDDEN, TABLE_ROWS = BIAS_3 + 3;

// Inputs in pairs, as two numbers side by side in a row of neighbours; -1: none. Those of the
// value's own row come from registers, those of the coarser grid are summed for all values that
// look at them.
enum { ABOVE, ABOVE_2, ABOVE_3, ROWS };
enum { C_ABOVE, C_HERE, C_BELOW, C_ROWS };
struct Pair {
  int row, column, inputs[2];
};
constexpr Pair NEAR_PAIRS[] = {
    {ABOVE, -2, {6, 2}},   {ABOVE, 0, {1, 3}},    {ABOVE, 2, {7, -1}},
    {ABOVE_2, -1, {8, 5}}, {ABOVE_2, 1, {9, -1}}, {ABOVE_3, 0, {11, -1}},
};
constexpr Pair COARSE_PAIRS[] = {
    {C_ABOVE, 0, {15, -1}},
    {C_HERE, -1, {13, 12}},
    {C_HERE, 1, {14, -1}},
    {C_BELOW, 0, {16, -1}},
};
constexpr int NEARS = sizeof(NEAR_PAIRS) / sizeof(Pair),
              COARSES = sizeof(COARSE_PAIRS) / sizeof(Pair);
constexpr int OWN_ROW[2][2] = {{0, 4}, {10, -1}}; // W and WW; WWW

struct Hidden {
  vint part[PARTS];
};

SIMD_INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
SIMD_INLINE int32_t greatest(int32_t a, int32_t b) { return a > b ? a : b; }
SIMD_INLINE int32_t within(int32_t a, int32_t low, int32_t high) {
  return greatest(least(a, high), low);
}
SIMD_INLINE int32_t two(int32_t low, int32_t high) {
  return int32_t((uint32_t(low) & 0xFFFF) | uint32_t(high) << 16);
}
SIMD_INLINE int32_t two_at(const int16_t *p) { return two(p[0], p[1]); }

// The network, its weights in pairs: two inputs' side by side in each lane.
struct Network {
  Hidden own[2], near[NEARS], coarse[COARSES], second[HIDDEN / 2];
  Hidden bias_1, bias_2, mean, log_inverse;
  int32_t bias_mean, bias_log;
  int k; // weights are whole numbers / 2^k

  SIMD_INLINE void load_from(const int32_t *table, int bits) {
    k = bits;
    const int32_t *const first = table + HIDDEN;
    for (int i = 0; i < 2; ++i) own[i] = pair(first, OWN_ROW[i]);
    for (int i = 0; i < NEARS; ++i) near[i] = pair(first, NEAR_PAIRS[i].inputs);
    for (int i = 0; i < COARSES; ++i) coarse[i] = pair(first, COARSE_PAIRS[i].inputs);
    for (int i = 0; i < HIDDEN / 2; ++i) {
      const int rows[2] = {i, i + HIDDEN / 2};
      second[i] = pair(table + (BIAS_2 + 1) * HIDDEN, rows);
    }
    bias_1 = row(table);
    bias_2 = row(table + BIAS_2 * HIDDEN);
    const int rows[2][2] = {{0, -1}, {1, -1}};
    mean = pair(table + (BIAS_3 + 1) * HIDDEN, rows[0]);
    log_inverse = pair(table + (BIAS_3 + 1) * HIDDEN, rows[1]);
    bias_mean = table[BIAS_3 * HIDDEN];
    bias_log = table[BIAS_3 * HIDDEN + 1];
  }

  // Of the first layer's sums, what the bias and the coarser grid give.
  SIMD_INLINE void coarse_sums(const int16_t *const (&rows)[C_ROWS], int64_t x,
                               int32_t *sums) const {
    Hidden sum = bias_1;
    for (int i = 0; i < COARSES; ++i)
      add_product(sum, coarse[i], two_at(rows[COARSE_PAIRS[i].row] + x + COARSE_PAIRS[i].column));
    for (int p = 0; p < PARTS; ++p) store(sums + p * LANES, sum.part[p]);
  }

  // Mean and log inverse width, in 1/256. `sums` are those of the coarser grid, `rows` those above.
  SIMD_INLINE void distribution(const int32_t *sums, const int16_t *const (&rows)[ROWS], int64_t x,
                                int32_t w, int32_t ww, int32_t www, int32_t *mean_out,
                                int32_t *log_out) const {
    Hidden chain[2] = {row(sums), {}};
    for (int i = 0; i < NEARS; ++i)
      add_product(chain[i % 2], near[i],
                  two_at(rows[NEAR_PAIRS[i].row] + x + NEAR_PAIRS[i].column));
    add_product(chain[0], own[1], two(www, 0));
    Hidden h1;
    for (int p = 0; p < PARTS; ++p) h1.part[p] = chain[0].part[p] + chain[1].part[p];
    add_product(h1, own[0], two(w, ww));
    const int left = FRACTION - k;
    for (vint &h : h1.part) h = min(max(h, vint(0)), vint((TOP >> left) + 1)) << left;
    for (vint &h : h1.part) h = min(h, vint(TOP));

    int32_t pairs[HIDDEN / 2];
    store_pairs(h1.part, pairs);
    Hidden chains[4] = {bias_2, {}, {}, {}};
    for (int i = 0; i < HIDDEN / 2; ++i) add_product(chains[i % 4], second[i], pairs[i]);
    vint total[2] = {vint(0), vint(0)};
    for (int p = 0; p < PARTS; ++p) {
      const vint sum =
          (chains[0].part[p] + chains[1].part[p]) + (chains[2].part[p] + chains[3].part[p]);
      const vint h2 = min(max(sum, vint(0)) >> k, vint(TOP));
      total[0] += pair_products(h2, mean.part[p]);
      total[1] += pair_products(h2, log_inverse.part[p]);
    }
    int32_t sum[2];
    totals(total[0], total[1], sum);
    *mean_out = (bias_mean + sum[0]) >> k;
    *log_out = (bias_log + sum[1]) >> k;
  }

private:
  SIMD_INLINE static Hidden row(const int32_t *table) {
    Hidden r;
    for (int p = 0; p < PARTS; ++p) r.part[p] = load(table + p * LANES);
    return r;
  }
  SIMD_INLINE static Hidden pair(const int32_t *table, const int (&rows)[2]) {
    Hidden r = row(table + rows[0] * HIDDEN);
    for (int p = 0; p < PARTS; ++p) {
      r.part[p] = r.part[p] & vint(0xFFFF);
      if (rows[1] >= 0) r.part[p] |= load(table + rows[1] * HIDDEN + p * LANES) << 16;
    }
    return r;
  }
  SIMD_INLINE static void add_product(Hidden &sum, const Hidden &weights, int32_t both) {
    for (int p = 0; p < PARTS; ++p) sum.part[p] += pair_products(weights.part[p], vint(both));
  }
};

template <class Coder>
SIMD_INLINE int learnt_bit(Coder &coder, int bit, int32_t &probability) {
  const int32_t before = probability;
  bit = coder.bit(bit, uint32_t(within(before, 32, 65536 - 32)));
  probability = before + (((bit << 16) - before) >> RATE);
  return bit;
}

// What is left of a magnitude, 1 or more, as an Elias gamma code.
template <class Coder>
int32_t code_rest(Coder &coder, int32_t rest) {
  int length = 0;
  while (length < 17 && coder.bit(rest >> (length + 1) > 0, 1 << 15)) ++length;
  int32_t held = 1;
  for (int k = length - 1; k >= 0; --k) held = held << 1 | coder.bit(rest >> k & 1, 1 << 15);
  return held;
}

// One value, given its distribution.
template <class Coder>
SIMD_INLINE int32_t code_value(Coder &coder, Probabilities &learnt, int32_t value, int32_t mean,
                               int32_t log_inverse) {
  const int width = within((log_inverse + (6 << FRACTION) + 16) >> 5, 0, WIDTHS - 1);
  const int32_t sixteenths = (mean + 8) >> 4;
  const int32_t middle = (sixteenths + 8) >> 4;
  const int place = sixteenths - 16 * middle + 8;
  // the encoder need not wait for the mean to know the value
  if (learnt_bit(coder, value == middle, learnt.nearest[width][place]))
    return Coder::DECODES ? middle : value;
  const int positive = learnt_bit(coder, value > middle, learnt.above[width][place]);
  const int32_t size = positive ? value - middle : middle - value;
  int32_t magnitude = 1;
  while (magnitude <= FURTHER &&
         learnt_bit(coder, size > magnitude, learnt.further[width][least(magnitude, DEPTHS) - 1]))
    ++magnitude;
  if (magnitude > FURTHER)
    magnitude += code_rest(coder, size - magnitude + 1) - 1;
  else if (!Coder::DECODES)
    return value;
  return positive ? middle + magnitude : middle - magnitude;
}

// What one stream holds of one grid: SMALTI_FITS_PIECE numbers.
struct Piece {
  int64_t offset, width, top, left, height, columns;
  int64_t coarse_offset, coarse_width, coarse_top, coarse_left, coarse_height, coarse_columns,
      shift;

  SIMD_INLINE explicit Piece(const int64_t *n)
      : offset(n[0]), width(n[1]), top(n[2]), left(n[3]), height(n[4]), columns(n[5]),
        coarse_offset(n[6]), coarse_width(n[7]), coarse_top(n[8]), coarse_left(n[9]),
        coarse_height(n[10]), coarse_columns(n[11]), shift(n[12]) {}

  bool usable(int64_t count, int64_t scratch) const {
    if (!inside(offset, width, top, left, height, columns, count) || shift < 0 || shift > 1 ||
        scratch_of() > scratch)
      return false;
    return coarse_offset < 0 ||
           (inside(coarse_offset, coarse_width, coarse_top, coarse_left, coarse_height,
                   coarse_columns, count) &&
            (height - 1) >> shift < coarse_height && (columns - 1) >> shift < coarse_columns);
  }
  // Of a row of neighbours, and of one of the coarser grid's, with what is read beside them.
  int64_t stride() const { return columns + 2 * REACH + 2; }
  int64_t coarse_columns_seen() const { return ((columns - 1) >> shift) + 1; }
  int64_t coarse_stride() const { return coarse_columns_seen() + 4; }
  // What Space takes, in 32-bit numbers.
  int64_t scratch_of() const {
    const int64_t halves =
        (REACH + 1) * stride() + columns + C_ROWS * coarse_stride() + coarse_columns_seen();
    return HIDDEN * (coarse_columns_seen() + 1) + (halves + 1) / 2;
  }

private:
  static bool inside(int64_t offset, int64_t width, int64_t top, int64_t left, int64_t height,
                     int64_t columns, int64_t count) {
    constexpr int64_t most = INT64_C(1) << 31;
    const int64_t numbers[] = {offset, width, top, left, height, columns};
    for (const int64_t n : numbers)
      if (n < 0 || n > most) return false;
    return height > 0 && columns > 0 && left + columns <= width && top + height <= most / width &&
           offset + (top + height) * width <= count;
  }
};

// A row of the coarser grid, clamped, with zeros beside it.
void fill_coarse(const Piece &piece, const int32_t *values, int64_t row, int16_t *target) {
  const int64_t stride = piece.coarse_stride();
  const bool exists = piece.coarse_offset >= 0 && row >= 0 && row < piece.coarse_height;
  for (int64_t i = 0; i < stride; ++i) target[i] = 0;
  if (!exists) return;
  const int32_t *const from = values + piece.coarse_offset +
                              (piece.coarse_top + row) * piece.coarse_width + piece.coarse_left;
  for (int64_t i = 0; i < piece.coarse_columns && i + 1 < stride; ++i)
    target[1 + i] = int16_t(within(from[i], -CLAMP, CLAMP));
}

// Scratch of one piece.
struct Space {
  int32_t *sums;          // of the coarser grid, HIDDEN a column of it, aligned
  int16_t *rows;          // of neighbours, clamped, with a margin: the value's own and three above
  int16_t *coarse;        // three rows of the coarser grid, likewise
  int16_t *some, *c_some; // whether any neighbour above, any in the coarser grid, is not 0

  SIMD_INLINE Space(const Piece &piece, int32_t *scratch) {
    sums =
        reinterpret_cast<int32_t *>((reinterpret_cast<uintptr_t>(scratch) + 63) & ~uintptr_t(63));
    rows = reinterpret_cast<int16_t *>(sums + HIDDEN * piece.coarse_columns_seen());
    coarse = rows + (REACH + 1) * piece.stride();
    some = coarse + C_ROWS * piece.coarse_stride();
    c_some = some + piece.columns;
  }
};

// What the values of one row, or of two, see of the coarser grid.
SIMD_INLINE void look_at_coarse(const Piece &piece, const Network &network,
                                const int16_t *const (&rows)[C_ROWS], const Space &space) {
  for (int64_t x = 0; x < piece.coarse_columns_seen(); ++x) {
    network.coarse_sums(rows, x, space.sums + x * HIDDEN);
    const int16_t *const here = rows[C_HERE] + x;
    space.c_some[x] = here[-1] | here[0] | here[1] | rows[C_ABOVE][x] | rows[C_BELOW][x];
  }
}

SIMD_INLINE void look_above(const int16_t *const (&rows)[ROWS], int64_t columns, int16_t *some) {
  const int16_t *const a = rows[ABOVE], *const b = rows[ABOVE_2], *const c = rows[ABOVE_3];
  for (int64_t x = 0; x < columns; ++x)
    some[x] = a[x - 2] | a[x - 1] | a[x] | a[x + 1] | a[x + 2] | b[x - 1] | b[x] | b[x + 1] | c[x];
}

template <class Coder>
void code_piece(Coder &coder, Probabilities &learnt, const Network &network, const Piece &piece,
                int32_t *values, int32_t *scratch) {
  const Space space(piece, scratch);
  const int64_t stride = piece.stride(), coarse_stride = piece.coarse_stride();
  for (int64_t i = 0; i < (REACH + 1) * stride; ++i) space.rows[i] = 0;
  for (int64_t row = -1; row < 1; ++row)
    fill_coarse(piece, values, row, space.coarse + (row + 3) % 3 * coarse_stride);

  // What all have in common that see nothing but zeros
  const int16_t *const zeros[ROWS] = {space.rows + REACH, space.rows + REACH, space.rows + REACH};
  alignas(64) int32_t bias[HIDDEN];
  for (int p = 0; p < PARTS; ++p) store(bias + p * LANES, network.bias_1.part[p]);
  int32_t quiet_mean, quiet_log;
  network.distribution(bias, zeros, 0, 0, 0, 0, &quiet_mean, &quiet_log);

  for (int64_t row = 0; row < piece.height; ++row) {
    const int64_t c_row = row >> piece.shift;
    if (row == c_row << piece.shift) {
      fill_coarse(piece, values, c_row + 1, space.coarse + (c_row + 1) % 3 * coarse_stride);
      const int16_t *const coarse[C_ROWS] = {
          space.coarse + (c_row + 2) % 3 * coarse_stride + 1,
          space.coarse + c_row % 3 * coarse_stride + 1,
          space.coarse + (c_row + 1) % 3 * coarse_stride + 1,
      };
      look_at_coarse(piece, network, coarse, space);
    }
    int16_t *const here = space.rows + row % (REACH + 1) * stride + REACH;
    const int16_t *const above[ROWS] = {
        space.rows + (row + REACH) % (REACH + 1) * stride + REACH,
        space.rows + (row + REACH - 1) % (REACH + 1) * stride + REACH,
        space.rows + (row + REACH - 2) % (REACH + 1) * stride + REACH,
    };
    look_above(above, piece.columns, space.some);
    int32_t *const own = values + piece.offset + (piece.top + row) * piece.width + piece.left;
    int32_t w = 0, ww = 0, www = 0;
    for (int64_t x = 0; x < piece.columns; ++x) {
      const int64_t c_x = x >> piece.shift;
      int32_t mean = quiet_mean, log_inverse = quiet_log;
      if (space.some[x] | space.c_some[c_x] | w | ww | www)
        network.distribution(space.sums + c_x * HIDDEN, above, x, w, ww, www, &mean, &log_inverse);
      const int32_t coded = code_value(coder, learnt, own[x], mean, log_inverse);
      const int32_t value = within(coded, -LIMIT, LIMIT - 1); // of a forged file
      if (Coder::DECODES) own[x] = value;
      www = ww;
      ww = w;
      w = within(value, -CLAMP, CLAMP);
      here[x] = int16_t(w);
    }
  }
}

template <class Args>
bool usable(const Args &args) {
  if (args.streams < 1 || args.count < 1 || args.bits < 0 || args.bits > FRACTION) return false;
  for (int64_t i = 0; i < TABLE_ROWS * HIDDEN; ++i) {
    const int64_t row = i / HIDDEN;
    const int32_t most = row == BIAS_2 || row == BIAS_3 ? MAX_WEIGHT << FRACTION : MAX_WEIGHT;
    if (args.network[i] < -most || args.network[i] > most) return false;
  }
  for (int64_t s = 0; s < args.streams; ++s) {
    if (args.first_piece[s] < 0 || args.first_piece[s + 1] < args.first_piece[s]) return false;
    if (args.offsets[s] < 0 || args.offsets[s + 1] < args.offsets[s]) return false;
    for (int64_t p = args.first_piece[s]; p < args.first_piece[s + 1]; ++p)
      if (!Piece(args.pieces + p * SMALTI_FITS_PIECE).usable(args.count, args.scratch_stride))
        return false;
  }
  return true;
}

template <class Coder, class Args>
bool code_stream(Coder &coder, const Args &args, int64_t stream, int32_t *values) {
  Network network;
  network.load_from(args.network, args.bits);
  Probabilities learnt = FIRST;
  for (int64_t p = args.first_piece[stream]; p < args.first_piece[stream + 1]; ++p)
    code_piece(coder, learnt, network, Piece(args.pieces + p * SMALTI_FITS_PIECE), values,
               args.scratch + stream * args.scratch_stride);
  return coder.finish();
}

} // namespace

KERNEL(fits_encode_streams) {
  if (!usable(args)) return SMALTI_INVALID;
  parallel(args.threads, args.streams, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      RangeEncoder coder(args.data + args.offsets[s], args.offsets[s + 1] - args.offsets[s]);
      code_stream(coder, args, s, const_cast<int32_t *>(args.values)); // which is only read
      args.sizes[s] = coder.position;
    }
  });
  return SMALTI_OK;
}

KERNEL(fits_decode_streams) {
  if (!usable(args)) return SMALTI_INVALID;
  parallel(args.threads, args.streams, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      RangeDecoder coder(args.data + args.offsets[s], args.offsets[s + 1] - args.offsets[s]);
      args.sound[s] = code_stream(coder, args, s, args.values);
      args.positions[s] = coder.position;
    }
  });
  for (int64_t s = 0; s < args.streams; ++s)
    if (!args.sound[s]) return SMALTI_DAMAGED;
  return SMALTI_OK;
}

KERNEL(fits_first_probabilities) {
  *reinterpret_cast<Probabilities *>(args.probabilities) = FIRST;
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
