// Which partitions are worth a trial: the error of the best lines, from moments alone.
//
// A subset of n texels with scatter matrix A (their products about the mean) leaves tr A - m off
// its best line, where m is A's largest eigenvalue, and has m along it, of which the steps of an
// index leave a share. Both come from sums over texels, without any fit. Texels are seen in the
// plane of their block's two greatest axes, where m is the root of a quadratic; what lies off that
// plane is off every partition's lines.
//
// A partition takes four texels a row: their sums are made once for all sixteen subsets of a row,
// so that a sum over a subset of the block is three additions.
#pragma once

#include "bc7/encode_axes.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// What to expect of a mode: a share of what is off its lines, a share of what is along them, and a
// constant for the rounding of endpoints. `encode.EXPECT`, word for word.
struct Expect {
  float off, along, rounding;
};
constexpr Expect EXPECT[MODE_COUNT] = {{1.2f, 1.0f / 150, 25.0f}, {1.2f, 1.0f / 150, 20.0f},
                                       {1.6f, 1.0f / 80, 70.0f},  {1.2f, 1.0f / 30, 10.0f},
                                       {1.2f, 1.0f / 30, 60.0f},  {1.2f, 1.0f / 30, 10.0f},
                                       {1.2f, 1.0f / 300, 10.0f}, {1.5f, 1.0f / 30, 40.0f}};

constexpr float NEVER = 131071.0f; // 128 times that, and a place below 128, is exact
constexpr float MOST = NEVER - 1;  // to expect of a trial

// Places in the plane of the two greatest axes, in thirds (so that sums of their products are exact
// in every metric), and what lies off it.
constexpr float THIRDS = 3.0f;

struct Plane {
  vfloat u[16], v[16];
  vfloat sum_u, sum_v, sum_uu, sum_uv, sum_vv;
  vfloat off;

  explicit Plane(const Texels &texels) {
    const vfloat zero(0.0f), one(1.0f);
    Moments sums[1];
    subset_moments<1>(texels, Subsets<1>(vint(0)), sums);
    const Matrix3 whole = scatter(sums[0]);
    const Axis3 first = unit(principal_axis(whole));
    // the scatter without the first axis: A - (p^T A p) p p^T
    const vfloat m = along(whole, first);
    Matrix3 rest = {whole.a - m * first.x * first.x, whole.b - m * first.x * first.y,
                    whole.c - m * first.x * first.z, whole.d - m * first.y * first.y,
                    whole.e - m * first.y * first.z, whole.f - m * first.z * first.z};
    const vfloat left = abs(rest.a) + abs(rest.d) + abs(rest.f);
    rest = squared(scaled(rest, one / (left + vfloat(1e-30f))));
    const Axis3 near = unit(greatest_column(rest));
    const vfloat slant = near.x * first.x + near.y * first.y + near.z * first.z;
    const Axis3 second =
        unit({near.x - slant * first.x, near.y - slant * first.y, near.z - slant * first.z});
    sum_u = sum_v = sum_uu = sum_uv = sum_vv = zero;
    for (int t = 0; t < 16; ++t) {
      u[t] = place(first, texels, t);
      v[t] = place(second, texels, t);
      sum_u += u[t];
      sum_v += v[t];
      sum_uu = fma_exact(u[t], u[t], sum_uu);
      sum_uv = fma_exact(u[t], v[t], sum_uv);
      sum_vv = fma_exact(v[t], v[t], sum_vv);
    }
    const vfloat trace = whole.a + whole.d + whole.f;
    off = max(trace - (m + along(whole, second)), zero) * vfloat(1.0f / 16);
  }

  static vfloat along(const Matrix3 &m, const Axis3 &p) {
    const vfloat x = m.a * p.x + m.b * p.y + m.c * p.z;
    const vfloat y = m.b * p.x + m.d * p.y + m.e * p.z;
    const vfloat z = m.c * p.x + m.e * p.y + m.f * p.z;
    return x * p.x + y * p.y + z * p.z;
  }

  static Axis3 unit(const Axis3 &a) {
    const vfloat greatest = max(max(abs(a.x), abs(a.y)), abs(a.z));
    const vfloat scale = vfloat(1.0f) / (greatest + vfloat(1e-30f));
    const vfloat x = a.x * scale, y = a.y * scale, z = a.z * scale;
    const vfloat inverse = vfloat(1.0f) / sqrt(x * x + y * y + z * z + vfloat(1e-30f));
    return {x * inverse, y * inverse, z * inverse};
  }
  static vfloat place(const Axis3 &a, const Texels &texels, int t) {
    const vfloat place =
        a.x * texels.space[0][t] + a.y * texels.space[1][t] + a.z * texels.space[2][t];
    return round(vfloat(THIRDS) * place);
  }
};

// Sums of one quantity over the sixteen subsets of each row of texels.
struct RowSums {
  vfloat row[4][16];
  SIMD_INLINE void fill(const vfloat *values) {
    for (int r = 0; r < 4; ++r) {
      row[r][0] = vfloat(0.0f);
      for (int i = 1; i < 16; ++i)
        row[r][i] = row[r][i & (i - 1)] + values[4 * r + __builtin_ctz(i)];
    }
  }
  SIMD_INLINE vfloat over(int texels) const {
    return (row[0][texels & 15] + row[1][texels >> 4 & 15]) +
           (row[2][texels >> 8 & 15] + row[3][texels >> 12]);
  }
};

// What a subset of n texels with these sums leaves off its best line and along it; adds both.
SIMD_INLINE void split_scatter(int n, vfloat u, vfloat v, vfloat uu, vfloat uv, vfloat vv,
                               vfloat &off, vfloat &along) {
  const vfloat count(static_cast<float>(n)),
      by(0.5f / (THIRDS * THIRDS) / float(n)); // half of a sum
  const vfloat a = count * uu - u * u, b = count * uv - u * v, d = count * vv - v * v;
  const vfloat trace = a + d, difference = a - d, twice = b + b;
  const vfloat root = sqrt(difference * difference + twice * twice);
  off += max(trace - root, vfloat(0.0f)) * by;
  along += (trace + root) * by;
}

SIMD_INLINE int count_of(int texels) { return __builtin_popcount(uint32_t(texels)); }

// The least of what has been offered, in order: numbers that no two are equal of.
struct Shortlist {
  vfloat least[MAX_TRIALS];
  int length;
  SIMD_INLINE explicit Shortlist(int length_) : length(length_) {
    for (int i = 0; i < length; ++i) least[i] = vfloat(NEVER * 128.0f);
  }
  SIMD_INLINE void offer(vfloat expected, int place) {
    vfloat entry = floor(min(expected, vfloat(MOST))) * vfloat(128.0f) + vfloat(float(place));
    if (!any(entry < least[length - 1])) return;
    for (int i = 0; i < length; ++i) {
      const vfloat better = min(least[i], entry);
      entry = max(least[i], entry);
      least[i] = better;
    }
  }
};

// Partitions of modes with S subsets: entries of [trial][position in the queue], an expected error
// in whole units times 128, and a place: the partition, 64 more for the second mode.
struct Promises {
  float entry[MAX_TRIALS][WAVE + LANES];
};

template <int S, bool WEIGHTED>
inline void rank(const Wave &wave, const Metric &metric, int trials, const Queue &queue,
                 Promises &promises) {
  constexpr int first = WEIGHTED ? 7 : S == 2 ? 1 : 0, second = S == 2 ? 3 : 2;
  const vfloat zero(0.0f);
  for (int start = 0; start < queue.count; start += LANES) {
    const Group group(queue, start);
    Texels texels;
    load_texels<WEIGHTED>(wave, group.number, metric, texels);
    const Plane plane(texels);
    RowSums u, v, uu, uv, vv, a, aa;
    vfloat products[16];
    u.fill(plane.u);
    v.fill(plane.v);
    for (int t = 0; t < 16; ++t) products[t] = plane.u[t] * plane.u[t];
    uu.fill(products);
    for (int t = 0; t < 16; ++t) products[t] = plane.u[t] * plane.v[t];
    uv.fill(products);
    for (int t = 0; t < 16; ++t) products[t] = plane.v[t] * plane.v[t];
    vv.fill(products);
    vfloat alpha(0.0f), alpha_square(0.0f);
    if (WEIGHTED) {
      a.fill(texels.x[3]);
      for (int t = 0; t < 16; ++t) products[t] = texels.x[3][t] * texels.x[3][t];
      aa.fill(products);
      alpha = a.over(0xFFFF);
      alpha_square = aa.over(0xFFFF);
    }
    Shortlist shortlist(trials);
    for (int p = 0; p < 64; ++p) {
      vfloat off = plane.off, along = zero, off_1 = zero, along_1 = zero;
      vfloat left[5] = {plane.sum_u, plane.sum_v, plane.sum_uu, plane.sum_uv, plane.sum_vv};
      int rest = 16;
      for (int s = 1; s < S; ++s) {
        const int member = MEMBERS.bits[S - 1][s - 1][p], n = count_of(member);
        const vfloat sums[5] = {u.over(member), v.over(member), uu.over(member), uv.over(member),
                                vv.over(member)};
        split_scatter(n, sums[0], sums[1], sums[2], sums[3], sums[4], off_1, along_1);
        for (int i = 0; i < 5; ++i) left[i] -= sums[i];
        rest -= n;
      }
      split_scatter(rest, left[0], left[1], left[2], left[3], left[4], off_1, along_1);
      off += off_1;
      along += along_1;
      if (WEIGHTED) {
        const int member = MEMBERS.bits[1][0][p], n = count_of(member);
        const vfloat x = a.over(member), xx = aa.over(member), rest_x = alpha - x;
        const vfloat inside =
            (xx - x * x * vfloat(1.0f / float(n))) +
            ((alpha_square - xx) - rest_x * rest_x * vfloat(1.0f / float(16 - n)));
        along += vfloat(metric.aa) * inside;
      }
      const Expect &e = EXPECT[first], &f = EXPECT[second];
      if (S == 2 || p < 16)
        shortlist.offer(vfloat(e.off) * off + vfloat(e.along) * along + vfloat(e.rounding), p);
      if (!WEIGHTED)
        shortlist.offer(vfloat(f.off) * off + vfloat(f.along) * along + vfloat(f.rounding), 64 + p);
    }
    for (int i = 0; i < trials; ++i) store(promises.entry[i] + start, shortlist.least[i]);
  }
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
