// Reading the texels of a neural texture.
//
// The floor, for 8 channels and the default grids of 3 and 6: 1,664 multiply-adds of the network a
// texel, 52 clocks at 2 x 16 a clock; 64 activations of four operations, 8; 9 features of two, 1; and
// 8 numbers to store. 65 clocks, 41 M texels a second at 2.7 GHz; without AVX-512 half as many.

#include "dense.h"
#include "fits/material.h"

namespace smalti::SMALTI_ISA {

namespace {

// A block's nodes as the network sees them: level / highest level - 1/2.
void levels_of_nodes(const BlockGrid &grid, const uint8_t *codes, Nodes &out) {
  const vfloat step(grid.step), half(0.5f);
  for (int c = 0; c < grid.channels; ++c)
    for (int r = 0; r < grid.rows; ++r) {
      const uint8_t *row = codes + grid.row(c, r);
      float *to = out[c][r];
      int k = 1; // side by side
      for (; k + LANES <= grid.run + 1; k += LANES)
        store(to + k, fma(to_float(load(row + grid.left + k - 1)), step, -half));
      for (; k < grid.columns; ++k) to[k] = fma(float(row[grid.column[k]]), grid.step, -0.5f);
      to[0] = fma(float(row[grid.column[0]]), grid.step, -0.5f);
    }
}

// Rows first .. last of blocks of the window.
void render_rows(const smalti_fits_material_render_args &args, int64_t first, int64_t last) {
  const Network network(args);
  const int coarser = args.coarser, features = network.widths[0] - PHASES;
  const Grid grids[2] = {{args.fine_channels, args.fine_scale, args.fine_steps},
                         {args.coarse_channels, args.coarse_scale, args.coarse_steps}};
  const Taps taps[2] = {Taps(grids[0].scale >> coarser), Taps(grids[1].scale >> coarser)};
  const int rows = BLOCK_HEIGHT >> coarser, columns = BLOCK_WIDTH >> coarser;
  const int strip_rows = STRIP / columns, channels = args.channels;
  Nodes nodes;
  Wide wide[2];
  float x[MAX_INPUTS * STRIP], h_1[MAX_HIDDEN * STRIP], h_2[MAX_HIDDEN * STRIP];
  for (int64_t block_row = first; block_row < last; ++block_row) {
    const int64_t block_top = block_row * rows;
    const int start = int(args.top > block_top ? args.top - block_top : 0);
    const int64_t left_over = args.top + args.height - block_top;
    const int end = int(left_over < rows ? left_over : rows);
    for (int64_t block_column = args.left / columns;
         block_column * columns < args.left + args.width; ++block_column) {
      for (int g = 0; g < 2; ++g) {
        const BlockGrid grid(grids[g], args.level, g, args.repeat, block_row, block_column);
        levels_of_nodes(grid, args.codes, nodes);
        spread(grid, nodes, taps[g], columns, wide[g]);
      }
      const int64_t block_left = block_column * columns;
      const int from = int(args.left > block_left ? args.left - block_left : 0);
      const int64_t right = args.left + args.width - block_left;
      const int to = int(right < columns ? right : columns);
      for (int row = start / strip_rows * strip_rows; row < end; row += strip_rows) {
        int at = 0;
        for (int g = 0; g < 2; ++g) {
          const BlockGrid grid(grids[g], args.level, g, args.repeat, block_row, block_column);
          blend(grid, wide[g], taps[g], row, columns, x + at * STRIP, STRIP);
          at += grids[g].channels;
        }
        write_phase(coarser, row, x + features * STRIP, STRIP);
        const float *weights = args.network;
        forward(weights, weights + network.bias(0), network.widths[1], network.widths[0], STRIP, x,
                STRIP, h_1, STRIP, Hgelu{});
        forward(weights + network.at[1], weights + network.bias(1), network.widths[2],
                network.widths[1], STRIP, h_1, STRIP, h_2, STRIP, Hgelu{});
        forward(weights + network.at[2], weights + network.bias(2), channels, network.widths[2],
                STRIP, h_2, STRIP, h_1, STRIP);
        for (int i = 0; i < channels * STRIP; i += LANES)
          store(h_1 + i, min(max(load(h_1 + i), vfloat(0.0f)), vfloat(1.0f)));
        for (int r = row > start ? row : start; r < row + strip_rows && r < end; ++r) {
          const float *source = h_1 + (r - row) * columns;
          float *target = args.out + (block_top + r - args.top) * args.width * channels +
                          (block_left - args.left) * channels;
          with_constant<MAX_CHANNELS>(channels, [&]<int C>() {
            for (int t = from; t < to; ++t)
              for (int c = 0; c < C; ++c) target[t * C + c] = source[c * STRIP + t];
          });
        }
      }
    }
  }
}

} // namespace

KERNEL(fits_material_render) {
  if (!valid_material(args) || args.top < 0 || args.left < 0) return SMALTI_INVALID;
  if (args.height < 1 || args.width < 1) return SMALTI_OK;
  const int rows = BLOCK_HEIGHT >> args.coarser;
  const int64_t first_row = args.top / rows;
  const int64_t count = (args.top + args.height - 1) / rows + 1 - first_row;
  const int64_t chunk = 16384 / (rows * args.width) + 1; // a thread takes no fewer texels
  parallel(args.threads, count, chunk, [&](int64_t first, int64_t last) {
    render_rows(args, first_row + first, first_row + last);
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
