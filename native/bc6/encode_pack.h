// What blocks store -> 16 bytes each.
#pragma once

#include "bc6/encode_lanes.h"

namespace smalti::SMALTI_ISA::bc6 {

// Bits of a block, written from the lowest.
struct Writer {
  uint64_t low = 0, high = 0;
  SIMD_INLINE void put(int at, uint64_t bits) {
    if (at >= 64) {
      high |= bits << (at - 64);
    } else {
      low |= bits << at;
      if (at) high |= bits >> (64 - at);
    }
  }
};

template <int MODE>
SIMD_INLINE void pack_mode(const int32_t (&codes)[4][3], int partition, uint64_t indices,
                           uint8_t *block) {
  constexpr Mode mode = MODES[MODE];
  constexpr Runs runs = RUNS<MODE>;
  constexpr int bits = mode.subsets == 2 ? 3 : 4;
  Writer writer;
  writer.put(0, uint64_t(mode.number));
#pragma GCC unroll 32
  for (int i = 0; i < runs.count; ++i) {
    const Run &run = runs.run[i];
    int32_t value = codes[run.end][run.channel];
    if (run.end && mode.transformed) value -= codes[0][run.channel];
    writer.put(run.at, uint64_t(value >> run.first & ((1 << run.count) - 1)));
  }
  int at = 128 - (16 * bits - mode.subsets);
  if (mode.subsets == 2) writer.put(at - 5, uint64_t(partition));
  const int anchor = mode.subsets == 2 ? SPLITS.anchor[partition] : 0;
  for (int t = 0; t < 16; ++t) {
    writer.put(at, indices >> (4 * t) & 15);
    at += bits - (t == 0 || t == anchor);
  }
  __builtin_memcpy(block, &writer.low, 8);
  __builtin_memcpy(block + 8, &writer.high, 8);
}

// The first `count` lanes.
inline void pack(const Coding &coding, int count, uint8_t *blocks) {
  int32_t mode[LANES], partition[LANES], codes[4][3][LANES], index[16][LANES];
  store(mode, coding.mode);
  store(partition, coding.partition);
  for (int end = 0; end < 4; ++end)
    for (int c = 0; c < 3; ++c) store(codes[end][c], truncate(coding.codes[end][c]));
  for (int t = 0; t < 16; ++t) store(index[t], truncate(coding.index[t]));
  for (int lane = 0; lane < count; ++lane, blocks += BLOCK_BYTES) {
    int32_t own[4][3];
    uint64_t indices = 0;
    for (int end = 0; end < 4; ++end)
      for (int c = 0; c < 3; ++c) own[end][c] = codes[end][c][lane];
    for (int t = 0; t < 16; ++t) indices |= uint64_t(index[t][lane]) << (4 * t);
    switch (mode[lane]) {
#define SMALTI_PACK(m) \
  case m: pack_mode<m>(own, partition[lane], indices, blocks); break
      SMALTI_PACK(0);
      SMALTI_PACK(1);
      SMALTI_PACK(2);
      SMALTI_PACK(3);
      SMALTI_PACK(4);
      SMALTI_PACK(5);
      SMALTI_PACK(6);
      SMALTI_PACK(7);
      SMALTI_PACK(8);
      SMALTI_PACK(9);
      SMALTI_PACK(10);
      SMALTI_PACK(11);
      SMALTI_PACK(12);
      SMALTI_PACK(13);
#undef SMALTI_PACK
    }
  }
}

} // namespace smalti::SMALTI_ISA::bc6
