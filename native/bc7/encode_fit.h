// Endpoints for indices: least squares, then the best codes near the optimum.
#pragma once

#include "bc7/encode_wave.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// p-bits of the two endpoints that a fit tries, by kind: how many pairs, and which.
constexpr int PBIT_PAIRS[4] = {1, 2, 4, 1};
constexpr float P0[4][4] = {{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 1, 0, 1}, {1, 1, 1, 1}};
constexpr float P1[4][4] = {{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 1}, {1, 1, 1, 1}};

constexpr float FREE = -1.0f; // alpha of an endpoint that is not prescribed

// The decoder's 8-bit value of a code of 5 to 8 bits: its top bits repeated below.
SIMD_INLINE vfloat widen(vfloat code, int bits) {
  const float wide = float(1 << (8 - bits)), repeat = 1.0f / float(1 << (2 * bits - 8));
  return fma_exact(code, vfloat(wide), floor(code * vfloat(repeat)));
}

// Sums over a subset's texels, of weights in 64ths. Colours count by their visibility, alpha
// always.
struct Sums {
  vfloat n, w, ww, x[3], wx[3];
  vfloat alpha_n, alpha_w, alpha_ww, alpha, alpha_wx;
};

// The square error about a channel's optimum, where the ends miss it by d0 and d1, is
// a d0^2 + b d0 d1 + c d1^2; for a given d0 it is least at d1 = -slope d0.
struct Form {
  vfloat a, b, c, slope;
};

// A regression of channels on the weights.
struct Line {
  vfloat n, w;             // of the subset
  vfloat one_nth, inverse; // 1 / n and 1 / (n ww - w w); 0 where that is none
  Form form;
  SIMD_INLINE Line(vfloat n_, vfloat w_, vfloat ww) : n(n_), w(w_) {
    const vfloat zero(0.0f), one(1.0f);
    const vfloat spread = n * ww - w * w;
    const vmask flat =
        spread < vfloat(1.0f / 32); // all texels at one step: both ends to their mean
    one_nth = select(n > zero, one / n, zero);
    inverse = select(flat, zero, one / spread);
    const vfloat uu = (vfloat(4096.0f) * n - vfloat(128.0f) * w) + ww, uw = vfloat(64.0f) * w - ww;
    form.a = select(flat, one, uu);
    form.b = select(flat, zero, vfloat(2.0f) * uw);
    form.c = select(flat, one, ww);
    form.slope = select(flat, zero, uw / ww);
  }
  // The optimum's ends, of a channel with these sums.
  SIMD_INLINE void ends(vfloat x, vfloat wx, vfloat *e) const {
    const vfloat slope = (n * wx - w * x) * inverse;
    e[0] = (x - slope * w) * one_nth;
    e[1] = e[0] + slope * vfloat(64.0f);
  }
};

// Codes of a shape near an optimum.
struct Rounding {
  Shape shape;
  float stride, scale, last, top;
  SIMD_INLINE explicit Rounding(Shape shape_) : shape(shape_) {
    stride = shape.kind == NO_PBIT ? 1.0f : 2.0f;
    top = float((1 << shape.bits) - 1);
    last = top + 1 - stride;
    scale = top * (1.0f / 255);
  }
  SIMD_INLINE vfloat code(vfloat steps, float pbit) const {
    return min(max(steps * vfloat(stride), vfloat(0.0f)), vfloat(last)) + vfloat(pbit);
  }
  // Of the first end's two codes around the optimum the one that, with the second end's best, adds
  // least to the error; `held`: values that the ends must have, or FREE (NULL: free).
  SIMD_INLINE vfloat best(const vfloat *e, const Form &form, float p0, float p1, const vfloat *held,
                          vfloat *q) const {
    const vfloat unit(1.0f / stride), none(0.0f), full(top);
    const vfloat down = floor((e[0] * vfloat(scale) - vfloat(p0)) * unit);
    vfloat least(0.0f);
    for (int up = 0; up < 2; ++up) {
      vfloat q0 = code(down + vfloat(float(up)), p0);
      const vfloat miss = widen(q0, shape.bits) - e[0];
      const vfloat target = (e[1] - form.slope * miss) * vfloat(scale) - vfloat(p1);
      vfloat q1 = code(floor(target * unit + vfloat(0.5f)), p1);
      vmask cannot = mask_from_bits(0);
      if (held) {
        const vmask low0 = held[0] == none, high0 = held[0] > none;
        const vmask low1 = held[1] == none, high1 = held[1] > none;
        q0 = select(low0, none, select(high0, full, q0));
        q1 = select(low1, none, select(high1, full, q1));
        if (shape.kind != NO_PBIT) cannot = (p0 != 0 ? low0 : high0) | (p1 != 0 ? low1 : high1);
      }
      const vfloat d0 = widen(q0, shape.bits) - e[0], d1 = widen(q1, shape.bits) - e[1];
      vfloat cost = d0 * (form.a * d0 + form.b * d1) + form.c * d1 * d1;
      if (held) cost = select(cannot, vfloat(1e20f), cost);
      const vmask better = up ? cost < least : mask_from_bits(EVERY_LANE);
      least = select(better, cost, least);
      q[0] = select(better, q0, q[0]);
      q[1] = select(better, q1, q[1]);
    }
    return least;
  }
};

// The codes of a subset's two ends for its sums, by the best pair of p-bits of `first` .. `last`
// - 1.
template <bool ALPHA>
inline void fit_codes(const Sums &sums, Shape shape, int first, int last, const vfloat *held,
                      vfloat (*codes)[4]) {
  constexpr int CHANNELS = ALPHA ? 4 : 3;
  const Rounding rounding(shape);
  vfloat ends[CHANNELS][2];
  const Line colour(sums.n, sums.w, sums.ww);
  for (int c = 0; c < 3; ++c) colour.ends(sums.x[c], sums.wx[c], ends[c]);
  Form alpha_form = colour.form;
  if (ALPHA) {
    const Line alpha(sums.alpha_n, sums.alpha_w, sums.alpha_ww);
    alpha.ends(sums.alpha, sums.alpha_wx, ends[CHANNELS - 1]);
    alpha_form = alpha.form;
  }
  vfloat least(FAR_OFF);
  for (int pair = first; pair < last; ++pair) {
    const float p0 = P0[shape.kind][pair], p1 = P1[shape.kind][pair];
    vfloat q[CHANNELS][2], cost(0.0f);
    for (int c = 0; c < CHANNELS; ++c)
      cost += rounding.best(ends[c], c < 3 ? colour.form : alpha_form, p0, p1,
                            c < 3 ? nullptr : held, q[c]);
    const vmask better = pair == first ? mask_from_bits(EVERY_LANE) : cost < least;
    least = select(better, cost, least);
    for (int c = 0; c < CHANNELS; ++c) {
      codes[0][c] = select(better, q[c][0], codes[0][c]);
      codes[1][c] = select(better, q[c][1], codes[1][c]);
    }
  }
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
