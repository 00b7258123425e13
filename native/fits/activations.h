// Activations of a small network and their slopes, in lanes: its second cost after the products.
//
// Arithmetic alone: 22 operations for a sine, 35 with its cosine. Values and slopes are within 1e-6
// of the exact ones, of the sine within 3e-6 and what rounding 30 z to a float32 costs.
#pragma once

#include "kernel.h"

namespace smalti::SMALTI_ISA {

// In the order of the numbers that files and `activation` fields hold.
enum Activation { SIREN, GELU, SILU, RELU, ACTIVATIONS };

constexpr float OMEGA = 30.0f; // of the sines (Sitzmann et al. 2020, arXiv 2006.09661, section 3.2)

// z = k pi + r, |r| <= pi/2; sine and cosine change sign with odd k. Within 3e-6 for |z| up to
// 10,000. Least squares on Chebyshev nodes of [-pi/2, pi/2]: sin(r) / r and cos(r) in powers of r^2.
struct Turned {
  vfloat r, sign;
  SIMD_INLINE explicit Turned(vfloat z) {
    const vfloat half(0.5f), one(1.0f), two(2.0f);
    const vfloat k = floor(fma(z, vfloat(0.318309886f), half)); // 1 / pi
    // pi in two parts, the first of few enough bits for exact products with k under 2^14
    r = fma(-k, vfloat(9.67653589793e-4f), fma(-k, vfloat(3.140625f), z));
    const vfloat end(1.57179633f); // pi / 2 + 0.001: beyond |z| of 10,000 k pi is no longer exact
    r = min(max(r, -end), end);
    sign = fma(-two, fma(-two, floor(k * half), k), one);
  }
  SIMD_INLINE vfloat sine() const {
    const vfloat s = r * r;
    vfloat p = fma(s, vfloat(2.59043003064674e-06f), vfloat(-0.00019800865307220694f));
    p = fma(s, p, vfloat(0.008332899222834127f));
    p = fma(s, p, vfloat(-0.1666664759348975f));
    return sign * r * fma(s, p, vfloat(0.9999999765137563f));
  }
  SIMD_INLINE vfloat cosine() const {
    const vfloat s = r * r;
    vfloat p = fma(s, vfloat(-2.6051076379429716e-07f), vfloat(2.4760135517332138e-05f));
    p = fma(s, p, vfloat(-0.0013888360842561481f));
    p = fma(s, p, vfloat(0.0416666362089298f));
    p = fma(s, p, vfloat(-0.4999999935695629f));
    return sign * fma(s, p, vfloat(0.9999999997799017f));
  }
};

SIMD_INLINE vfloat sigmoid(vfloat x) { return vfloat(1.0f) / (vfloat(1.0f) + exp(-x)); }

// f(z); f'(z) goes to `slope`, where that is not null.
template <int KIND> SIMD_INLINE vfloat activate(vfloat z, float *slope = nullptr) {
  const vfloat one(1.0f), half(0.5f);
  if constexpr (KIND == SIREN) {
    const Turned turned(vfloat(OMEGA) * z);
    if (slope) store(slope, vfloat(OMEGA) * turned.cosine());
    return turned.sine();
  } else if constexpr (KIND == GELU) {
    // The complementary error function over exp(-x^2) in powers of 1 / (1 + p x), within 1.5e-7:
    // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
    const vfloat bell = exp(-half * z * z);
    const vfloat t = one / fma(vfloat(0.3275911f) * abs(z), vfloat(0.707106781f), one);
    vfloat p = fma(t, vfloat(1.061405429f), vfloat(-1.453152027f));
    p = fma(t, p, vfloat(1.421413741f));
    p = fma(t, p, vfloat(-0.284496736f));
    const vfloat tail = half * bell * (t * fma(t, p, vfloat(0.254829592f)));
    const vfloat share = select(z > vfloat(0.0f), one - tail, tail);
    if (slope) store(slope, fma(z * vfloat(0.39894228040f), bell, share)); // 1 / sqrt(2 pi)
    return z * share;
  } else if constexpr (KIND == SILU) {
    const vfloat s = sigmoid(z);
    if (slope) store(slope, s * fma(z, one - s, one));
    return z * s;
  } else {
    const vfloat rises = select(z > vfloat(0.0f), one, vfloat(0.0f));
    if (slope) store(slope, rises);
    return z * rises;
  }
}

// f.operator()<KIND>() for the activation of this number.
template <class F> SIMD_INLINE void with_activation(int kind, const F &f) {
  switch (kind) {
  case SIREN: f.template operator()<SIREN>(); break;
  case GELU: f.template operator()<GELU>(); break;
  case SILU: f.template operator()<SILU>(); break;
  default: f.template operator()<RELU>();
  }
}

} // namespace smalti::SMALTI_ISA
