// Mip levels: texels to planes of floats, planes to smaller planes, planes to texels.
//
// The filter goes down first: of TILE output texels the columns that they need, into a line that
// stays in the first-level cache, in lanes of columns; then along the line, in lanes of outputs.
// Twins in NumPy: smalti.textures.reference.

#include "kernel.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int64_t LINE = 1024; // columns that a tile of output texels reads at most
constexpr int64_t TILES[] = {256, 64, 16, 4, 1}; // output texels: 3 columns each and the taps, or 12, ...
enum Edges { CLAMP, WRAP, MIRROR };

SIMD_INLINE bool has_alpha(int channels) { return channels == 2 || channels == 4; }

} // namespace

KERNEL(image_planes) {
  if (args.channels < 1 || args.channels > 4) return SMALTI_INVALID;
  const int channels = args.channels, colours = channels - has_alpha(channels);
  const int64_t width = args.width, plane = args.count * width;
  const bool weighted = args.invisible > 0 && has_alpha(channels);
  parallel(args.threads, args.count, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const uint8_t *texels = args.texels + args.rows[row] * width * channels;
      float *out = args.planes + row * width;
      for (int c = 0; c < colours; ++c)
        for (int64_t x = 0; x < width; ++x) out[c * plane + x] = args.values[texels[x * channels + c]];
      if (!has_alpha(channels)) continue;
      float *alpha = out + colours * plane;
      for (int64_t x = 0; x < width; ++x)
        alpha[x] = float(double(texels[x * channels + colours]) / 255);
      if (!weighted) continue;
      for (int c = 0; c < colours; ++c)
        for (int64_t x = 0; x < width; ++x) out[c * plane + x] *= alpha[x] + args.invisible;
    }
  });
  return SMALTI_OK;
}

namespace {

// Position p of a row, where positions may lie outside.
SIMD_INLINE int64_t column_of(const smalti_image_shrink_args &args, int64_t p) {
  const int64_t width = args.source_width;
  if (args.edges == CLAMP) return p < 0 ? 0 : p < width ? p : width - 1;
  const int64_t period = args.edges == WRAP ? width : 2 * width;
  const int64_t q = (p % period + period) % period;
  return q < width ? q : period - 1 - q;
}

// The largest tile that fits the line; 0: none does.
int64_t tile_of(const smalti_image_shrink_args &args) {
  for (const int64_t tile : TILES) {
    bool fits = true;
    for (int64_t start = 0; fits && start < args.width; start += tile) {
      const int64_t last = least(start + tile, args.width) - 1;
      fits = args.column_starts[last] + args.column_taps - args.column_starts[start] <= LINE;
    }
    if (fits) return tile;
  }
  return 0;
}

// One output row of one plane.
void shrink_row(const smalti_image_shrink_args &args, int64_t tile, const float *source,
                int64_t row, float *result) {
  const int32_t *indices = args.row_indices + row * args.row_taps;
  const float *weights = args.row_weights + row * args.row_taps;
  const int64_t width = args.source_width;
  float line[LINE];
  for (int64_t start = 0; start < args.width; start += tile) {
    const int64_t end = least(start + tile, args.width);
    const int64_t low = args.column_starts[start];
    const int64_t high = args.column_starts[end - 1] + args.column_taps;
    const auto down = [&](int64_t x) { // the same sum for one column
      float sum = weights[0] * source[indices[0] * width + x];
      for (int t = 1; t < args.row_taps; ++t) sum += weights[t] * source[indices[t] * width + x];
      return sum;
    };
    int64_t p = low;
    for (; p < high && (p < 0 || p >= width); ++p) line[p - low] = down(column_of(args, p));
    for (; p + LANES <= least(high, width); p += LANES) {
      vfloat sum = vfloat(weights[0]) * load(source + indices[0] * width + p);
      for (int t = 1; t < args.row_taps; ++t)
        sum += vfloat(weights[t]) * load(source + indices[t] * width + p);
      store(line + (p - low), sum);
    }
    for (; p < high; ++p) line[p - low] = down(column_of(args, p));

    int64_t x = start;
    for (; x + LANES <= end; x += LANES) {
      const vint from = load(args.column_starts + x) - vint(int32_t(low));
      vfloat sum = load(args.column_weights + x) * gather(line, from);
      for (int t = 1; t < args.column_taps; ++t)
        sum += load(args.column_weights + t * args.width + x) * gather(line + t, from);
      store(result + x, sum);
    }
    for (; x < end; ++x) {
      const float *from = line + (args.column_starts[x] - low);
      float sum = args.column_weights[x] * from[0];
      for (int t = 1; t < args.column_taps; ++t)
        sum += args.column_weights[t * args.width + x] * from[t];
      result[x] = sum;
    }
  }
}

} // namespace

KERNEL(image_shrink) {
  if (args.row_taps < 1 || args.column_taps < 1 || args.edges < CLAMP || args.edges > MIRROR)
    return SMALTI_INVALID;
  const int64_t tile = tile_of(args);
  if (!tile) return SMALTI_INVALID;
  parallel(args.threads, args.planes * args.rows, 4, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const int64_t plane = n / args.rows, row = n % args.rows;
      shrink_row(args, tile, args.source + plane * args.source_rows * args.source_width, row,
                 args.result + (plane * args.ring + (args.first + row) % args.ring) * args.width);
    }
  });
  return SMALTI_OK;
}

namespace {

SIMD_INLINE vfloat unit(vfloat a) { return min(max(a, vfloat(0.0f)), vfloat(1.0f)); }

// LANES texels from float `at` of a plane on; `plane` floats from one plane to the next.
SIMD_INLINE void colours_of(const smalti_image_texels_args &args, int64_t plane, int64_t at,
                            int colours, vfloat *out) {
  const bool weighted = args.invisible > 0 && has_alpha(args.channels);
  const vfloat invisible(args.invisible);
  const auto over_alpha = [&](const float *planes, int c) {
    const vfloat alpha = load(planes + colours * plane + at) + invisible;
    return load(planes + c * plane + at) / max(alpha, invisible);
  };
  for (int c = 0; c < colours; ++c)
    out[c] = weighted ? over_alpha(args.planes, c) : load(args.planes + c * plane + at);
  if (args.box && weighted) {
    const vfloat trust =
        unit(load(args.planes + colours * plane + at) / vfloat(args.trusted));
    for (int c = 0; c < colours; ++c)
      out[c] = trust * unit(out[c]) + (vfloat(1.0f) - trust) * over_alpha(args.box, c);
  }
  if (!args.normal) return;
  const vfloat length = sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2]);
  const vmask flat = length < vfloat(1e-6f); // opposite directions: which one is left is chance
  for (int c = 0; c < 3; ++c) {
    const vfloat direction = select(flat, vfloat(c == 2 ? 1.0f : 0.0f), out[c] / length);
    out[c] = direction * vfloat(0.5f) + vfloat(0.5f);
  }
}

// n of LANES texels.
SIMD_INLINE void write_texels(const smalti_image_texels_args &args, int64_t plane, int64_t at,
                              int colours, int64_t n, uint8_t *texels) {
  vfloat values[4];
  int32_t steps[4][LANES];
  colours_of(args, plane, at, colours, values);
  for (int c = 0; c < colours; ++c)
    store(steps[c], truncate(round(unit(values[c]) * vfloat(65535.0f))));
  if (colours < args.channels)
    store(steps[colours],
          truncate(round(unit(load(args.planes + colours * plane + at)) * vfloat(255.0f))));
  for (int64_t i = 0; i < n; ++i)
    for (int c = 0; c < args.channels; ++c)
      texels[i * args.channels + c] =
          c < colours ? args.levels[steps[c][i]] : uint8_t(steps[c][i]);
}

} // namespace

KERNEL(image_texels) {
  if (args.channels < 1 || args.channels > 4 || (args.normal && args.channels < 3))
    return SMALTI_INVALID;
  const int colours = args.channels - has_alpha(args.channels);
  const int64_t width = args.width, plane = args.ring * width;
  parallel(args.threads, args.rows, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t at = (args.first + row) % args.ring * width;
      uint8_t *texels = args.texels + row * width * args.channels;
      int64_t x = 0;
      for (; x + LANES <= width; x += LANES)
        write_texels(args, plane, at + x, colours, LANES, texels + x * args.channels);
      if (x == width) continue;
      // The last few, as whole lanes of copies.
      float rest[2][4 * LANES] = {};
      for (int c = 0; c < args.channels; ++c)
        for (int64_t i = 0; x + i < width; ++i) {
          rest[0][c * LANES + i] = args.planes[c * plane + at + x + i];
          if (args.box) rest[1][c * LANES + i] = args.box[c * plane + at + x + i];
        }
      smalti_image_texels_args copy = args;
      copy.planes = rest[0];
      copy.box = args.box ? rest[1] : nullptr;
      write_texels(copy, LANES, 0, colours, width - x, texels + x * args.channels);
    }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
