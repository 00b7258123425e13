// What the BC6H encoder's parts share: efforts, texels of LANES blocks, modes and codes in lanes.
//
// Each lane is a block, with a partition, a mode and endpoints of its own. Its unit is that of the
// 16 bits that endpoints are expanded to. src/smalti/bc6/reference/encode.py is the readable twin.
#pragma once

#include "bc6/tables.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA::bc6 {

// How hard a block is searched: `search.EFFORTS` in Python, word for word.
struct Effort {
  int trials;   // partitions tried, at most
  int fits;     // of the ends to their indices, a trial
  int passes;   // over the codes of the best trial, each moved up and down
  float hope;   // a partition is tried where this share of its expected error is below the best
  float enough; // square error of a block at which its search ends
};
constexpr Effort EFFORTS[] = {
    {0, 2, 0, 1.0f, 0.0f},  {2, 2, 0, 1.0f, 2e4f},  {6, 2, 0, 0.8f, 5e3f},
    {16, 3, 1, 0.6f, 1e3f}, {32, 4, 6, 0.4f, 0.0f},
};
constexpr float ALONG = float(1.0 / 300); // of the variance along a line, what an index leaves
constexpr float TINY = 1e-20f;

struct Vector {
  vfloat v[3];
  SIMD_INLINE vfloat &operator[](int i) { return v[i]; }
  SIMD_INLINE vfloat operator[](int i) const { return v[i]; }
};
SIMD_INLINE Vector operator+(Vector a, Vector b) { return {{a[0] + b[0], a[1] + b[1], a[2] + b[2]}}; }
SIMD_INLINE Vector operator-(Vector a, Vector b) { return {{a[0] - b[0], a[1] - b[1], a[2] - b[2]}}; }
SIMD_INLINE Vector operator*(Vector a, vfloat b) { return {{a[0] * b, a[1] * b, a[2] * b}}; }
SIMD_INLINE vfloat dot(Vector a, Vector b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
SIMD_INLINE Vector select(vmask m, Vector a, Vector b) {
  return {{select(m, a[0], b[0]), select(m, a[1], b[1]), select(m, a[2], b[2])}};
}

typedef Vector Texels[16];
typedef Vector Ends[4]; // w, x, y, z

// What blocks store.
struct Coding {
  vint mode, partition;
  Ends codes; // whole numbers
  vfloat index[16];
  vfloat error;
};

// Partitions of two subsets, as the kernel gathers them: a bit a texel of the second, its anchor.
struct Partitions {
  int32_t second[32], anchor[32];
};
constexpr Partitions make_partitions() {
  Partitions all{};
  for (int p = 0; p < 32; ++p) {
    all.second[p] = SMALTI_ISA::PARTITIONS.texels[1][p][1];
    all.anchor[p] = SMALTI_ISA::PARTITIONS.anchor[1][p][1];
  }
  return all;
}
constexpr Partitions SPLITS = make_partitions();

// Which texels are in the second subset of each lane's partition.
struct Members {
  vint second, anchor;
  SIMD_INLINE Members(vint partition)
      : second(gather(SPLITS.second, partition)), anchor(gather(SPLITS.anchor, partition)) {}
  SIMD_INLINE vmask operator[](int texel) const {
    return (second & vint(1 << texel)) != vint(0);
  }
};

// Of each mode, for lanes to gather: code 1 in units, its inverse, the greatest code, how far codes
// of x, y and z may be above w's.
struct Scales {
  float unit[MODE_COUNT], per[MODE_COUNT], top[2][MODE_COUNT], reach[3][MODE_COUNT];
};
constexpr Scales make_scales() {
  Scales all{};
  for (int m = 0; m < MODE_COUNT; ++m) {
    all.unit[m] = float(1 << (16 - MODES[m].bits));
    all.per[m] = 1 / all.unit[m];
    for (int sign = 0; sign < 2; ++sign) all.top[sign][m] = float((1 << (MODES[m].bits - sign)) - 1);
    for (int c = 0; c < 3; ++c)
      all.reach[c][m] = MODES[m].transformed ? float((1 << (MODES[m].others[c] - 1)) - 1) : 1e6f;
  }
  return all;
}
constexpr Scales SCALES = make_scales();
constexpr int FULL = 13; // the mode of 16 bits, whose codes are what they stand for

// From the coarsest mode to the finest: of those that hold a block's ends, the last is taken.
constexpr int ONE_LINE[] = {10, 11, 12, 13};
constexpr int TWO_LINES[] = {9, 1, 6, 7, 8, 5, 0, 2, 3, 4};

// The finest mode that holds the distances of the ends from the first.
template <int S> SIMD_INLINE vint choose_mode(const Ends &ends) {
  constexpr int count = S == 2 ? 10 : 4;
  const int *order = S == 2 ? TWO_LINES : ONE_LINE;
  vfloat reach[3];
  for (int c = 0; c < 3; ++c) {
    reach[c] = abs(ends[1][c] - ends[0][c]);
    if (S == 2)
      reach[c] = max(reach[c], max(abs(ends[2][c] - ends[0][c]), abs(ends[3][c] - ends[0][c])));
  }
  vint chosen(order[0]);
#pragma GCC unroll 9
  for (int i = 1; i < count; ++i) {
    const Mode &mode = MODES[order[i]];
    float most[3];
    for (int c = 0; c < 3; ++c)
      most[c] = (float(1 << (mode.others[c] - 1)) - 0.5f) * SCALES.unit[order[i]];
    const vmask fits = (reach[0] <= vfloat(most[0])) & (reach[1] <= vfloat(most[1])) &
                       (reach[2] <= vfloat(most[2]));
    chosen = select(fits, vint(order[i]), chosen);
  }
  return chosen;
}

// Codes that the mode holds.
template <int S, bool SIGNED>
SIMD_INLINE void quantise(const Ends &ends, vint mode, Ends &codes) {
  const vfloat zero(0.0f), one(1.0f);
  const vfloat per = gather(SCALES.per, mode), top = gather(SCALES.top[SIGNED], mode);
  const vmask full = mode == vint(FULL);
  for (int end = 0; end < 2 * S; ++end)
    for (int c = 0; c < 3; ++c) {
      const vfloat scaled = abs(ends[end][c]) * per;
      // code 0 stands for 0, 1 for 1.5 units: what is nearer to 1.5 begins at 0.75
      const vfloat least = select(scaled >= vfloat(0.75f), one, zero);
      const vfloat size = min(
          floor(select(full, scaled + vfloat(0.5f), max(scaled, least))), top);
      codes[end][c] = SIGNED ? select(ends[end][c] < zero, zero - size, size) : size;
    }
  for (int c = 0; c < 3; ++c) {
    const vfloat reach = gather(SCALES.reach[c], mode);
    const vfloat low = codes[0][c] - reach - one, high = codes[0][c] + reach;
    for (int end = 1; end < 2 * S; ++end) codes[end][c] = min(max(codes[end][c], low), high);
  }
}

// Codes to the 16 bits that they stand for.
template <int S, bool SIGNED> SIMD_INLINE void expand(const Ends &codes, vint mode, Ends &ends) {
  const vfloat zero(0.0f);
  const vfloat unit = gather(SCALES.unit, mode), top = gather(SCALES.top[SIGNED], mode);
  const vmask full = mode == vint(FULL);
  for (int end = 0; end < 2 * S; ++end)
    for (int c = 0; c < 3; ++c) {
      const vfloat code = codes[end][c], size = SIGNED ? abs(code) : code;
      vfloat wide = select(size == zero, zero, (size + vfloat(0.5f)) * unit);
      wide = select(size >= top, vfloat(SIGNED ? 32767.0f : 65535.0f), wide);
      wide = select(full, size, wide);
      ends[end][c] = SIGNED ? select(code < zero, zero - wide, wide) : wide;
    }
}

// Where the mode holds these codes.
template <int S, bool SIGNED> SIMD_INLINE vmask allowed(const Ends &codes, vint mode) {
  const vfloat zero(0.0f), one(1.0f), top = gather(SCALES.top[SIGNED], mode);
  const vfloat bottom = SIGNED ? zero - top : zero;
  vmask fits = mode == mode;
  for (int c = 0; c < 3; ++c) {
    const vfloat reach = gather(SCALES.reach[c], mode), below = zero - reach - one;
    for (int end = 0; end < 2 * S; ++end) {
      const vfloat code = codes[end][c], away = code - codes[0][c];
      fits = fits & (code >= bottom) & (code <= top) & (away <= reach) & (away >= below);
    }
  }
  return fits;
}

} // namespace smalti::SMALTI_ISA::bc6
