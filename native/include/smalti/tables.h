/* Kernels of textures of tables and a small network, hash-texture and latent-texture. */
#ifndef SMALTI_TABLES_H
#define SMALTI_TABLES_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A texture of tables (hash-texture, latent-texture): levels of features, read bilinearly at a texel,
 * and a small network.
 *
 *   texel -levels-> x -W, f-> a -W, f-> ... -W, sigmoid-> y
 *
 * All parameters are one vector: the levels' tables, entry by entry, then each layer's weights
 * `outputs inputs` and biases. What rows and columns read of a level is tabulated: of each a half of
 * the number of the lower and of the upper node's entry, and the share of the upper one. Halves are
 * added up, of a hashed level combined by xor; no table has 2^31 values or more. */

/* The mean square error at some texels, and its gradient. */
typedef struct smalti_fits_tables_gradient_args {
  const float *values;        /* value_count, the parameters */
  const int64_t *table;       /* levels 4: first value, features, first feature, 1 if hashed */
  const int32_t *row_halves;  /* levels rows 2 */
  const float *row_weights;   /* levels rows */
  const int32_t *column_halves; /* levels columns 2 */
  const float *column_weights;  /* levels columns */
  const int32_t *widths;      /* layers + 1: features, each hidden layer's, channels */
  const int32_t *texel_rows;  /* count, of each texel */
  const int32_t *texel_columns; /* count */
  const float *target;        /* rows columns channels; of 4 channels with premultiplied colour */
  float *gradient;            /* value_count; gains the gradient */
  double *losses;             /* SMALTI_TABLES_PARTS; their sum is the mean square error */
  float *features;            /* for working: 272 widths[0] for each 256 of count, rounded up */
  float *parts;               /* for working: SMALTI_TABLES_PARTS times the network's numbers */
  float *room;                /* for working: rooms times 272 (widths[0] + 2 hidden + channels) */
  int64_t value_count;
  int64_t network; /* where the first layer's weights begin */
  int64_t rows, columns; /* of the picture */
  int64_t count;   /* texels */
  int32_t levels;
  int32_t layers;     /* 2 .. 9, the last makes channels, 1 .. 4; no width over 256 */
  int32_t activation; /* of the others: 0 sin(30 z), 1 GELU, 2 SiLU, 3 ReLU */
  int32_t rooms;      /* threads that may work at once, 1 .. 64 */
  int32_t threads;
} smalti_fits_tables_gradient_args;
SMALTI_API int smalti_fits_tables_gradient(const smalti_fits_tables_gradient_args *args);

#define SMALTI_TABLES_PARTS 16

/* The picture at every crossing of some rows and columns. */
typedef struct smalti_fits_tables_render_args {
  const float *values;
  const int64_t *table;
  const int32_t *row_halves;
  const float *row_weights;
  const int32_t *column_halves;
  const float *column_weights;
  const int32_t *widths;
  float *picture; /* rows columns channels, in [0, 1] */
  int64_t network;
  int64_t rows, columns;
  int32_t levels;
  int32_t layers;
  int32_t activation;
  int32_t threads;
} smalti_fits_tables_render_args;
SMALTI_API int smalti_fits_tables_render(const smalti_fits_tables_render_args *args);

/* A table as a file will hold it: each feature rounded to the nearest of steps + 1 equidistant values
 * from its lowest to its highest. */
typedef struct smalti_fits_tables_round_args {
  const float *values; /* entries features */
  float *seen;         /* entries features */
  int64_t entries;
  int32_t features; /* 1 .. 64 */
  int32_t steps;
} smalti_fits_tables_round_args;
SMALTI_API int smalti_fits_tables_round(const smalti_fits_tables_round_args *args);

#define SMALTI_TABLES_KERNELS(X) \
  X(fits_tables_gradient)        \
  X(fits_tables_render)            \
  X(fits_tables_round)

#ifdef __cplusplus
}
#endif
#endif
