/* Kernels of BC6H texture blocks: 4 x 4 texels of R, G, B beyond 1, in 16 bytes. */
#ifndef SMALTI_BC6_H
#define SMALTI_BC6_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks to texels: a window of a picture, or all of it.
 *
 * All fourteen modes, as the Khronos Data Format Specification 1.4, chapter 20, has them; a reserved
 * block is black. Only blocks that the window touches are read. */
typedef struct smalti_bc6_decode_args {
  const uint8_t *blocks; /* block rows x block_columns x 16, row-major, of the whole picture */
  uint16_t *texels;      /* height x width x channels, the bits of float16, linear light */
  int64_t block_columns; /* of the picture: its width / 4, rounded up */
  int64_t top, left;     /* the window's first texel in the picture */
  int64_t height, width; /* of the window, in texels */
  int32_t channels;      /* 3 (or 0): R, G, B; 4: and A, which is 1 */
  int32_t is_signed;     /* not 0: BC6H_SF16, whose texels may be negative */
  int32_t threads;
} smalti_bc6_decode_args;
SMALTI_API int smalti_bc6_decode(const smalti_bc6_decode_args *args);

/* Texels to blocks, of the modes that hold their ends most finely.
 *
 * What is made least is the square error of R, G and B in steps of float16, its bits as a whole
 * number, which are nearly logarithms. Where a side is no multiple of 4, edge texels are repeated.
 * Each block depends on its own texels alone. */
typedef struct smalti_bc6_encode_args {
  const uint16_t *halves; /* height x width x channels: R, G, B (A, not read), linear light; the bits
                             of float16, or NULL for floats. What is beyond 65504 becomes that, NaN
                             0, and a negative number 0 where unsigned */
  const float *floats;    /* the same, rounded to float16 first; read where halves is NULL */
  uint8_t *blocks;        /* ceil(height / 4) x ceil(width / 4) x 16, row-major */
  int64_t height, width;  /* in texels, 1 or more */
  int32_t channels;       /* 3 (or 0) or 4 */
  int32_t effort;         /* 0 ultrafast, 1 fast, 2 medium, 3 high, 4 best */
  int32_t is_signed;      /* not 0: BC6H_SF16 */
  int32_t threads;
} smalti_bc6_encode_args;
SMALTI_API int smalti_bc6_encode(const smalti_bc6_encode_args *args);

#define SMALTI_BC6_KERNELS(X) \
  X(bc6_decode)               \
  X(bc6_encode)

#ifdef __cplusplus
}
#endif
#endif
