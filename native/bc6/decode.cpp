// BC6H blocks to texels: endpoints one block at a time, then a block's sixteen texels in lanes.

#include "bc6/tables.h"
#include "bc7/decode.h"

namespace smalti::SMALTI_ISA {

namespace bc6 {

constexpr int64_t CHUNK_TEXELS = 1 << 16; // a thread takes no fewer: starting one costs 20 us

using decoding::field;
using decoding::insert_zero;
using decoding::PARTS;

// A field's low bits, in two's complement.
SIMD_INLINE int32_t extended(int32_t value, int bits) {
  return int32_t(uint32_t(value) << (32 - bits)) >> (32 - bits);
}

// A code to 16 bits: the middle of what it stands for, but both ends of the range exactly.
template <bool SIGNED> SIMD_INLINE int32_t expand(int32_t code, int bits) {
  if (!SIGNED) {
    if (bits == 16 || code == 0) return code;
    return code == (1 << bits) - 1 ? 0xFFFF : ((code << 16) + 0x8000) >> bits;
  }
  const int32_t size = code < 0 ? -code : code, top = (1 << (bits - 1)) - 1;
  if (bits == 16 || code == 0) return code;
  const int32_t wide = size >= top ? 0x7FFF : ((size << 15) + 0x4000) >> (bits - 1);
  return code < 0 ? -wide : wide;
}

template <int MODE, bool SIGNED>
SIMD_INLINE void read_ends(Words block, int32_t (&ends)[4][3]) {
  constexpr Mode mode = MODES[MODE];
  constexpr Runs runs = RUNS<MODE>;
  uint32_t found[4][3] = {};
#pragma GCC unroll 32
  for (int i = 0; i < runs.count; ++i) {
    const Run &run = runs.run[i];
    found[run.end][run.channel] |= uint32_t(field(block, run.at, run.count)) << run.first;
  }
#pragma GCC unroll 3
  for (int c = 0; c < 3; ++c) {
#pragma GCC unroll 4
    for (int end = 0; end < 2 * mode.subsets; ++end) {
      int32_t value = int32_t(found[end][c]);
      if (end && mode.transformed)
        value = (extended(value, mode.others[c]) + int32_t(found[0][c])) & ((1 << mode.bits) - 1);
      ends[end][c] = expand<SIGNED>(SIGNED ? extended(value, mode.bits) : value, mode.bits);
    }
  }
}

// texels: receives 3 x 16, the bits of float16.
template <int MODE, bool SIGNED>
SIMD_INLINE void decode_mode(Words block, int32_t (&texels)[3][16]) {
  constexpr Mode mode = MODES[MODE];
  constexpr int bits = mode.subsets == 2 ? 3 : 4, stored = 16 * bits - mode.subsets;
  int32_t ends[4][3];
  read_ends<MODE, SIGNED>(block, ends);
  uint64_t indices = insert_zero(field(block, 128 - stored, stored), bits - 1);
  uint32_t second = 0;
  if (mode.subsets == 2) {
    const int partition = int(field(block, 128 - stored - 5, 5));
    indices = insert_zero(indices, bits * (PARTITIONS.anchor[1][partition][1] + 1) - 1);
    second = PARTITIONS.texels[1][partition][1];
  }
#pragma GCC unroll 4
  for (int part = 0; part < PARTS; ++part) {
    const vint weight = decoding::weights(indices, bits, part * LANES);
    const vmask in_second = mask_from_bits(second >> (part * LANES) & EVERY_LANE);
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c) {
      vint start(ends[0][c]), span(ends[1][c] - ends[0][c]);
      if (mode.subsets == 2) {
        start = select(in_second, vint(ends[2][c]), start);
        span = select(in_second, vint(ends[3][c] - ends[2][c]), span);
      }
      const vint value = ((start << 6) + weight * span + vint(32)) >> 6;
      vint half;
      if (SIGNED) {
        const vint size = (abs(value) * vint(31)) >> 5;
        half = select(value < vint(0), size | vint(0x8000), size);
      } else {
        half = (value * vint(31)) >> 6;
      }
      store(texels[c] + part * LANES, half);
    }
  }
}

template <bool SIGNED> void decode_block(Words block, int32_t (&texels)[3][16]) {
  switch (block.low & 2 ? block.low & 31 : block.low & 3) {
  case MODES[0].number: return decode_mode<0, SIGNED>(block, texels);
  case MODES[1].number: return decode_mode<1, SIGNED>(block, texels);
  case MODES[2].number: return decode_mode<2, SIGNED>(block, texels);
  case MODES[3].number: return decode_mode<3, SIGNED>(block, texels);
  case MODES[4].number: return decode_mode<4, SIGNED>(block, texels);
  case MODES[5].number: return decode_mode<5, SIGNED>(block, texels);
  case MODES[6].number: return decode_mode<6, SIGNED>(block, texels);
  case MODES[7].number: return decode_mode<7, SIGNED>(block, texels);
  case MODES[8].number: return decode_mode<8, SIGNED>(block, texels);
  case MODES[9].number: return decode_mode<9, SIGNED>(block, texels);
  case MODES[10].number: return decode_mode<10, SIGNED>(block, texels);
  case MODES[11].number: return decode_mode<11, SIGNED>(block, texels);
  case MODES[12].number: return decode_mode<12, SIGNED>(block, texels);
  case MODES[13].number: return decode_mode<13, SIGNED>(block, texels);
  default: // reserved: black
    for (auto &channel : texels)
      for (int32_t &texel : channel) texel = 0;
  }
}

// One row of blocks, counted from the picture's top.
template <int CHANNELS> void decode_row(const smalti_bc6_decode_args &args, int64_t row) {
  const int64_t y_first = greatest(4 * row, args.top);
  const int64_t y_last = least(4 * row + 4, args.top + args.height);
  const int64_t right = args.left + args.width;
  const uint8_t *blocks = args.blocks + row * args.block_columns * BLOCK_BYTES;
  for (int64_t column = args.left / 4; 4 * column < right; ++column) {
    const Words block = load_words(blocks + column * BLOCK_BYTES);
    int32_t texels[3][16];
    if (args.is_signed)
      decode_block<true>(block, texels);
    else
      decode_block<false>(block, texels);
    const int64_t x_first = greatest(4 * column, args.left), x_last = least(4 * column + 4, right);
    for (int64_t y = y_first; y < y_last; ++y) {
      uint16_t *target = args.texels + ((y - args.top) * args.width + x_first - args.left) * CHANNELS;
      for (int64_t x = x_first; x < x_last; ++x, target += CHANNELS) {
        const int64_t t = 4 * (y & 3) + (x & 3);
        for (int c = 0; c < 3; ++c) target[c] = uint16_t(texels[c][t]);
        if (CHANNELS == 4) target[3] = ONE;
      }
    }
  }
}

} // namespace bc6

KERNEL(bc6_decode) {
  const int channels = args.channels ? args.channels : 3;
  if ((channels != 3 && channels != 4) || args.top < 0 || args.left < 0) return SMALTI_INVALID;
  if (args.height <= 0 || args.width <= 0) return SMALTI_OK;
  const int64_t first_row = args.top / 4, rows = (args.top + args.height + 3) / 4 - first_row;
  const int64_t chunk = bc6::CHUNK_TEXELS / (4 * args.width) + 1;
  parallel(args.threads, rows, chunk, [&](int64_t first, int64_t last) {
    for (int64_t row = first_row + first; row < first_row + last; ++row) {
      if (channels == 4)
        bc6::decode_row<4>(args, row);
      else
        bc6::decode_row<3>(args, row);
    }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
