// What bits change if one grid value does: its own, and those of the values that look at it.
//
// A value is seen by 12 values of its grid and by up to 20 of the next finer one: 33 nodes of 560
// multiply-adds, in lanes. Only values that are asked for are looked at, each as if no other changed.

#include "context.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int NODES = 1 + NEAR + 4 * COARSE; // at most
constexpr int ROOM = 48;                     // whole vectors of them

struct alignas(64) Work {
  float x[INPUTS][ROOM];
  float h1[HIDDEN][ROOM], h2[HIDDEN][ROOM], out[OUTPUTS][ROOM];
  float value[ROOM], mean[ROOM], log_inverse[ROOM]; // of the nodes, as they are
  int nodes;
};

SIMD_INLINE bool holds(const Grid &grid, int64_t row, int64_t column) {
  return row >= 0 && column >= 0 && row < grid.height && column < grid.columns;
}

SIMD_INLINE float value_at(const Grid &grid, const float *values, int64_t row, int64_t column) {
  return holds(grid, row, column) ? values[place(grid, row, column)] : 0.0f;
}

// One node more, with its inputs as they are.
void add_node(Work &work, const smalti_fits_change_args &args, const Piece &piece, int64_t row,
              int64_t column) {
  const int n = work.nodes++;
  for (int k = 0; k < NEAR; ++k)
    work.x[k][n] = value_at(piece.own, args.values, row + NEAR_PLACES[k][0],
                            column + NEAR_PLACES[k][1]);
  for (int k = 0; k < COARSE; ++k)
    work.x[NEAR + k][n] =
        piece.coarse.offset < 0
            ? 0.0f
            : value_at(piece.coarse, args.values, (row >> piece.shift) + COARSE_PLACES[k][0],
                       (column >> piece.shift) + COARSE_PLACES[k][1]);
  const int64_t at = place(piece.own, row, column);
  work.value[n] = args.values[at];
  work.mean[n] = args.mean[at];
  work.log_inverse[n] = args.log_inverse[at];
}

// The nodes of a finer piece that look at a coarse value of it.
void add_finer(Work &work, const smalti_fits_change_args &args, const Piece &finer, int64_t row,
               int64_t column, float change) {
  const int side = 1 << finer.shift;
  for (int k = 0; k < COARSE; ++k)
    for (int part = 0; part < side * side; ++part) {
      const int64_t r = ((row - COARSE_PLACES[k][0]) << finer.shift) + part / side;
      const int64_t c = ((column - COARSE_PLACES[k][1]) << finer.shift) + part % side;
      if (!holds(finer.own, r, c)) continue;
      add_node(work, args, finer, r, c);
      work.x[NEAR + k][work.nodes - 1] += change;
    }
}

// Nats that all nodes cost more than before; the first one's value is what changes.
float added(Work &work, const float *network, float change) {
  const int nodes = (work.nodes + 15) / 16 * 16;
  for (int n = work.nodes; n < nodes; ++n) {
    for (auto &row : work.x) row[n] = 0.0f;
    work.value[n] = work.mean[n] = work.log_inverse[n] = 0.0f;
  }
  forward(network + W1, network + B1, HIDDEN, INPUTS, nodes, work.x[0], ROOM, work.h1[0], ROOM,
          Relu{});
  forward(network + W2, network + B2, HIDDEN, HIDDEN, nodes, work.h1[0], ROOM, work.h2[0], ROOM,
          Relu{});
  forward(network + W3, network + B3, OUTPUTS, HIDDEN, nodes, work.h2[0], ROOM, work.out[0], ROOM);
  Sixteen total;
  for (int first = 0; first < nodes; first += 16)
    for (int part = 0; part < Sixteen::PARTS; ++part) {
      const int n = first + part * LANES;
      const vfloat value = load(work.value + n);
      const vfloat before = cost(value - load(work.mean + n), load(work.log_inverse + n)).nats;
      const vfloat moved = n == 0 ? value + select(first_lanes(1), vfloat(change), vfloat(0.0f)) : value;
      const vfloat after = cost(moved - load(work.out[0] + n), load(work.out[1] + n)).nats;
      const vmask exists = first_lanes(greatest(work.nodes - n, 0));
      total.part[part] += select(exists, after - before, vfloat(0.0f));
    }
  return total.total();
}

} // namespace

KERNEL(fits_change) {
  constexpr float BITS = 1.44269504f; // of a nat
  const auto streams = [&](int64_t first, int64_t last) {
    Work work;
    for (int64_t stream = first; stream < last; ++stream) {
      const int64_t end = args.first_piece[stream + 1];
      for (int64_t p = args.first_piece[stream]; p < end; ++p) {
        const Piece piece = piece_of(args.pieces, p);
        // what looks at this piece: the next one of its stream, or the first of every tile
        const bool in_stream = p + 1 < end;
        const int64_t finer_from = in_stream ? p + 1 : stream == 0 ? args.first_piece[1] : 0;
        const int64_t finer_to = in_stream ? p + 2 : stream == 0 ? args.first_piece[args.streams] : 0;
        for (int64_t row = 0; row < piece.own.height; ++row)
          for (int64_t column = 0; column < piece.own.columns; ++column) {
            const int64_t at = place(piece.own, row, column);
            const float change = args.change[at];
            if (change == 0.0f) continue;
            work.nodes = 0;
            add_node(work, args, piece, row, column);
            for (int k = 0; k < NEAR; ++k) {
              const int64_t r = row - NEAR_PLACES[k][0], c = column - NEAR_PLACES[k][1];
              if (!holds(piece.own, r, c)) continue;
              add_node(work, args, piece, r, c);
              work.x[k][work.nodes - 1] += change;
            }
            for (int64_t f = finer_from; f < finer_to; ++f) {
              const Piece finer = piece_of(args.pieces, f);
              if (finer.coarse.offset != piece.own.offset) continue;
              const int64_t r = row + piece.own.top - finer.coarse.top;
              const int64_t c = column + piece.own.left - finer.coarse.left;
              if (holds(finer.coarse, r, c)) add_finer(work, args, finer, r, c, change);
            }
            args.bits[at] = BITS * added(work, args.network, change);
          }
      }
    }
  };
  parallel(args.threads, args.streams, 1, streams);
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
