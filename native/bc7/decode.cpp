// BC7 blocks to texels: rows of blocks, whole ones fast, those at the window's edges one texel at a
// time.

#include "bc7/decode.h"

namespace smalti::SMALTI_ISA {

constexpr int64_t CHUNK_TEXELS = 1 << 16; // a thread takes no fewer: starting one costs 20 us

namespace {

typedef uint8_t four_texels __attribute__((vector_size(16)));

template <int CHANNELS>
SIMD_INLINE void store_row(uint8_t *target, const int32_t *texels) {
  four_texels row;
  __builtin_memcpy(&row, texels, 16);
  if (CHANNELS == 3) // the four alphas go last, and are left out
    row = __builtin_shufflevector(row, row, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
  __builtin_memcpy(target, &row, 4 * CHANNELS);
}

int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// One row of blocks, counted from the picture's top.
template <int CHANNELS>
void decode_row(const smalti_bc7_decode_args &args, int64_t stride, int64_t row) {
  const int64_t y_first = larger(4 * row, args.top);
  const int64_t y_last = smaller(4 * row + 4, args.top + args.height);
  const int64_t right = args.left + args.width;
  const uint8_t *blocks = args.blocks + row * args.block_columns * BLOCK_BYTES;
  uint8_t *texels_row = args.texels + (y_first - args.top) * stride;
  for (int64_t column = args.left / 4; 4 * column < right; ++column) {
    int32_t texels[16];
    decode_block(load_words(blocks + column * BLOCK_BYTES), texels);
    const int64_t x_first = larger(4 * column, args.left), x_last = smaller(4 * column + 4, right);
    uint8_t *target = texels_row + (x_first - args.left) * CHANNELS;
    if (x_last - x_first == 4 && y_last - y_first == 4) {
      for (int y = 0; y < 4; ++y) store_row<CHANNELS>(target + y * stride, texels + 4 * y);
      continue;
    }
    for (int64_t y = y_first; y < y_last; ++y, target += stride)
      for (int64_t x = x_first; x < x_last; ++x)
        __builtin_memcpy(target + (x - x_first) * CHANNELS, texels + 4 * (y & 3) + (x & 3),
                         CHANNELS);
  }
}

} // namespace

KERNEL(bc7_decode) {
  const int channels = args.channels ? args.channels : 4;
  if ((channels != 3 && channels != 4) || args.top < 0 || args.left < 0) return SMALTI_INVALID;
  if (args.height <= 0 || args.width <= 0) return SMALTI_OK;
  const int64_t stride = args.stride ? args.stride : args.width * channels;
  const int64_t first_row = args.top / 4, rows = (args.top + args.height + 3) / 4 - first_row;
  const int64_t chunk = CHUNK_TEXELS / (4 * args.width) + 1;
  parallel(args.threads, rows, chunk, [&](int64_t first, int64_t last) {
    for (int64_t row = first_row + first; row < first_row + last; ++row) {
      if (channels == 4)
        decode_row<4>(args, stride, row);
      else
        decode_row<3>(args, stride, row);
    }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
