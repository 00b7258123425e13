// One try of one mode, for every block of a queue; what a block stores is replaced where it gets
// better.
#pragma once

#include "bc7/encode_descend.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

constexpr float AGAIN = 1.1f; // how much worse than the best a block may be for a further fit
constexpr float FAR = 1.5f;   // how much worse, for it to be tried from other indices

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

  void commit(Wave &wave, const Group &group, vfloat apart, int mode, int rotation,
              int selection) const {
    const uint32_t lanes = improved & group.real;
    if (!lanes) return;
    int32_t words[CODING_WORDS][LANES], number[LANES];
    float errors[LANES], lone[LANES];
    store(number, group.number);
    store(errors, error);
    store(lone, apart);
    store(words[0], vint(mode | rotation << 10 | selection << 12) | group.partition << 4);
    for (int i = 0; i < 6; ++i) store(words[1 + i], ends[i]);
    for (int i = 0; i < 2; ++i) {
      store(words[7 + i], index[i]);
      store(words[9 + i], second[i]);
    }
    for (int lane = 0; lane < LANES; ++lane) {
      if (!(lanes >> lane & 1)) continue;
      wave.error[number[lane]] = errors[lane];
      wave.apart[number[lane]] = lone[lane];
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

// The lanes `near`, whose codes are to be moved.
template <int S, AlphaKind KIND>
inline void collect(const Trial<S, KIND> &trial, const Group &group, const vint *alpha,
                    const vint *second, vmask near, Starts &starts) {
  const uint32_t lanes = bits_of(near) & group.real;
  if (!lanes) return;
  int32_t number[LANES], partition[LANES], ends[2 * S][LANES], lone[2][LANES];
  float apart[LANES];
  store(number, group.number);
  store(partition, group.partition);
  store(apart, trial.apart);
  for (int i = 0; i < 2 * S; ++i) {
    const vfloat *code = trial.codes[i / 2][i % 2];
    vint word = truncate(code[0]) | truncate(code[1]) << 8 | truncate(code[2]) << 16;
    word |= (trial.ALPHA ? truncate(code[3]) : alpha[i % 2]) << 24;
    store(ends[i], word);
  }
  for (int i = 0; i < 2; ++i) store(lone[i], second[i]);
  for (int lane = 0; lane < LANES; ++lane) {
    if (!(lanes >> lane & 1)) continue;
    Start &start = starts.start[starts.count++];
    start.number = number[lane];
    start.partition = partition[lane];
    start.apart = apart[lane];
    for (int i = 0; i < 2 * S; ++i) start.ends[i] = uint32_t(ends[i][lane]);
    for (int i = 0; i < 2; ++i) start.second[i] = uint32_t(lone[i][lane]);
  }
}

// What trials work in, besides the wave.
struct TrialScratch {
  Starts starts;
  MoveScratch moves;
  Queue again[2];
};

// Modes 0 to 3, 6 and 7.
template <int S, AlphaKind KIND>
inline void try_lines(Wave &wave, const Metric &metric, const Effort &effort, const Queue &queue,
                      int mode, TrialScratch &scratch) {
  Shape shape = SHAPES[mode];
  if (mode == 6 && KIND == OPAQUE) shape.kind = SET_PBITS;
  const vint alpha[2] = {vint(mode == 6 ? 255 : 0), vint(mode == 6 ? 255 : 0)};
  const vint none[2] = {vint(0), vint(0)};
  const Queue *live = &queue;
  for (int start = 0; start < effort.starts; ++start) {
    Queue &again = scratch.again[start % 2]; // blocks that begin once more from other indices
    again.count = 0;
    scratch.starts.count = 0;
    for (int first = 0; first < live->count; first += LANES) {
      const Group group(*live, first);
      Record record(wave, group);
      Trial<S, KIND> trial(wave, metric, shape, group);
      if (trial.ALPHA) trial.hold_alpha();
      trial.project();
      trial.first_indices(effort.quantisers, start);
      const vfloat least =
          refine(trial, record, alpha, effort.fits, mask_from_bits(EVERY_LANE), false);
      vmask near = mask_from_bits(0);
      if (effort.near > 0) {
        near = least < vfloat(effort.near) * record.error;
        collect(trial, group, alpha, none, near, scratch.starts);
      }
      record.commit(wave, group, trial.apart, mode, 0, 0);
      const uint32_t next = bits_of(near | (least <= vfloat(FAR) * record.error)) & group.real;
      for (int lane = 0; lane < LANES; ++lane)
        if (next >> lane & 1) again.add(live->number[first + lane], live->partition[first + lane]);
    }
    constexpr AlphaKind LINE = KIND == ON_LINES ? ON_LINES : APART; // whose texels can be absent
    if (effort.near > 0)
      descend_all<LINE>(wave, metric, effort, shape, S, mode, 0, 0, scratch.starts, scratch.moves);
    live = &again;
  }
}

// Alpha's row by itself, of values in LANES blocks.
struct Second {
  vint index[2]; // nibbles
  vint codes[2];
  vfloat error; // square
};

// hold: whether values 0 and 255 are to come back exactly, for which the ends stay on them. Tries
// as many pairs of ends as there are `quantisers`, in from the extremes.
inline Second fit_second(const vfloat *values, int bits, float top, bool hold, int quantisers) {
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
  for (int q = 0; q < quantisers; ++q) {
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

// Modes 4 and 5, where one channel has indices of its own: alpha, or the colour 1 to 3 that a
// rotation exchanges with it.
template <AlphaKind KIND>
inline void try_apart(Wave &wave, const Metric &metric, const Effort &effort, const Queue &queue,
                      int mode, int rotation, int selection, TrialScratch &scratch) {
  Shape shape = SHAPES[mode];
  if (mode == 4 && selection) shape.top = 7;
  const int second_bits = mode == 4 ? 6 : 8;
  const float second_top = mode == 4 && !selection ? 7 : 3;
  const Metric turned = rotated(metric, rotation);
  scratch.starts.count = 0;
  for (int first = 0; first < queue.count; first += LANES) {
    const Group group(queue, first);
    Record record(wave, group);
    Trial<1, KIND> trial(wave, metric, shape, group);
    trial.metric = turned;
    rotate(trial.texels, rotation);
    trial.rotation = rotation;
    Second second = {{vint(0), vint(0)}, {vint(255), vint(255)}, vfloat(0.0f)}; // opaque alpha
    if (KIND != OPAQUE || rotation)
      second = fit_second(trial.texels.x[3], second_bits, second_top, rotation == 0,
                          KIND == OPAQUE ? effort.quantisers : QUANTISERS);
    for (int i = 0; i < 2; ++i) record.second[i] = second.index[i];
    trial.apart = vfloat(turned.aa) * second.error;
    const vmask going = trial.apart < record.error;
    if (!any(going)) continue;
    trial.project();
    trial.first_indices(effort.quantisers, 0);
    const vfloat least = refine(trial, record, second.codes, effort.fits, going, true);
    if (effort.near > 0)
      collect(trial, group, second.codes, second.index,
              going & (least < vfloat(effort.near) * record.error), scratch.starts);
    record.commit(wave, group, trial.apart, mode, rotation, selection);
  }
  if (effort.near > 0)
    descend_all<APART>(wave, metric, effort, shape, 1, mode, rotation, selection, scratch.starts,
                       scratch.moves);
}

// Move the codes of those blocks of a queue that are coded in this way.
template <int S, AlphaKind KIND>
inline void polish(Wave &wave, const Metric &metric, const Effort &effort, const Queue &queue,
                   int mode, int rotation, int selection, TrialScratch &scratch) {
  Shape shape = SHAPES[mode];
  if (mode == 6 && KIND == OPAQUE) shape.kind = SET_PBITS;
  if (mode == 4 && selection) shape.top = 7;
  const uint32_t head = uint32_t(mode | rotation << 10 | selection << 12);
  Starts &starts = scratch.starts;
  starts.count = 0;
  for (int i = 0; i < queue.count; ++i) {
    const int number = queue.number[i];
    const Coding &coding = wave.coding[number];
    if ((coding.head & ~0x3F0u) != head) continue;
    Start &start = starts.start[starts.count++];
    start.number = number;
    start.partition = int32_t(coding.head >> 4 & 63);
    start.apart = wave.apart[number];
    for (int e = 0; e < 6; ++e) start.ends[e] = coding.ends[e];
    for (int e = 0; e < 2; ++e) start.second[e] = coding.second[e];
  }
  constexpr AlphaKind LINE = KIND == ON_LINES ? ON_LINES : APART;
  descend_all<LINE>(wave, metric, effort, shape, S, mode, rotation, selection, starts,
                    scratch.moves);
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
