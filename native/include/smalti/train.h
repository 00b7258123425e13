/* Kernels of training. */
#ifndef SMALTI_TRAIN_H
#define SMALTI_TRAIN_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Group normalisation and SiLU in one pass over memory, forwards:
 *
 *   x^ = (x - mean) rstd of a sample's group;  v = gamma x^ + beta;  y = v / (1 + exp(-v))
 *
 * Activations are `samples texels channels`, float32, or bfloat16 as its 16 bits. */
typedef struct smalti_norm_forward_args {
  const void *x;      /* samples texels channels */
  const float *gamma; /* channels */
  const float *beta;  /* channels */
  void *y;            /* samples texels channels; may not be x */
  float *mean;        /* samples groups, for the way back */
  float *rstd;        /* samples groups; 1 / the standard deviation */
  int64_t samples;
  int64_t texels;   /* of a sample, at least 1 */
  int64_t channels; /* a multiple of groups; at most 4096 */
  int64_t groups;
  float epsilon;     /* added to the variance */
  int32_t item_size; /* 2: bfloat16, 4: float32 */
  int32_t threads;
} smalti_norm_forward_args;
SMALTI_API int smalti_norm_forward(const smalti_norm_forward_args *args);

/* The same backwards. With dv = dy d(v / (1 + exp(-v))) / dv, M the values of a group: d_beta = sum
 * dv, d_gamma = sum dv x^, dx = rstd (gamma dv - (sum gamma dv + x^ sum gamma dv x^) / M). */
typedef struct smalti_norm_backward_args {
  const void *dy;     /* samples texels channels */
  const void *x;      /* samples texels channels */
  const float *gamma; /* channels */
  const float *beta;  /* channels */
  const float *mean;  /* samples groups, of the way there */
  const float *rstd;  /* samples groups */
  void *dx;           /* samples texels channels; may be neither x nor dy */
  float *d_gamma;     /* samples channels */
  float *d_beta;      /* samples channels */
  int64_t samples;
  int64_t texels;
  int64_t channels;
  int64_t groups;
  int32_t item_size; /* 2: bfloat16, 4: float32 */
  int32_t threads;
} smalti_norm_backward_args;
SMALTI_API int smalti_norm_backward(const smalti_norm_backward_args *args);

#define SMALTI_TRAIN_KERNELS(X) \
  X(norm_forward)               \
  X(norm_backward)

#ifdef __cplusplus
}
#endif
#endif
