// Lines of colours through a block's subsets: first indices, endpoints for indices, indices for
// endpoints.
//
//   axes --first_indices--> index --fit--> codes, ends --choose--> index, error --+
//                                    ^                                            |
//                                    +--------------------------------------------+
//
// Weights are whole numbers of 64 here, and every sum over texels is one of whole numbers (or of
// 16ths, where colour counts by alpha) that a float holds exactly.
#pragma once

#include "bc7/encode_axes.h"
#include "bc7/encode_fit.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// What the quantisers of `first_indices` leave out at the two ends, in steps of an index.
constexpr int QUANTISERS = 8;
constexpr float MARGINS[2][QUANTISERS] = {{0, 0.35f, 0, 0.5f, 0.7f, 0.2f, 0.9f, -0.2f},
                                          {0, 0.35f, 0.5f, 0, 0.7f, 0.9f, 0.2f, -0.2f}};

constexpr float ROUNDER =
    12582912.0f; // 1.5 * 2^23: x + ROUNDER - ROUNDER is x to the nearest whole

SIMD_INLINE vfloat to_nearest(vfloat x) { return (x + vfloat(ROUNDER)) - vfloat(ROUNDER); }
SIMD_INLINE vfloat clamp(vfloat x, float low, float high) {
  return min(max(x, vfloat(low)), vfloat(high));
}

// The decoder's interpolation weight of 64, never halfway between two.
SIMD_INLINE vfloat weight_of_index(vfloat index, float step) {
  return to_nearest(index * vfloat(step));
}

// Where alpha is: nowhere, all texels being opaque; on the lines; or with indices of its own.
// Unless it is nowhere, colour errors count by visibility.
enum AlphaKind { OPAQUE, ON_LINES, APART };

// One try of one mode, for LANES blocks.
template <int S, AlphaKind KIND>
struct Trial {
  static constexpr bool ALPHA = KIND == ON_LINES, WEIGHTED = KIND != OPAQUE;
  static constexpr int CHANNELS = ALPHA ? 4 : 3;

  Metric metric;
  Shape shape;
  Texels texels;
  Subsets<S> subsets;
  vfloat index[16], weight[16];
  vfloat codes[S][2][4], ends[S][2][4];
  vfloat place[16];  // along the axis of a texel's subset, in 64ths of a step
  vfloat held[S][2]; // alpha that an endpoint must have, or FREE
  vfloat apart;      // error of a channel with indices of its own
  int rotation = 0;  // that channel, 1 to 3; its row then holds opaque alpha
  int count = 16;    // texels

  Trial(const Wave &wave, const Metric &metric_, Shape shape_, const Group &group)
      : metric(metric_), shape(shape_), subsets(group.partition), apart(0.0f) {
    load_texels<WEIGHTED>(wave, group.number, metric, texels);
  }

  // Without texels: the caller fills in `count` of them.
  Trial(const Metric &metric_, Shape shape_)
      : metric(metric_), shape(shape_), subsets(vint(0)), apart(0.0f) {}

  // Fill `place` from the axes of the subsets.
  void project() {
    vfloat axis[S][4];
    if (ALPHA) {
      for (int s = 0; s < S; ++s) rgba_axis<S>(texels, subsets, s, axis[s]);
    } else {
      Moments sums[S];
      subset_moments<S>(texels, subsets, sums);
      for (int s = 0; s < S; ++s) {
        const Axis3 found = principal_axis(scatter(sums[s]));
        axis[s][0] = found.x;
        axis[s][1] = found.y;
        axis[s][2] = found.z;
      }
    }
    const vfloat far(FAR_OFF);
    vfloat low[S], high[S], density[S];
    for (int s = 0; s < S; ++s) {
      low[s] = far;
      high[s] = -far;
    }
    for (int t = 0; t < 16; ++t) {
      vfloat p = subsets.pick(t, &axis[0][0], 4) * texels.space[0][t] +
                 subsets.pick(t, &axis[0][1], 4) * texels.space[1][t] +
                 subsets.pick(t, &axis[0][2], 4) * texels.space[2][t];
      if (ALPHA) p += subsets.pick(t, &axis[0][3], 4) * texels.space[3][t];
      place[t] = p;
      for (int s = 0; s < S; ++s) {
        if (S == 1) {
          low[0] = min(low[0], p);
          high[0] = max(high[0], p);
          continue;
        }
        const vmask other = s ? subsets.has(s, t) : mask_from_bits(0);
        const vmask inside = s        ? other
                             : S == 3 ? !(subsets.has(1, t) | subsets.has(2, t))
                                      : !subsets.has(1, t);
        low[s] = min(low[s], select(inside, p, far));
        high[s] = max(high[s], select(inside, p, -far));
      }
    }
    const vfloat steps(64.0f * float(shape.top));
    for (int s = 0; s < S; ++s)
      density[s] = select(high[s] > low[s], steps / (high[s] - low[s]), vfloat(0.0f));
    for (int t = 0; t < 16; ++t)
      place[t] = to_nearest((place[t] - subsets.pick(t, low, 1)) * subsets.pick(t, density, 1));
  }

  // Fill `index` and `weight`: in each subset by the best of some uniform quantisers of `place`,
  // the one whose indices explain most of the places' variance. rank: 0 for the best, 1 for the
  // next that scores otherwise, and so on.
  void first_indices(int quantisers, int rank) {
    const vfloat zero(0.0f), top(float(shape.top));
    vfloat score[QUANTISERS][S], scale[QUANTISERS], shift[QUANTISERS];
    vfloat n[S], p[S];
    for (int s = 0; s < S; ++s) n[s] = p[s] = zero;
    for (int t = 0; t < 16; ++t) {
      n[0] += vfloat(1.0f);
      p[0] += place[t];
      for (int s = 1; s < S; ++s) {
        const vmask inside = subsets.has(s, t);
        n[s] += select(inside, vfloat(1.0f), zero);
        p[s] += select(inside, place[t], zero);
      }
    }
    for (int s = 1; s < S; ++s) {
      n[0] -= n[s];
      p[0] -= p[s];
    }
    for (int q = 0; q < quantisers; ++q) {
      const float spread = float(shape.top) / (float(shape.top) - MARGINS[0][q] - MARGINS[1][q]);
      scale[q] = vfloat(spread * (1.0f / 64));
      shift[q] = vfloat(-(MARGINS[0][q] * spread));
      vfloat w[S], ww[S], wp[S];
      for (int s = 0; s < S; ++s) w[s] = ww[s] = wp[s] = zero;
      for (int t = 0; t < 16; ++t) {
        const vfloat i = min(max(to_nearest(place[t] * scale[q] + shift[q]), zero), top);
        w[0] += i;
        ww[0] = fma_exact(i, i, ww[0]);
        wp[0] = fma_exact(i, place[t], wp[0]);
        for (int s = 1; s < S; ++s) {
          const vfloat j = select(subsets.has(s, t), i, zero);
          w[s] += j;
          ww[s] = fma_exact(j, j, ww[s]);
          wp[s] = fma_exact(j, place[t], wp[s]);
        }
      }
      for (int s = 1; s < S; ++s) {
        w[0] -= w[s];
        ww[0] -= ww[s];
        wp[0] -= wp[s];
      }
      for (int s = 0; s < S; ++s) {
        const vfloat covariance = n[s] * wp[s] - w[s] * p[s];
        const vfloat variance = n[s] * ww[s] - w[s] * w[s];
        score[q][s] = covariance * covariance / max(variance, vfloat(1.0f));
      }
    }
    vfloat best_scale[S], best_shift[S];
    for (int s = 0; s < S; ++s)
      for (int passed = 0; passed <= rank; ++passed) {
        vfloat greatest = score[0][s];
        best_scale[s] = scale[0];
        best_shift[s] = shift[0];
        for (int q = 1; q < quantisers; ++q) {
          const vmask better = score[q][s] > greatest;
          greatest = select(better, score[q][s], greatest);
          best_scale[s] = select(better, scale[q], best_scale[s]);
          best_shift[s] = select(better, shift[q], best_shift[s]);
        }
        if (passed < rank)
          for (int q = 0; q < quantisers; ++q)
            score[q][s] = select(score[q][s] == greatest, vfloat(-1.0f), score[q][s]);
      }
    const float step = 64.0f / float(shape.top);
    for (int t = 0; t < 16; ++t) {
      const vfloat at = place[t] * subsets.pick(t, best_scale, 1) + subsets.pick(t, best_shift, 1);
      index[t] = min(max(to_nearest(at), zero), top);
      weight[t] = weight_of_index(index[t], step);
    }
  }

  // Sums for the present weights.
  void sum(Sums *sums) const {
    const vfloat zero(0.0f), one(1.0f);
    for (int s = 0; s < S; ++s) {
      Sums &a = sums[s];
      a.n = a.w = a.ww = a.alpha_n = a.alpha_w = a.alpha_ww = a.alpha = a.alpha_wx = zero;
      for (int c = 0; c < 3; ++c) a.x[c] = a.wx[c] = zero;
    }
    for (int t = 0; t < count; ++t)
      for (int s = 0; s < S; ++s) {
        Sums &a = sums[s];
        vfloat m = WEIGHTED ? texels.visible[t] : one, in = one;
        if (s) {
          const vmask inside = subsets.has(s, t);
          m = select(inside, m, zero);
          if (ALPHA) in = select(inside, one, zero);
        }
        const vfloat w = weight[t], v = m * w;
        a.n += m;
        a.w += v;
        a.ww = fma_exact(v, w, a.ww);
        for (int c = 0; c < 3; ++c) {
          a.x[c] = fma_exact(m, texels.x[c][t], a.x[c]);
          a.wx[c] = fma_exact(v, texels.x[c][t], a.wx[c]);
        }
        if (ALPHA) {
          const vfloat u = in * w;
          a.alpha_n += in;
          a.alpha_w += u;
          a.alpha_ww = fma_exact(u, w, a.alpha_ww);
          a.alpha = fma_exact(in, texels.x[3][t], a.alpha);
          a.alpha_wx = fma_exact(u, texels.x[3][t], a.alpha_wx);
        }
      }
    for (int s = 1; s < S; ++s) {
      Sums &a = sums[0];
      const Sums &b = sums[s];
      a.n -= b.n;
      a.w -= b.w;
      a.ww -= b.ww;
      for (int c = 0; c < 3; ++c) {
        a.x[c] -= b.x[c];
        a.wx[c] -= b.wx[c];
      }
      a.alpha_n -= b.alpha_n;
      a.alpha_w -= b.alpha_w;
      a.alpha_ww -= b.alpha_ww;
      a.alpha -= b.alpha;
      a.alpha_wx -= b.alpha_wx;
    }
  }

  // Fill `held`: the least and the greatest alpha of a subset, where they are 0 or 255.
  void hold_alpha() {
    const vfloat none(0.0f), full(255.0f), free(FREE);
    for (int s = 0; s < S; ++s) {
      vfloat least = full, greatest = none;
      for (int t = 0; t < 16; ++t) {
        const vfloat a = texels.x[3][t];
        if (S == 1) {
          least = min(least, a);
          greatest = max(greatest, a);
        } else {
          const vmask other = subsets.has(1, t), inside = s ? other : !other;
          least = min(least, select(inside, a, full));
          greatest = max(greatest, select(inside, a, none));
        }
      }
      held[s][0] = select((least == none) | (least == full), least, free);
      held[s][1] = select((greatest == none) | (greatest == full), greatest, free);
    }
  }

  // Fill `index` and `weight` with each texel's nearest step, and return the block's error: of the
  // two steps between which the texel lies along its line, the nearer one as a decoder rounds them.
  vfloat choose() {
    const vfloat zero(0.0f);
    const float top = float(shape.top), step = 64.0f / top;
    vfloat ray[S][6]; // x, y, z, w, o: a texel's place, in steps; and v, by alpha alone
    vfloat base[S][4],
        span[S][4]; // a little over half above an endpoint; the way to the other / 64
    for (int s = 0; s < S; ++s) {
      vfloat d[4] = {zero, zero, zero, zero};
      for (int c = 0; c < CHANNELS; ++c) {
        d[c] = ends[s][1][c] - ends[s][0][c];
        base[s][c] = ends[s][0][c] + vfloat(1.0f / 128);
        span[s][c] = d[c] * vfloat(1.0f / 64);
      }
      const vfloat rg(metric.rg), rb(metric.rb), gb(metric.gb);
      vfloat x = vfloat(metric.rr) * d[0] + rg * d[1] + rb * d[2];
      vfloat y = rg * d[0] + vfloat(metric.gg) * d[1] + gb * d[2];
      vfloat z = rb * d[0] + gb * d[1] + vfloat(metric.bb) * d[2];
      vfloat w = vfloat(metric.aa) * d[3];
      vfloat length = x * d[0] + y * d[1] + z * d[2];
      if (ALPHA) length += w * d[3];
      const vfloat scale = select(length > zero, vfloat(top) / length, zero);
      ray[s][0] = x = x * scale;
      ray[s][1] = y = y * scale;
      ray[s][2] = z = z * scale;
      vfloat o = x * ends[s][0][0] + y * ends[s][0][1] + z * ends[s][0][2];
      if (ALPHA) {
        ray[s][3] = w = w * scale;
        o += w * ends[s][0][3];
        ray[s][5] = select(d[3] != zero, vfloat(top) / d[3], zero);
      }
      ray[s][4] = -o;
    }
    const vfloat rr(metric.rr), gg(metric.gg), bb(metric.bb), aa(metric.aa);
    const vfloat rg(2 * metric.rg), rb(2 * metric.rb), gb(2 * metric.gb);
    vfloat total[S];
    for (vfloat &sum : total) sum = zero;
    for (int t = 0; t < count; ++t) {
      vfloat x[4];
      for (int c = 0; c < CHANNELS; ++c) x[c] = texels.x[c][t];
      vfloat at = subsets.pick(t, &ray[0][0], 6) * x[0] + subsets.pick(t, &ray[0][1], 6) * x[1] +
                  subsets.pick(t, &ray[0][2], 6) * x[2] + subsets.pick(t, &ray[0][4], 6);
      if (ALPHA) {
        at += subsets.pick(t, &ray[0][3], 6) * x[3];
        const vfloat first = subsets.pick(t, &base[0][3], 4) - vfloat(1.0f / 128);
        const vfloat alone = (x[3] - first) * subsets.pick(t, &ray[0][5], 6);
        const vmask kept = texels.opacity[t] > vfloat(1.0f);
        at = select(kept & (subsets.pick(t, &span[0][3], 4) != zero), alone, at);
      }
      const vfloat below = min(max(floor(at), zero), vfloat(top - 1)), above = below + vfloat(1.0f);
      const vfloat low = weight_of_index(below, step), high = weight_of_index(above, step);
      vfloat d[4], e[4]; // what the two steps miss
      for (int c = 0; c < CHANNELS; ++c) {
        const vfloat from = subsets.pick(t, &base[0][c], 4), way = subsets.pick(t, &span[0][c], 4);
        // a 128th over: never halfway
        d[c] = x[c] - to_nearest(fma_exact(low, way, from));
        e[c] = x[c] - to_nearest(fma_exact(high, way, from));
      }
      vfloat near, far;
      if (metric.plain) {
        near = fma_exact(d[0], d[0], fma_exact(d[1], d[1], d[2] * d[2]));
        far = fma_exact(e[0], e[0], fma_exact(e[1], e[1], e[2] * e[2]));
      } else {
        near = d[0] * (rr * d[0] + rg * d[1] + rb * d[2]) + d[1] * (gg * d[1] + gb * d[2]) +
               bb * d[2] * d[2];
        far = e[0] * (rr * e[0] + rg * e[1] + rb * e[2]) + e[1] * (gg * e[1] + gb * e[2]) +
              bb * e[2] * e[2];
      }
      if (WEIGHTED) {
        near = texels.visible[t] * near;
        far = texels.visible[t] * far;
      }
      if (ALPHA) {
        near += texels.opacity[t] * (aa * d[3] * d[3]);
        far += texels.opacity[t] * (aa * e[3] * e[3]);
      }
      const vmask nearer = far < near;
      const vfloat least = select(nearer, far, near);
      if (S == 1) total[0] += least;
      for (int s = 1; s < S; ++s) total[s] += select(subsets.has(s, t), least, zero);
      if (S == 2) total[0] += select(subsets.has(1, t), zero, least);
      if (S == 3) total[0] += select(subsets.has(1, t) | subsets.has(2, t), zero, least);
      index[t] = select(nearer, above, below);
      weight[t] = select(nearer, high, low);
    }
    vfloat sum = total[0];
    for (int s = 1; s < S; ++s) sum += total[s];
    return sum + apart;
  }

  // Fit the ends of a subset to the present indices, by p-bits `first` .. `last` - 1.
  void fit(int s, const Sums &sums, int first, int last) {
    fit_codes<ALPHA>(sums, shape, first, last, held[s], codes[s]);
    if (rotation)
      codes[s][0][rotation - 1] = codes[s][1][rotation - 1] = vfloat(float((1 << shape.bits) - 1));
    for (int e = 0; e < 2; ++e)
      for (int c = 0; c < CHANNELS; ++c) ends[s][e][c] = widen(codes[s][e][c], shape.bits);
  }
};

} // namespace encoding
} // namespace smalti::SMALTI_ISA
