// What the encoder's parts share: efforts, the metric, a wave of blocks and what they store.
//
// Blocks are in lanes: LANES of them are searched at once, each lane with texels, partition and
// endpoints of its own. A wave is enough blocks for those that still need the same step to be
// packed densely into lanes, however few of a picture's blocks they are.
#pragma once

#include "bc7/tables.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// How hard a block is searched: `search.EFFORTS` in Python, word for word.
struct Effort {
  int trials;     // of modes with two subsets, at most
  int three;      // of modes with three
  int apart;      // of modes 4 and 5, at most, in an opaque block
  int quantisers; // that a trial begins to choose from
  int starts;     // of those that it begins with
  int fits;       // least-squares fits of a trial, at most
  int passes;     // descents of a trial's codes, at most
  int together;   // sets of colours that these move: 1 all, 4 each too, 7 pairs too
  float near;     // how much worse than the best a trial may be for that; 0: the best, in the end
  float enough;   // square error of a block at which its search ends
  float hope;     // a trial is made where this share of its expected error is below the best
};

constexpr int MAX_TRIALS = 32;
constexpr Effort EFFORTS[] = {
    {0, 0, 0, 4, 1, 2, 0, 0, 0.0f, 0.0f, 1.0f},     {4, 0, 2, 4, 1, 2, 0, 0, 0.0f, 20.0f, 0.8f},
    {4, 2, 4, 4, 1, 2, 1, 4, 0.0f, 10.0f, 0.85f},   {16, 16, 6, 8, 2, 3, 2, 7, 1.1f, 2.0f, 0.6f},
    {32, 32, 10, 8, 3, 4, 4, 7, 1.1f, 0.0f, 0.45f},
};

// A mode's shape to the search: bits of a code with its p-bit, the greatest index.
enum PbitKind { NO_PBIT, SHARED_PBIT, OWN_PBITS, SET_PBITS }; // the last: own ones, both 1
struct Shape {
  int bits, top;
  PbitKind kind;
};
constexpr Shape SHAPES[MODE_COUNT] = {{5, 7, OWN_PBITS},  {7, 7, SHARED_PBIT}, {5, 3, NO_PBIT},
                                      {8, 3, OWN_PBITS},  {5, 3, NO_PBIT},     {7, 3, NO_PBIT},
                                      {8, 15, OWN_PBITS}, {6, 3, OWN_PBITS}};

// What is made least: `metric.metric` in Python.
struct Metric {
  float rr, gg, bb, aa, rg, rb, gb; // d^T M d of a texel's error d
  float to_space[9];                // 3 x 3, row-major: to where that is a plain square
  float alpha_to_space;
  float by_alpha; // 1: colour errors count by alpha squared; 2: all alike, under alpha 0 too
  bool plain;     // the plain square itself
  bool crossed;   // whether M has entries off its diagonal
};

constexpr float PLAIN[18] = {1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0};

SIMD_INLINE Metric read_metric(const float *given) {
  Metric metric;
  const float *from = given ? given : PLAIN;
  __builtin_memcpy(&metric, from, 18 * sizeof(float));
  metric.plain = __builtin_memcmp(from, PLAIN, sizeof PLAIN) == 0;
  metric.crossed = metric.rg != 0 || metric.rb != 0 || metric.gb != 0;
  return metric;
}

// What a block stores.
struct Coding {
  uint32_t head;    // mode, from bit 4 partition, 10 rotation, 12 index selection
  uint32_t ends[6]; // [2 subset + endpoint]: codes of R, G, B, A, p-bit lowest; a byte each
  uint32_t index[2], second[2]; // a nibble a texel
};
constexpr int CODING_WORDS = sizeof(Coding) / 4;

constexpr int WAVE = 256; // blocks: 16 KiB of texels, and half-empty groups are few
constexpr float FAR_OFF = 1e30f;

struct Wave {
  alignas(64) int32_t words[16 * WAVE]; // texels of a block, R in the lowest byte
  float error[WAVE];                    // the least so far
  float apart[WAVE];                    // of that, a channel's with indices of its own
  Coding coding[WAVE];
  bool black[WAVE]; // whether a texel is pure black, which the odd values of opaque mode 6 miss
};

// Blocks that are to get the same step, each in a partition of its own.
struct Queue {
  int32_t number[WAVE], partition[WAVE];
  int count = 0;
  SIMD_INLINE void add(int32_t block, int32_t its_partition) {
    number[count] = block;
    partition[count++] = its_partition;
  }
};

// LANES blocks of a queue; past its end the last one again.
struct Group {
  vint number, partition;
  uint32_t real; // lanes that are not such a repetition, a bit each
  SIMD_INLINE Group(const Queue &queue, int first) {
    int32_t n[LANES], p[LANES];
    const int last = queue.count - 1 - first;
    for (int i = 0; i < LANES; ++i) {
      const int at = first + (i < last ? i : last);
      n[i] = queue.number[at];
      p[i] = queue.partition[at];
    }
    number = load(n);
    partition = load(p);
    real = last >= LANES - 1 ? EVERY_LANE : (1u << (last + 1)) - 1;
  }
};

constexpr float HELD = 65536.0f; // so that no gain in colour pays for an opaque texel's alpha

// Texels of LANES blocks.
struct Texels {
  vfloat x[4][16];     // R, G, B, A
  vfloat space[4][16]; // where the metric is a plain squared distance
  vfloat visible[16];  // weight of the colour error; with WEIGHTED only
  vfloat opacity[16];  // weight of the alpha error: great where alpha is 0 or 255
};

// space: in steps of 1/4 from mid-grey on, so that sums of its products are exact.
SIMD_INLINE vfloat in_quarters(vfloat a) {
  return floor(vfloat(4.0f) * a + vfloat(0.5f)) * vfloat(0.25f);
}

// Texel `t` of each lane, which is number `at` of the wave's texels.
template <bool WEIGHTED>
SIMD_INLINE void load_texel(const Wave &wave, vint at, const Metric &metric, int t,
                            Texels &texels) {
  const vint byte(255);
  const vfloat middle(128.0f);
  const vint word = gather(wave.words, at);
  const vfloat r = to_float(word & byte), g = to_float((word >> 8) & byte);
  const vfloat b = to_float((word >> 16) & byte), a = to_float(shift_right_logical(word, 24));
  texels.x[0][t] = r;
  texels.x[1][t] = g;
  texels.x[2][t] = b;
  texels.x[3][t] = a;
  const vfloat u = r - middle, v = g - middle, w = b - middle;
  if (metric.plain) {
    texels.space[0][t] = u;
    texels.space[1][t] = v;
    texels.space[2][t] = w;
    texels.space[3][t] = a;
  } else {
    const float *rows = metric.to_space;
    for (int c = 0; c < 3; ++c)
      texels.space[c][t] = in_quarters(vfloat(rows[3 * c]) * u + vfloat(rows[3 * c + 1]) * v +
                                       vfloat(rows[3 * c + 2]) * w);
    texels.space[3][t] = in_quarters(vfloat(metric.alpha_to_space) * a);
  }
  if (WEIGHTED) {
    const vmask hidden = a == vfloat(0.0f);
    texels.visible[t] = select(hidden, vfloat(metric.by_alpha == 2 ? 1.0f : 0.0f), vfloat(1.0f));
    if (metric.by_alpha == 1) // in 16ths
      texels.visible[t] = ceil(a * a * vfloat(16.0f / 65025)) * vfloat(1.0f / 16);
    texels.opacity[t] =
        select(hidden | (a == vfloat(255.0f)), vfloat(HELD / metric.aa), vfloat(1.0f));
  }
}

template <bool WEIGHTED>
inline void load_texels(const Wave &wave, vint number, const Metric &metric, Texels &texels) {
  for (int t = 0; t < 16; ++t)
    load_texel<WEIGHTED>(wave, (number << 4) + vint(t), metric, t, texels);
}

// Exchange a colour, 1 to 3, with alpha.
SIMD_INLINE void rotate_texel(Texels &texels, int rotation, int t) {
  const vfloat x = texels.x[rotation - 1][t], space = texels.space[rotation - 1][t];
  texels.x[rotation - 1][t] = texels.x[3][t];
  texels.space[rotation - 1][t] = texels.space[3][t];
  texels.x[3][t] = x;
  texels.space[3][t] = space;
}

SIMD_INLINE void rotate(Texels &texels, int rotation) {
  if (!rotation) return;
  for (int t = 0; t < 16; ++t) rotate_texel(texels, rotation, t);
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

} // namespace encoding
} // namespace smalti::SMALTI_ISA
