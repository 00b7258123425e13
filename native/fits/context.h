// What a grid value costs, given the values before it: the context model of fitted pictures.
//
//   12 + 5 values -dense, ReLU-> 16 -dense, ReLU-> 16 -dense-> mean, log of the inverse width
#pragma once

#include "dense.h"
#include "smalti.h"

namespace smalti::SMALTI_ISA {

constexpr int NEAR = 12, COARSE = 5, INPUTS = NEAR + COARSE, HIDDEN = 16, OUTPUTS = 2;
constexpr int REACH = 3; // of NEAR_PLACES, up, left and right
// (row, column) of the values that a node looks at, and of those of the coarser grid
constexpr int NEAR_PLACES[NEAR][2] = {{0, -1},  {-1, 0}, {-1, -1}, {-1, 1}, {0, -2}, {-2, 0},
                                      {-1, -2}, {-1, 2}, {-2, -1}, {-2, 1}, {0, -3}, {-3, 0}};
constexpr int COARSE_PLACES[COARSE][2] = {{0, 0}, {0, -1}, {0, 1}, {-1, 0}, {1, 0}};

// Where the parameters lie, one array behind the other.
constexpr int W1 = 0, B1 = W1 + HIDDEN * INPUTS, W2 = B1 + HIDDEN, B2 = W2 + HIDDEN * HIDDEN,
              W3 = B2 + HIDDEN, B3 = W3 + OUTPUTS * HIDDEN, PARAMETERS = B3 + OUTPUTS;

struct Grid {
  int64_t offset, width, top, left, height, columns; // the box in it
};
struct Piece {
  Grid own, coarse;
  int64_t shift;
};

// Number `index` of the pieces that a kernel was given.
SIMD_INLINE Piece piece_of(const int64_t *pieces, int64_t index) {
  Piece piece;
  __builtin_memcpy(&piece, pieces + index * SMALTI_FITS_PIECE, sizeof piece);
  return piece;
}

SIMD_INLINE int64_t place(const Grid &grid, int64_t row, int64_t column) {
  return grid.offset + (grid.top + row) * grid.width + grid.left + column;
}

struct Cost {
  vfloat nats, by_distance, by_log;
};

// Nats of a value at `distance` from the mean, and the derivatives. With u the inverse width: mass
// of [d - 1/2, d + 1/2] under u / 2 exp(-u |t|).
SIMD_INLINE Cost cost(vfloat distance, vfloat log_inverse) {
  const vfloat zero(0.0f), half(0.5f), one(1.0f), lowest(-6.0f), highest(4.0f);
  const vmask inside = (log_inverse > lowest) & (log_inverse < highest);
  const vfloat u = exp(min(max(log_inverse, lowest), highest));
  const vfloat d = abs(distance);
  const vmask central = d < half;
  // exp(-|d - 1/2| u) within, exp(-u) outside
  const vfloat near = exp(-select(central, half - d, one) * u), far = exp(-(d + half) * u);
  const vfloat mass = select(central, one - half * (near + far), half * (one - near));
  const vfloat each = one / mass;
  const vfloat outside = (d - half) * u;
  Cost found;
  found.nats = select(central, zero, outside) - log(mass);
  const vfloat by_d = select(central, half * u * (near - far) * each, u);
  const vfloat by_u = select(central, -half * ((half - d) * near + (half + d) * far) * each,
                             (d - half) - half * near * each);
  found.by_distance = select(distance >= zero, by_d, -by_d);
  found.by_log = select(inside, by_u * u, zero);
  return found;
}

} // namespace smalti::SMALTI_ISA
