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

#define SMALTI_FITS_KERNELS(X) \
  X(fits_soften)               \
  X(fits_adam)

#ifdef __cplusplus
}
#endif
#endif
