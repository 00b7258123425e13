// The context model (context.h) in training: bits of grid values, and the gradients of those bits.
//
// Nodes of a row in lanes, SEGMENT of them at a time. The floor: 560 multiply-adds a node forwards,
// three times that with the gradients, and three exponentials and a logarithm.

#include "context.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int SEGMENT = 128; // nodes: all that they need, gradients included, is 65 KB

constexpr int MARGIN = 16; // numbers of a row before the first node's; whole vectors
constexpr int ROOM = SEGMENT + 3 * MARGIN; // of a row with what lies on either side of its nodes

// Of a row of a box, the columns first - REACH .. first + count + REACH - 1 that lie in it: as
// places in a row of ROOM, whose MARGIN-th is column `first`.
struct Span {
  int64_t from, to; // in the box
  int64_t at;       // of `from` in the row
  SIMD_INLINE Span(const Grid &grid, int64_t first, int64_t count)
      : from(greatest(first - REACH, 0)), to(least(first + count + REACH, grid.columns)),
        at(from - first + MARGIN) {}
};

// `nodes` values of a row and those in reach on either side; 0 where there are none.
SIMD_INLINE void read_row(const Grid &grid, const float *values, int64_t row, Span span, int nodes,
                          float *target) {
  const int64_t end = MARGIN + nodes + REACH;
  if (row < 0 || row >= grid.height) {
    for (int64_t i = 0; i < end; i += LANES) store(target + i, vfloat(0.0f));
    return;
  }
  for (int64_t i = span.at - LANES; i > MARGIN - REACH - LANES; i -= LANES)
    store(target + i, vfloat(0.0f));
  const float *source = values + place(grid, row, span.from);
  const int64_t n = span.to - span.from;
  target += span.at;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) store(target + i, load(source + i));
  for (; i < end - span.at; i += LANES) store(target + i, load_first(source + i, n - i));
}

void add_row(const Grid &grid, float *gradient, int64_t row, Span span, const float *source) {
  if (row < 0 || row >= grid.height) return;
  float *target = gradient + place(grid, row, span.from);
  const int64_t n = span.to - span.from;
  source += span.at;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) store(target + i, load(target + i) + load(source + i));
  if (i < n) store_first(target + i, load_first(target + i, n - i) + load(source + i), n - i);
}

struct alignas(64) Work {
  float own[REACH + 1][ROOM]; // rows of values, the node's own last
  float other[3][ROOM];
  float d_value[ROOM]; // what comes with a MARGIN has zeros there
  float x[INPUTS][ROOM];
  float d_coarse[COARSE][ROOM];
  float h1[HIDDEN][SEGMENT], h2[HIDDEN][SEGMENT];
  float out[OUTPUTS][SEGMENT];
};

// The inputs of `nodes` nodes, from the rows that were read.
SIMD_INLINE void look(Work &work, int nodes, bool halved) {
  for (int k = 0; k < NEAR; ++k) {
    const float *row = work.own[REACH + NEAR_PLACES[k][0]] + MARGIN + NEAR_PLACES[k][1];
    for (int p = 0; p < nodes; p += LANES) store(work.x[k] + MARGIN + p, load(row + p));
  }
  for (int k = 0; k < COARSE; ++k) {
    const float *row = work.other[1 + COARSE_PLACES[k][0]] + MARGIN + COARSE_PLACES[k][1];
    float *x = work.x[NEAR + k] + MARGIN;
    if (halved) {
      for (int p = 0; p < nodes; p += 2 * LANES) {
        const vfloat v = load(row + p / 2);
        vfloat first, second;
        zip(v, v, first, second);
        store(x + p, first);
        store(x + p + LANES, second);
      }
    } else {
      for (int p = 0; p < nodes; p += LANES) store(x + p, load(row + p));
    }
  }
}

// The gradients of the row DOWN below a node's, of `nodes` and those in reach on either side: each
// value's is the sum over the inputs that it was.
template <int DOWN, int COUNT>
SIMD_INLINE void look_back(const int (&places)[COUNT][2], const float (*d)[ROOM], int nodes,
                           float *target) {
  for (int i = -LANES; i < nodes + LANES; i += LANES) {
    vfloat sum = load(target + MARGIN + i);
    SIMD_UNROLL for (int k = 0; k < COUNT; ++k) {
      if (places[k][0] == DOWN) sum += load(d[k] + MARGIN + i - places[k][1]);
    }
    store(target + MARGIN + i, sum);
  }
}

SIMD_INLINE void clear(float *row) {
  for (int i = 0; i < ROOM; i += LANES) store(row + i, vfloat(0.0f));
}

// The gradients of the inputs -> those of the rows, in their place.
SIMD_INLINE void look_back(Work &work, int nodes, bool halved) {
  for (auto &row : work.x) store(row + MARGIN + nodes, vfloat(0.0f));
  store(work.d_value + MARGIN + nodes, vfloat(0.0f));
  for (int i = 0; i < REACH; ++i) clear(work.own[i]);
  for (int i = 0; i < ROOM; i += LANES) store(work.own[REACH] + i, load(work.d_value + i));
  look_back<-3>(NEAR_PLACES, work.x, nodes, work.own[0]);
  look_back<-2>(NEAR_PLACES, work.x, nodes, work.own[1]);
  look_back<-1>(NEAR_PLACES, work.x, nodes, work.own[2]);
  look_back<0>(NEAR_PLACES, work.x, nodes, work.own[3]);
  const float (*d)[ROOM] = work.x + NEAR;
  if (halved) {
    for (int k = 0; k < COARSE; ++k) {
      const float *both = d[k] + MARGIN;
      float *sum = work.d_coarse[k] + MARGIN;
      for (int p = 0; p < nodes; p += 2 * LANES) {
        vfloat even, odd;
        unzip(load(both + p), load(both + p + LANES), even, odd);
        store(sum + p / 2, even + odd);
      }
      store(sum + nodes / 2, vfloat(0.0f));
    }
    d = work.d_coarse;
    nodes /= 2;
  }
  for (auto &row : work.other) clear(row);
  look_back<-1>(COARSE_PLACES, d, nodes, work.other[0]);
  look_back<0>(COARSE_PLACES, d, nodes, work.other[1]);
  look_back<1>(COARSE_PLACES, d, nodes, work.other[2]);
}

// Nats of the nodes of a segment, of which `count` exist; d_out over out, and d_value.
SIMD_INLINE float charge(Work &work, int nodes, int64_t count, vfloat factor) {
  const float *value = work.own[REACH] + MARGIN;
  Sixteen total;
  for (int first = 0; first < nodes; first += 16)
    for (int part = 0; part < Sixteen::PARTS; ++part) {
      const int p = first + part * LANES;
      const vmask exists = first_lanes(greatest(count - p, 0));
      const Cost found = cost(load(value + p) - load(work.out[0] + p), load(work.out[1] + p));
      const vfloat zero(0.0f);
      total.part[part] += select(exists, found.nats, zero);
      const vfloat d = select(exists, found.by_distance * factor, zero);
      store(work.d_value + MARGIN + p, d);
      store(work.out[0] + p, -d);
      store(work.out[1] + p, select(exists, found.by_log * factor, zero));
    }
  return total.total();
}

SIMD_INLINE void back(Work &work, int nodes, const float *network, float *lanes) {
  float *x = work.x[0] + MARGIN, *h1 = work.h1[0], *h2 = work.h2[0], *d_out = work.out[0];
  const auto lane = [&](int at) { return lanes + 16 * at; };
  backward_weights(OUTPUTS, HIDDEN, nodes, d_out, SEGMENT, h2, SEGMENT, lane(W3), lane(B3));
  backward_input(network + W3, OUTPUTS, HIDDEN, nodes, d_out, SEGMENT, h2, SEGMENT, ReluBack{});
  backward_weights(HIDDEN, HIDDEN, nodes, h2, SEGMENT, h1, SEGMENT, lane(W2), lane(B2));
  backward_input(network + W2, HIDDEN, HIDDEN, nodes, h2, SEGMENT, h1, SEGMENT, ReluBack{});
  backward_weights(HIDDEN, INPUTS, nodes, h1, SEGMENT, x, ROOM, lane(W1), lane(B1));
  backward_input(network + W1, HIDDEN, INPUTS, nodes, h1, SEGMENT, x, ROOM);
}

double piece_nats(const smalti_fits_rate_args &args, const Piece &piece, vfloat factor,
                  float *lanes) {
  Work work;
  clear(work.d_value);
  for (auto &row : work.x) clear(row);
  for (auto &row : work.d_coarse) clear(row);
  const float *network = args.network;
  const bool halved = piece.shift == 1, has_coarse = piece.coarse.offset >= 0;
  double total = 0;
  for (int64_t row = 0; row < piece.own.height; ++row)
    for (int64_t first = 0; first < piece.own.columns; first += SEGMENT) {
      const int64_t count = least(piece.own.columns - first, SEGMENT);
      const int nodes =
          int((count + 31) / 32 * 32); // two vectors, as a coarser value is two nodes'
      const int64_t c_row = row >> piece.shift;
      const Span span(piece.own, first, SEGMENT);
      const Span c_span(piece.coarse, first >> piece.shift, SEGMENT >> piece.shift);
      for (int k = 0; k <= REACH; ++k)
        read_row(piece.own, args.values, row - REACH + k, span, nodes, work.own[k]);
      for (int k = 0; k < 3; ++k)
        read_row(piece.coarse, args.values, has_coarse ? c_row - 1 + k : -1, c_span,
                 nodes >> piece.shift, work.other[k]);
      look(work, nodes, halved);
      forward(network + W1, network + B1, HIDDEN, INPUTS, nodes, work.x[0] + MARGIN, ROOM,
              work.h1[0], SEGMENT, Relu{});
      forward(network + W2, network + B2, HIDDEN, HIDDEN, nodes, work.h1[0], SEGMENT, work.h2[0],
              SEGMENT, Relu{});
      forward(network + W3, network + B3, OUTPUTS, HIDDEN, nodes, work.h2[0], SEGMENT, work.out[0],
              SEGMENT);
      if (args.mean) {
        const int64_t at = place(piece.own, row, first);
        for (int64_t p = 0; p < count; p += LANES) {
          store_first(args.mean + at + p, load(work.out[0] + p), count - p);
          store_first(args.log_inverse + at + p, load(work.out[1] + p), count - p);
        }
      }
      total += double(charge(work, nodes, count, factor));
      if (!args.gradient) continue;
      back(work, nodes, network, lanes);
      look_back(work, nodes, halved);
      for (int k = 0; k <= REACH; ++k)
        add_row(piece.own, args.gradient, row - REACH + k, span, work.own[k]);
      for (int k = 0; has_coarse && k < 3; ++k)
        add_row(piece.coarse, args.gradient, c_row - 1 + k, c_span, work.other[k]);
    }
  return total;
}

} // namespace

KERNEL(fits_rate) {
  const double bits = 1.4426950408889634; // of a nat
  const vfloat factor(float(double(args.scale) * bits));
  float *all_lanes = aligned(args.lanes);
  const auto streams = [&](int64_t first, int64_t last) {
    for (int64_t stream = first; stream < last; ++stream) {
      float *lanes = args.gradient ? all_lanes + stream * PARAMETERS * 16 : nullptr;
      for (int i = 0; args.gradient && i < PARAMETERS * 16; i += LANES)
        store(lanes + i, vfloat(0.0f));
      double nats = 0;
      for (int64_t p = args.first_piece[stream]; p < args.first_piece[stream + 1]; ++p) {
        nats += piece_nats(args, piece_of(args.pieces, p), factor, lanes);
      }
      args.bits[stream] = nats * bits;
    }
  };
  streams(0, least(args.streams, 1)); // the others add to the gradients of its finest grid
  parallel(args.threads, args.streams - 1, 1,
           [&](int64_t first, int64_t last) { streams(1 + first, 1 + last); });
  if (args.gradient) add_totals(all_lanes, args.streams, PARAMETERS, args.d_network);
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
