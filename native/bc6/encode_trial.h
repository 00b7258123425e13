// One trial: ends to codes, texels to indices, ends fitted to these; and codes moved one by one.
#pragma once

#include "bc6/encode_lanes.h"

namespace smalti::SMALTI_ISA::bc6 {

// Interpolation weight of 1: that of the format, of 64, divided by it.
template <int S> SIMD_INLINE vfloat weight_of(vfloat index) {
  if (S == 2)
    return (vfloat(9.0f) * index + floor(index * vfloat(0.25f))) * vfloat(1.0f / 64);
  return (vfloat(4.0f) * index + floor((index + vfloat(2.0f)) * vfloat(0.25f))) * vfloat(1.0f / 64);
}

// Indices and the weights of 1 that they stand for; the square error.
template <int S, bool SIGNED>
SIMD_INLINE vfloat index_texels(const Texels &y, const Ends &codes, vint mode,
                                const Members &members, vfloat (&index)[16],
                                vfloat (&weight)[16]) {
  const vfloat zero(0.0f), top(S == 2 ? 7.0f : 15.0f), half(S == 2 ? 3.0f : 7.0f);
  Ends ends;
  expand<S, SIGNED>(codes, mode, ends);
  const Vector span_1 = ends[1] - ends[0];
  const vfloat over_1 = top / max(dot(span_1, span_1), vfloat(TINY));
  Vector span_2 = span_1;
  vfloat over_2 = over_1;
  if (S == 2) {
    span_2 = ends[3] - ends[2];
    over_2 = top / max(dot(span_2, span_2), vfloat(TINY));
  }
  vfloat error = zero;
  for (int t = 0; t < 16; ++t) {
    Vector first = ends[0], span = span_1;
    vfloat over = over_1, most = t ? top : half;
    if (S == 2) {
      const vmask here = members[t];
      first = select(here, ends[2], first);
      span = select(here, span_2, span);
      over = select(here, over_2, over);
      most = select(members.anchor == vint(t), half, most);
    }
    index[t] = round(min(max(dot(y[t] - first, span) * over, zero), most));
    weight[t] = weight_of<S>(index[t]);
    const Vector miss = (first + span * weight[t]) - y[t];
    const vfloat square = dot(miss, miss);
    error = t ? error + square : square;
  }
  return error;
}

SIMD_INLINE void take(vmask better, vint mode, vint partition, const Ends &codes, int ends,
                      const vfloat (&index)[16], vfloat error, Coding &best) {
  best.mode = select(better, mode, best.mode);
  best.partition = select(better, partition, best.partition);
  for (int end = 0; end < ends; ++end)
    best.codes[end] = select(better, codes[end], best.codes[end]);
  for (int t = 0; t < 16; ++t) best.index[t] = select(better, index[t], best.index[t]);
  best.error = select(better, error, best.error);
}

// Put ends in such an order that each anchor lies in the first half of its line.
template <int S> SIMD_INLINE void turn(const Texels &y, const Members &members, Ends &ends) {
  for (int subset = 0; subset < S; ++subset) {
    Vector anchor = y[0];
    if (subset)
      for (int t = 1; t < 16; ++t) anchor = select(members.anchor == vint(t), y[t], anchor);
    const Vector first = ends[2 * subset], last = ends[2 * subset + 1], span = last - first;
    const vmask beyond = dot(anchor - first, span) > vfloat(0.5f) * dot(span, span);
    ends[2 * subset] = select(beyond, last, first);
    ends[2 * subset + 1] = select(beyond, first, last);
  }
}

// The ends that fit best where texels keep their weights; those of before where any would.
template <int S>
SIMD_INLINE void least_squares(const Texels &y, const vfloat (&weight)[16], const Members &members,
                               Ends &ends) {
  const vfloat zero(0.0f), one(1.0f);
  for (int subset = 0; subset < S; ++subset) {
    vfloat aa, ab, bb;
    Vector at_low, at_high;
    for (int t = 0; t < 16; ++t) {
      const vfloat here = S == 1   ? one
                          : subset ? select(members[t], one, zero)
                                   : select(members[t], zero, one);
      const vfloat high = here * weight[t], low = here - high;
      aa = t ? aa + low * low : low * low;
      ab = t ? ab + low * high : low * high;
      bb = t ? bb + high * high : high * high;
      at_low = t ? at_low + y[t] * low : y[t] * low;
      at_high = t ? at_high + y[t] * high : y[t] * high;
    }
    const vfloat determinant = aa * bb - ab * ab;
    const vmask solved = determinant > vfloat(1e-3f);
    const vfloat over = one / select(solved, determinant, one);
    ends[2 * subset] = select(solved, (at_low * bb - at_high * ab) * over, ends[2 * subset]);
    ends[2 * subset + 1] =
        select(solved, (at_high * aa - at_low * ab) * over, ends[2 * subset + 1]);
  }
}

// Quantise ends, index texels, fit the ends to the indices, and again; keep what is better, where
// blocks are `live`.
template <int S, bool SIGNED>
inline void improve(const Texels &y, Ends &ends, vint partition, const Members &members, int fits,
                    vmask live, Coding &best) {
  const vfloat low(SIGNED ? -32767.0f : 0.0f), high(SIGNED ? 32767.0f : 65535.0f);
  turn<S>(y, members, ends);
  for (int fit = 0; fit < fits; ++fit) {
    for (int end = 0; end < 2 * S; ++end)
      for (int c = 0; c < 3; ++c) ends[end][c] = min(max(ends[end][c], low), high);
    const vint mode = choose_mode<S>(ends);
    Ends codes;
    vfloat index[16], weight[16];
    quantise<S, SIGNED>(ends, mode, codes);
    const vfloat error = index_texels<S, SIGNED>(y, codes, mode, members, index, weight);
    take(live & (error < best.error), mode, partition, codes, 2 * S, index, error, best);
    if (fit + 1 < fits) least_squares<S>(y, weight, members, ends);
  }
}

// Move every code of blocks with S subsets up and down by one, and keep what is better; whether
// anything was.
template <int S, bool SIGNED> inline bool descend(const Texels &y, Coding &best) {
  const vmask these = S == 2 ? best.mode < vint(TWO_SUBSETS) : best.mode >= vint(TWO_SUBSETS);
  if (!any(these)) return false;
  const Members members(best.partition);
  bool moved = false;
  for (int end = 0; end < 2 * S; ++end)
    for (int c = 0; c < 3; ++c)
      for (int step = 1; step >= -1; step -= 2) {
        Ends codes;
        for (int e = 0; e < 4; ++e) codes[e] = best.codes[e];
        codes[end][c] = codes[end][c] + vfloat(float(step));
        vfloat index[16], weight[16];
        const vfloat error =
            index_texels<S, SIGNED>(y, codes, best.mode, members, index, weight);
        const vmask better =
            these & allowed<S, SIGNED>(codes, best.mode) & (error < best.error);
        if (!any(better)) continue;
        take(better, best.mode, best.partition, codes, 2 * S, index, error, best);
        moved = true;
      }
  return moved;
}

} // namespace smalti::SMALTI_ISA::bc6
