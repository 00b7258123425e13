// Doubling planes, and the same backwards. The floor backwards: 14 multiply-adds a new node, and as
// many numbers read and written in the first-level cache.

#include "fits/double.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int64_t CHUNK_NODES = 1 << 14; // new nodes that a thread takes at a time, at least

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Derivatives by the even (0) and odd (1) new nodes of old nodes first - HALO .. first + SPAN + HALO -
// 1, zeros where there are none.
struct Halves {
  alignas(64) float at[2][LINE];
};

void split(const float *d_row, int64_t columns, int64_t first, Halves &halves) {
  const int64_t from = first < HALO ? 0 : first - HALO;
  const int64_t end = least(first + SPAN + HALO, (columns + 1) / 2), whole = least(end, columns / 2);
  float *even = halves.at[0] + (LINE_START - first), *odd = halves.at[1] + (LINE_START - first);
  for (int64_t i = first - HALO; i < from; ++i) even[i] = odd[i] = 0;
  int64_t i = from;
  for (; i + LANES <= whole; i += LANES) {
    vfloat e, o;
    unzip(load(d_row + 2 * i), load(d_row + 2 * i + LANES), e, o);
    store(even + i, e);
    store(odd + i, o);
  }
  for (; i < end; ++i) {
    even[i] = d_row[2 * i];
    odd[i] = 2 * i + 1 < columns ? d_row[2 * i + 1] : 0;
  }
  for (; i < first + SPAN + HALO; ++i) even[i] = odd[i] = 0;
}

// Derivative by one number of the line between, from zero-filled halves.
SIMD_INLINE float line_gradient(const float *even, const float *odd, const Taps &taps, int64_t i) {
  const auto at = [&](const float *d, int64_t k) { return k < 0 ? 0.0f : d[k]; };
  float sum = taps.t[0] * (at(even, i + 2) + at(odd, i - 2));
  sum = fma(taps.t[1], at(even, i + 1) + at(odd, i - 1), sum);
  sum = fma(taps.t[2], at(even, i) + at(odd, i), sum);
  return fma(taps.t[3], at(even, i - 1) + at(odd, i + 1), sum);
}

// One segment of one new row: adds to the old rows' derivatives and to the taps' lanes.
SIMD_INLINE void segment_back(Plane source, const FourRows &rows, const Taps &taps,
                              const float *d_row, int64_t columns, int64_t first, float *d_source,
                              Sixteen (&sums)[4]) {
  alignas(64) float line[LINE];
  alignas(64) float d_line[SPAN];
  Halves halves;
  between(source, rows, taps, first, line);
  split(d_row, columns, first, halves);
  const float *l = line + LINE_START, *e = halves.at[0] + LINE_START, *o = halves.at[1] + LINE_START;
  const vfloat t0(taps.t[0]), t1(taps.t[1]), t2(taps.t[2]), t3(taps.t[3]);
  for (int at = 0; at < SPAN; at += 16)
    for (int part = 0; part < Sixteen::PARTS; ++part) {
      const int i = at + part * LANES;
      const vfloat even = load(e + i), odd = load(o + i);
      const auto sum = [&](int k, int from_even, int from_odd) {
        vfloat &s = sums[k].part[part];
        s = fma(odd, load(l + i + from_odd), fma(even, load(l + i + from_even), s));
      };
      sum(0, -2, 2);
      sum(1, -1, 1);
      sum(2, 0, 0);
      sum(3, 1, -1);
      vfloat d = t0 * (load(e + i + 2) + load(o + i - 2));
      d = fma(t1, load(e + i + 1) + load(o + i - 1), d);
      d = fma(t2, even + odd, d);
      store(d_line + i, fma(t3, load(e + i - 1) + load(o + i + 1), d));
    }
  // The ends were repeated: what lies beyond them counts for them.
  const int64_t count = least(SPAN, source.width - first);
  const float *e0 = e - first, *o0 = o - first; // by column
  if (first == 0)
    d_line[0] += line_gradient(e0, o0, taps, -1) + line_gradient(e0, o0, taps, -2);
  if (first + count == source.width) {
    // a node behind the last sees the last two only, which any halo holds
    const int64_t w = source.width;
    const float even_last = e0[w - 1], odd_last = o0[w - 1], odd_before = w > 1 ? o0[w - 2] : 0.0f;
    d_line[count - 1] += fma(taps.t[3], even_last, fma(taps.t[1], odd_last, taps.t[0] * odd_before)) +
                         taps.t[0] * odd_last;
  }
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

} // namespace

KERNEL(fits_double) {
  const Taps taps(args.taps);
  const int64_t chunk = CHUNK_NODES / args.new_width + 1;
  parallel(args.threads, args.planes * args.new_height, chunk, [&](int64_t begin, int64_t end) {
    alignas(64) float made[2 * SPAN];
    for (int64_t r = begin; r < end; ++r) {
      const int64_t plane = r / args.new_height, row = r % args.new_height;
      const Plane source{args.source + plane * args.height * args.width, args.height, args.width};
      float *target = args.target + r * args.new_width;
      for (int64_t first = 0; 2 * first < args.new_width; first += SPAN) {
        double_row(source, taps, row, first, made);
        const int64_t n = least(args.new_width - 2 * first, 2 * SPAN);
        for (int64_t i = 0; i < n; i += LANES) store_first(target + 2 * first + i, load(made + i), n - i);
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
        const FourRows rows(args.height, row);
        const float *d_row = args.d_target + (plane * args.new_height + row) * args.stride;
        for (int64_t first = 0; first < args.width; first += SPAN)
          segment_back(source, rows, taps, d_row, args.new_width, first, d_source, sums);
      }
      for (int k = 0; k < 4; ++k) args.partial[4 * plane + k] = sums[k].total();
    }
  });
  for (int64_t plane = 0; plane < args.planes; ++plane)
    for (int k = 0; k < 4; ++k) args.d_taps[k] += args.partial[4 * plane + k];
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
