// From grids to the features of texels to their colours, a segment of a row at a time.
//
//    planes of level 1 -doubled-+
//    grids of level 0 ----------+- x -+-dense, ReLU-> hidden -dense-+
//                                     +-----------dense-------------+- colour - 1/2
//
// The floor, with G features, K hidden units and C channels: (G + C) K + G C multiply-adds a texel
// and 6 for each feature that is doubled.
#pragma once

#include "dense.h"
#include "fits/double.h"
#include "kernel.h"

namespace smalti::SMALTI_ISA {

constexpr int TEXELS = 2 * SPAN; // of a segment: with 48 hidden units 28 KB
constexpr int MAX_GRIDS = 16, MAX_HIDDEN = 128, MAX_CHANNELS = 4; // of a file

struct Synthesis {
  const float *coarse, *fine;
  int64_t coarse_height, coarse_width, height, width;
  int inner, own, features, hidden, channels;
  float feature;
  Taps taps;
  // The parameters, one array behind the other: w1, b1, w2, b2, skip. These are their beginnings.
  const float *network;
  int b1, w2, b2, skip, parameters;

  template <class Args>
  explicit Synthesis(const Args &args)
      : coarse(args.coarse), fine(args.fine), coarse_height((args.height + 1) / 2),
        coarse_width((args.width + 1) / 2), height(args.height), width(args.width),
        inner(args.inner), own(args.own), features(args.inner + args.own), hidden(args.hidden),
        channels(args.channels), feature(args.feature), taps(args.taps), network(args.network) {
    b1 = hidden * features;
    w2 = b1 + hidden;
    b2 = w2 + channels * hidden;
    skip = b2 + channels;
    parameters = skip + channels * features;
  }
  bool fits() const {
    return inner >= 0 && own >= 0 && features >= 1 && features <= MAX_GRIDS && hidden >= 1 &&
           hidden <= MAX_HIDDEN && channels >= 1 && channels <= MAX_CHANNELS;
  }
};

struct alignas(64) Segment {
  float lines[MAX_GRIDS][LINE];
  float x[MAX_GRIDS][TEXELS];
  float out[MAX_CHANNELS][TEXELS];
  float hidden[MAX_HIDDEN][TEXELS];
};

// Colours - 1/2 of the texels of a row from column `first` on, `texels` of them, a multiple of 16.
// What lies beyond the row's end is some number.
inline void colours(const Synthesis &s, int64_t row, int64_t first, int texels, Segment &segment) {
  const FourRows rows(s.coarse_height, row);
  const int64_t size = s.coarse_height * s.coarse_width;
  for (int g = 0; g < s.inner; ++g)
    between({s.coarse + g * size, s.coarse_height, s.coarse_width}, rows, s.taps, first / 2,
            segment.lines[g]);
  for (int g = 0; g < s.inner; ++g) spread(segment.lines[g], s.taps, segment.x[g]);
  for (int g = 0; g < s.own; ++g) {
    const float *values = s.fine + (g * s.height + row) * s.width + first;
    float *x = segment.x[s.inner + g];
    for (int p = 0; p < texels; p += LANES)
      store(x + p, load_first(values + p, s.width - first - p) * vfloat(s.feature));
  }
  const float *n = s.network;
  float *x = segment.x[0], *hidden = segment.hidden[0], *out = segment.out[0];
  forward(n, n + s.b1, s.hidden, s.features, texels, x, TEXELS, hidden, TEXELS, Relu{});
  forward(n + s.w2, n + s.b2, s.channels, s.hidden, texels, hidden, TEXELS, out, TEXELS);
  accumulate(n + s.skip, s.channels, s.features, texels, x, TEXELS, out, TEXELS);
}

} // namespace smalti::SMALTI_ISA
