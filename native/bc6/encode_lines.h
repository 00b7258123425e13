// Lines through texels, and which partitions promise most.
#pragma once

#include "bc6/encode_lanes.h"

namespace smalti::SMALTI_ISA::bc6 {

// A symmetric matrix of three rows: rr, rg, rb, gg, gb, bb.
struct Matrix {
  vfloat m[6];
};
SIMD_INLINE Matrix products(Vector x) {
  return {{x[0] * x[0], x[0] * x[1], x[0] * x[2], x[1] * x[1], x[1] * x[2], x[2] * x[2]}};
}
SIMD_INLINE Matrix operator*(Matrix a, vfloat b) {
  for (auto &entry : a.m) entry *= b;
  return a;
}
SIMD_INLINE Matrix operator+(Matrix a, const Matrix &b) {
  for (int i = 0; i < 6; ++i) a.m[i] += b.m[i];
  return a;
}
SIMD_INLINE Matrix operator-(Matrix a, const Matrix &b) {
  for (int i = 0; i < 6; ++i) a.m[i] -= b.m[i];
  return a;
}
SIMD_INLINE vfloat trace(const Matrix &a) { return a.m[0] + a.m[3] + a.m[5]; }

// Times itself, over its trace.
SIMD_INLINE Matrix squared(const Matrix &matrix) {
  const vfloat a = matrix.m[0], b = matrix.m[1], c = matrix.m[2], d = matrix.m[3],
               e = matrix.m[4], f = matrix.m[5];
  const Matrix out = {{a * a + b * b + c * c, a * b + b * d + c * e, a * c + b * e + c * f,
                       b * b + d * d + e * e, b * c + d * e + e * f, c * c + e * e + f * f}};
  return out * (vfloat(1.0f) / max(trace(out), vfloat(TINY)));
}

// The greatest column of the eighth power, or nearly.
SIMD_INLINE Vector principal_axis(const Matrix &scatter) {
  const vfloat size = max(trace(scatter), vfloat(1e-3f));
  const Matrix power = squared(squared(squared(scatter * (vfloat(1.0f) / size))));
  const vfloat a = power.m[0], b = power.m[1], c = power.m[2], d = power.m[3], e = power.m[4],
               f = power.m[5];
  const vmask by_g = (d > a) & (d >= f), by_b = (f > a) & (f > d);
  return {{select(by_b, c, select(by_g, b, a)), select(by_b, e, select(by_g, d, b)),
           select(by_b, f, select(by_g, e, c))}};
}

// The ends of each subset's line: its mean and axis, as far as its texels reach. x: less the mean
// of the block.
template <int S> SIMD_INLINE void lines(const Texels &x, const Members &members, Ends &ends) {
  const vfloat zero(0.0f), one(1.0f), far(1e30f);
  for (int subset = 0; subset < S; ++subset) {
    vfloat w[16];
    for (int t = 0; t < 16; ++t)
      w[t] = S == 1 ? one : subset ? select(members[t], one, zero) : select(members[t], zero, one);
    Vector mean = x[0] * w[0];
    vfloat size = w[0];
    for (int t = 1; t < 16; ++t) {
      mean = mean + x[t] * w[t];
      size += w[t];
    }
    mean = mean * (one / max(size, one));
    Matrix scatter = products(x[0] - mean) * w[0];
    for (int t = 1; t < 16; ++t) scatter = scatter + products(x[t] - mean) * w[t];
    const Vector axis = principal_axis(scatter);
    vfloat low = far, high = zero - far;
    for (int t = 0; t < 16; ++t) {
      const vfloat along = dot(x[t] - mean, axis);
      const vmask here = w[t] > zero;
      low = min(low, select(here, along, far));
      high = max(high, select(here, along, zero - far));
    }
    const vfloat length = one / max(dot(axis, axis), vfloat(TINY));
    ends[2 * subset] = mean + axis * (low * length);
    ends[2 * subset + 1] = mean + axis * (high * length);
  }
}

// The square error to expect of texels on their best line.
SIMD_INLINE vfloat left_over(Vector total, const Matrix &squares, int size) {
  const Matrix scatter = squares - products(total) * vfloat(float(1.0 / size));
  const vfloat whole = max(trace(scatter), vfloat(0.0f));
  const Matrix m = squared(scatter * (vfloat(1.0f) / max(whole, vfloat(1e-3f))));
  const vfloat power = m.m[0] * m.m[0] + m.m[3] * m.m[3] + m.m[5] * m.m[5] +
                       vfloat(2.0f) * (m.m[1] * m.m[1] + m.m[2] * m.m[2] + m.m[4] * m.m[4]);
  const vfloat along = sqrt(sqrt(power)) * whole; // nearly the greatest eigenvalue
  return (whole - along) + vfloat(ALONG) * along;
}

// ranks: of each partition the error to expect, a float's bits, and its number in the lowest five.
inline void rank(const Texels &x, vint (&ranks)[32]) {
  Vector every = x[0];
  Matrix all_squares = products(x[0]);
  for (int t = 1; t < 16; ++t) {
    every = every + x[t];
    all_squares = all_squares + products(x[t]);
  }
  for (int p = 0; p < 32; ++p) {
    Vector total;
    Matrix squares;
    int size = 0;
    for (int t = 0; t < 16; ++t) {
      if (!(SPLITS.second[p] >> t & 1)) continue;
      total = size ? total + x[t] : x[t];
      squares = size ? squares + products(x[t]) : products(x[t]);
      ++size;
    }
    const vfloat expected =
        left_over(total, squares, size) + left_over(every - total, all_squares - squares, 16 - size);
    ranks[p] = (as_bits(max(expected, vfloat(0.0f))) & vint(~31)) | vint(p);
  }
}

} // namespace smalti::SMALTI_ISA::bc6
