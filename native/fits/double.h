// Rows of a plane at twice its resolution, a segment of columns at a time.
//
// A node's centre is the centre of the 2 x 2 finer nodes that it covers, so the two new nodes of a
// node see its neighbours in mirror order. With y the row, its ends repeated:
//
//   even[j] = t0 y[j-2] + t1 y[j-1] + t2 y[j] + t3 y[j+1]
//   odd[j]  = t3 y[j-1] + t2 y[j] + t1 y[j+1] + t0 y[j+2]
//
// (0, 1/4, 3/4, 0) is bilinear interpolation. Columns first, then rows, by the same four taps: 2 +
// 4 multiply-adds a new node.
#pragma once

#include "simd.h"

namespace smalti::SMALTI_ISA {

constexpr int SPAN = 64; // old nodes of a segment; twice as many new ones
constexpr int HALO = 2;  // nodes that it sees on either side
constexpr int LINE =
    SPAN + 2 * 16; // numbers in a row with its halo, which begins at LINE_START - HALO
constexpr int LINE_START = 16;

struct Plane {
  const float *at;
  int64_t height, width; // rows lie behind each other
};

struct Taps {
  float t[4];
  SIMD_INLINE explicit Taps(const float *taps) : t{taps[0], taps[1], taps[2], taps[3]} {}
};

// The four old rows of new row `row`, in the order of the taps.
struct FourRows {
  int64_t row[4];
  SIMD_INLINE FourRows(int64_t height, int64_t new_row) {
    const int64_t j = new_row >> 1, step = new_row & 1 ? -1 : 1;
    for (int k = 0; k < 4; ++k) {
      const int64_t r = j + step * (k - 2);
      row[k] = r < 0 ? 0 : r > height - 1 ? height - 1 : r;
    }
  }
};

// Old nodes first - HALO .. first + SPAN + HALO - 1 of new row `row` before its columns are
// doubled, ends repeated, at line[LINE_START - HALO ..].
SIMD_INLINE void between(Plane source, const FourRows &rows, const Taps &taps, int64_t first,
                         float *line) {
  const float *a = source.at + rows.row[0] * source.width,
              *b = source.at + rows.row[1] * source.width;
  const float *c = source.at + rows.row[2] * source.width,
              *d = source.at + rows.row[3] * source.width;
  const vfloat t0(taps.t[0]), t1(taps.t[1]), t2(taps.t[2]), t3(taps.t[3]);
  const int64_t from = first < HALO ? 0 : first - HALO;
  const int64_t end = first + SPAN + HALO, to = end < source.width ? end : source.width;
  float *target = line + (from - first + LINE_START);
  int64_t i = from;
  for (; i + LANES <= to; i += LANES, target += LANES)
    store(target,
          fma(t3, load(d + i), fma(t2, load(c + i), fma(t1, load(b + i), t0 * load(a + i)))));
  if (i < to) {
    const int64_t n = to - i;
    const vfloat first_two = fma(t1, load_first(b + i, n), t0 * load_first(a + i, n));
    store_first(target, fma(t3, load_first(d + i, n), fma(t2, load_first(c + i, n), first_two)), n);
  }
  if (from == 0 && first < HALO)
    for (int64_t k = -HALO; k < -first; ++k) line[LINE_START + k] = line[LINE_START - first];
  for (int64_t k = to; k < end; ++k)
    line[LINE_START + k - first] = line[LINE_START + to - 1 - first];
}

// A line of `between` -> its 2 SPAN new nodes; beyond the plane's they mean nothing.
SIMD_INLINE void spread(const float *line, const Taps &taps, float *out) {
  const vfloat t0(taps.t[0]), t1(taps.t[1]), t2(taps.t[2]), t3(taps.t[3]);
  const float *l = line + LINE_START;
  for (int i = 0; i < SPAN; i += LANES) {
    const vfloat y0 = load(l + i - 2), y1 = load(l + i - 1), y2 = load(l + i), y3 = load(l + i + 1),
                 y4 = load(l + i + 2);
    const vfloat even = fma(t3, y3, fma(t2, y2, fma(t1, y1, t0 * y0)));
    const vfloat odd = fma(t0, y4, fma(t1, y3, fma(t2, y2, t3 * y1)));
    vfloat a, b;
    zip(even, odd, a, b);
    store(out + 2 * i, a);
    store(out + 2 * i + LANES, b);
  }
}

} // namespace smalti::SMALTI_ISA
