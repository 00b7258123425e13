/* Kernels of pictures and materials fitted as grids and a small network. */
#ifndef SMALTI_FITS_H
#define SMALTI_FITS_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Soft rounding with noise, in the place of rounding while a fit learns.
 *
 * seen = soft(soft(value) + noise). With r = y - floor(y) - 1/2 and the temperature T, soft(y) =
 * floor(y) + 1/2 + tanh(r / T) / (2 tanh(1 / 2T)): the identity for large T, rounding for small
 * (Agustsson and Theis 2020, arXiv 2006.09952; twice, with the noise between, as in Kim et al. 2023,
 * arXiv 2312.02753). */
typedef struct smalti_fits_soften_args {
  const float *values; /* count */
  float *seen;         /* count */
  float *slope;        /* count; the derivative of seen by the value */
  int64_t count;
  float temperature; /* above 0 */
  float amplitude;   /* width of the uniform noise */
  uint32_t key;      /* of the noise: value i gets the hash of (i, key) */
  int32_t threads;
} smalti_fits_soften_args;
SMALTI_API int smalti_fits_soften(const smalti_fits_soften_args *args);

/* One step of Adam (Kingma and Ba 2015, algorithm 1); sets the gradient to 0. */
typedef struct smalti_fits_adam_args {
  float *values;   /* count */
  float *gradient; /* count */
  float *mean;     /* count; of the gradient */
  float *spread;   /* count; of its square */
  int64_t count;
  float rate;
  float beta_1, beta_2;
  float unbias_1, unbias_2; /* 1 / (1 - beta^step) */
  float tiny;               /* added to the root of the spread, 1e-12 */
  int32_t threads;
} smalti_fits_adam_args;
SMALTI_API int smalti_fits_adam(const smalti_fits_adam_args *args);

/* Grid values of a fitted picture to bytes: a small network says where a value's distribution lies,
 * a range coder takes decisions with its probabilities (docs/FORMAT.md, codec `fitted`). A stream is
 * a few pieces, rectangles of grids; what a piece's coarser grid holds must be known before: coded
 * earlier in the same stream, or in an earlier call. */
enum {
  /* Numbers of a piece: where its grid begins among the values, the grid's width; the rectangle's
   * top, left, height, width; the same six of the coarser grid (the first -1: there is none); and
   * the shift, 0 or 1, from coordinates in the rectangle to those in the coarser one. */
  SMALTI_FITS_PIECE = 13,
};
typedef struct smalti_fits_encode_streams_args {
  const int64_t *pieces;      /* SMALTI_FITS_PIECE numbers each */
  const int64_t *first_piece; /* streams + 1; pieces of stream s are first_piece[s] .. [s + 1] - 1 */
  int64_t streams;
  const int32_t *network; /* 38 x 16: bias, then a row an input (17, 16), of the two hidden layers;
                           * biases and weights of mean and log inverse width. Weights within +-2047,
                           * of the second and third bias, times 256 */
  int32_t bits;           /* weights are whole numbers / 2^bits, 0 .. 8 */
  const int32_t *values;  /* count, of all grids; -32768 .. 32767 */
  int64_t count;
  int32_t *scratch;       /* streams x scratch_stride */
  int64_t scratch_stride; /* of every piece at least 16 (c + 1) + (5 width + 4 c + 45) / 2, where c =
                           * (width - 1 >> shift) + 1 */
  uint8_t *data;          /* receives the bytes of stream s at offsets[s] .. offsets[s + 1] - 1 */
  const int64_t *offsets; /* streams + 1 */
  int64_t *sizes;         /* streams; receives how many bytes they are; if more than there is room
                           * for, encode again with that room */
  int32_t threads;
} smalti_fits_encode_streams_args;
SMALTI_API int smalti_fits_encode_streams(const smalti_fits_encode_streams_args *args);

/* Bytes to grid values. SMALTI_DAMAGED if a stream is not an encoder's; damage that is not found
 * gives some values in -32768 .. 32767. */
typedef struct smalti_fits_decode_streams_args {
  const int64_t *pieces;      /* as in encoding */
  const int64_t *first_piece; /* likewise */
  int64_t streams;
  const int32_t *network; /* likewise */
  int32_t bits;           /* likewise */
  int32_t *values;        /* count; receives those of the streams' pieces */
  int64_t count;
  int32_t *scratch; /* as in encoding */
  int64_t scratch_stride;
  const uint8_t *data;    /* the bytes of stream s at offsets[s] .. offsets[s + 1] - 1 */
  const int64_t *offsets; /* streams + 1 */
  int64_t *positions;     /* streams; receives how many bytes were asked for; if sound, size + 3 */
  uint8_t *sound;         /* streams; receives 0 for those that are damaged, 1 for the others */
  int32_t threads;
} smalti_fits_decode_streams_args;
SMALTI_API int smalti_fits_decode_streams(const smalti_fits_decode_streams_args *args);

/* The probabilities that a stream starts with, of 65536, by the logarithm of the inverse width, -6 ..
 * 4 in steps of 1/8: 81 x 17 that a value is the whole number nearest to the mean, by the mean's
 * place, -8/16 .. 8/16 from it; 81 x 17 that it is above if not; 81 x 4 that it is one further. */
typedef struct smalti_fits_first_probabilities_args {
  int32_t *probabilities; /* 81 x 17 + 81 x 17 + 81 x 4 */
} smalti_fits_first_probabilities_args;
SMALTI_API int smalti_fits_first_probabilities(const smalti_fits_first_probabilities_args *args);

/* What grid values cost by the context model, and the gradients of that. The first stream is done
 * before the others, and no two others may look at the same coarser nodes. */
typedef struct smalti_fits_rate_args {
  const float *values;        /* count, of all grids */
  float *gradient;            /* count; `scale` times the derivatives of the bits are added. NULL: none
                               * are wanted, and lanes and d_network may be NULL too */
  int64_t count;
  const int64_t *pieces;      /* SMALTI_FITS_PIECE numbers each */
  const int64_t *first_piece; /* streams + 1; pieces of stream s are first_piece[s] .. [s + 1] - 1 */
  int64_t streams;
  const float *network; /* 594: w1 16 x 17, b1, w2 16 x 16, b2, w3 2 x 16, b3 */
  float *d_network;     /* 594; `scale` times the derivatives are added */
  float *lanes;         /* streams x 594 x 16 + 16; room to add up in */
  double *bits;         /* streams; receives the bits of each */
  float *mean;          /* count or NULL; receives where each value's distribution lies */
  float *log_inverse;   /* count, or NULL with mean; receives how wide it is */
  float scale;
  int32_t threads;
} smalti_fits_rate_args;
SMALTI_API int smalti_fits_rate(const smalti_fits_rate_args *args);

/* How many bits more all values cost if one of them changes, for each that is asked for, as if no
 * other changed. */
typedef struct smalti_fits_change_args {
  const float *values; /* count, of all grids */
  const float *mean, *log_inverse; /* count; as the values are, of smalti_fits_rate */
  const float *change; /* count; added to the value; 0: not asked for */
  float *bits;         /* count; receives the bits more where change is not 0 */
  int64_t count;
  const int64_t *pieces;      /* SMALTI_FITS_PIECE numbers each */
  const int64_t *first_piece; /* streams + 1; pieces of stream s are first_piece[s] .. [s + 1] - 1 */
  int64_t streams;            /* the first is what the others' first pieces look at */
  const float *network;       /* 594, as in smalti_fits_rate */
  int32_t threads;
} smalti_fits_change_args;
SMALTI_API int smalti_fits_change(const smalti_fits_change_args *args);

/* Planes at twice their resolution (docs/FORMAT.md, codec `fitted`, The picture). */
typedef struct smalti_fits_double_args {
  const float *source; /* planes height width */
  float *target;       /* planes new_height new_width; receives the new nodes, each 2 height 2 width or
                        * less: what lies beyond is cut off */
  const float *taps;   /* 4 */
  int64_t planes, height, width, new_height, new_width;
  int32_t threads;
} smalti_fits_double_args;
SMALTI_API int smalti_fits_double(const smalti_fits_double_args *args);

/* The gradients of doubling. */
typedef struct smalti_fits_double_back_args {
  const float *source;   /* planes height width */
  const float *d_target; /* planes new_height stride; derivatives by the new nodes */
  int64_t stride;        /* at least new_width */
  float *d_source;       /* planes height width; receives those by the old ones */
  const float *taps;     /* 4 */
  float *d_taps;         /* 4; added to */
  float *partial;        /* planes x 4; room to add up in */
  int64_t planes, height, width, new_height, new_width;
  int32_t threads;
} smalti_fits_double_back_args;
SMALTI_API int smalti_fits_double_back(const smalti_fits_double_back_args *args);

/* Grids to a picture. A texel's features are the `inner` planes of level 1, doubled once more, then
 * `feature` times the values of the grids of level 0; its colours follow by the network. */
typedef struct smalti_fits_render_args {
  const float *coarse; /* inner x ceil(height / 2) x ceil(width / 2), or NULL where inner is 0 */
  const float *fine;   /* own x height x width, or NULL where own is 0 */
  int32_t inner, own;  /* together G, 1 .. 16 */
  float feature;
  int32_t hidden;       /* K, 1 .. 128 */
  int32_t channels;     /* C, 1 .. 4 */
  const float *taps;    /* 4, of the doubling to level 0 */
  const float *network; /* w1 K x G, b1 K, w2 C x K, b2 C, skip C x G */
  int64_t height, width;
  uint8_t *bytes; /* height x width x C or NULL; receives the colours, 0 .. 255 */
  float *floats;  /* the same, 0 .. 1 */
  int32_t threads;
} smalti_fits_render_args;
SMALTI_API int smalti_fits_render(const smalti_fits_render_args *args);

/* Squared error of a drawn picture and its gradients. */
typedef struct smalti_fits_distortion_args {
  const float *coarse; /* inputs as for drawing */
  const float *fine;
  int32_t inner, own;
  float feature;
  int32_t hidden;
  int32_t channels;
  const float *taps;
  const float *network;
  int64_t height, width;
  const float *target; /* C x height x width, 0 .. 1 */
  const float *weight; /* of each squared error, shaped as target; NULL: 1 */
  float *d_doubled;    /* inner x height x stride; receives the derivatives by the doubled planes */
  int64_t stride;      /* width rounded up to a multiple of 16, at least */
  float *d_fine;       /* own x height x width; the derivatives by the values are added */
  float *d_network;    /* as network; added to */
  int64_t band;        /* rows whose sums are added up together */
  float *lanes;        /* ceil(height / band) x parameters of the network x 16 + 16; room to add
                        * up in */
  double *errors;      /* ceil(height / band); receives the weighted sums of squared errors */
  int32_t threads;
} smalti_fits_distortion_args;
SMALTI_API int smalti_fits_distortion(const smalti_fits_distortion_args *args);

#define SMALTI_FITS_KERNELS(X) \
  X(fits_encode_streams)       \
  X(fits_decode_streams)       \
  X(fits_first_probabilities)  \
  X(fits_rate)                 \
  X(fits_change)               \
  X(fits_double)               \
  X(fits_double_back)          \
  X(fits_render)                 \
  X(fits_distortion)           \
  X(fits_soften)               \
  X(fits_adam)

#ifdef __cplusplus
}
#endif
#endif
