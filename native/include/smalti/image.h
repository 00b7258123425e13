/* Kernels of pictures: mip levels. */
#ifndef SMALTI_IMAGE_H
#define SMALTI_IMAGE_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of 8-bit texels to planes of floats that may be averaged. */
typedef struct smalti_image_planes_args {
  const uint8_t *texels; /* any number of rows, of width channels */
  const int32_t *rows;   /* count: which rows of them */
  const float *values;   /* 256: what each level of a colour stands for */
  float *planes;         /* channels count width; alpha, the last of 2 and 4, is v / 255 */
  int64_t count;
  int64_t width;
  int32_t channels; /* 1 to 4 */
  float invisible;  /* above 0: colours are multiplied with alpha plus this; 0: they are not */
  int32_t threads;
} smalti_image_planes_args;
SMALTI_API int smalti_image_planes(const smalti_image_planes_args *args);

/* Planes filtered to fewer texels, or more, down each column and then along each row.
 *
 * Sums go from the first tap to the last; every product and every sum is rounded. */
typedef struct smalti_image_shrink_args {
  const float *source;          /* planes source_rows source_width */
  float *result;                /* planes ring width; output row y is row y % ring of it */
  const int32_t *row_indices;   /* rows row_taps: the rows of `source` that a row is made of */
  const float *row_weights;     /* rows row_taps */
  const int32_t *column_starts; /* width: the first column that a texel is made of; never falling */
  const float *column_weights;  /* column_taps width */
  int64_t source_rows;
  int64_t source_width;
  int64_t ring;
  int64_t width;
  int64_t first; /* output row */
  int64_t rows;
  int32_t planes;
  int32_t row_taps;
  int32_t column_taps; /* at most 1024 */
  int32_t edges; /* beyond a side: 0 the outermost column, 1 those of the other side, 2 mirrored */
  int32_t threads;
} smalti_image_shrink_args;
SMALTI_API int smalti_image_shrink(const smalti_image_shrink_args *args);

/* Filtered planes back to 8-bit texels. */
typedef struct smalti_image_texels_args {
  const float *planes;   /* channels ring width; row y is row y % ring of it */
  const float *box;      /* the same by a filter without negative weights, whose colour counts where
                          * there is little alpha; NULL: `planes` alone */
  const uint8_t *levels; /* 65536: the level of each of so many equal steps of a colour */
  uint8_t *texels;       /* rows width channels */
  int64_t first;
  int64_t rows;
  int64_t width;
  int64_t ring;
  int32_t channels; /* 1 to 4 */
  float invisible;  /* as in smalti_image_planes */
  float trusted;    /* alpha from which `planes` alone count */
  int32_t normal;   /* 1: the first three are vectors from -1 to 1, made of length 1 */
  int32_t threads;
} smalti_image_texels_args;
SMALTI_API int smalti_image_texels(const smalti_image_texels_args *args);

#define SMALTI_IMAGE_KERNELS(X) \
  X(image_planes)               \
  X(image_shrink)               \
  X(image_texels)

#ifdef __cplusplus
}
#endif
#endif
