/* Kernels of BC7 texture blocks: 4 x 4 texels in 16 bytes. */
#ifndef SMALTI_BC7_H
#define SMALTI_BC7_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks to texels: a window of a picture, or all of it.
 *
 * All eight modes, as the Khronos Data Format Specification 1.4, chapter 20, has them; a reserved
 * block (first byte 0) is transparent black. Only blocks that the window touches are read. */
typedef struct smalti_bc7_decode_args {
  const uint8_t *blocks; /* block rows x block_columns x 16, row-major, of the whole picture */
  uint8_t *texels;       /* height rows, `stride` bytes apart, of width x channels bytes */
  int64_t block_columns; /* of the picture: its width / 4, rounded up */
  int64_t top, left;     /* the window's first texel in the picture */
  int64_t height, width; /* of the window, in texels */
  int64_t stride;        /* 0: width * channels */
  int32_t channels;      /* 4 (or 0): R, G, B, A; 3: R, G, B */
  int32_t threads;
} smalti_bc7_decode_args;
SMALTI_API int smalti_bc7_decode(const smalti_bc7_decode_args *args);

/* A picture to mode 6 blocks by the two engines to learn from: `pca`, the line through a block's
 * texels, and `nelder-mead`, a search from there (docs in src/smalti/bc7/mode6.py). Edge texels are
 * repeated where a side is no multiple of 4. */
typedef struct smalti_bc7_mode6_args {
  const uint8_t *image; /* height x width x 4: R, G, B, A, straight alpha */
  uint8_t *blocks;      /* height / 4 rounded up x width / 4 rounded up x 16 */
  int64_t height, width; /* 1 or more */
  int32_t search;       /* 0: pca; 1: nelder-mead */
  int32_t threads;
} smalti_bc7_mode6_args;
SMALTI_API int smalti_bc7_mode6(const smalti_bc7_mode6_args *args);

/* Rate-distortion optimisation, in place: blocks that a general compressor makes smaller, at some
 * cost in quality (src/smalti/bc7/rdo.py). A texel of alpha 255 or 0 that the blocks decode to just
 * that keeps it. */
typedef struct smalti_bc7_rdo_args {
  uint8_t *blocks;       /* height / 4 rounded up x width / 4 rounded up x 16, of any modes */
  const uint8_t *image;  /* height x width x 4: what they should look like */
  const float *weights;  /* 4, whole numbers 0 .. 255: of the squared errors of R, G, B, A */
  int64_t height, width; /* 1 or more */
  int64_t segment;       /* blocks that are optimised one after another; threads share segments */
  double lagrangian;     /* squared 8-bit levels, summed over a block, that one bit is worth */
  double flat_weight;    /* error in a block without variation counts so many times */
  double flat_limit;     /* standard deviation, in levels, from which it counts once */
  int32_t window;        /* entries remembered, 1 .. 2048 */
  int32_t threads;
} smalti_bc7_rdo_args;
SMALTI_API int smalti_bc7_rdo(const smalti_bc7_rdo_args *args);

/* Texels to blocks: all eight modes, the best of those that are worth a trial.
 *
 * A texel of alpha 255 decodes to alpha 255, one of alpha 0 to alpha 0. Where a side is no multiple
 * of 4, edge texels are repeated. Each block depends on its own texels alone. */
typedef struct smalti_bc7_encode_args {
  const uint8_t *texels; /* height rows, `stride` bytes apart, of width x channels bytes: R G B (A) */
  uint8_t *blocks;       /* ceil(height / 4) x ceil(width / 4) x 16, row-major */
  const float *metric;   /* 18: what is made least, as smalti/bc7/metric.py lays it out; NULL: the
                            square error of R, G, B and A */
  int64_t height, width; /* in texels, 1 or more */
  int64_t stride;        /* 0: width * channels */
  int32_t channels;      /* 4 (or 0): straight alpha; 3: opaque */
  int32_t effort;        /* 0 ultrafast, 1 fast, 2 medium, 3 high, 4 best */
  int32_t threads;
} smalti_bc7_encode_args;
SMALTI_API int smalti_bc7_encode(const smalti_bc7_encode_args *args);

#define SMALTI_BC7_KERNELS(X) \
  X(bc7_decode)               \
  X(bc7_encode)               \
  X(bc7_rdo)                  \
  X(bc7_mode6)

#ifdef __cplusplus
}
#endif
#endif
