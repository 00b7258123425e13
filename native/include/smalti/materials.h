/* Kernels of neural textures: grids and a small network, fitted to a material's maps. */
#ifndef SMALTI_MATERIALS_H
#define SMALTI_MATERIALS_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A texture has grid levels, each with a fine and a coarse grid of nodes and for two mip levels
 * (docs/NEURAL_TEXTURES.md). Nodes are channels rows columns, grid by grid. A grid level is described
 * by 12 numbers: heights of its two mip levels, their widths (0: there is none), where their texels
 * begin; of the fine, then of the coarse grid where the nodes begin, rows and columns.
 *
 * A grid has 1 .. 16 channels, 2, 4 or 8 texels of the finer mip level a node along each side, and
 * levels 0 .. steps, steps at most 255. The network's two hidden layers are 1 .. 32 wide, it makes 1
 * .. 16 channels; its numbers are of each layer the weights `outputs inputs`, then the biases. */

/* A window of one mip level. */
typedef struct smalti_fits_material_render_args {
  const uint8_t *codes; /* the levels of all nodes */
  const float *network;
  const int64_t *level; /* 12, of the mip level's grid level */
  float *out;           /* height width channels, in [0, 1] */
  int64_t top, left, height, width; /* of the window, inside the mip level */
  int32_t coarser; /* 1: the grid level's second mip level */
  int32_t repeat;  /* 1: beyond an edge lies the opposite one, 0: the outermost node again */
  int32_t fine_channels, fine_scale, fine_steps;
  int32_t coarse_channels, coarse_scale, coarse_steps;
  int32_t hidden_1, hidden_2, channels;
  int32_t threads;
} smalti_fits_material_render_args;
SMALTI_API int smalti_fits_material_render(const smalti_fits_material_render_args *args);

/* How a fit sees nodes: as levels, 0 .. steps; or of nodes in [0, 1] with uniform noise of one step;
 * or these rounded to levels, the gradient passing through. */
enum { SMALTI_NODES_LEVELS = 0, SMALTI_NODES_NOISY = 1, SMALTI_NODES_ROUNDED = 2 };

/* Square errors of some blocks, 64 x 16 texels of a grid level's finer mip level and what lies under
 * them in the coarser one, and half their gradient. The error is of what is seen, clipped to [0, 1];
 * the slope passes through the clipping. */
typedef struct smalti_fits_material_gradient_args {
  const int64_t *blocks; /* count 3: grid level, row and column of each block */
  const int64_t *table;  /* grid levels 12 */
  const float *nodes;
  const float *network;
  const uint8_t *texels; /* of all mip levels, each channels height width */
  const float *weights;  /* channels, of their errors */
  float *d_nodes;        /* as nodes; gains their gradient */
  float *d_network;      /* as network; gains its gradient */
  double *sums;          /* 2 channels; gain the square errors of finer and coarser mip levels */
  float *room;           /* for working: count times SMALTI_MATERIAL_ROOM */
  int64_t count;         /* of blocks */
  int32_t mask;          /* the channel whose value weighs the others' errors (alpha), or -1 */
  int32_t mode;          /* of nodes */
  uint32_t key;          /* of the noise: node i gets the hash of (i, key) */
  int32_t repeat;
  int32_t fine_channels, fine_scale, fine_steps;
  int32_t coarse_channels, coarse_scale, coarse_steps;
  int32_t hidden_1, hidden_2, channels;
  int32_t threads;
} smalti_fits_material_gradient_args;
SMALTI_API int smalti_fits_material_gradient(const smalti_fits_material_gradient_args *args);

enum { SMALTI_MATERIAL_ROOM = 140000 };

/* One step of Adam (Kingma and Ba 2015, algorithm 1) for the nodes inside some blocks, which stay in
 * [0, 1]; sets their gradients to 0. */
typedef struct smalti_fits_material_adam_args {
  const int64_t *blocks;
  const int64_t *table;
  float *nodes;
  float *d_nodes;
  float *mean;   /* of the gradient */
  float *spread; /* of its square */
  int64_t count;
  float rate;
  float beta_1, beta_2;
  float unbias_1, unbias_2; /* 1 / (1 - beta^step) */
  float tiny;               /* added to the root of the spread */
  int32_t fine_channels, fine_scale, coarse_channels, coarse_scale;
} smalti_fits_material_adam_args;
SMALTI_API int smalti_fits_material_adam(const smalti_fits_material_adam_args *args);

#define SMALTI_MATERIALS_KERNELS(X) \
  X(fits_material_render)             \
  X(fits_material_gradient)         \
  X(fits_material_adam)

#ifdef __cplusplus
}
#endif
#endif
