// Fitting a neural texture: features, network, error and gradients of one block at a time.
//
// Each block has a room of its own, so that blocks may be worked on at the same time; what they say of
// the nodes and of the network is added up afterwards, in their order. Per texel three times the
// products of drawing it, and 64 activations' slopes.

#include "dense_totals.h"
#include "fits/material.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int TILE = 256; // texels: the sums of the weights' gradient are long enough
constexpr int STRIDE = TILE + 16; // of a feature: rows that are not a power of two apart share caches

// What one block works in, and what it says in the end.
struct Room {
  Nodes nodes[2], d_nodes[2];
  Wide wide[2], d_wide[2];
  float x[MAX_INPUTS * STRIDE];
  float h[2][MAX_HIDDEN * STRIDE], d[2][MAX_HIDDEN * STRIDE]; // activations; gradients of z
  float d_y[MAX_CHANNELS * STRIDE];
  float y[MAX_CHANNELS * STRIP], strip[MAX_INPUTS * STRIP];
  float d_network[MAX_HIDDEN * (MAX_INPUTS + 1) + MAX_HIDDEN * (MAX_HIDDEN + 1) +
                  MAX_CHANNELS * (MAX_HIDDEN + 1)];
  double sums[2][MAX_CHANNELS];
};
static_assert(sizeof(Room) <= SMALTI_MATERIAL_ROOM * sizeof(float));

// A block's nodes as the network sees them: value - 1/2.
void local_nodes(const BlockGrid &grid, const float *nodes, int steps, int mode, uint32_t key,
                 Nodes &out) {
  const vfloat half(0.5f), size(grid.step), most{float(steps)};
  const auto seen = [&](vfloat value, vint number) {
    if (mode == SMALTI_NODES_NOISY) return fma(uniform(number, key), size, value) - half;
    if (mode == SMALTI_NODES_ROUNDED) value = floor(fma(value, most, half));
    return fma(value, size, -half);
  };
  for (int c = 0; c < grid.channels; ++c)
    for (int r = 0; r < grid.rows; ++r) {
      const int64_t row = grid.row(c, r);
      const auto anywhere = [&](int k) {
        const vint column = load(grid.column + k);
        store(out[c][r] + k, seen(gather(nodes + row, column), column + vint(int32_t(row))));
      };
      anywhere(0);
      int k = 1; // side by side
      for (; k + LANES <= grid.run + 1; k += LANES) {
        const int64_t first = row + grid.left + k - 1;
        store(out[c][r] + k, seen(load(nodes + first), lane_numbers() + vint(int32_t(first))));
      }
      for (; k < grid.columns; k += LANES) anywhere(k);
    }
}

// The gradient of `local_nodes`, rounding and noise passed through, added to d_nodes.
void scatter_nodes(const BlockGrid &grid, const Nodes &d_local, float *d_nodes) {
  for (int c = 0; c < grid.channels; ++c)
    for (int r = 0; r < grid.rows; ++r) {
      float *row = d_nodes + grid.row(c, r);
      const float *d = d_local[c][r];
      row[grid.column[0]] += d[0];
      for (int k = 1; k <= grid.run; ++k) row[grid.left + k - 1] += d[k];
      for (int k = grid.run + 1; k < grid.columns; ++k) row[grid.column[k]] += d[k];
    }
}

// The gradient of `spread`, added to d_nodes.
void spread_back(const BlockGrid &grid, const Wide &d_wide, const Taps &taps, int texels,
                 Nodes &d_nodes) {
  const vfloat one(1.0f);
  for (int c = 0; c < grid.channels; ++c)
    for (int r = 0; r < grid.rows; ++r) {
      float of_lower[BLOCK_WIDTH], of_upper[BLOCK_WIDTH];
      for (int t = 0; t < texels; t += LANES) {
        const vfloat d = load(d_wide[c][r] + t), weight = load(taps.weight + t);
        store(of_lower + t, (one - weight) * d);
        store(of_upper + t, weight * d);
      }
      float *target = d_nodes[c][r];
      for (int t = 0; t < texels;) { // the texels between two nodes
        const int node = taps.lower[t];
        float lower = 0, upper = 0;
        for (; t < texels && taps.lower[t] == node; ++t) {
          lower += of_lower[t];
          upper += of_upper[t];
        }
        target[node] += lower;
        target[node + 1] += upper;
      }
    }
}

// The gradient of `blend`, added to d_wide.
void blend_back(const BlockGrid &grid, const float *d_x, int64_t stride, const Taps &taps,
                int first_row, int texels, Wide &d_wide) {
  for (int r = 0; r < STRIP / texels; ++r) {
    const int lower = taps.lower[first_row + r];
    const vfloat upper_share(taps.weight[first_row + r]);
    const vfloat lower_share(1.0f - taps.weight[first_row + r]);
    for (int c = 0; c < grid.channels; ++c)
      for (int t = 0; t < texels; t += LANES) {
        const vfloat d = load(d_x + c * stride + r * texels + t);
        float *a = d_wide[c][lower] + t, *b = d_wide[c][lower + 1] + t;
        store(a, fma(lower_share, d, load(a)));
        store(b, fma(upper_share, d, load(b)));
      }
  }
}

// Where a strip's texels lie: `rows` rows of `columns` from (top, left) of a mip level.
struct Place {
  const uint8_t *texels; // channels height width
  int64_t height, width, top, left;
  int columns;
};

// 8-bit levels of LANES texels of a strip as numbers in [0, 1], and how many of them lie inside.
vfloat texels_at(const Place &place, int channel, int p, int &count) {
  const int64_t y = place.top + p / place.columns, x = place.left + p % place.columns;
  const int64_t left = y < place.height ? place.width - x : 0;
  count = int(left < 0 ? 0 : left < LANES ? left : LANES);
  const uint8_t *row = place.texels + (channel * place.height + y) * place.width + x;
  uint8_t part[LANES] = {};
  if (count < LANES) {
    for (int i = 0; i < count; ++i) part[i] = row[i];
    row = part;
  }
  return to_float(load(row)) * vfloat(1.0f / 255);
}

// d_y = half the slope of the weighted square error of a strip; sums gain the plain square errors.
void residual(const smalti_fits_material_gradient_args &args, const float *y, const Place &place,
              float *d_y, double *sums) {
  for (int c = 0; c < args.channels; ++c) {
    Sixteen total;
    for (int p = 0; p < STRIP; p += LANES) {
      int count;
      const vfloat wanted = texels_at(place, c, p, count);
      const vfloat seen = load(y + c * STRIP + p);
      vfloat e = min(max(seen, vfloat(0.0f)), vfloat(1.0f)) - wanted;
      e = select(first_lanes(count), e, vfloat(0.0f));
      vfloat &sum = total.part[p / LANES % Sixteen::PARTS];
      sum = fma(e, e, sum);
      e = vfloat(args.weights[c]) * e;
      if (args.mask >= 0 && args.mask != c) e *= texels_at(place, args.mask, p, count);
      store(d_y + c * STRIDE + p, e);
    }
    sums[c] += total.total();
  }
}

void descend(const smalti_fits_material_gradient_args &args, const int64_t *block, Room &room) {
  const Network network(args);
  const int *widths = network.widths, features = widths[0] - PHASES;
  const float *weights = args.network;
  const int64_t *level = args.table + TABLE_COLUMNS * block[0];
  const Grid grids[2] = {{args.fine_channels, args.fine_scale, args.fine_steps},
                         {args.coarse_channels, args.coarse_scale, args.coarse_steps}};
  const BlockGrid local[2] = {{grids[0], level, 0, args.repeat, block[1], block[2]},
                              {grids[1], level, 1, args.repeat, block[1], block[2]}};
  for (int g = 0; g < 2; ++g) {
    local_nodes(local[g], args.nodes, grids[g].steps, args.mode, args.key, room.nodes[g]);
    __builtin_memset(room.d_nodes[g], 0, sizeof(room.d_nodes[g][0]) * grids[g].channels);
  }
  __builtin_memset(room.d_network, 0, sizeof room.d_network);
  __builtin_memset(room.sums, 0, sizeof room.sums);
  for (int coarser = 0; coarser < 2; ++coarser) {
    const int rows = BLOCK_HEIGHT >> coarser, columns = BLOCK_WIDTH >> coarser;
    const int64_t height = level[HEIGHT + coarser], width = level[WIDTH + coarser];
    Place place{args.texels + level[TEXELS + coarser], height, width, 0, block[2] * columns, columns};
    const int64_t top = block[1] * rows;
    if (top >= height || place.left >= width) continue;
    const Taps taps[2] = {Taps(grids[0].scale >> coarser), Taps(grids[1].scale >> coarser)};
    for (int g = 0; g < 2; ++g) {
      spread(local[g], room.nodes[g], taps[g], columns, room.wide[g]);
      __builtin_memset(room.d_wide[g], 0, sizeof(room.d_wide[g][0]) * grids[g].channels);
    }
    const int strip_rows = STRIP / columns;
    const int used = int(height - top < rows ? height - top : rows);
    for (int tile_row = 0; tile_row < used; tile_row += TILE / columns) {
      int filled = 0; // texels of the tile
      for (int row = tile_row; row < used && filled < TILE; row += strip_rows, filled += STRIP) {
        float *x = room.x + filled;
        blend(local[0], room.wide[0], taps[0], row, columns, x, STRIDE);
        blend(local[1], room.wide[1], taps[1], row, columns, x + grids[0].channels * STRIDE, STRIDE);
        write_phase(coarser, row, x + features * STRIDE, STRIDE);
        const float *in = x;
        for (int k = 0; k < 2; ++k) {
          forward(weights + network.at[k], weights + network.bias(k), widths[k + 1], widths[k],
                  STRIP, in, STRIDE, room.strip, STRIP);
          for (int i = 0; i < widths[k + 1]; ++i)
            for (int p = 0; p < STRIP; p += LANES) {
              const vfloat z = load(room.strip + i * STRIP + p);
              store(room.h[k] + i * STRIDE + filled + p, Hgelu{}(z));
              store(room.d[k] + i * STRIDE + filled + p, hgelu_slope(z));
            }
          in = room.h[k] + filled;
        }
        forward(weights + network.at[2], weights + network.bias(2), widths[3], widths[2], STRIP, in,
                STRIDE, room.y, STRIP);
        place.top = top + row;
        residual(args, room.y, place, room.d_y + filled, room.sums[coarser]);
        const float *d_out = room.d_y + filled;
        for (int k = 2; k > 0; --k) {
          backward_input(weights + network.at[k], widths[k + 1], widths[k], STRIP, d_out, STRIDE,
                         room.strip, STRIP);
          float *d = room.d[k - 1] + filled;
          for (int i = 0; i < widths[k]; ++i)
            for (int p = 0; p < STRIP; p += LANES)
              store(d + i * STRIDE + p, load(d + i * STRIDE + p) * load(room.strip + i * STRIP + p));
          d_out = d;
        }
        backward_input(weights, widths[1], widths[0], STRIP, d_out, STRIDE, room.strip, STRIP);
        blend_back(local[0], room.strip, STRIP, taps[0], row, columns, room.d_wide[0]);
        blend_back(local[1], room.strip + grids[0].channels * STRIP, STRIP, taps[1], row, columns,
                   room.d_wide[1]);
      }
      const float *inputs[3] = {room.x, room.h[0], room.h[1]};
      const float *outputs[3] = {room.d[0], room.d[1], room.d_y};
      for (int k = 0; k < 3; ++k)
        backward_totals(widths[k + 1], widths[k], filled, outputs[k], STRIDE, inputs[k], STRIDE,
                        room.d_network + network.at[k], room.d_network + network.bias(k));
    }
    for (int g = 0; g < 2; ++g)
      spread_back(local[g], room.d_wide[g], taps[g], columns, room.d_nodes[g]);
  }
}

} // namespace

KERNEL(fits_material_gradient) {
  if (!valid_material(args) || args.mask >= args.channels) return SMALTI_INVALID;
  const auto room = [&](int64_t n) -> Room & {
    return *reinterpret_cast<Room *>(args.room + n * SMALTI_MATERIAL_ROOM);
  };
  parallel(args.threads, args.count, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) descend(args, args.blocks + 3 * n, room(n));
  });
  const Network network(args);
  const Grid grids[2] = {{args.fine_channels, args.fine_scale, args.fine_steps},
                         {args.coarse_channels, args.coarse_scale, args.coarse_steps}};
  for (int64_t n = 0; n < args.count; ++n) {
    const int64_t *block = args.blocks + 3 * n, *level = args.table + TABLE_COLUMNS * block[0];
    for (int g = 0; g < 2; ++g)
      scatter_nodes({grids[g], level, g, args.repeat, block[1], block[2]}, room(n).d_nodes[g],
                    args.d_nodes);
    for (int64_t i = 0; i < network.at[3]; ++i) args.d_network[i] += room(n).d_network[i];
    for (int coarser = 0; coarser < 2; ++coarser)
      for (int c = 0; c < args.channels; ++c)
        args.sums[coarser * args.channels + c] += room(n).sums[coarser][c];
  }
  return SMALTI_OK;
}

KERNEL(fits_material_adam) {
  const int channels[2] = {args.fine_channels, args.coarse_channels};
  const int scales[2] = {args.fine_scale, args.coarse_scale};
  const vfloat beta_1(args.beta_1), beta_2(args.beta_2), zero(0.0f), one(1.0f);
  for (int64_t n = 0; n < args.count; ++n) {
    const int64_t *block = args.blocks + 3 * n, *level = args.table + TABLE_COLUMNS * block[0];
    for (int g = 0; g < 2; ++g) {
      const int64_t *grid = level + GRID + 3 * g;
      const int rows = BLOCK_HEIGHT / scales[g], columns = BLOCK_WIDTH / scales[g];
      const int64_t top = block[1] * rows, left = block[2] * columns;
      const int64_t bottom = top + rows < grid[1] ? top + rows : grid[1];
      const int64_t width = left + columns < grid[2] ? columns : grid[2] - left;
      for (int c = 0; c < channels[g]; ++c)
        for (int64_t y = top; y < bottom; ++y)
          for (int64_t x = 0; x < width; x += LANES) {
            const int64_t i = grid[0] + (c * grid[1] + y) * grid[2] + left + x, left_over = width - x;
            const vfloat d = load_first(args.d_nodes + i, left_over);
            const vfloat m = fma(beta_1, load_first(args.mean + i, left_over), (one - beta_1) * d);
            const vfloat v =
                fma(beta_2, load_first(args.spread + i, left_over), (one - beta_2) * d * d);
            const vfloat step = vfloat(args.rate) * (m * vfloat(args.unbias_1)) /
                                (sqrt(v * vfloat(args.unbias_2)) + vfloat(args.tiny));
            const vfloat node = load_first(args.nodes + i, left_over) - step;
            store_first(args.mean + i, m, left_over);
            store_first(args.spread + i, v, left_over);
            store_first(args.d_nodes + i, zero, left_over);
            store_first(args.nodes + i, min(max(node, zero), one), left_over);
          }
    }
  }
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
