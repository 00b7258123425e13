// Fitted textures: features, network and loss of one tile of texels at a time.
//
//   texels -levels-> x -W, f-> a -W, f-> ... -W, sigmoid-> y -(y - target)^2 and the way back
//
// Two passes, so that nothing depends on how many threads there are. The first does all of a tile but
// its tables: the network's gradient goes to one of PARTS sums, the features' to memory. The second
// takes a level each and adds what all texels say of it, in their order.
//
// The floor, for 65,536 texels of the default hash texture (16 levels of 2 features, 64 wide, 2 deep)
// at 2 x 16 multiply-adds a clock: the network 6,336 a texel three times, 39 M clocks; activations,
// 128 pairs of sine and cosine a texel of 35 operations, 18 M; levels, 64 entries of two numbers read
// by 128 loads and added to by 128 stores a texel, 4 + 4 M. 65 M clocks, 24 ms at 2.7 GHz; without
// AVX-512 twice as many.

#include "dense_totals.h"
#include "fits/activations.h"
#include "fits/levels.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int TILE = 256; // texels: the sums of the weights' gradient are long enough
constexpr int STRIDE = TILE + 16; // of a feature: rows a power of two apart would share few cache sets
constexpr int STRIP = 64; // texels that go through the network at once: 64 features are 16 KB
constexpr int MAX_WIDTH = 256, MAX_LAYERS = 9, MAX_CHANNELS = 4;
constexpr int PARTS = SMALTI_TABLES_PARTS;
constexpr int64_t DRAWN_STRIPS = 16; // that a thread takes at once

template <class Args> Levels levels_of(const Args &args) {
  return {args.table,          args.levels, args.row_halves, args.row_weights, args.column_halves,
          args.column_weights, args.rows,   args.columns};
}

template <class Args> bool valid(const Args &args) {
  if (args.layers < 2 || args.layers > MAX_LAYERS || args.levels < 1) return false;
  if (args.activation < 0 || args.activation >= ACTIVATIONS) return false;
  for (int k = 0; k <= args.layers; ++k)
    if (args.widths[k] < 1 || args.widths[k] > MAX_WIDTH) return false;
  return args.widths[args.layers] <= MAX_CHANNELS;
}

// y `C texels` = sigmoid(z), in place.
void finish(float *y, int channels, int texels) {
  for (int c = 0; c < channels; ++c)
    for (int p = 0; p < texels; p += LANES) {
      float *at = y + c * STRIP + p;
      store(at, sigmoid(load(at)));
    }
}

// The sum of square errors of the first `count` texels of a strip, and `scale` times its slope by what
// goes into the sigmoid. y: `C STRIP`, the network's result. target: the same, of texels `C`.
double residual(const float *y, const float *const *target, int channels, int count, float scale,
                float *d_out) {
  Sixteen total;
  const vfloat one(1.0f), factor(scale);
  for (int p = 0; p < STRIP; p += LANES) {
    vfloat wanted[MAX_CHANNELS], d[MAX_CHANNELS], seen[MAX_CHANNELS];
    const vmask inside = first_lanes(count - p);
    for (int c = 0; c < channels; ++c) {
      float texels[LANES];
      for (int i = 0; i < LANES; ++i) texels[i] = target[p + i][c];
      wanted[c] = load(texels);
      seen[c] = load(y + c * STRIP + p);
    }
    vfloat squares(0.0f);
    if (channels == 4) { // colours are seen through alpha
      d[3] = seen[3] - wanted[3];
      squares = d[3] * d[3];
      for (int c = 0; c < 3; ++c) {
        const vfloat r = seen[c] * seen[3] - wanted[c];
        squares = fma(r, r, squares);
        d[3] = fma(r, seen[c], d[3]);
        d[c] = r * seen[3];
      }
    } else {
      for (int c = 0; c < channels; ++c) {
        d[c] = seen[c] - wanted[c];
        squares = fma(d[c], d[c], squares);
      }
    }
    total.part[p / LANES % Sixteen::PARTS] += select(inside, squares, vfloat(0.0f));
    for (int c = 0; c < channels; ++c) {
      const vfloat slope = factor * d[c] * seen[c] * (one - seen[c]);
      store(d_out + c * STRIDE + p, select(inside, slope, vfloat(0.0f)));
    }
  }
  return total.total();
}

// Where the weights of each layer begin.
struct Places {
  int64_t of[MAX_LAYERS + 1];
  template <class Args> explicit Places(const Args &args) {
    of[0] = args.network;
    for (int k = 0; k < args.layers; ++k)
      of[k + 1] = of[k] + int64_t(args.widths[k] + 1) * args.widths[k + 1];
  }
};

// Rows and columns of a tile's texels; a last, shorter tile repeats its last one, for nothing.
struct Texels {
  int32_t rows[TILE], columns[TILE];
  int count;
};

// One tile of a step: its loss; the network's gradient is added to `part`, the features' is d_x.
template <int KIND>
double descend(const smalti_fits_tables_gradient_args &args, const Places &places,
               const Texels &texels, float *room, float *part, float *d_x) {
  const Levels levels = levels_of(args);
  const int32_t *widths = args.widths;
  const int layers = args.layers, channels = widths[layers];
  float *a[MAX_LAYERS], *d[MAX_LAYERS + 1]; // what goes into each layer; slopes, then gradients of z
  a[0] = room;
  room += widths[0] * STRIDE;
  for (int k = 1; k < layers; ++k) {
    a[k] = room;
    d[k] = a[k] + widths[k] * STRIDE;
    room = d[k] + widths[k] * STRIDE;
  }
  d[layers] = room;
  const float scale = 2.0f / (float(args.count) * float(channels));
  double loss = 0;
  for (int start = 0; start < TILE; start += STRIP) {
    const int32_t *rows = texels.rows + start, *columns = texels.columns + start;
    read_levels(levels, args.values, rows, columns, STRIP, a[0] + start, STRIDE);
    float strip[MAX_WIDTH * STRIP];
    for (int k = 0; k < layers; ++k) {
      const float *weight = args.values + places.of[k];
      forward(weight, weight + int64_t(widths[k]) * widths[k + 1], widths[k + 1], widths[k], STRIP,
              a[k] + start, STRIDE, strip, STRIP);
      if (k + 1 == layers) break;
      for (int o = 0; o < widths[k + 1]; ++o)
        for (int p = 0; p < STRIP; p += LANES) {
          const int64_t at = int64_t(o) * STRIDE + start + p;
          const vfloat z = load(strip + o * STRIP + p);
          store(a[k + 1] + at, activate<KIND>(z, d[k + 1] + at));
        }
    }
    finish(strip, channels, STRIP);
    const float *target[STRIP];
    for (int p = 0; p < STRIP; ++p)
      target[p] = args.target + (rows[p] * args.columns + columns[p]) * channels;
    loss += residual(strip, target, channels, texels.count - start, scale, d[layers] + start);
    for (int k = layers - 1; k > 0; --k) {
      backward_input(args.values + places.of[k], widths[k + 1], widths[k], STRIP, d[k + 1] + start,
                     STRIDE, strip, STRIP);
      for (int o = 0; o < widths[k]; ++o)
        for (int p = 0; p < STRIP; p += LANES) {
          float *at = d[k] + int64_t(o) * STRIDE + start + p;
          store(at, load(at) * load(strip + o * STRIP + p));
        }
    }
    backward_input(args.values + places.of[0], widths[1], widths[0], STRIP, d[1] + start, STRIDE,
                   d_x + start, STRIDE);
  }
  for (int k = 0; k < layers; ++k) {
    float *weight = part + (places.of[k] - places.of[0]);
    backward_totals(widths[k + 1], widths[k], TILE, d[k + 1], STRIDE, a[k], STRIDE, weight,
                    weight + int64_t(widths[k]) * widths[k + 1]);
  }
  return loss;
}

} // namespace

KERNEL(fits_tables_gradient) {
  if (!valid(args) || args.rooms < 1 || args.rooms > 64 || args.count < 1) return SMALTI_INVALID;
  const Places places(args);
  const Levels levels = levels_of(args);
  const int64_t network = places.of[args.layers] - args.network;
  const int64_t tiles = (args.count + TILE - 1) / TILE;
  int64_t inner = args.widths[0] + args.widths[args.layers];
  for (int k = 1; k < args.layers; ++k) inner += 2 * args.widths[k];
  const auto texels_of = [&](int64_t tile, Texels &texels) {
    const int64_t start = tile * TILE;
    texels.count = int(least(TILE, args.count - start));
    for (int p = 0; p < TILE; ++p) {
      const int64_t from = start + least(p, texels.count - 1);
      texels.rows[p] = args.texel_rows[from];
      texels.columns[p] = args.texel_columns[from];
    }
  };
  const int threads = args.threads < args.rooms ? args.threads : args.rooms;
  uint64_t taken = 0; // rooms, as bits
  parallel(threads, PARTS, 1, [&](int64_t first, int64_t) {
    int room = 0;
    while (__atomic_fetch_or(&taken, uint64_t(1) << room, __ATOMIC_ACQUIRE) >> room & 1)
      room = (room + 1) % args.rooms;
    float *part = args.parts + first * network;
    __builtin_memset(part, 0, size_t(network) * sizeof(float));
    double loss = 0;
    for (int64_t tile = tiles * first / PARTS; tile < tiles * (first + 1) / PARTS; ++tile) {
      Texels texels;
      texels_of(tile, texels);
      with_activation(args.activation, [&]<int KIND>() {
        loss += descend<KIND>(args, places, texels, args.room + room * inner * STRIDE, part,
                              args.features + tile * args.widths[0] * STRIDE);
      });
    }
    args.losses[first] = loss / (double(args.count) * args.widths[args.layers]);
    __atomic_fetch_and(&taken, ~(uint64_t(1) << room), __ATOMIC_RELEASE);
  });
  for (int64_t i = 0; i < network; i += LANES) {
    vfloat sum = load_first(args.gradient + args.network + i, network - i);
    for (int part = 0; part < PARTS; ++part)
      sum += load_first(args.parts + part * network + i, network - i);
    store_first(args.gradient + args.network + i, sum, network - i);
  }
  parallel(args.threads, args.levels, 1, [&](int64_t level, int64_t) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      Texels texels;
      texels_of(tile, texels);
      spread_level(levels, int(level), texels.rows, texels.columns, texels.count,
                   args.features + tile * args.widths[0] * STRIDE, STRIDE, args.gradient);
    }
  });
  return SMALTI_OK;
}

KERNEL(fits_tables_render) {
  if (!valid(args)) return SMALTI_INVALID;
  const Places places(args);
  const Levels levels = levels_of(args);
  const int channels = args.widths[args.layers];
  const int64_t count = args.rows * args.columns;
  parallel(args.threads, (count + STRIP - 1) / STRIP, DRAWN_STRIPS, [&](int64_t first, int64_t last) {
    float strips[2][MAX_WIDTH * STRIP];
    int32_t rows[STRIP], columns[STRIP];
    for (int64_t start = first * STRIP; start < last * STRIP; start += STRIP) {
      const int texels = int(least(STRIP, count - start));
      for (int p = 0; p < STRIP; ++p) {
        const int64_t texel = start + least(p, texels - 1);
        rows[p] = int32_t(texel / args.columns);
        columns[p] = int32_t(texel % args.columns);
      }
      read_levels(levels, args.values, rows, columns, STRIP, strips[0], STRIP);
      for (int k = 0; k < args.layers; ++k) {
        const int n = args.widths[k], m = args.widths[k + 1];
        const float *weight = args.values + places.of[k], *bias = weight + int64_t(n) * m;
        float *x = strips[k % 2], *out = strips[(k + 1) % 2];
        forward(weight, bias, m, n, STRIP, x, STRIP, out, STRIP);
        if (k + 1 < args.layers)
          with_activation(args.activation, [&]<int KIND>() {
            for (int i = 0; i < m * STRIP; i += LANES) store(out + i, activate<KIND>(load(out + i)));
          });
      }
      float *y = strips[args.layers % 2];
      finish(y, channels, STRIP);
      float *target = args.picture + start * channels;
      for (int p = 0; p < texels; ++p)
        for (int c = 0; c < channels; ++c) target[p * channels + c] = y[c * STRIP + p];
    }
  });
  return SMALTI_OK;
}

// Entries are taken LANES at a time: `features` vectors, whose lanes hold the features in turn.
KERNEL(fits_tables_round) {
  constexpr int MAX_FEATURES = 64;
  const int features = args.features;
  if (features < 1 || features > MAX_FEATURES || args.steps < 1 || args.entries < 1)
    return SMALTI_INVALID;
  float low[MAX_FEATURES * LANES], high[MAX_FEATURES * LANES], step[MAX_FEATURES * LANES];
  const int row = features * LANES;
  for (int i = 0; i < row; ++i) low[i] = high[i] = args.values[i % features];
  const int64_t whole = args.entries / LANES * row, count = args.entries * features;
  for (int64_t start = 0; start < whole; start += row)
    for (int i = 0; i < row; i += LANES) {
      const vfloat v = load(args.values + start + i);
      store(low + i, min(v, load(low + i)));
      store(high + i, max(v, load(high + i)));
    }
  for (int64_t i = whole; i < count; ++i) {
    float &l = low[i % features], &h = high[i % features];
    l = args.values[i] < l ? args.values[i] : l;
    h = args.values[i] > h ? args.values[i] : h;
  }
  for (int i = features; i < row; ++i) {
    float &l = low[i % features], &h = high[i % features];
    l = low[i] < l ? low[i] : l;
    h = high[i] > h ? high[i] : h;
  }
  for (int i = 0; i < row; ++i) {
    low[i] = low[i % features];
    step[i] = (high[i % features] - low[i]) / float(args.steps);
  }
  for (int64_t start = 0; start < count; start += row)
    for (int i = 0; i < row && start + i < count; i += LANES) {
      const vfloat base = load(low + i), size = load(step + i);
      const vfloat divisor = select(size > vfloat(0.0f), size, vfloat(1.0f));
      const int64_t n = count - start - i;
      const vfloat v = load_first(args.values + start + i, n);
      store_first(args.seen + start + i, round((v - base) / divisor) * size + base, n);
    }
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
