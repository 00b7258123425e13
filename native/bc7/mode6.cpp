// Two small mode 6 encoders to learn from: the line through a block's texels, and Nelder and Mead's
// search from there. src/smalti/bc7/mode6.py says what they are, reference/mode6.py is the same to
// read.
//
// Texels are in lanes, and every entry of the palette is compared with all of them. Every float in
// `choose` is a whole number or a multiple of 1/64 or 1/4096 and every sum stays under 2^24 of its
// units, so that float32 is exact there; all else is float64 in a fixed order.

#include "bc7/tables.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int CHUNK_BLOCKS = 64; // a thread takes no fewer: at 2 us each, starting it costs no more
constexpr int PARTS = 16 / LANES;

constexpr int FREE = -1;                            // for an end's alpha: not prescribed
constexpr double GOOD_ENOUGH = 0.004 * (255 * 255); // squared error of a block: no search below it
constexpr int ITERATIONS = 64;                      // at most
constexpr double FIRST_STEP = 0.1 * 255;            // levels
constexpr double REFLECTION = 1.3;
constexpr double EXPANSION = 2.2;
constexpr double CONTRACTION = 0.55;
constexpr double SHRINK = 0.45;

constexpr double INFINITE = __builtin_huge_val();

double larger(double a, double b) { return a > b ? a : b; }
double smaller(double a, double b) { return a < b ? a : b; }
double within(double x, double least, double greatest) {
  return smaller(larger(x, least), greatest);
}

// Both ends of a line: R, G, B, A of the first, then of the second, 0 .. 255.
struct Point {
  double v[8];
};

struct Block {
  float x[4][16];    // R, G, B, A; colour under alpha 0 is the mean of the visible colours
  float visible[16]; // 1 where alpha > 0, else 0: weight of the colour error
  float norm[16];    // squared length of the texel, its colour weighted by `visible`
  float key[16];     // 16 (error - norm) + index of the nearest entry, of the ends chosen last
  int fixed[2];      // alphas that the two ends must have, or FREE

  bool read(const smalti_bc7_mode6_args &args, int64_t row, int64_t column);
  Point principal_ends() const;
  float choose(const float *ends);
  double round_and_choose(const Point &point, float *ends);
  Point nelder_mead(const Point &start, double error);
  void pack(const float *ends, uint8_t *bytes) const;
};

// False if no texel is visible.
bool Block::read(const smalti_bc7_mode6_args &args, int64_t row, int64_t column) {
  int least = 255, greatest = 0, seen = 0;
  int total[3] = {};
  for (int t = 0; t < 16; ++t) {
    int64_t y = 4 * row + t / 4, i = 4 * column + t % 4;
    y = y < args.height ? y : args.height - 1;
    i = i < args.width ? i : args.width - 1;
    const uint8_t *texel = args.image + 4 * (y * args.width + i);
    for (int c = 0; c < 4; ++c) x[c][t] = texel[c];
    const int alpha = texel[3];
    visible[t] = alpha > 0;
    seen += alpha > 0;
    for (int c = 0; c < 3; ++c) total[c] += alpha > 0 ? texel[c] : 0;
    least = alpha < least ? alpha : least;
    greatest = alpha > greatest ? alpha : greatest;
  }
  if (seen == 0) return false;
  for (int c = 0; c < 3; ++c)
    for (int t = 0; t < 16; ++t)
      if (visible[t] == 0) x[c][t] = float((total[c] + seen / 2) / seen);
  fixed[0] = least == 0 || least == 255 ? least : FREE;
  fixed[1] = greatest == 255 ? 255 : FREE;
  for (int t = 0; t < 16; ++t)
    norm[t] = visible[t] * (x[0][t] * x[0][t] + x[1][t] * x[1][t] + x[2][t] * x[2][t]) +
              x[3][t] * x[3][t];
  return true;
}

// The extremes of the texels on the line through their mean. Its direction is the longest of four
// sums: of the texels above the mean in R, in G, in B, in A.
Point Block::principal_ends() const {
  double mean[4], direction[4] = {}, longest = 0;
  for (int c = 0; c < 4; ++c) {
    mean[c] = 0;
    for (int t = 0; t < 16; ++t) mean[c] += double(x[c][t]);
    mean[c] /= 16;
  }
  for (int above = 0; above < 4; ++above) {
    double total[4] = {}, length = 0;
    for (int t = 0; t < 16; ++t)
      if (double(x[above][t]) > mean[above])
        for (int c = 0; c < 4; ++c) total[c] += double(x[c][t]) - mean[c];
    for (int c = 0; c < 4; ++c) length += total[c] * total[c];
    if (length > longest) {
      longest = length;
      for (int c = 0; c < 4; ++c) direction[c] = total[c];
    }
  }
  if (direction[3] < 0) // end 0 is the one with less alpha
    for (double &d : direction) d = -d;
  double low = 0, high = 0;
  for (int t = 0; t < 16; ++t) {
    double product = 0;
    for (int c = 0; c < 4; ++c) product += (double(x[c][t]) - mean[c]) * direction[c];
    low = smaller(low, product);
    high = larger(high, product);
  }
  Point point;
  for (int c = 0; c < 4; ++c) {
    const double along = longest > 0 ? direction[c] / longest : 0.0;
    point.v[c] = within(mean[c] + low * along, 0, 255);
    point.v[4 + c] = within(mean[c] + high * along, 0, 255);
  }
  return point;
}

// Choose the nearest of the 16 palette entries for each texel; return the squared error. Fills
// `key`. |x - p|^2 = |x|^2 + (|p|^2 - 2 x p): 11 vector operations an entry.
float Block::choose(const float *ends) {
  float palette[4][16], colour[16], alpha[16];
  for (int part = 0; part < PARTS; ++part) {
    const int first = part * LANES;
    const vint k = lane_numbers() + vint(first);
    // weight_of(4, k) / 64
    const vfloat step = to_float((k << 2) + ((k + vint(2)) >> 2)) * vfloat(1.0f / 64);
    vfloat entry[4];
    for (int c = 0; c < 4; ++c) {
      entry[c] = floor(vfloat(ends[c] + 0.5f) + step * vfloat(ends[4 + c] - ends[c]));
      store(palette[c] + first, vfloat(-32.0f) * entry[c]);
    }
    const vfloat square = entry[0] * entry[0] + entry[1] * entry[1] + entry[2] * entry[2];
    store(colour + first, vfloat(16.0f) * square);
    store(alpha + first, vfloat(16.0f) * entry[3] * entry[3] + to_float(k));
  }
  Sixteen errors;
  for (int part = 0; part < PARTS; ++part) {
    const int first = part * LANES;
    const vfloat r = load(x[0] + first), g = load(x[1] + first);
    const vfloat b = load(x[2] + first), a = load(x[3] + first), seen = load(visible + first);
    vfloat least(float(1 << 24));
    for (int k = 0; k < 16; ++k) {
      const vfloat products = vfloat(palette[0][k]) * r + vfloat(palette[1][k]) * g +
                              vfloat(palette[2][k]) * b + vfloat(colour[k]);
      least = min(seen * products + (vfloat(palette[3][k]) * a + vfloat(alpha[k])), least);
    }
    store(key + first, least);
    errors.part[part] = load(norm + first) + floor(least * vfloat(1.0f / 16));
  }
  return errors.total();
}

// The nearest number of 0 .. 255 with the given lowest bit.
double nearest(double value, int parity) {
  return 2 * within(__builtin_floor((value - parity) * 0.5 + 0.5), 0, 127) + parity;
}

// Round `point` to 7 bits and the best of the p-bits; return the block's squared error. ends:
// receives the rounded ends. An end of prescribed alpha has a prescribed p-bit.
double Block::round_and_choose(const Point &point, float *ends) {
  double least = INFINITE;
  float rounded[2][8];
  for (int parity = 0; parity < 2; ++parity)
    for (int i = 0; i < 8; ++i) {
      const bool given = i % 4 == 3 && fixed[i / 4] != FREE;
      rounded[parity][i] = float(given ? fixed[i / 4] : nearest(point.v[i], parity));
    }
  for (int pair = 0; pair < 4; ++pair) {
    const int parities[2] = {pair & 1, pair >> 1};
    if (fixed[0] != FREE && parities[0] != (fixed[0] & 1)) continue;
    if (fixed[1] != FREE && parities[1] != (fixed[1] & 1)) continue;
    float trial[8];
    for (int i = 0; i < 8; ++i) trial[i] = rounded[parities[i / 4]][i];
    const double error = double(choose(trial));
    if (error < least) {
      least = error;
      for (int i = 0; i < 8; ++i) ends[i] = trial[i];
    }
  }
  return least;
}

// origin + factor (source - origin), within 0 .. 255.
Point move(const Point &origin, const Point &source, double factor) {
  Point target;
  for (int i = 0; i < 8; ++i)
    target.v[i] = within(origin.v[i] + factor * (source.v[i] - origin.v[i]), 0, 255);
  return target;
}

struct Simplex {
  Point vertices[9];
  double errors[9];
  int last = 0; // index of the last vertex

  // Least error first; equal errors keep their order.
  void sort() {
    for (int i = 1; i <= last; ++i)
      for (int j = i; j > 0 && errors[j] < errors[j - 1]; --j) {
        const Point vertex = vertices[j];
        const double error = errors[j];
        vertices[j] = vertices[j - 1], errors[j] = errors[j - 1];
        vertices[j - 1] = vertex, errors[j - 1] = error;
      }
  }
};

// The best point that the simplex finds from `start`, whose error is given. Nelder and Mead 1965.
Point Block::nelder_mead(const Point &start, double error) {
  float ends[8];
  Simplex s;
  s.vertices[0] = start;
  s.errors[0] = error;
  for (int i = 0; i < 8; ++i) {
    if (i % 4 == 3 && fixed[i / 4] != FREE) continue;
    Point &vertex = s.vertices[++s.last];
    vertex = start;
    const double up = start.v[i] + FIRST_STEP;
    vertex.v[i] = up <= 255 ? up : start.v[i] - FIRST_STEP;
    s.errors[s.last] = round_and_choose(vertex, ends);
  }
  const int last = s.last;
  for (int iteration = 0; iteration < ITERATIONS; ++iteration) {
    s.sort();
    if (s.errors[0] == s.errors[last]) break;
    Point centroid;
    for (int i = 0; i < 8; ++i) {
      double total = 0;
      for (int n = 0; n < last; ++n) total += s.vertices[n].v[i];
      centroid.v[i] = total / last;
    }
    // A point beyond the centroid is a move by a negative factor, seen from the worst vertex.
    Point reflected = move(centroid, s.vertices[last], -REFLECTION);
    double reflected_error = round_and_choose(reflected, ends);
    if (reflected_error < s.errors[0]) {
      const Point further = move(centroid, reflected, EXPANSION);
      const double further_error = round_and_choose(further, ends);
      if (further_error < reflected_error) reflected = further, reflected_error = further_error;
    }
    if (reflected_error < s.errors[last - 1]) {
      s.vertices[last] = reflected, s.errors[last] = reflected_error;
      continue;
    }
    const Point nearer = move(centroid, s.vertices[last], CONTRACTION);
    const double nearer_error = round_and_choose(nearer, ends);
    if (nearer_error < s.errors[last]) {
      s.vertices[last] = nearer, s.errors[last] = nearer_error;
      continue;
    }
    for (int n = 1; n <= last; ++n) {
      s.vertices[n] = move(s.vertices[0], s.vertices[n], SHRINK);
      s.errors[n] = round_and_choose(s.vertices[n], ends);
    }
  }
  s.sort();
  return s.vertices[0];
}

// The 16 bytes of the block with these ends and the indices chosen last.
void Block::pack(const float *ends, uint8_t *bytes) const {
  int index[16];
  for (int t = 0; t < 16; ++t) index[t] = int(key[t] - 16 * __builtin_floorf(key[t] * (1.0f / 16)));
  // The anchor's index has no top bit: turn the line round where it is set. The weights are
  // symmetric, so the texels stay.
  const int turned = index[0] >= 8;
  uint64_t words[2] = {1 << 6, 0};
  for (int c = 0; c < 4; ++c)
    for (int e = 0; e < 2; ++e)
      words[0] |= uint64_t(int(ends[4 * (e ^ turned) + c]) >> 1) << (7 + 14 * c + 7 * e);
  words[0] |= uint64_t(int(ends[4 * turned]) & 1) << 63;
  words[1] |= uint64_t(int(ends[4 * (1 - turned)]) & 1);
  for (int t = 0; t < 16; ++t)
    words[1] |= uint64_t(turned ? 15 - index[t] : index[t]) << (t ? 4 * t : 1);
  __builtin_memcpy(bytes, words, BLOCK_BYTES);
}

void encode(const smalti_bc7_mode6_args &args, int64_t row, int64_t column, uint8_t *bytes) {
  Block block;
  if (!block.read(args, row, column)) {
    const uint64_t words[2] = {1 << 6, 0}; // mode 6, all the rest zero
    __builtin_memcpy(bytes, words, BLOCK_BYTES);
    return;
  }
  float ends[8];
  Point point = block.principal_ends();
  const double error = block.round_and_choose(point, ends);
  if (args.search && error > GOOD_ENOUGH) {
    point = block.nelder_mead(point, error);
    block.round_and_choose(point, ends);
  }
  block.choose(ends);
  block.pack(ends, bytes);
}

} // namespace

KERNEL(bc7_mode6) {
  if (args.height < 1 || args.width < 1) return SMALTI_INVALID;
  const int64_t rows = (args.height + 3) / 4, columns = (args.width + 3) / 4;
  parallel(args.threads, rows, CHUNK_BLOCKS / columns + 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t column = 0; column < columns; ++column)
        encode(args, row, column, args.blocks + (row * columns + column) * BLOCK_BYTES);
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
