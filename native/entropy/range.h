// Range coder: decisions with known probabilities <-> bytes (docs/ENTROPY.md, section 2).
//
// Encoder and decoder have one interface, so that a model is written once for both:
//
//   bit = coder.bit(bit, p)     a decision whose bit is 1 with the probability p / 65536,
//                               1 <= p <= 65535; the decoder ignores the bit it is given
//   ok = coder.finish()         the check bits and the end
#pragma once

#include <stdint.h>

#include "simd.h"

namespace smalti::SMALTI_ISA {

constexpr uint32_t CHECK = 0x5A5A; // 16 even bits behind the last value
constexpr int HELD_BYTES = 3;      // of the four that a decoder holds, how many lie behind the end

struct RangeDecoder {
  static constexpr bool DECODES = true;

  const uint8_t *data;
  int64_t size;
  int64_t position; // of the next byte; behind the end bytes are 0
  uint32_t code;    // below range in all that an encoder writes
  uint32_t range = 0xFFFFFFFF;
  bool sound;

  SIMD_INLINE RangeDecoder(const uint8_t *data, int64_t size)
      : data(data), size(size), position(0) {
    code = next_four();
    position = 4;
    sound = code < range;
  }

  SIMD_INLINE int bit(int, uint32_t p) {
    const uint32_t part = uint32_t(uint64_t(range) * p >> 16);
    const bool one = code < part;
    code -= one ? 0 : part;
    range = one ? part : range - part;
    // no branch: how many bytes are due cannot be foreseen
    const int due = __builtin_clz(range) & 24;
    range <<= due;
    code = uint32_t(((uint64_t(code) << 32 | next_four()) << due) >> 32);
    position += due >> 3;
    return one;
  }

  // Whether more bytes were asked for than any decoder of sound data asks for.
  SIMD_INLINE bool exhausted() const { return position > size + HELD_BYTES; }

  SIMD_INLINE bool finish() {
    uint32_t bits = 0;
    for (int k = 0; k < 16; ++k) bits |= uint32_t(bit(0, 1 << 15)) << k;
    return sound && bits == CHECK && position == size + HELD_BYTES && code < 1u << 24;
  }

private:
  SIMD_INLINE uint32_t next_four() const {
    if (position + 4 <= size) {
      const uint8_t *at = data + position;
      return uint32_t(at[0]) << 24 | uint32_t(at[1]) << 16 | uint32_t(at[2]) << 8 | at[3];
    }
    uint32_t four = 0;
    for (int64_t i = position; i < position + 4; ++i) four = four << 8 | (i < size ? data[i] : 0);
    return four;
  }
};

struct RangeEncoder {
  static constexpr bool DECODES = false;

  uint8_t *data;
  int64_t capacity; // what does not fit is counted, not written
  int64_t position = 0;
  uint32_t low = 0;
  uint32_t range = 0xFFFFFFFF;

  SIMD_INLINE RangeEncoder(uint8_t *data, int64_t capacity) : data(data), capacity(capacity) {}

  SIMD_INLINE int bit(int bit, uint32_t p) {
    const uint32_t part = uint32_t(uint64_t(range) * p >> 16);
    raise(bit ? 0 : part);
    range = bit ? part : range - part;
    while (range < 1u << 24) {
      put();
      range <<= 8;
    }
    return bit;
  }

  SIMD_INLINE bool exhausted() const { return false; }

  // The check bits, then the one byte that suffices, as range >= 2^24.
  SIMD_INLINE bool finish() {
    for (int k = 0; k < 16; ++k) bit(CHECK >> k & 1, 1 << 15);
    raise(0xFFFFFF);
    put();
    return true;
  }

private:
  // Add to low; a carry goes into the bytes already put out.
  SIMD_INLINE void raise(uint32_t by) {
    low += by;
    if (__builtin_expect(low < by, 0)) {
      int64_t i = (position < capacity ? position : capacity) - 1;
      while (i >= 0 && ++data[i] == 0) --i;
    }
  }
  SIMD_INLINE void put() {
    if (position < capacity) data[position] = uint8_t(low >> 24);
    ++position;
    low <<= 8;
  }
};

} // namespace smalti::SMALTI_ISA
