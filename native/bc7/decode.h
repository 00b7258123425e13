// One BC7 block to its 16 texels.
//
//   16 bytes --fields--> endpoints, indices --interpolate--> 16 texels
//
// An endpoint is one 64-bit number of four 16-bit fields, in the order R, B, G, A: its halves are
// two words, and one multiplication in 32-bit lanes interpolates two channels, as a field holds at
// most 64 * 255 + 32 < 2^16. Texels are in lanes; the fields are read with offsets known when a
// mode's code is compiled. A texel is a 32-bit number, R in its lowest byte.
#pragma once

#include "bc7/tables.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

struct Words {
  uint64_t low, high;
};

SIMD_INLINE Words load_words(const uint8_t *block) {
  Words words;
  __builtin_memcpy(&words, block, BLOCK_BYTES);
  return words;
}

// The mode of a block; MODE_COUNT for a reserved one.
SIMD_INLINE int mode_of(Words block) { return __builtin_ctz(uint32_t(block.low & 255) | 256); }

namespace decoding {

constexpr int PARTS = 16 / LANES; // vectors of a block's texels
constexpr uint64_t ONES = 0x0001000100010001;
constexpr uint64_t BYTES = 0x00FF00FF00FF00FF;
constexpr uint64_t ALPHA = 0xFFFF000000000000;
constexpr int FIELD_OF_CHANNEL[4] = {0, 32, 16, 48}; // where R, G, B, A lie in an endpoint

// `bits` bits of the block from bit `at` on.
SIMD_INLINE uint64_t field(Words block, int at, int bits) {
  uint64_t value;
  if (at >= 64)
    value = block.high >> (at - 64);
  else if (at + bits <= 64)
    value = block.low >> at;
  else
    value = block.low >> at | block.high << (64 - at);
  return value & ((uint64_t(1) << bits) - 1);
}

// Repeat the top bits of each field of `bits` bits below, to fill 8.
SIMD_INLINE uint64_t widen(uint64_t ends, int bits) {
  // A field's low bits fall into the field beneath it: keep the 8 - bits that belong.
  const uint64_t keep = ((uint64_t(1) << (8 - bits)) - 1) * ONES;
  return ends << (8 - bits) | ((ends >> (2 * bits - 8)) & keep);
}

template <int MODE>
SIMD_INLINE void read_ends(Words block, uint64_t *ends) {
  constexpr Mode mode = MODES[MODE];
  constexpr int count = 2 * mode.subsets;
  constexpr int first = MODE + 1 + mode.partition + mode.rotation + mode.index_selection;
  constexpr int pbits = first + count * (3 * mode.colour + mode.alpha);
  constexpr int pbit = mode.endpoint_pbit | mode.subset_pbit;
#pragma GCC unroll 6
  for (int i = 0; i < count; ++i) {
    uint64_t end = 0;
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c)
      end |= field(block, first + (c * count + i) * mode.colour, mode.colour)
             << FIELD_OF_CHANNEL[c];
    if (mode.alpha)
      end |= field(block, first + 3 * count * mode.colour + i * mode.alpha, mode.alpha)
             << FIELD_OF_CHANNEL[3];
    if (pbit) end = end << 1 | field(block, pbits + (mode.subset_pbit ? i / 2 : i), 1) * ONES;
    if (mode.alpha == 0)
      end = widen(end & ~ALPHA, mode.colour + pbit) | (ALPHA & BYTES);
    else if (mode.alpha == mode.colour)
      end = widen(end, mode.colour + pbit);
    else
      end = widen(end & ~ALPHA, mode.colour) | widen(end & ALPHA, mode.alpha);
    ends[i] = end;
  }
}

// Put a 0 before bit `at`: the top bit that an anchor's index is stored without.
SIMD_INLINE uint64_t insert_zero(uint64_t indices, int at) {
  const uint64_t below = (uint64_t(1) << at) - 1;
  return (indices & below) | (indices & ~below) << 1;
}

// Weights of LANES texels from texel `first` on, out of 16 indices of `bits` bits each.
SIMD_INLINE vint weights(uint64_t indices, int bits, int first) {
  const vint near = vint(int32_t(indices >> (first < 8 ? 0 : 8 * bits)));
  const vint far = vint(int32_t(indices >> (8 * bits)));
  const vint place = lane_numbers() + vint(first & 7);
  const vint word = LANES == 16 ? select(place < vint(8), near, far) : near;
  const vint i = (word >> ((place & vint(7)) * vint(bits))) & vint((1 << bits) - 1);
  // weight_of(bits, i)
  if (bits == 2) return (i << 4) + (i << 2) + i + (i >> 1);
  if (bits == 3) return (i << 3) + i + (i >> 2);
  return (i << 2) + ((i + vint(2)) >> 2);
}

// 64 start + 32 and end - start, as two words each. A borrow between the fields of a difference
// cancels in the sum.
struct Line {
  uint32_t start_rb, start_ga, span_rb, span_ga;
};

SIMD_INLINE Line line(const uint64_t *ends) {
  const uint64_t start = (ends[0] << 6) + 32 * ONES;
  const uint32_t span_rb = uint32_t(ends[1]) - uint32_t(ends[0]);
  const uint32_t span_ga = uint32_t(ends[1] >> 32) - uint32_t(ends[0] >> 32);
  return {uint32_t(start), uint32_t(start >> 32), span_rb, span_ga};
}

SIMD_INLINE vint mix(vint start, vint span, vint weight) {
  return shift_right_logical(start + span * weight, 6) & vint(int32_t(0x00FF00FF));
}

SIMD_INLINE vint lanes_of(uint32_t word) { return vint(int32_t(word)); }

template <int MODE>
SIMD_INLINE void decode_mode(Words block, int32_t *texels) {
  constexpr Mode mode = MODES[MODE];
  constexpr int index_at = 128 - (16 * mode.index - mode.subsets);
  uint64_t ends[6];
  read_ends<MODE>(block, ends);
  const int partition = int(field(block, MODE + 1, mode.partition));
  uint64_t indices =
      insert_zero(field(block, index_at, 16 * mode.index - mode.subsets), mode.index - 1);
  if (mode.subsets == 2) {
    indices = insert_zero(indices, mode.index * (PARTITIONS.anchor[1][partition][1] + 1) - 1);
  } else if (mode.subsets == 3) {
    const int a = PARTITIONS.anchor[2][partition][1], b = PARTITIONS.anchor[2][partition][2];
    indices = insert_zero(indices, mode.index * ((a < b ? a : b) + 1) - 1);
    indices = insert_zero(indices, mode.index * ((a < b ? b : a) + 1) - 1);
  }
  const uint16_t *subset = PARTITIONS.texels[mode.subsets - 1][partition];
  const Line line_0 = line(ends);
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; ++part) {
    vint start_rb = lanes_of(line_0.start_rb), start_ga = lanes_of(line_0.start_ga);
    vint span_rb = lanes_of(line_0.span_rb), span_ga = lanes_of(line_0.span_ga);
#pragma GCC unroll 2
    for (int s = 1; s < mode.subsets; ++s) {
      const Line line_s = line(ends + 2 * s);
      const vmask here = mask_from_bits(uint32_t(subset[s]) >> (part * LANES));
      start_rb = select(here, lanes_of(line_s.start_rb), start_rb);
      start_ga = select(here, lanes_of(line_s.start_ga), start_ga);
      span_rb = select(here, lanes_of(line_s.span_rb), span_rb);
      span_ga = select(here, lanes_of(line_s.span_ga), span_ga);
    }
    const vint weight = weights(indices, mode.index, part * LANES);
    const vint rb = mix(start_rb, span_rb, weight), ga = mix(start_ga, span_ga, weight);
    store(texels + part * LANES, rb | ga << 8);
  }
}

// Modes 4 and 5: colour by one set of indices, alpha by the other, and alpha changes places.
template <int MODE>
SIMD_INLINE void decode_apart(Words block, int32_t *texels) {
  constexpr Mode mode = MODES[MODE];
  constexpr int second_at = 128 - (16 * mode.second_index - 1);
  constexpr int first_at = second_at - (16 * mode.index - 1);
  uint64_t ends[2];
  read_ends<MODE>(block, ends);
  const int rotation = int(field(block, MODE + 1, mode.rotation));
  const bool swapped = field(block, MODE + 1 + mode.rotation, mode.index_selection);
  const uint64_t first = insert_zero(field(block, first_at, 16 * mode.index - 1), mode.index - 1);
  const uint64_t second =
      insert_zero(field(block, second_at, 16 * mode.second_index - 1), mode.second_index - 1);
  const Line ends_line = line(ends);
  const int shift = 8 * (rotation - 1);
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; ++part) {
    vint colour = weights(first, mode.index, part * LANES);
    vint alpha = weights(second, mode.second_index, part * LANES);
    if (swapped) {
      const vint other = colour;
      colour = alpha;
      alpha = other;
    }
    const vint rb = mix(lanes_of(ends_line.start_rb), lanes_of(ends_line.span_rb), colour);
    const vint g = mix(lanes_of(ends_line.start_ga), lanes_of(ends_line.span_ga), colour);
    const vint a = mix(lanes_of(ends_line.start_ga), lanes_of(ends_line.span_ga), alpha);
    vint texel = rb | (g & vint(0xFF)) << 8 | (a & vint(0xFF0000)) << 8;
    if (rotation) {
      const vint change =
          (shift_right_logical(texel, shift) ^ shift_right_logical(texel, 24)) & vint(0xFF);
      texel = texel ^ change << shift ^ change << 24;
    }
    store(texels + part * LANES, texel);
  }
}

} // namespace decoding

// texels: receives 16, in row-major order.
inline void decode_block(Words block, int32_t *texels) {
  using namespace decoding;
  switch (mode_of(block)) {
  case 0: return decode_mode<0>(block, texels);
  case 1: return decode_mode<1>(block, texels);
  case 2: return decode_mode<2>(block, texels);
  case 3: return decode_mode<3>(block, texels);
  case 4: return decode_apart<4>(block, texels);
  case 5: return decode_apart<5>(block, texels);
  case 6: return decode_mode<6>(block, texels);
  case 7: return decode_mode<7>(block, texels);
  default: // reserved: transparent black
    for (int t = 0; t < 16; ++t) texels[t] = 0;
  }
}

} // namespace smalti::SMALTI_ISA
