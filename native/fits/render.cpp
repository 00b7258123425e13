// A fitted picture drawn: rows of texels from grids of level 1 and 0.

#include "fits/synthesis.h"

namespace smalti::SMALTI_ISA {

namespace {

constexpr int64_t CHUNK_TEXELS = 1 << 14; // that a thread takes at a time, at least

SIMD_INLINE vfloat colour(const Segment &segment, int channel, int p) {
  return min(max(load(segment.out[channel] + p) + vfloat(0.5f), vfloat(0.0f)), vfloat(1.0f));
}

template <int CHANNELS>
void keep_bytes(const Segment &segment, int64_t count, uint8_t *target) {
  int32_t words[TEXELS]; // a texel's bytes, the first channel lowest
  for (int p = 0; p < count; p += LANES) {
    vint word(0);
    for (int c = 0; c < CHANNELS; ++c)
      word |= truncate(round(colour(segment, c, p) * vfloat(255.0f))) << (8 * c);
    store(words + p, word);
  }
  for (int64_t p = 0; p < count; ++p) {
    const uint32_t word = uint32_t(words[p]);
    for (int c = 0; c < CHANNELS; ++c) target[p * CHANNELS + c] = uint8_t(word >> (8 * c));
  }
}

template <int CHANNELS>
void keep_floats(const Segment &segment, int64_t count, float *target) {
  float clamped[CHANNELS][TEXELS];
  for (int c = 0; c < CHANNELS; ++c)
    for (int p = 0; p < count; p += LANES) store(clamped[c] + p, colour(segment, c, p));
  for (int64_t p = 0; p < count; ++p)
    for (int c = 0; c < CHANNELS; ++c) target[p * CHANNELS + c] = clamped[c][p];
}

} // namespace

KERNEL(fits_render) {
  const Synthesis s(args);
  if (!s.fits()) return SMALTI_INVALID;
  const int64_t chunk = CHUNK_TEXELS / (s.width + 1) + 1;
  parallel(args.threads, s.height, chunk, [&](int64_t begin, int64_t end) {
    Segment segment;
    for (int64_t row = begin; row < end; ++row)
      for (int64_t first = 0; first < s.width; first += TEXELS) {
        const int64_t count = least(s.width - first, TEXELS);
        colours(s, row, first, int(count + 15) / 16 * 16, segment);
        const int64_t at = (row * s.width + first) * s.channels;
        with_constant<MAX_CHANNELS>(s.channels, [&]<int C>() __attribute__((always_inline)) {
          if (args.bytes) keep_bytes<C>(segment, count, args.bytes + at);
          if (args.floats) keep_floats<C>(segment, count, args.floats + at);
        });
      }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
