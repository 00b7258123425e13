// Endpoints for given indices, and indices for given endpoints: what a spliced block gets anew.
//
// Of a block whose index bytes are kept, least squares gives the endpoints: with the weights u = 1
// - w and w of its texels, e0 and e1 of one channel solve [uu uw; uw ww] [e0 e1] = [ux wx]. All in
// float64, in a fixed order: the same on every machine.
#pragma once

#include "bc7/rdo_block.h"

namespace smalti::SMALTI_ISA::rdo {

constexpr int FREE = -1; // an endpoint's alpha that is not prescribed

// Index of texel t in the second word of a mode 6 block.
SIMD_INLINE int index_6(uint64_t high, int t) {
  return int(high >> (t ? 4 * t : 1)) & (t ? 15 : 7);
}

// Index of texel t in the second word of a mode 1 block.
SIMD_INLINE int index_1(uint64_t high, int partition, int t) {
  const int anchor = PARTITIONS.anchor[1][partition][1];
  const int at = 18 + 3 * t - (t > 0) - (t > anchor);
  return int(high >> at) & (t == 0 || t == anchor ? 3 : 7);
}

struct Ends {
  int start, end; // 0 .. 255
};

// Both endpoints of a mode 6 block in channel c.
SIMD_INLINE Ends ends_6(Words block, int c) {
  const int start = int(block.low >> (7 + 14 * c)) & 127,
            end = int(block.low >> (14 + 14 * c)) & 127;
  return {2 * start + int(block.low >> 63), 2 * end + int(block.high & 1)};
}

// Sums over texels, of weights in 64ths.
struct Sums {
  double uu = 0, uw = 0, ww = 0, ux = 0, wx = 0;

  void add(double w, double x) {
    const double u = 64.0 - w;
    uu += u * u;
    uw += u * w;
    ww += w * w;
    ux += u * x;
    wx += w * x;
  }
};

SIMD_INLINE double within(double x, double least, double greatest) {
  x = x > least ? x : least;
  return x < greatest ? x : greatest;
}

// The greatest code that stands for `value` or less, give or take the widening's rounding.
inline int code_below(double value, int bits, int parity) {
  if (bits == 6) value *= 127.0 / 255.0;
  return int(within(__builtin_floor((value - parity) * 0.5), 0.0, (1 << bits) - 1.0));
}

inline double value_of(int code, int bits, int parity) {
  const int value = 2 * code + parity;
  return bits == 6 ? 2 * value + (value >> 6) : value;
}

struct Codes {
  int first, second;
  double cost; // squared error but for a constant
};

// Codes of both endpoints of one channel. The first endpoint is rounded down and up, and the second
// is the best for each of these. known: alpha, or FREE.
inline Codes fit_channel(const Sums &sums, int bits, const int *parity, int known_0, int known_1) {
  const double uu = sums.uu / 4096.0, uw = sums.uw / 4096.0, ww = sums.ww / 4096.0;
  const double ux = sums.ux / 64.0, wx = sums.wx / 64.0;
  if (uu + ww == 0.0) // no texel counts
    return {known_0 == FREE ? 0 : known_0 >> 1, known_1 == FREE ? 0 : known_1 >> 1, 0.0};
  double first;
  if (known_0 != FREE) {
    first = known_0;
  } else if (known_1 != FREE) {
    first = uu > 0.0 ? (ux - uw * known_1) / uu : known_1;
  } else {
    const double determinant = uu * ww - uw * uw;
    if (determinant > 1e-9)
      first = (ux * ww - wx * uw) / determinant;
    else
      first = (ux + wx) / (uu + 2.0 * uw + ww); // one weight in all texels: two equal ends
    // Where the second endpoint leaves the range, the first is the best for its limit.
    const double second = ww > 0.0 ? (wx - uw * first) / ww : first;
    if (uu > 0.0 && (second < 0.0 || second > 255.0))
      first = (ux - uw * within(second, 0.0, 255.0)) / uu;
  }
  const int top = (1 << bits) - 1;
  const int below = code_below(first, bits, parity[0]);
  Codes best{0, 0, __builtin_huge_val()};
  for (int code = below; code <= (below < top ? below + 1 : top); ++code) {
    const int code_0 = known_0 != FREE ? known_0 >> 1 : code;
    const double value_0 = value_of(code_0, bits, parity[0]);
    int code_1 = known_1 >> 1;
    if (known_1 == FREE) {
      const double second = ww > 0.0 ? (wx - uw * value_0) / ww : value_0;
      code_1 = code_below(second, bits, parity[1]);
      const int upper = code_1 < top ? code_1 + 1 : top;
      const double miss = second - value_of(code_1, bits, parity[1]);
      if (value_of(upper, bits, parity[1]) - second < miss) code_1 = upper;
    }
    const double value_1 = value_of(code_1, bits, parity[1]);
    double cost = value_0 * (uu * value_0 + 2.0 * (uw * value_1 - ux));
    cost += value_1 * (ww * value_1 - 2.0 * wx);
    if (cost < best.cost) best = {code_0, code_1, cost};
  }
  return best;
}

// First word of a mode 6 block for the indices and the last p-bit in its second word. fixed_0,
// fixed_1: alpha of the endpoints, or FREE; fixed_1 must have the last p-bit.
inline uint64_t fit_6(uint64_t high, const Block &block, int fixed_0, int fixed_1) {
  Sums sums[4];
  for (int t = 0; t < 16; ++t) {
    const double w = weight_of(4, index_6(high, t));
    for (int c = 0; c < 4; ++c)
      if (block.importance[c][t] > 0) sums[c].add(w, double(block.texels[c][t]));
  }
  double best = __builtin_huge_val();
  uint64_t low = 0;
  for (int parity_0 = 0; parity_0 < 2; ++parity_0) {
    if (fixed_0 != FREE && (fixed_0 & 1) != parity_0) continue;
    const int parity[2] = {parity_0, int(high & 1)};
    uint64_t trial = 1 << 6 | uint64_t(parity_0) << 63;
    double cost = 0;
    for (int c = 0; c < 4; ++c) {
      const Codes codes =
          fit_channel(sums[c], 7, parity, c == 3 ? fixed_0 : FREE, c == 3 ? fixed_1 : FREE);
      cost += codes.cost;
      trial |= uint64_t(codes.first) << (7 + 14 * c) | uint64_t(codes.second) << (14 + 14 * c);
    }
    if (cost < best) best = cost, low = trial;
  }
  return low;
}

// A mode 1 block with new endpoints; partition, p-bits and indices stay.
inline Words fit_1(Words pattern, const Block &block) {
  Sums sums[2][3];
  const int partition = int(pattern.low >> 2) & 63;
  for (int t = 0; t < 16; ++t) {
    const int subset = PARTITIONS.subset[1][partition][t];
    const double w = weight_of(3, index_1(pattern.high, partition, t));
    for (int c = 0; c < 3; ++c)
      if (block.importance[c][t] > 0) sums[subset][c].add(w, double(block.texels[c][t]));
  }
  Words fitted{pattern.low & 0xFF, pattern.high & ~uint64_t(0xFFFF)};
  for (int subset = 0; subset < 2; ++subset) {
    const int shared = int(pattern.high >> (16 + subset)) & 1;
    const int parity[2] = {shared, shared};
    for (int c = 0; c < 3; ++c) {
      const Codes codes = fit_channel(sums[subset][c], 6, parity, FREE, FREE);
      const uint64_t field = uint64_t(codes.first) | uint64_t(codes.second) << 6;
      const int at = 8 + 24 * c + 12 * subset;
      if (at >= 64)
        fitted.high |= field << (at - 64);
      else
        fitted.low |= field << at;
      if (at < 64 && at > 52) fitted.high |= field >> (64 - at);
    }
  }
  return fitted;
}

// Second word of a mode 6 block for its endpoints: the nearest indices, p-bit as in the given one.
inline uint64_t choose_6(Words pair, const Block &block) {
  double start[4], span[4];
  for (int c = 0; c < 4; ++c) {
    const Ends ends = ends_6(pair, c);
    start[c] = ends.start;
    span[c] = ends.end - ends.start;
  }
  uint64_t word = pair.high & 1;
  for (int t = 0; t < 16; ++t) {
    double along = 0, length = 0;
    for (int c = 0; c < 4; ++c) {
      const double weight = double(block.importance[c][t]) * span[c];
      along += weight * (double(block.texels[c][t]) - start[c]);
      length += weight * span[c];
    }
    const int top = t ? 15 : 7; // the anchor has no top bit
    int index = 0;
    if (length > 0) index = int(within(__builtin_floor(15.0 * along / length + 0.5), 0, 15));
    word |= uint64_t(index < top ? index : top) << (t ? 4 * t : 1);
  }
  return word;
}

} // namespace smalti::SMALTI_ISA::rdo
