/* One row of BC7 blocks: 64 x 4 texels to 16 blocks, and back. Compile as docs/NATIVE.md shows. */
#include <smalti.h>
#include <stdio.h>

int main(void) {
  uint8_t row[4][64][4], blocks[16][16], back[4][64][4];
  for (int i = 0; i < 4 * 64; ++i)
    for (int c = 0; c < 4; ++c) row[i / 64][i % 64][c] = c == 3 ? 255 : (uint8_t)(i % 64 * (c + 1));
  smalti_bc7_encode_args encode = {.texels = **row, .blocks = *blocks, .height = 4, .width = 64, .effort = 2};
  smalti_bc7_decode_args decode = {.blocks = *blocks, .texels = **back, .block_columns = 16, .height = 4, .width = 64};
  if (smalti_bc7_encode(&encode) || smalti_bc7_decode(&decode)) return 1;
  for (int i = 0; i < 256; ++i) printf("%02x%s", blocks[i / 16][i % 16], i % 16 == 15 ? "\n" : "");
  return back[0][0][3] != 255; /* opaque stays opaque */
}
