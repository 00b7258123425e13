// Neural textures: from a block's nodes to features, in lanes of texels, and back.
//
//   nodes -local_nodes-> block's nodes -spread along x-> -blend along y-> x
//
// A block is 64 x 16 texels of the finer mip level that a grid level serves, and what lies under them
// in the coarser one, 32 x 8: the same nodes. Nodes are spread along x once a row of nodes, not once a
// row of texels, so that the bilinear blend of a feature costs little more than one multiply-add.
#pragma once

#include "fits/noise.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

constexpr int BLOCK_WIDTH = 64, BLOCK_HEIGHT = 16; // texels of the finer mip level
constexpr int STRIP = 64; // texels at a time: a row of a block, two of the coarser mip level's
constexpr int MAX_GRID_CHANNELS = 16, MAX_HIDDEN = 32, MAX_CHANNELS = 16, PHASES = 3;
constexpr int MAX_INPUTS = 2 * MAX_GRID_CHANNELS + PHASES;
constexpr int NODE_ROWS = BLOCK_HEIGHT / 2 + 2;
constexpr int NODE_STRIDE = 64; // BLOCK_WIDTH / 2 + 2 nodes of a row, and what whole vectors need

// Columns of the table of grid levels: sides of the two mip levels (0: there is no coarser one),
// where their texels begin, and where the nodes of the two grids begin, with their rows and columns.
enum { HEIGHT = 0, WIDTH = 2, TEXELS = 4, GRID = 6, TABLE_COLUMNS = 12 };

struct Grid {
  int channels, scale, steps; // texels a node of the finer mip level; highest level
};

// One of a level's two grids in one block.
struct BlockGrid {
  int channels, scale;
  float step;                  // 1 / the highest level
  int64_t start, height, width; // of the grid's nodes
  int rows, columns;           // of the block's nodes, one more at each side
  int64_t top, left;           // of the block's first node
  int32_t column[NODE_STRIDE]; // of the grid, of each of the block's; beyond an edge the outermost,
  int repeat;                  // or with repeat the opposite one
  int run;                     // columns 1 .. run lie side by side in the grid

  BlockGrid(const Grid &grid, const int64_t *level, int number, int repeat, int64_t block_row,
            int64_t block_column)
      : channels(grid.channels), scale(grid.scale), step(1.0f / float(grid.steps)),
        start(level[GRID + 3 * number]), height(level[GRID + 3 * number + 1]),
        width(level[GRID + 3 * number + 2]), rows(BLOCK_HEIGHT / grid.scale + 2),
        columns(BLOCK_WIDTH / grid.scale + 2), top(block_row * BLOCK_HEIGHT / grid.scale),
        left(block_column * BLOCK_WIDTH / grid.scale), repeat(repeat) {
    run = width - left < columns - 1 ? int(width - left) : columns - 1;
    for (int k = 0; k < NODE_STRIDE; ++k)
      column[k] = int32_t(inside(left - 1 + (k < columns ? k : columns - 1), width));
  }
  int64_t inside(int64_t i, int64_t count) const {
    if (repeat) return (i % count + count) % count;
    return i < 0 ? 0 : i < count ? i : count - 1;
  }
  // Where the nodes of a channel and a row of the block begin.
  int64_t row(int channel, int r) const {
    return start + (channel * height + inside(top - 1 + r, height)) * width;
  }
};

typedef float Nodes[MAX_GRID_CHANNELS][NODE_ROWS][NODE_STRIDE];
typedef float Wide[MAX_GRID_CHANNELS][NODE_ROWS][BLOCK_WIDTH];

// Of the texels of a block along an axis: the lower node, the halo's being 0, and the weight of the
// next one.
struct Taps {
  int32_t lower[BLOCK_WIDTH];
  float weight[BLOCK_WIDTH];
  explicit Taps(int scale) {
    for (int t = 0; t < BLOCK_WIDTH; ++t) {
      const float u = (float(t) + 0.5f) / float(scale) + 0.5f;
      lower[t] = int32_t(u);
      weight[t] = u - float(lower[t]);
    }
  }
};

// wide[channel][row][texel]: at the first `texels`, the blend of two neighbours in x.
static void spread(const BlockGrid &grid, const Nodes &nodes, const Taps &taps, int texels,
                   Wide &wide) {
  for (int t = 0; t < texels; t += LANES) {
    const vint lower = load(taps.lower + t);
    const vfloat weight = load(taps.weight + t);
    for (int c = 0; c < grid.channels; ++c)
      for (int r = 0; r < grid.rows; ++r) {
        const vfloat a = gather(nodes[c][r], lower);
        store(wide[c][r] + t, fma(weight, gather(nodes[c][r] + 1, lower) - a, a));
      }
  }
}

// x `channels stride`: a strip of rows of `texels` texels each, from `first_row` of the block on.
static void blend(const BlockGrid &grid, const Wide &wide, const Taps &taps, int first_row,
                  int texels, float *x, int64_t stride) {
  for (int r = 0; r < STRIP / texels; ++r) {
    const int lower = taps.lower[first_row + r];
    const vfloat weight(taps.weight[first_row + r]);
    for (int c = 0; c < grid.channels; ++c)
      for (int t = 0; t < texels; t += LANES) {
        const vfloat a = load(wide[c][lower] + t);
        store(x + c * stride + r * texels + t, fma(weight, load(wide[c][lower + 1] + t) - a, a));
      }
  }
}

// The last three inputs: where in its cell of 2 x 2 a texel lies; 0 in the coarser level. Of the strip
// from this row of a block on.
static void write_phase(int coarser, int row, float *x, int64_t stride) {
  for (int p = 0; p < STRIP; ++p) {
    const float across = coarser ? 0.0f : float(p % 2) - 0.5f;
    const float down = coarser ? 0.0f : float(row % 2) - 0.5f;
    x[p] = across;
    x[stride + p] = down;
    x[2 * stride + p] = 2 * across * down;
  }
}

// HGELU: z clip(z + 3/2, 0, 3) / 3, a parabola between the zero line and the identity.
struct Hgelu {
  SIMD_INLINE vfloat operator()(vfloat z, const float * = nullptr) const {
    const vfloat share = fma(z, vfloat(1.0f / 3), vfloat(0.5f));
    return z * min(max(share, vfloat(0.0f)), vfloat(1.0f));
  }
};
SIMD_INLINE vfloat hgelu_slope(vfloat z) {
  const vfloat bend(1.5f), inner = fma(z, vfloat(2.0f / 3), vfloat(0.5f));
  return select(z >= bend, vfloat(1.0f), select(z <= -bend, vfloat(0.0f), inner));
}

template <class Args> bool valid_material(const Args &args) {
  const auto grid = [](int channels, int scale, int steps) {
    return channels >= 1 && channels <= MAX_GRID_CHANNELS && steps >= 1 && steps <= 255 &&
           (scale == 2 || scale == 4 || scale == 8);
  };
  return grid(args.fine_channels, args.fine_scale, args.fine_steps) &&
         grid(args.coarse_channels, args.coarse_scale, args.coarse_steps) && args.hidden_1 >= 1 &&
         args.hidden_1 <= MAX_HIDDEN && args.hidden_2 >= 1 && args.hidden_2 <= MAX_HIDDEN &&
         args.channels >= 1 && args.channels <= MAX_CHANNELS;
}

// Inputs and outputs of the three layers, and where the weights of each begin.
struct Network {
  int widths[4];
  int64_t at[4];
  template <class Args>
  explicit Network(const Args &args)
      : widths{args.fine_channels + args.coarse_channels + PHASES, args.hidden_1, args.hidden_2,
               args.channels},
        at{} {
    for (int k = 0; k < 3; ++k) at[k + 1] = at[k] + int64_t(widths[k] + 1) * widths[k + 1];
  }
  int64_t bias(int layer) const { return at[layer] + int64_t(widths[layer]) * widths[layer + 1]; }
};

} // namespace smalti::SMALTI_ISA
