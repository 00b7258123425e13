// One try of one mode, for every block of a queue; what a block stores is replaced where it gets
// better.
#pragma once

#include "bc7/encode_lines.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

constexpr float AGAIN = 1.1f; // how much worse than the best a block may be for a further fit
constexpr float FAR = 1.5f;   // how much worse, for it to be tried from other indices
constexpr float NEAR = 1.1f;  // how much worse, for its codes to be moved

// The moves of `descend`: steps of the first end and of the second.
constexpr float MOVES[8][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, -1}, {1, -1}, {-1, 1}};

SIMD_INLINE vint nibbles(const vfloat *index) {
  vint word(0);
  for (int t = 0; t < 8; ++t) word |= truncate(index[t]) << (4 * t);
  return word;
}

// The best codings that a trial finds, one a lane.
struct Record {
  vfloat error; // of the best so far, this trial's or an earlier one's
  vint ends[6], index[2], second[2];
  uint32_t improved = 0; // lanes whose best is this trial's, a bit each

  Record(const Wave &wave, const Group &group) : error(gather(wave.error, group.number)) {
    for (vint &word : ends) word = vint(0);
    for (int i = 0; i < 2; ++i) index[i] = second[i] = vint(0);
  }

  // alpha: the codes that the two ends have where they are not on the lines.
  template <int S, AlphaKind KIND>
  SIMD_INLINE void keep(vmask better, vfloat now, const Trial<S, KIND> &trial, const vint *alpha) {
    const uint32_t bits = bits_of(better);
    if (bits == 0) return;
    improved |= bits;
    error = select(better, now, error);
    for (int s = 0; s < S; ++s)
      for (int e = 0; e < 2; ++e) {
        const vfloat *code = trial.codes[s][e];
        vint word = truncate(code[0]) | truncate(code[1]) << 8 | truncate(code[2]) << 16;
        word |= (trial.ALPHA ? truncate(code[3]) : alpha[e]) << 24;
        ends[2 * s + e] = select(better, word, ends[2 * s + e]);
      }
    for (int i = 0; i < 2; ++i) index[i] = select(better, nibbles(trial.index + 8 * i), index[i]);
  }

  void commit(Wave &wave, const Group &group, int mode, int rotation, int selection) const {
    const uint32_t lanes = improved & group.real;
    if (!lanes) return;
    int32_t words[CODING_WORDS][LANES], number[LANES];
    float errors[LANES];
    store(number, group.number);
    store(errors, error);
    store(words[0],
          vint(mode | rotation << 10 | selection << 12) | group.partition << 4);
    for (int i = 0; i < 6; ++i) store(words[1 + i], ends[i]);
    for (int i = 0; i < 2; ++i) {
      store(words[7 + i], index[i]);
      store(words[9 + i], second[i]);
    }
    for (int lane = 0; lane < LANES; ++lane) {
      if (!(lanes >> lane & 1)) continue;
      wave.error[number[lane]] = errors[lane];
      int32_t block[CODING_WORDS];
      for (int i = 0; i < CODING_WORDS; ++i) block[i] = words[i][lane];
      __builtin_memcpy(&wave.coding[number[lane]], block, sizeof block);
    }
  }
};

// Fit and choose by turns in the lanes `going`; return the least error that each reached, with its
// codes in `trial`. patient: go on as long as it gets better, however bad it is.
template <int S, AlphaKind KIND>
inline vfloat refine(Trial<S, KIND> &trial, Record &record, const vint *alpha, int fits,
                     vmask going, bool patient) {
  vfloat least(FAR_OFF), last(FAR_OFF);
  vfloat kept[S][2][4];
  const int pairs = PBIT_PAIRS[trial.shape.kind];
  for (int i = 0; i < fits; ++i) {
    Sums sums[S];
    trial.sum(sums);
    for (int s = 0; s < S; ++s) trial.fit(s, sums[s], 0, pairs);
    const vfloat now = trial.choose();
    record.keep(going & (now < record.error), now, trial, alpha);
    const vmask better = going & (now < least);
    least = select(better, now, least);
    for (int s = 0; s < S; ++s)
      for (int e = 0; e < 2; ++e)
        for (int c = 0; c < trial.CHANNELS; ++c)
          kept[s][e][c] = select(better, trial.codes[s][e][c], kept[s][e][c]);
    going = going & (now < last);
    if (!patient) going = going & (now <= vfloat(AGAIN) * record.error);
    last = now;
    if (!any(going)) break;
  }
  for (int s = 0; s < S; ++s)
    for (int e = 0; e < 2; ++e)
      for (int c = 0; c < trial.CHANNELS; ++c) trial.codes[s][e][c] = kept[s][e][c];
  return least;
}

// Try other p-bits for a subset, and move the codes of an end, or of both, by one step, while that
// lowers the error; in the lanes `going`. Starts from the codes in `trial`, whose error is `now`.
// Alpha's codes stay.
template <int S, AlphaKind KIND>
inline void descend(Trial<S, KIND> &trial, Record &record, const vint *alpha, int passes,
                    vfloat now, vmask going) {
  const Shape shape = trial.shape;
  const float stride = shape.kind == NO_PBIT ? 1.0f : 2.0f, full = float((1 << shape.bits) - 1);
  const int pairs = trial.ALPHA || trial.rotation ? 0 : PBIT_PAIRS[shape.kind];
  constexpr int CHANNELS = Trial<S, KIND>::CHANNELS;
  for (int s = 0; s < S; ++s)
    for (int e = 0; e < 2; ++e)
      for (int c = 0; c < CHANNELS; ++c)
        trial.ends[s][e][c] = widen(trial.codes[s][e][c], shape.bits);
  for (int pass = 0; pass < passes; ++pass) {
    const vfloat before = now;
    for (int s = 0; s < S; ++s) {
      auto &codes = trial.codes[s];
      auto &ends = trial.ends[s];
      Sums sums[S];
      if (pairs) {
        trial.choose();
        trial.sum(sums);
      }
      for (int pair = 0; pair < pairs; ++pair) {
        vfloat old_codes[2][4], old_ends[2][4];
        for (int e = 0; e < 2; ++e)
          for (int c = 0; c < CHANNELS; ++c) {
            old_codes[e][c] = codes[e][c];
            old_ends[e][c] = ends[e][c];
          }
        trial.fit(s, sums[s], pair, pair + 1);
        const vfloat other = trial.choose();
        const vmask better = going & (other < now);
        now = select(better, other, now);
        record.keep(better & (now < record.error), now, trial, alpha);
        for (int e = 0; e < 2; ++e)
          for (int c = 0; c < CHANNELS; ++c) {
            codes[e][c] = select(better, codes[e][c], old_codes[e][c]);
            ends[e][c] = select(better, ends[e][c], old_ends[e][c]);
          }
      }
      for (int c = 0; c < 3; ++c) {
        if (trial.rotation == c + 1) continue;
        for (const float *move : MOVES) {
          const vfloat q0 = codes[0][c], q1 = codes[1][c], v0 = ends[0][c], v1 = ends[1][c];
          const vfloat to_0 = q0 + vfloat(stride * move[0]), to_1 = q1 + vfloat(stride * move[1]);
          const vmask inside = (min(to_0, to_1) >= vfloat(0.0f)) & (max(to_0, to_1) <= vfloat(full));
          codes[0][c] = to_0;
          codes[1][c] = to_1;
          ends[0][c] = widen(to_0, shape.bits);
          ends[1][c] = widen(to_1, shape.bits);
          const vfloat other = trial.choose();
          const vmask better = going & inside & (other < now);
          now = select(better, other, now);
          record.keep(better & (now < record.error), now, trial, alpha);
          codes[0][c] = select(better, to_0, q0);
          codes[1][c] = select(better, to_1, q1);
          ends[0][c] = select(better, ends[0][c], v0);
          ends[1][c] = select(better, ends[1][c], v1);
        }
      }
    }
    going = going & (now < before);
    if (!any(going)) break;
  }
}

// Modes 0 to 3, 6 and 7.
template <int S, AlphaKind KIND>
inline void try_lines(Wave &wave, const Metric &metric, const Effort &effort, const Queue &queue,
                      int mode) {
  Shape shape = SHAPES[mode];
  if (mode == 6 && KIND == OPAQUE) shape.kind = SET_PBITS;
  const vint alpha[2] = {vint(mode == 6 ? 255 : 0), vint(mode == 6 ? 255 : 0)};
  for (int first = 0; first < queue.count; first += LANES) {
    const Group group(queue, first);
    Record record(wave, group);
    Trial<S, KIND> trial(wave, metric, shape, group);
    if (trial.ALPHA) trial.hold_alpha();
    trial.project();
    vmask going = mask_from_bits(EVERY_LANE);
    for (int start = 0; start < effort.starts; ++start) {
      trial.first_indices(effort.quantisers, start);
      const vfloat least = refine(trial, record, alpha, effort.fits, going, false);
      vmask near = mask_from_bits(0);
      if (effort.passes) {
        near = going & (least < vfloat(NEAR) * record.error);
        if (any(near)) descend(trial, record, alpha, effort.passes, least, near);
      }
      going = going & (near | (least <= vfloat(FAR) * record.error));
      if (!any(going)) break;
    }
    record.commit(wave, group, mode, 0, 0);
  }
}

// Alpha's row by itself, of values in LANES blocks.
struct Second {
  vint index[2]; // nibbles
  vint codes[2];
  vfloat error; // square
};

// hold: whether values 0 and 255 are to come back exactly, for which the ends stay on them. Tries
// QUANTISERS pairs of ends, in from the extremes.
inline Second fit_second(const vfloat *values, int bits, float top, bool hold) {
  const vfloat zero(0.0f), half(0.5f), greatest(255.0f);
  vfloat low = values[0], high = values[0];
  for (int t = 1; t < 16; ++t) {
    low = min(low, values[t]);
    high = max(high, values[t]);
  }
  const vfloat full(float((1 << bits) - 1)), scale(float((1 << bits) - 1) * (1.0f / 255));
  const float step = 64.0f / top;
  const vfloat margin = (high - low) / vfloat(top);
  const vfloat keep_low = hold ? select(low == zero, zero, margin) : margin;
  const vfloat keep_high = hold ? select(high == greatest, zero, margin) : margin;
  const vmask flat = low == high;
  Second best;
  vfloat best_first, best_density;
  best.error = vfloat(FAR_OFF);
  for (int q = 0; q < QUANTISERS; ++q) {
    vfloat q0 = floor((low + vfloat(MARGINS[0][q]) * keep_low) * scale + half);
    vfloat q1 = floor((high - vfloat(MARGINS[1][q]) * keep_high) * scale + half);
    q0 = select(flat, floor(low * scale), q0); // both sides of a value that may have no code
    q1 = select(flat, ceil(low * scale), q1);
    q0 = min(max(q0, zero), full);
    q1 = min(max(q1, zero), full);
    const vfloat first = widen(q0, bits), span = widen(q1, bits) - first;
    const vfloat density = select(span > zero, vfloat(top) / span, zero);
    const vfloat base = first + vfloat(1.0f / 128), way = span * vfloat(1.0f / 64);
    vfloat error = zero;
    for (int t = 0; t < 16; ++t) {
      const vfloat index = clamp(to_nearest((values[t] - first) * density), 0.0f, top);
      const vfloat d = values[t] - to_nearest(fma_exact(weight_of_index(index, step), way, base));
      error = fma_exact(d, d, error);
    }
    const vmask better = error < best.error;
    best.error = select(better, error, best.error);
    best.codes[0] = select(better, truncate(q0), best.codes[0]);
    best.codes[1] = select(better, truncate(q1), best.codes[1]);
    best_first = select(better, first, best_first);
    best_density = select(better, density, best_density);
  }
  vfloat index[16];
  for (int t = 0; t < 16; ++t)
    index[t] = clamp(to_nearest((values[t] - best_first) * best_density), 0.0f, top);
  for (int i = 0; i < 2; ++i) best.index[i] = nibbles(index + 8 * i);
  return best;
}

// Exchange a colour's row with alpha's.
SIMD_INLINE void rotate(Texels &texels, int rotation) {
  if (!rotation) return;
  for (int t = 0; t < 16; ++t) {
    const vfloat x = texels.x[rotation - 1][t], space = texels.space[rotation - 1][t];
    texels.x[rotation - 1][t] = texels.x[3][t];
    texels.space[rotation - 1][t] = texels.space[3][t];
    texels.x[3][t] = x;
    texels.space[3][t] = space;
  }
}

SIMD_INLINE Metric rotated(Metric metric, int rotation) {
  float *colour = rotation == 1 ? &metric.rr : rotation == 2 ? &metric.gg : &metric.bb;
  if (rotation) {
    const float a = metric.aa;
    metric.aa = *colour;
    *colour = a;
    metric.plain = metric.rr == 1 && metric.gg == 1 && metric.bb == 1 && !metric.crossed;
  }
  return metric;
}

// Modes 4 and 5, where one channel has indices of its own: alpha, or the colour 1 to 3 that a
// rotation exchanges with it.
template <AlphaKind KIND>
inline void try_apart(Wave &wave, const Metric &metric, const Effort &effort, const Queue &queue,
                      int mode, int rotation, int selection) {
  Shape shape = SHAPES[mode];
  if (mode == 4 && selection) shape.top = 7;
  const int second_bits = mode == 4 ? 6 : 8;
  const float second_top = mode == 4 && !selection ? 7 : 3;
  const Metric turned = rotated(metric, rotation);
  for (int first = 0; first < queue.count; first += LANES) {
    const Group group(queue, first);
    Record record(wave, group);
    Trial<1, KIND> trial(wave, metric, shape, group);
    trial.metric = turned;
    rotate(trial.texels, rotation);
    trial.rotation = rotation;
    const Second second = fit_second(trial.texels.x[3], second_bits, second_top, rotation == 0);
    for (int i = 0; i < 2; ++i) record.second[i] = second.index[i];
    trial.apart = vfloat(turned.aa) * second.error;
    const vmask going = trial.apart < record.error;
    if (!any(going)) continue;
    trial.project();
    trial.first_indices(effort.quantisers, 0);
    const vfloat least = refine(trial, record, second.codes, effort.fits, going, true);
    const vmask near = going & (least < vfloat(NEAR) * record.error);
    if (effort.passes && any(near))
      descend(trial, record, second.codes, effort.passes, least, near);
    record.commit(wave, group, mode, rotation, selection);
  }
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
