// A fitted picture's squared error and its gradients: features, colours, error and the way back of
// one segment of texels at a time. The floor: three times the multiply-adds of drawing.

#include "fits/synthesis.h"

namespace smalti::SMALTI_ISA {

namespace {

// Sum of the weighted squared errors of a segment; the derivatives by its colours in their place.
// What lies beyond the range on the right side of an end of it is no error: decoding clamps it.
SIMD_INLINE float charge(const smalti_fits_distortion_args &args, const Synthesis &s, int64_t row,
                         int64_t first, int texels, Segment &segment) {
  const vfloat zero(0.0f), half(0.5f), one(1.0f);
  Sixteen total;
  for (int c = 0; c < s.channels; ++c) {
    const int64_t at = (c * s.height + row) * s.width + first;
    for (int start = 0; start < texels; start += 16)
      for (int part = 0; part < Sixteen::PARTS; ++part) {
        const int p = start + part * LANES;
        const int64_t n = s.width - first - p;
        const vmask exists = first_lanes(n < 0 ? 0 : least(n, TEXELS));
        const vfloat goal = load_first(args.target + at + p, n);
        const vfloat scale = args.weight ? load_first(args.weight + at + p, n) : one;
        const vfloat value = load(segment.out[c] + p) + half;
        const vfloat e = value - goal, clipped = min(max(value, zero), one) - goal;
        const vfloat d = select(clipped == zero, zero, scale * (e + e));
        total.part[part] += select(exists, scale * clipped * clipped, zero);
        store(segment.out[c] + p, select(exists, d, zero));
      }
  }
  return total.total();
}

// d_out -> the gradients of the network, in lanes, and of the features. The hidden units' lie in
// their place.
SIMD_INLINE void back(const Synthesis &s, int texels, Segment &segment, float *d_x, float *lanes) {
  const float *n = s.network;
  float *x = segment.x[0], *hidden = segment.hidden[0], *d_out = segment.out[0];
  const auto lane = [&](int at) { return lanes + 16 * at; };
  backward_weights(s.channels, s.hidden, texels, d_out, TEXELS, hidden, TEXELS, lane(s.w2),
                   lane(s.b2));
  backward_weights(s.channels, s.features, texels, d_out, TEXELS, x, TEXELS, lane(s.skip), nullptr);
  backward_input(n + s.w2, s.channels, s.hidden, texels, d_out, TEXELS, hidden, TEXELS, ReluBack{});
  backward_weights(s.hidden, s.features, texels, hidden, TEXELS, x, TEXELS, lanes, lane(s.b1));
  backward_input(n, s.hidden, s.features, texels, hidden, TEXELS, d_x, TEXELS);
  backward_input<true>(n + s.skip, s.channels, s.features, texels, d_out, TEXELS, d_x, TEXELS);
}

} // namespace

KERNEL(fits_distortion) {
  const Synthesis s(args);
  if (!s.fits() || args.band < 1) return SMALTI_INVALID;
  float *all_lanes = aligned(args.lanes);
  const int64_t bands = (s.height + args.band - 1) / args.band;
  parallel(args.threads, bands, 1, [&](int64_t begin, int64_t end) {
    Segment segment;
    alignas(64) float d_x[MAX_GRIDS][TEXELS];
    for (int64_t band = begin; band < end; ++band) {
      float *lanes = all_lanes + band * s.parameters * 16;
      for (int i = 0; i < s.parameters * 16; i += LANES) store(lanes + i, vfloat(0.0f));
      double error = 0;
      const int64_t bottom = least((band + 1) * args.band, s.height);
      for (int64_t row = band * args.band; row < bottom; ++row)
        for (int64_t first = 0; first < s.width; first += TEXELS) {
          const int texels = int(least(s.width - first, TEXELS) + 15) / 16 * 16;
          colours(s, row, first, texels, segment);
          error += double(charge(args, s, row, first, texels, segment));
          back(s, texels, segment, d_x[0], lanes);
          for (int g = 0; g < s.inner; ++g) {
            float *target = args.d_doubled + (g * s.height + row) * args.stride + first;
            for (int p = 0; p < texels; p += LANES) store(target + p, load(d_x[g] + p));
          }
          for (int g = 0; g < s.own; ++g) {
            float *target = args.d_fine + (g * s.height + row) * s.width + first;
            for (int p = 0; p < texels; p += LANES) {
              const int64_t n = s.width - first - p;
              const vfloat d = load(d_x[s.inner + g] + p) * vfloat(s.feature);
              store_first(target + p, load_first(target + p, n) + d, n);
            }
          }
        }
      args.errors[band] = error;
    }
  });
  add_totals(all_lanes, bands, s.parameters, args.d_network);
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
