// The axis of greatest scatter of a block's subsets, from sums of their texels' products.
#pragma once

#include "bc7/encode_wave.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// Texels of subsets 1 and 2 of a partition, a bit each; by subsets - 1.
struct MemberTables {
  int32_t bits[3][2][64];
};
constexpr MemberTables make_member_tables() {
  MemberTables tables{};
  for (int n = 1; n < 3; ++n)
    for (int s = 1; s <= n; ++s)
      for (int p = 0; p < 64; ++p) tables.bits[n][s - 1][p] = PARTITIONS.texels[n][p][s];
  return tables;
}
constexpr MemberTables MEMBERS = make_member_tables();

// Which texels of each lane's block are of subset 1 and 2.
template <int S>
struct Subsets {
  vint bits[2];
  SIMD_INLINE explicit Subsets(vint partition) {
    for (int s = 1; s < S; ++s) bits[s - 1] = gather(MEMBERS.bits[S - 1][s - 1], partition);
  }
  SIMD_INLINE vmask has(int subset, int t) const {
    return (bits[subset - 1] & vint(1 << t)) != vint(0);
  }
  // The one of three values that belongs to texel t's subset.
  SIMD_INLINE vfloat pick(int t, const vfloat *values, int stride) const {
    vfloat value = values[0];
    if (S >= 2) value = select(has(1, t), values[stride], value);
    if (S >= 3) value = select(has(2, t), values[2 * stride], value);
    return value;
  }
};

// A symmetric 3 x 3 matrix [a b c; b d e; c e f].
struct Matrix3 {
  vfloat a, b, c, d, e, f;
};

SIMD_INLINE Matrix3 scaled(const Matrix3 &m, vfloat by) {
  return {m.a * by, m.b * by, m.c * by, m.d * by, m.e * by, m.f * by};
}

SIMD_INLINE Matrix3 squared(const Matrix3 &m) {
  return {m.a * m.a + m.b * m.b + m.c * m.c, m.a * m.b + m.b * m.d + m.c * m.e,
          m.a * m.c + m.b * m.e + m.c * m.f, m.b * m.b + m.d * m.d + m.e * m.e,
          m.b * m.c + m.d * m.e + m.e * m.f, m.c * m.c + m.e * m.e + m.f * m.f};
}

// Sums over a subset of x, y, z and their products.
struct Moments {
  vfloat n, x, y, z, xx, xy, xz, yy, yz, zz;
};

SIMD_INLINE void add(Moments &m, vfloat one, vfloat x, vfloat y, vfloat z) {
  m.n += one;
  m.x += x;
  m.y += y;
  m.z += z;
  m.xx = fma_exact(x, x, m.xx);
  m.xy = fma_exact(x, y, m.xy);
  m.xz = fma_exact(x, z, m.xz);
  m.yy = fma_exact(y, y, m.yy);
  m.yz = fma_exact(y, z, m.yz);
  m.zz = fma_exact(z, z, m.zz);
}

// n times the scatter matrix.
SIMD_INLINE Matrix3 scatter(const Moments &m) {
  return {m.n * m.xx - m.x * m.x, m.n * m.xy - m.x * m.y, m.n * m.xz - m.x * m.z,
          m.n * m.yy - m.y * m.y, m.n * m.yz - m.y * m.z, m.n * m.zz - m.z * m.z};
}

struct Axis3 {
  vfloat x, y, z;
};

// The column of the greatest diagonal entry.
SIMD_INLINE Axis3 greatest_column(const Matrix3 &m) {
  const vmask first = (m.a >= m.d) & (m.a >= m.f), second = m.d >= m.f;
  return {select(first, m.a, select(second, m.b, m.c)),
          select(first, m.b, select(second, m.d, m.e)),
          select(first, m.c, select(second, m.e, m.f))};
}

// Three squarings of the scatter matrix, then a column: eight power iterations from a unit vector.
// Its length means nothing.
SIMD_INLINE Axis3 principal_axis(const Matrix3 &scatter) {
  const vfloat trace = scatter.a + scatter.d + scatter.f;
  Matrix3 m = scaled(scatter, vfloat(1.0f) / (trace + vfloat(1e-30f)));
  for (int i = 0; i < 3; ++i) m = squared(m);
  return greatest_column(m);
}

template <int S>
SIMD_INLINE void subset_moments(const Texels &texels, const Subsets<S> &subsets, Moments *sums) {
  const vfloat zero(0.0f), one(1.0f);
  for (int s = 0; s < S; ++s)
    sums[s] = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  for (int t = 0; t < 16; ++t) {
    const vfloat x = texels.space[0][t], y = texels.space[1][t], z = texels.space[2][t];
    add(sums[0], one, x, y, z);
    for (int s = 1; s < S; ++s) {
      const vmask inside = subsets.has(s, t);
      add(sums[s], select(inside, one, zero), select(inside, x, zero), select(inside, y, zero),
          select(inside, z, zero));
    }
  }
  for (int s = 1; s < S; ++s) { // what is left is subset 0's: all sums are exact
    Moments &a = sums[0];
    const Moments &b = sums[s];
    a = {a.n - b.n,   a.x - b.x,   a.y - b.y,   a.z - b.z,   a.xx - b.xx,
         a.xy - b.xy, a.xz - b.xz, a.yy - b.yy, a.yz - b.yz, a.zz - b.zz};
  }
}

// The same in four dimensions, for one subset; turned so that alpha grows along the axis.
template <int S>
inline void rgba_axis(const Texels &texels, const Subsets<S> &subsets, int subset, vfloat *axis) {
  vfloat n(0.0f), mean[4], m[4][4];
  for (int i = 0; i < 4; ++i) {
    mean[i] = vfloat(0.0f);
    for (int j = i; j < 4; ++j) m[i][j] = vfloat(0.0f);
  }
  for (int t = 0; t < 16; ++t) {
    vfloat p[4], one(1.0f);
    for (int i = 0; i < 4; ++i) p[i] = texels.space[i][t];
    if (S > 1) {
      const vmask other = subsets.has(1, t);
      const vmask inside = subset ? other : !other;
      one = select(inside, one, vfloat(0.0f));
      for (int i = 0; i < 4; ++i) p[i] = select(inside, p[i], vfloat(0.0f));
    }
    n += one;
    for (int i = 0; i < 4; ++i) {
      mean[i] += p[i];
      for (int j = i; j < 4; ++j) m[i][j] = fma_exact(p[i], p[j], m[i][j]);
    }
  }
  for (int i = 0; i < 4; ++i)
    for (int j = i; j < 4; ++j) m[i][j] = m[j][i] = n * m[i][j] - mean[i] * mean[j];
  const vfloat trace = ((m[0][0] + m[1][1]) + m[2][2]) + m[3][3];
  const vfloat scale = vfloat(1.0f) / (trace + vfloat(1e-30f));
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) m[i][j] = m[i][j] * scale;
  for (int round = 0; round < 3; ++round) {
    vfloat next[4][4];
    for (int i = 0; i < 4; ++i)
      for (int j = i; j < 4; ++j)
        next[i][j] = next[j][i] =
            ((m[i][0] * m[0][j] + m[i][1] * m[1][j]) + m[i][2] * m[2][j]) + m[i][3] * m[3][j];
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) m[i][j] = next[i][j];
  }
  vfloat greatest = m[0][0];
  for (int j = 0; j < 4; ++j) axis[j] = m[0][j];
  for (int i = 1; i < 4; ++i) {
    const vmask better = m[i][i] > greatest;
    greatest = select(better, m[i][i], greatest);
    for (int j = 0; j < 4; ++j) axis[j] = select(better, m[i][j], axis[j]);
  }
  const vmask turned = axis[3] < vfloat(0.0f);
  for (int j = 0; j < 4; ++j) axis[j] = select(turned, -axis[j], axis[j]);
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
