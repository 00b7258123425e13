// Dense layers of a small network over a tile of texels: features first, texels in lanes.
//
//   forward            out  = W x + b
//   backward_input     d_x  = W^T d_out
//   backward_weights   d_W += d_out x^T,  d_b += the sums of d_out's rows
//
// An activation is `features stride` floats, of which the first `texels` of each row count; texels
// is a multiple of 16. A matrix is `outputs inputs`, row by row. Each number of forward and of
// backward_input is start + w0 x0 + w1 x1 + ..., in this order, by fused multiply-adds; each of
// backward_weights is added up in sixteen lanes, texel p in lane p % 16: no bit depends on the
// instruction set.
//
// The floor: a layer is outputs x inputs multiply-adds a texel in each of the three functions, two
// vectors of them a clock on the processors of today. To come near it a block of the result stays
// in registers: ROWS x VECTORS of it need ROWS + VECTORS loads for every ROWS x VECTORS
// multiply-adds (OUTER_ROWS x OUTER_COLUMNS sums backwards), and eight or more independent sums
// cover the latency of four clocks. Reached on one core of a Sapphire Rapids, of 114 G
// multiply-adds a second with AVX-512: forwards and by inputs 65 to 95, by weights 55 to 70; of 63
// G with AVX2: 35 to 55 and 30 to 37.
#pragma once

#include "simd.h"

namespace smalti::SMALTI_ISA {

#if SIMD_AVX512 || SIMD_NEON // 32 registers
constexpr int VECTORS = 4, OUTER_COLUMNS = 4;
#else // 16
constexpr int VECTORS = 2, OUTER_COLUMNS = 2;
#endif
constexpr int ROWS = 4, OUTER_ROWS = 6;

#if defined(__GNUC__) && !defined(__clang__)
#define SIMD_UNROLL _Pragma("GCC unroll 16") // before arrays become registers
#else
#define SIMD_UNROLL
#endif

// What a layer does to the numbers that it makes, a vector at a time, which is then stored at
// `place`.
struct Identity {
  SIMD_INLINE vfloat operator()(vfloat z, const float *) const { return z; }
};
struct Relu {
  SIMD_INLINE vfloat operator()(vfloat z, const float *) const { return max(z, vfloat(0.0f)); }
};
// The way back through ReLU, in place: derivatives by its results, stored over those results.
struct ReluBack {
  SIMD_INLINE vfloat operator()(vfloat d, const float *place) const {
    return select(load(place) > vfloat(0.0f), d, vfloat(0.0f));
  }
};

// f.operator()<N>() with N = n, 1 <= n <= MAX.
template <int MAX, class F>
SIMD_INLINE void with_constant(int n, const F &f) {
  if constexpr (MAX > 1)
    if (n < MAX) return with_constant<MAX - 1>(n, f);
  f.template operator()<MAX>();
}

// A matrix or its transpose: number (r, c) is at[r * row + c * column].
struct Matrix {
  const float *at;
  int64_t row, column;
};

// out[r] = act(start[r] + sum over i of w(r, i) x[i]), r < R, for V vectors of texels. start: a
// number a row, or null, when it is 0, or with ADD what out holds.
template <int R, int V, bool ADD, class Act>
SIMD_INLINE void product_block(Matrix w, const float *start, int inputs, const float *x,
                               int64_t x_stride, float *out, int64_t out_stride, const Act &act) {
  vfloat sum[R][V];
  SIMD_UNROLL for (int r = 0; r < R; ++r) {
    SIMD_UNROLL for (int v = 0; v < V; ++v)
      sum[r][v] = ADD ? load(out + r * out_stride + v * LANES) : vfloat(start ? start[r] : 0.0f);
  }
  for (int i = 0; i < inputs; ++i, w.at += w.column, x += x_stride) {
    vfloat in[V];
    SIMD_UNROLL for (int v = 0; v < V; ++v) in[v] = load(x + v * LANES);
    SIMD_UNROLL for (int r = 0; r < R; ++r) {
      const vfloat weight(w.at[r * w.row]);
      SIMD_UNROLL for (int v = 0; v < V; ++v) sum[r][v] = fma(weight, in[v], sum[r][v]);
    }
  }
  SIMD_UNROLL for (int r = 0; r < R; ++r) {
    SIMD_UNROLL for (int v = 0; v < V; ++v) {
      float *place = out + r * out_stride + v * LANES;
      store(place, act(sum[r][v], place));
    }
  }
}

template <int V, bool ADD, class Act>
static void product_rows(Matrix w, const float *start, int outputs, int inputs, const float *x,
                         int64_t x_stride, float *out, int64_t out_stride, const Act &act) {
  for (int o = 0; o < outputs;) {
    // five at the end in place of four and one: one row alone would wait for its own sums
    const int rows = outputs - o <= ROWS + 1 ? outputs - o : ROWS;
    with_constant<ROWS + 1>(rows, [&]<int R>() __attribute__((always_inline)) {
      product_block<R, V, ADD>({w.at + o * w.row, w.row, w.column}, start ? start + o : nullptr,
                               inputs, x, x_stride, out + o * out_stride, out_stride, act);
    });
    o += rows;
  }
}

template <bool ADD, class Act>
SIMD_INLINE void product(Matrix w, const float *start, int outputs, int inputs, int texels,
                         const float *x, int64_t x_stride, float *out, int64_t out_stride,
                         const Act &act) {
  int p = 0;
  for (; p + VECTORS * LANES <= texels; p += VECTORS * LANES)
    product_rows<VECTORS, ADD>(w, start, outputs, inputs, x + p, x_stride, out + p, out_stride,
                               act);
  for (; p < texels; p += LANES)
    product_rows<1, ADD>(w, start, outputs, inputs, x + p, x_stride, out + p, out_stride, act);
}

// out = act(weight x + bias); weight `outputs inputs`, bias `outputs` (null: zeros).
template <class Act = Identity>
SIMD_INLINE void forward(const float *weight, const float *bias, int outputs, int inputs,
                         int texels, const float *x, int64_t x_stride, float *out,
                         int64_t out_stride, const Act &act = {}) {
  product<false>({weight, inputs, 1}, bias, outputs, inputs, texels, x, x_stride, out, out_stride,
                 act);
}

// out += weight x.
SIMD_INLINE void accumulate(const float *weight, int outputs, int inputs, int texels,
                            const float *x, int64_t x_stride, float *out, int64_t out_stride) {
  product<true>({weight, inputs, 1}, nullptr, outputs, inputs, texels, x, x_stride, out, out_stride,
                Identity{});
}

// d_x = act(weight^T d_out); with ADD weight^T d_out is added to what d_x holds.
template <bool ADD = false, class Act = Identity>
SIMD_INLINE void backward_input(const float *weight, int outputs, int inputs, int texels,
                                const float *d_out, int64_t d_out_stride, float *d_x,
                                int64_t d_x_stride, const Act &act = {}) {
  product<ADD>({weight, 1, inputs}, nullptr, inputs, outputs, texels, d_out, d_out_stride, d_x,
               d_x_stride, act);
}

// sums[r][c] += d_out[r] x[c] over all texels, in sixteen lanes each.
template <int R, int C>
SIMD_INLINE void outer_block(int texels, const float *d_out, int64_t d_out_stride, const float *x,
                             int64_t x_stride, float *sums, int64_t sums_stride) {
  for (int part = 0; part < 16; part += LANES) {
    vfloat sum[R][C];
    SIMD_UNROLL for (int r = 0; r < R; ++r) {
      SIMD_UNROLL for (int c = 0; c < C; ++c)
        sum[r][c] = load(sums + r * sums_stride + 16 * c + part);
    }
    for (int p = part; p < texels; p += 16) {
      vfloat in[C];
      SIMD_UNROLL for (int c = 0; c < C; ++c) in[c] = load(x + c * x_stride + p);
      SIMD_UNROLL for (int r = 0; r < R; ++r) {
        const vfloat d = load(d_out + r * d_out_stride + p);
        SIMD_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = fma(d, in[c], sum[r][c]);
      }
    }
    SIMD_UNROLL for (int r = 0; r < R; ++r) {
      SIMD_UNROLL for (int c = 0; c < C; ++c)
        store(sums + r * sums_stride + 16 * c + part, sum[r][c]);
    }
  }
}

template <int R>
static void outer_rows(int inputs, int texels, const float *d_out, int64_t d_out_stride,
                       const float *x, int64_t x_stride, float *sums, int64_t sums_stride) {
  for (int i = 0; i < inputs;) {
    const int columns = inputs - i < OUTER_COLUMNS ? inputs - i : OUTER_COLUMNS;
    with_constant<OUTER_COLUMNS>(columns, [&]<int C>() __attribute__((always_inline)) {
      outer_block<R, C>(texels, d_out, d_out_stride, x + i * x_stride, x_stride, sums + 16 * i,
                        sums_stride);
    });
    i += columns;
  }
}

// d_weight += d_out x^T: d_weight holds each number as sixteen lanes, `outputs inputs 16`; so does
// d_bias, `outputs 16` (null: not wanted). `add_totals` makes numbers of them, at the very end:
// adding lanes up after every tile would cost as much as the products.
SIMD_INLINE void backward_weights(int outputs, int inputs, int texels, const float *d_out,
                                  int64_t d_out_stride, const float *x, int64_t x_stride,
                                  float *d_weight, float *d_bias) {
  for (int o = 0; o < outputs;) {
    const int rows = outputs - o < OUTER_ROWS ? outputs - o : OUTER_ROWS;
    with_constant<OUTER_ROWS>(rows, [&]<int R>() __attribute__((always_inline)) {
      outer_rows<R>(inputs, texels, d_out + o * d_out_stride, d_out_stride, x, x_stride,
                    d_weight + 16 * int64_t(o) * inputs, 16 * int64_t(inputs));
    });
    o += rows;
  }
  for (int o = 0; d_bias && o < outputs; ++o)
    for (int part = 0; part < 16; part += LANES) {
      vfloat sum = load(d_bias + 16 * o + part);
      for (int p = part; p < texels; p += 16) sum += load(d_out + o * d_out_stride + p);
      store(d_bias + 16 * o + part, sum);
    }
}

// The first address at or behind p where whole cache lines begin: lanes that lie across two are
// slow.
SIMD_INLINE float *aligned(float *p) {
  return reinterpret_cast<float *>((reinterpret_cast<uintptr_t>(p) + 63) / 64 * 64);
}

// totals[k] += the sum of lanes[c][k][0 .. 15] over all chunks c; lanes `chunks count 16`.
SIMD_INLINE void add_totals(const float *lanes, int64_t chunks, int64_t count, float *totals) {
  for (int64_t k = 0; k < count; ++k) {
    Sixteen sum;
    for (int64_t c = 0; c < chunks; ++c)
      for (int part = 0; part < Sixteen::PARTS; ++part)
        sum.part[part] += load(lanes + 16 * (c * count + k) + part * LANES);
    totals[k] += sum.total();
  }
}

} // namespace smalti::SMALTI_ISA
