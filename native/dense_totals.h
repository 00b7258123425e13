// The weights' gradient of a dense layer, added up at once: for layers too large to keep each number
// as sixteen lanes between tiles, as `backward_weights` in dense.h does.
//
// Over 256 texels a number is 16 multiply-adds of 16 lanes, and adding the lanes of 16 numbers up
// together is 45 operations: a fifth more.
#pragma once

#include "dense.h"

namespace smalti::SMALTI_ISA {

// The lanes of N numbers, sixteen each, added up to totals[N]; lanes[part][number].
template <int N> SIMD_INLINE void total_of_each(vfloat (&lanes)[Sixteen::PARTS][N], float *totals) {
  for (int half = Sixteen::PARTS / 2; half; half /= 2)
    for (int part = 0; part < half; ++part)
      SIMD_UNROLL for (int i = 0; i < N; ++i) lanes[part][i] += lanes[part + half][i];
  SIMD_UNROLL for (int i = 0; i < N; i += LANES) {
    fold_all(lanes[0] + i);
    store(totals + i, lanes[0][i]);
  }
}

// d_weight[r][c] += d_out[r] x[c] over all texels, for a block of R rows and C columns.
template <int R, int C>
SIMD_INLINE void outer_totals(int texels, const float *d_out, int64_t d_out_stride, const float *x,
                              int64_t x_stride, float *d_weight, int64_t inputs) {
  constexpr int N = (R * C + LANES - 1) / LANES * LANES;
  vfloat lanes[Sixteen::PARTS][N];
  for (int part = 0; part < Sixteen::PARTS; ++part) {
    vfloat sum[R][C];
    SIMD_UNROLL for (int r = 0; r < R; ++r)
      SIMD_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = vfloat(0.0f);
    for (int p = part * LANES; p < texels; p += 16) {
      vfloat in[C];
      SIMD_UNROLL for (int c = 0; c < C; ++c) in[c] = load(x + c * x_stride + p);
      SIMD_UNROLL for (int r = 0; r < R; ++r) {
        const vfloat d = load(d_out + r * d_out_stride + p);
        SIMD_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = fma(d, in[c], sum[r][c]);
      }
    }
    SIMD_UNROLL for (int i = 0; i < N; ++i)
      lanes[part][i] = i < R * C ? sum[i / C][i % C] : vfloat(0.0f);
  }
  float totals[N];
  total_of_each<N>(lanes, totals);
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) d_weight[r * inputs + c] += totals[r * C + c];
}

template <int R>
static void outer_totals_rows(int inputs, int texels, const float *d_out, int64_t d_out_stride,
                              const float *x, int64_t x_stride, float *d_weight) {
  for (int i = 0; i < inputs;) {
    const int columns = inputs - i < OUTER_COLUMNS ? inputs - i : OUTER_COLUMNS;
    with_constant<OUTER_COLUMNS>(columns, [&]<int C>() __attribute__((always_inline)) {
      outer_totals<R, C>(texels, d_out, d_out_stride, x + i * x_stride, x_stride, d_weight + i,
                         inputs);
    });
    i += columns;
  }
}

// d_weight `outputs inputs` += d_out x^T, d_bias `outputs` += the sums of d_out's rows; number by
// number in sixteen lanes, texel p in lane p % 16, which are then added up.
static void backward_totals(int outputs, int inputs, int texels, const float *d_out,
                            int64_t d_out_stride, const float *x, int64_t x_stride, float *d_weight,
                            float *d_bias) {
  for (int o = 0; o < outputs;) {
    const int rows = outputs - o < ROWS ? outputs - o : ROWS;
    with_constant<ROWS>(rows, [&]<int R>() __attribute__((always_inline)) {
      outer_totals_rows<R>(inputs, texels, d_out + o * d_out_stride, d_out_stride, x, x_stride,
                           d_weight + int64_t(o) * inputs);
    });
    o += rows;
  }
  for (int o = 0; o < outputs; o += LANES) {
    const int rows = outputs - o < LANES ? outputs - o : LANES;
    vfloat lanes[Sixteen::PARTS][LANES] = {};
    for (int r = 0; r < rows; ++r)
      for (int part = 0; part < Sixteen::PARTS; ++part) {
        vfloat sum(0.0f);
        for (int p = part * LANES; p < texels; p += 16) sum += load(d_out + (o + r) * d_out_stride + p);
        lanes[part][r] = sum;
      }
    float totals[LANES];
    total_of_each<LANES>(lanes, totals);
    for (int r = 0; r < rows; ++r) d_bias[o + r] += totals[r];
  }
}

} // namespace smalti::SMALTI_ISA
