// Moving an endpoint's codes by single steps while that lowers the error: for each subset by
// itself, a line through some of a block's texels.
#pragma once

#include "bc7/encode_lines.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// The moves: steps of the first end and of the second, and which colours make them, a bit each.
constexpr float MOVES[8][2] = {{1, 0}, {-1, 0},  {0, 1},  {0, -1},
                               {1, 1}, {-1, -1}, {1, -1}, {-1, 1}};
constexpr int ALL_COLOURS = 7;
constexpr int TOGETHER[7] = {ALL_COLOURS, 1, 2, 4, 3, 5, 6};

// The texels of each subset, a nibble each, then 0; and how many they are.
struct SubsetTexels {
  int32_t low[3][3][64], high[3][3][64], count[3][3][64]; // [subsets - 1][subset][partition]
};
constexpr SubsetTexels make_subset_texels() {
  SubsetTexels tables{};
  for (int n = 0; n < 3; ++n)
    for (int p = 0; p < 64; ++p)
      for (int t = 0; t < 16; ++t) {
        const int s = PARTITIONS.subset[n][p][t];
        const int at = tables.count[n][s][p]++;
        int32_t &word = at < 8 ? tables.low[n][s][p] : tables.high[n][s][p];
        word = int32_t(uint32_t(word) | uint32_t(t) << (4 * (at & 7)));
      }
  return tables;
}
constexpr SubsetTexels SUBSET_TEXELS = make_subset_texels();

// A block whose codes are to be moved: where from.
struct Start {
  int32_t number, partition;
  uint32_t ends[6]; // as in Coding
  float apart;      // error of a channel with indices of its own
  uint32_t second[2];
};

struct Starts {
  Start start[WAVE];
  int count = 0;
};

// What became of a subset.
struct Moved {
  float error;
  uint32_t ends[2], index[2];
};

struct MoveScratch {
  Moved moved[3 * WAVE];
  int32_t order[3 * WAVE]; // of start and subset, by texels
};

// Texels of LANES subsets; those that a lane lacks count nothing. Returns the greatest count.
template <AlphaKind KIND>
inline int load_subsets(const Wave &wave, const Metric &metric, int rotation, vint number, vint low,
                        vint high, vint count, Trial<1, KIND> &trial) {
  int32_t counts[LANES];
  store(counts, count);
  int most = 0;
  for (int n : counts) most = n > most ? n : most;
  for (int t = 0; t < most; ++t) {
    const vint texel = ((t < 8 ? low : high) >> (4 * (t & 7))) & vint(15);
    load_texel<true>(wave, (number << 4) + texel, metric, t, trial.texels);
    const vmask mine = vint(t) < count;
    trial.texels.visible[t] = select(mine, trial.texels.visible[t], vfloat(0.0f));
    trial.texels.opacity[t] = select(mine, trial.texels.opacity[t], vfloat(0.0f));
    if (rotation) rotate_texel(trial.texels, rotation, t);
  }
  return most;
}

// Try other p-bits for the line, then the moves, while that lowers the error. Alpha's codes stay.
template <AlphaKind KIND>
inline vfloat descend(Trial<1, KIND> &trial, int passes, int together) {
  const Shape shape = trial.shape;
  const float stride = shape.kind == NO_PBIT ? 1.0f : 2.0f, full = float((1 << shape.bits) - 1);
  const int pairs = trial.ALPHA || trial.rotation ? 0 : PBIT_PAIRS[shape.kind];
  auto &codes = trial.codes[0];
  auto &ends = trial.ends[0];
  for (int e = 0; e < 2; ++e)
    for (int c = 0; c < trial.CHANNELS; ++c) ends[e][c] = widen(codes[e][c], shape.bits);
  vfloat now = trial.choose();
  vmask going = mask_from_bits(EVERY_LANE);
  vfloat old_codes[2][3], old_ends[2][3];
  const auto remember = [&] {
    for (int e = 0; e < 2; ++e)
      for (int c = 0; c < 3; ++c) {
        old_codes[e][c] = codes[e][c];
        old_ends[e][c] = ends[e][c];
      }
  };
  const auto judge = [&](vmask allowed) {
    const vfloat other = trial.choose();
    const vmask better = allowed & (other < now);
    now = select(better, other, now);
    for (int e = 0; e < 2; ++e)
      for (int c = 0; c < 3; ++c) {
        codes[e][c] = select(better, codes[e][c], old_codes[e][c]);
        ends[e][c] = select(better, ends[e][c], old_ends[e][c]);
      }
  };
  for (int pass = 0; pass < passes; ++pass) {
    const vfloat before = now;
    Sums sums[1];
    if (pairs) {
      trial.choose();
      trial.sum(sums);
    }
    for (int pair = 0; pair < pairs; ++pair) {
      remember();
      trial.fit(0, sums[0], pair, pair + 1);
      judge(going);
    }
    for (int i = 0; i < together; ++i) {
      const int lone = trial.rotation ? 1 << (trial.rotation - 1) : 0;
      if (TOGETHER[i] & lone && TOGETHER[i] != ALL_COLOURS) continue;
      const int moving = TOGETHER[i] & ~lone;
      for (const float *move : MOVES) {
        remember();
        vmask inside = going;
        for (int e = 0; e < 2; ++e)
          for (int c = 0; c < 3; ++c) {
            if (!(moving >> c & 1)) continue;
            codes[e][c] += vfloat(stride * move[e]);
            ends[e][c] = widen(codes[e][c], shape.bits);
            inside = inside & (codes[e][c] >= vfloat(0.0f)) & (codes[e][c] <= vfloat(full));
          }
        judge(inside);
      }
    }
    going = going & (now < before);
    if (!any(going)) break;
  }
  return trial.choose(); // the indices that belong to the codes
}

// Move the codes of all starts; what a block stores is replaced where it gets better.
template <AlphaKind KIND>
inline void descend_all(Wave &wave, const Metric &metric, const Effort &effort, Shape shape,
                        int subsets, int mode, int rotation, int selection, const Starts &starts,
                        MoveScratch &scratch) {
  // by how many texels a subset has, so that the lanes of a group have about as many
  const auto &tables = SUBSET_TEXELS;
  int at[18] = {};
  for (int i = 0; i < starts.count; ++i)
    for (int s = 0; s < subsets; ++s)
      ++at[tables.count[subsets - 1][s][starts.start[i].partition] + 1];
  for (int n = 1; n < 18; ++n) at[n] += at[n - 1];
  for (int i = 0; i < starts.count; ++i)
    for (int s = 0; s < subsets; ++s)
      scratch.order[at[tables.count[subsets - 1][s][starts.start[i].partition]]++] = 3 * i + s;
  const int total = starts.count * subsets;
  for (int first = 0; first < total; first += LANES) {
    int32_t number[LANES], low[LANES], high[LANES], count[LANES], words[2][LANES];
    for (int lane = 0; lane < LANES; ++lane) {
      const int item = scratch.order[first + lane < total ? first + lane : total - 1];
      const int s = item % 3;
      const Start &start = starts.start[item / 3];
      number[lane] = start.number;
      low[lane] = tables.low[subsets - 1][s][start.partition];
      high[lane] = tables.high[subsets - 1][s][start.partition];
      count[lane] = tables.count[subsets - 1][s][start.partition];
      for (int e = 0; e < 2; ++e) words[e][lane] = int32_t(start.ends[2 * s + e]);
    }
    Trial<1, KIND> trial(metric, shape);
    trial.rotation = rotation;
    const vint lows = load(low), highs = load(high), counts = load(count);
    trial.count = load_subsets(wave, metric, rotation, load(number), lows, highs, counts, trial);
    trial.metric = rotated(metric, rotation);
    for (int e = 0; e < 2; ++e) {
      const vint word = load(words[e]);
      for (int c = 0; c < trial.CHANNELS; ++c)
        trial.codes[0][e][c] = to_float((word >> (8 * c)) & vint(255));
    }
    const vfloat error = descend(trial, effort.passes, effort.together);
    vint index[2] = {vint(0), vint(0)};
    for (int t = 0; t < trial.count; ++t) {
      const vint texel = ((t < 8 ? lows : highs) >> (4 * (t & 7))) & vint(15);
      const vint nibble = select(vint(t) < counts, truncate(trial.index[t]), vint(0))
                          << ((texel & vint(7)) << 2);
      index[0] |= select(texel < vint(8), nibble, vint(0));
      index[1] |= select(texel < vint(8), vint(0), nibble);
    }
    float errors[LANES];
    int32_t indices[2][LANES];
    store(errors, error);
    for (int e = 0; e < 2; ++e) {
      const vfloat *code = trial.codes[0][e];
      vint word = truncate(code[0]) | truncate(code[1]) << 8 | truncate(code[2]) << 16;
      word |= load(words[e]) & vint(int32_t(0xFF000000)); // alpha's stays
      store(words[e], word);
      store(indices[e], index[e]);
    }
    for (int lane = 0; lane < LANES && first + lane < total; ++lane) {
      Moved &moved = scratch.moved[scratch.order[first + lane]];
      moved.error = errors[lane];
      for (int e = 0; e < 2; ++e) {
        moved.ends[e] = uint32_t(words[e][lane]);
        moved.index[e] = uint32_t(indices[e][lane]);
      }
    }
  }
  for (int i = 0; i < starts.count; ++i) {
    const Start &start = starts.start[i];
    const Moved *moved = scratch.moved + 3 * i;
    float error = moved[0].error;
    for (int s = 1; s < subsets; ++s) error += moved[s].error;
    error += start.apart;
    if (!(error < wave.error[start.number])) continue;
    wave.error[start.number] = error;
    Coding &coding = wave.coding[start.number];
    coding = {};
    coding.head = uint32_t(mode | start.partition << 4 | rotation << 10 | selection << 12);
    for (int s = 0; s < subsets; ++s)
      for (int e = 0; e < 2; ++e) {
        coding.ends[2 * s + e] = moved[s].ends[e];
        coding.index[e] |= moved[s].index[e];
      }
    coding.second[0] = start.second[0];
    coding.second[1] = start.second[1];
  }
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
