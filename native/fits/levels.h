// Levels of features, dense grids or hash tables, read bilinearly at texels, and their gradients.
//
//   texel (y, x) -taps-> 4 entries of each level -blend-> features
//
// The entry of node (j, i) is found from two halves: row j's plus column i's where the level is dense
// (a grid), row j's xor column i's where it is hashed (Mueller et al. 2022, equation 4; the modulus
// is a power of two, so each half is reduced before). Halves and weights depend on a row or a column
// alone; the caller has tabulated them.
#pragma once

#include "kernel.h"

namespace smalti::SMALTI_ISA {

struct Levels {
  const int64_t *table; // levels 4: first value, features, first feature, hashed
  int count;
  const int32_t *row_halves;    // levels rows 2: of the lower and of the upper node
  const float *row_weights;     // levels rows: of the upper node, [0, 1)
  const int32_t *column_halves; // levels columns 2
  const float *column_weights;  // levels columns
  int64_t rows, columns;
};

// What LANES texels read of one level: places of four entries (up left, up right, down left, down
// right) in values from the level's first on, and their shares.
struct Corners {
  vint place[4];
  vfloat share[4];
  SIMD_INLINE Corners(const Levels &levels, int level, const int32_t *rows, const int32_t *columns) {
    const int64_t *table = levels.table + 4 * level;
    const vint row = load(rows), column = load(columns);
    const int32_t *of_rows = levels.row_halves + 2 * level * levels.rows;
    const int32_t *of_columns = levels.column_halves + 2 * level * levels.columns;
    const vint up = gather(of_rows, row + row), down = gather(of_rows + 1, row + row);
    const vint left = gather(of_columns, column + column);
    const vint right = gather(of_columns + 1, column + column);
    const vint features{int32_t(table[1])};
    if (table[3]) {
      place[0] = (up ^ left) * features;
      place[1] = (up ^ right) * features;
      place[2] = (down ^ left) * features;
      place[3] = (down ^ right) * features;
    } else {
      place[0] = (up + left) * features;
      place[1] = (up + right) * features;
      place[2] = (down + left) * features;
      place[3] = (down + right) * features;
    }
    const vfloat one(1.0f);
    const vfloat v = gather(levels.row_weights + level * levels.rows, row);
    const vfloat u = gather(levels.column_weights + level * levels.columns, column);
    share[0] = (one - v) * (one - u);
    share[1] = (one - v) * u;
    share[2] = v * (one - u);
    share[3] = v * u;
  }
};

// x `features stride`: the features of `texels` texels, a multiple of LANES. Where a level has many
// features, LANES of them are read at once, a texel at a time; the rest by gathering.
static void read_levels(const Levels &levels, const float *values, const int32_t *rows,
                        const int32_t *columns, int texels, float *x, int64_t stride) {
  for (int k = 0; k < levels.count; ++k) {
    const float *level = values + levels.table[4 * k];
    const int features = int(levels.table[4 * k + 1]);
    float *target = x + levels.table[4 * k + 2] * stride;
    for (int p = 0; p < texels; p += LANES) {
      const Corners corners(levels, k, rows + p, columns + p);
      int f = 0;
      if (features >= LANES) {
        int32_t place[4][LANES];
        float share[4][LANES];
        for (int c = 0; c < 4; ++c) {
          store(place[c], corners.place[c]);
          store(share[c], corners.share[c]);
        }
        for (; f + LANES <= features; f += LANES) {
          float read[LANES * LANES]; // texel by texel
          for (int t = 0; t < LANES; ++t) {
            vfloat sum = vfloat(share[0][t]) * load(level + place[0][t] + f);
            for (int c = 1; c < 4; ++c)
              sum = fma(vfloat(share[c][t]), load(level + place[c][t] + f), sum);
            store(read + t * LANES, sum);
          }
          for (int g = 0; g < LANES; ++g)
            store(target + (f + g) * stride + p,
                  gather(read + g, lane_numbers() * vint(int32_t(LANES))));
        }
      }
      for (; f < features; ++f) {
        vfloat sum = corners.share[0] * gather(level + f, corners.place[0]);
        for (int c = 1; c < 4; ++c)
          sum = fma(corners.share[c], gather(level + f, corners.place[c]), sum);
        store(target + f * stride + p, sum);
      }
    }
  }
}

// gradient += what d_x `features stride` says of the values of level k that `read_levels` reads at
// the first `count` of the texels.
static void spread_level(const Levels &levels, int k, const int32_t *rows, const int32_t *columns,
                         int count, const float *d_x, int64_t stride, float *gradient) {
  float *level = gradient + levels.table[4 * k];
  const int features = int(levels.table[4 * k + 1]);
  const float *source = d_x + levels.table[4 * k + 2] * stride;
  for (int p = 0; p < count; p += LANES) {
    const Corners corners(levels, k, rows + p, columns + p);
    const int texels = count - p < LANES ? count - p : LANES;
    int32_t place[4][LANES];
    float share[4][LANES];
    for (int c = 0; c < 4; ++c) {
      store(place[c], corners.place[c]);
      store(share[c], corners.share[c]);
    }
    int f = 0;
    for (; f + LANES <= features; f += LANES)
      for (int t = 0; t < texels; ++t) {
        const vfloat d =
            gather(source + f * stride + p + t, lane_numbers() * vint(int32_t(stride)));
        for (int c = 0; c < 4; ++c) {
          float *at = level + place[c][t] + f;
          store(at, load(at) + vfloat(share[c][t]) * d);
        }
      }
    for (; f < features; f += 2) { // two at a time, as they lie
      const bool two = f + 1 < features;
      float part[2][4][LANES];
      for (int i = 0; i <= two; ++i) {
        const vfloat d = load(source + (f + i) * stride + p);
        for (int c = 0; c < 4; ++c) store(part[i][c], corners.share[c] * d);
      }
      for (int t = 0; t < texels; ++t)
        for (int c = 0; c < 4; ++c) {
          float *at = level + place[c][t] + f;
          at[0] += part[0][c][t];
          if (two) at[1] += part[1][c][t];
        }
    }
  }
}

} // namespace smalti::SMALTI_ISA
