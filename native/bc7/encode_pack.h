// What a block stores, to its 16 bytes.
#pragma once

#include "bc7/encode_wave.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// 128 bits, filled from the lowest on.
struct Bits {
  uint64_t low = 0, high = 0;
  int at = 0;
  SIMD_INLINE void put(uint64_t field, int bits) {
    if (at < 64) {
      low |= field << at;
      if (at + bits > 64) high |= field >> (64 - at);
    } else {
      high |= field << (at - 64);
    }
    at += bits;
  }
};

// Sixteen bits to the lowest bits of sixteen nibbles.
SIMD_INLINE uint64_t spread(uint32_t bits) {
  uint64_t x = bits;
  x = (x | x << 24) & 0x000000FF000000FF;
  x = (x | x << 12) & 0x000F000F000F000F;
  x = (x | x << 6) & 0x0303030303030303;
  return (x | x << 3) & 0x1111111111111111;
}

// Sixteen nibbles of `bits` bits each, close together.
SIMD_INLINE uint64_t squeeze(uint64_t x, int bits) {
  if (bits == 4) return x;
  const uint64_t one = (uint64_t(1) << bits) - 1;
  const uint64_t two = (uint64_t(1) << 2 * bits) - 1, four = (uint64_t(1) << 4 * bits) - 1;
  x = (x & one * 0x0101010101010101) | ((x >> (4 - bits)) & (one << bits) * 0x0101010101010101);
  x = (x & two * 0x0001000100010001) |
      ((x >> (8 - 2 * bits)) & (two << 2 * bits) * 0x0001000100010001);
  x = (x & four * 0x0000000100000001) |
      ((x >> (16 - 4 * bits)) & (four << 4 * bits) * 0x0000000100000001);
  const uint64_t eight = (uint64_t(1) << 8 * bits) - 1;
  return (x & eight) | (x >> 32) << 8 * bits;
}

// Without bit `at`, which is 0.
SIMD_INLINE uint64_t without(uint64_t x, int at) {
  const uint64_t below = (uint64_t(1) << at) - 1;
  return (x & below) | ((x >> 1) & ~below);
}

template <int MODE>
inline void pack_mode(const Coding &coding, uint8_t *block) {
  constexpr Mode mode = MODES[MODE];
  constexpr bool pbit = mode.endpoint_pbit | mode.subset_pbit;
  constexpr bool apart = mode.second_index != 0;
  const int partition = coding.head >> 4 & 63, rotation = coding.head >> 10 & 3;
  const int selection = coding.head >> 12 & 1;
  uint32_t ends[6];
  for (int i = 0; i < 2 * mode.subsets; ++i) ends[i] = coding.ends[i];
  uint64_t index = coding.index[0] | uint64_t(coding.index[1]) << 32;
  uint64_t second = coding.second[0] | uint64_t(coding.second[1]) << 32;
  const int bits = selection ? mode.second_index : mode.index;
  const int second_bits = selection ? mode.index : mode.second_index;

  // An anchor's top bit is not stored: where it is 1, the endpoints change places.
  const uint32_t colours = apart ? 0x00FFFFFF : 0xFFFFFFFF;
  for (int s = 0; s < mode.subsets; ++s) {
    const int anchor = PARTITIONS.anchor[mode.subsets - 1][partition][s];
    if (!(index >> (4 * anchor + bits - 1) & 1)) continue;
    const uint32_t change = (ends[2 * s] ^ ends[2 * s + 1]) & colours;
    ends[2 * s] ^= change;
    ends[2 * s + 1] ^= change;
    index ^=
        spread(mode.subsets == 1 ? 0xFFFF : PARTITIONS.texels[mode.subsets - 1][partition][s]) *
        ((1u << bits) - 1);
  }
  if (apart && second >> (second_bits - 1) & 1) {
    const uint32_t change = (ends[0] ^ ends[1]) & ~colours;
    ends[0] ^= change;
    ends[1] ^= change;
    second ^= spread(0xFFFF) * ((1u << second_bits) - 1);
  }

  Bits out;
  out.put(1 << MODE, MODE + 1);
  out.put(partition, mode.partition);
  out.put(rotation, mode.rotation);
  out.put(selection, mode.index_selection);
  for (int c = 0; c < (mode.alpha ? 4 : 3); ++c) {
    const int width = c < 3 ? mode.colour : mode.alpha;
    for (int i = 0; i < 2 * mode.subsets; ++i)
      out.put(ends[i] >> (8 * c + pbit) & ((1u << width) - 1), width);
  }
  if (pbit)
    for (int i = 0; i < 2 * mode.subsets; i += mode.subset_pbit ? 2 : 1) out.put(ends[i] & 1, 1);

  uint64_t stream = squeeze(index, bits);
  if (mode.subsets > 1) { // the last anchor first
    const uint8_t *anchor = PARTITIONS.anchor[mode.subsets - 1][partition];
    const int a = anchor[1], b = mode.subsets > 2 ? anchor[2] : 0;
    stream = without(stream, (a > b ? a : b) * bits + bits - 1);
    if (mode.subsets > 2) stream = without(stream, (a > b ? b : a) * bits + bits - 1);
  }
  stream = without(stream, bits - 1);
  const int width = 16 * bits - mode.subsets;
  if (!apart) {
    out.put(stream, width);
  } else {
    const uint64_t other = without(squeeze(second, second_bits), second_bits - 1);
    const int other_width = 16 * second_bits - 1;
    out.put(selection ? other : stream, selection ? other_width : width);
    out.put(selection ? stream : other, selection ? width : other_width);
  }
  __builtin_memcpy(block, &out.low, 8);
  __builtin_memcpy(block + 8, &out.high, 8);
}

inline void pack(const Coding &coding, uint8_t *block) {
  switch (coding.head & 15) {
  case 0: return pack_mode<0>(coding, block);
  case 1: return pack_mode<1>(coding, block);
  case 2: return pack_mode<2>(coding, block);
  case 3: return pack_mode<3>(coding, block);
  case 4: return pack_mode<4>(coding, block);
  case 5: return pack_mode<5>(coding, block);
  case 6: return pack_mode<6>(coding, block);
  default: return pack_mode<7>(coding, block);
  }
}

} // namespace encoding
} // namespace smalti::SMALTI_ISA
