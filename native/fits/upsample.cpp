// Doubling planes, and the same backwards. The floor backwards: 14 multiply-adds a new node, and as
// many numbers read and written in the first-level cache.

#include "fits/double.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int64_t CHUNK_NODES = 1 << 14; // new nodes that a thread takes at a time, at least

// Derivatives by the even (0) and odd (1) new nodes of old nodes first - HALO .. first + SPAN +
// HALO - 1, zeros where there are none.
struct Halves {
  alignas(64) float at[2][LINE];
};

void split(const float *d_row, int64_t columns, int64_t first, Halves &halves) {
  const vfloat zero(0.0f);
  if (first == 0)
    for (auto &half : halves.at) store(half + LINE_START - LANES, zero);
  for (int64_t i = first < HALO ? 0 : first - HALO; i < first + SPAN + HALO; i += LANES) {
    const int64_t n = columns - 2 * i;
    const float *d = d_row + 2 * i;
    const vfloat a = n >= LANES ? load(d) : load_first(d, n);
    const vfloat b = n >= 2 * LANES ? load(d + LANES)
                     : n > LANES    ? load_first(d + LANES, n - LANES)
                                    : zero;
    vfloat even, odd;
    unzip(a, b, even, odd);
    store(halves.at[0] + LINE_START - first + i, even);
    store(halves.at[1] + LINE_START - first + i, odd);
  }
}

// Derivative by one number of the line between, from zero-filled halves.
SIMD_INLINE float line_gradient(const float *even, const float *odd, const Taps &taps, int64_t i) {
  const auto at = [](const float *d, int64_t k) { return k < 0 ? 0.0f : d[k]; };
  float sum = taps.t[0] * (at(even, i + 2) + at(odd, i - 2));
  sum = fma(taps.t[1], at(even, i + 1) + at(odd, i - 1), sum);
  sum = fma(taps.t[2], at(even, i) + at(odd, i), sum);
  return fma(taps.t[3], at(even, i - 1) + at(odd, i + 1), sum);
}

constexpr int GROUP = 4; // segments that are done together (see double.h)

struct alignas(64) Back {
  float line[LINE];
  Halves halves;
  float d_line[SPAN];
};

// The way back through `spread`: d_line, and what it adds to the taps.
SIMD_INLINE void spread_back(Back &back, const Taps &taps, int64_t first, int64_t width,
                             Sixteen (&sums)[4]) {
  const float *l = back.line + LINE_START;
  const float *e = back.halves.at[0] + LINE_START, *o = back.halves.at[1] + LINE_START;
  const vfloat t0(taps.t[0]), t1(taps.t[1]), t2(taps.t[2]), t3(taps.t[3]);
  for (int at = 0; at < SPAN; at += 16)
    for (int part = 0; part < Sixteen::PARTS; ++part) {
      const int i = at + part * LANES;
      const vfloat even = load(e + i), odd = load(o + i);
      const vfloat y0 = load(l + i - 2), y1 = load(l + i - 1), y2 = load(l + i),
                   y3 = load(l + i + 1), y4 = load(l + i + 2);
      const auto sum = [&](int k, vfloat of_even, vfloat of_odd) {
        vfloat &s = sums[k].part[part];
        s = fma(odd, of_odd, fma(even, of_even, s));
      };
      sum(0, y0, y4);
      sum(1, y1, y3);
      sum(2, y2, y2);
      sum(3, y3, y1);
      vfloat d = t0 * (load(e + i + 2) + load(o + i - 2));
      d = fma(t1, load(e + i + 1) + load(o + i - 1), d);
      d = fma(t2, even + odd, d);
      store(back.d_line + i, fma(t3, load(e + i - 1) + load(o + i + 1), d));
    }
  // The ends were repeated: what lies beyond them counts for them.
  const int64_t count = least(SPAN, width - first);
  if (first == 0) back.d_line[0] += line_gradient(e, o, taps, -1) + line_gradient(e, o, taps, -2);
  if (first + count == width) {
    // two nodes behind the last see the last two
    const float even = e[count - 1], odd = o[count - 1],
                odd_before = width > 1 ? o[count - 2] : 0.0f;
    const float sum = fma(taps.t[3], even, fma(taps.t[1], odd, taps.t[0] * odd_before));
    back.d_line[count - 1] += sum + taps.t[0] * odd;
  }
}

// The way back through `between`: adds to the four old rows' derivatives and to the taps' lanes.
SIMD_INLINE void between_back(Plane source, const FourRows &rows, const Taps &taps,
                              const float *d_line, int64_t first, float *d_source,
                              Sixteen (&sums)[4]) {
  const int64_t count = least(SPAN, source.width - first);
  for (int at = 0; at < count; at += 16)
    for (int part = 0; part < Sixteen::PARTS; ++part) {
      const int i = at + part * LANES;
      const int64_t n = count - i;
      const vfloat d = load(d_line + i);
      for (int k = 0; k < 4; ++k) {
        const int64_t place = rows.row[k] * source.width + first + i;
        vfloat &s = sums[k].part[part];
        const vfloat tap(taps.t[k]);
        if (n >= LANES) {
          s = fma(d, load(source.at + place), s);
          store(d_source + place, fma(tap, d, load(d_source + place)));
        } else if (n > 0) {
          s = fma(d, load_first(source.at + place, n), s);
          store_first(d_source + place, fma(tap, d, load_first(d_source + place, n)), n);
        }
      }
    }
}

// One new row: adds to the old rows' derivatives and to the taps' lanes.
void row_back(Plane source, const Taps &taps, int64_t row, const float *d_row, int64_t columns,
              float *d_source, Sixteen (&sums)[4]) {
  const FourRows rows(source.height, row);
  Back back[GROUP];
  for (int64_t begin = 0; begin < source.width; begin += GROUP * SPAN) {
    const int count = int(least(GROUP, (source.width - begin + SPAN - 1) / SPAN));
    for (int k = 0; k < count; ++k) {
      between(source, rows, taps, begin + k * SPAN, back[k].line);
      split(d_row, columns, begin + k * SPAN, back[k].halves);
    }
    for (int k = 0; k < count; ++k)
      spread_back(back[k], taps, begin + k * SPAN, source.width, sums);
    for (int k = 0; k < count; ++k)
      between_back(source, rows, taps, back[k].d_line, begin + k * SPAN, d_source, sums);
  }
}

} // namespace

KERNEL(fits_double) {
  const Taps taps(args.taps);
  const int64_t chunk = CHUNK_NODES / args.new_width + 1;
  parallel(args.threads, args.planes * args.new_height, chunk, [&](int64_t begin, int64_t end) {
    alignas(64) float line[LINE], made[2 * SPAN];
    for (int64_t r = begin; r < end; ++r) {
      const int64_t plane = r / args.new_height, row = r % args.new_height;
      const Plane source{args.source + plane * args.height * args.width, args.height, args.width};
      const FourRows rows(args.height, row);
      float *target = args.target + r * args.new_width;
      for (int64_t first = 0; 2 * first < args.new_width; first += SPAN) {
        between(source, rows, taps, first, line);
        spread(line, taps, made);
        const int64_t n = least(args.new_width - 2 * first, 2 * SPAN);
        for (int64_t i = 0; i < n; i += LANES)
          store_first(target + 2 * first + i, load(made + i), n - i);
      }
    }
  });
  return SMALTI_OK;
}

KERNEL(fits_double_back) {
  const Taps taps(args.taps);
  const int64_t size = args.height * args.width;
  parallel(args.threads, args.planes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const Plane source{args.source + plane * size, args.height, args.width};
      float *d_source = args.d_source + plane * size;
      for (int64_t i = 0; i < size; i += LANES) store_first(d_source + i, vfloat(0.0f), size - i);
      Sixteen sums[4];
      for (int64_t row = 0; row < args.new_height; ++row) {
        const float *d_row = args.d_target + (plane * args.new_height + row) * args.stride;
        row_back(source, taps, row, d_row, args.new_width, d_source, sums);
      }
      for (int k = 0; k < 4; ++k) args.partial[4 * plane + k] = sums[k].total();
    }
  });
  for (int64_t plane = 0; plane < args.planes; ++plane)
    for (int k = 0; k < 4; ++k) args.d_taps[k] += args.partial[4 * plane + k];
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
