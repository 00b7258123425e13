// One block of the picture as rate-distortion optimisation sees it, and the error of what stands
// for it. Every error is a whole number, exact in int32: at most 64 x 255 x 255^2.
#pragma once

#include "bc7/decode.h"

namespace smalti::SMALTI_ISA::rdo {

constexpr int ALL_TEXELS = 0xFFFF; // a mask of 16 texels
constexpr int PARTS = 16 / LANES;  // vectors of 16 texels

SIMD_INLINE int32_t sum(vint a) {
  int32_t lanes[LANES], total = 0;
  store(lanes, a);
  for (int lane : lanes) total += lane;
  return total;
}

struct Picture {
  const uint8_t *texels; // height x width x 4
  int64_t height, width;
  float weights[4]; // whole numbers, of the squared errors of R, G, B, A
};

// Texels whose alpha is 255, and whose alpha is 0; a bit each.
struct AlphaMasks {
  uint32_t opaque = 0, transparent = 0;
};

SIMD_INLINE AlphaMasks alpha_masks(const int32_t *texels) {
  AlphaMasks masks;
  for (int part = 0; part < PARTS; ++part) {
    const vint alpha = shift_right_logical(load(texels + part * LANES), 24);
    masks.opaque |= bits_of(alpha == vint(255)) << (part * LANES);
    masks.transparent |= bits_of(alpha == vint(0)) << (part * LANES);
  }
  return masks;
}

struct Block {
  // [channel][texel]; colour under alpha 0 is the mean of the visible colours and counts nothing
  float texels[4][16];
  float importance[4][16]; // the channel's weight, or 0
  int32_t whole_texels[4][16], whole_importance[4][16];
  AlphaMasks promised; // texels that must decode to alpha 255, and to 0
  int least_alpha, greatest_alpha;
  double variance;    // squared error of the mean colour
  double black_error; // squared error of transparent black

  // Texels of the block, edge texels repeated; returns the largest standard deviation of a channel.
  double read(const Picture &picture, int64_t row, int64_t column) {
    int visible = 0;
    least_alpha = 255, greatest_alpha = 0;
    promised = {};
    for (int t = 0; t < 16; ++t) {
      int64_t y = 4 * row + t / 4, x = 4 * column + t % 4;
      y = y < picture.height ? y : picture.height - 1;
      x = x < picture.width ? x : picture.width - 1;
      const uint8_t *texel = picture.texels + 4 * (y * picture.width + x);
      const int alpha = texel[3];
      for (int c = 0; c < 4; ++c) {
        whole_texels[c][t] = texel[c];
        whole_importance[c][t] = c == 3 || alpha > 0 ? int32_t(picture.weights[c]) : 0;
      }
      visible += alpha > 0;
      least_alpha = alpha < least_alpha ? alpha : least_alpha;
      greatest_alpha = alpha > greatest_alpha ? alpha : greatest_alpha;
      promised.opaque |= uint32_t(alpha == 255) << t;
      promised.transparent |= uint32_t(alpha == 0) << t;
    }
    variance = 0;
    double largest = 0;
    for (int c = 0; c < 4; ++c) {
      const int count = c == 3 ? 16 : visible;
      if (count == 0) continue;
      int total = 0, squares = 0;
      for (int t = 0; t < 16; ++t) {
        const int value = c == 3 || whole_texels[3][t] > 0 ? whole_texels[c][t] : 0;
        total += value;
        squares += value * value;
      }
      const double error = double(squares) - double(total * total) / double(count);
      variance += double(picture.weights[c]) * error;
      largest = error / count > largest ? error / count : largest;
      if (count < 16)
        for (int t = 0; t < 16; ++t)
          if (whole_texels[3][t] == 0) whole_texels[c][t] = (total + count / 2) / count;
    }
    const int32_t black[16] = {};
    black_error = squared_error(black);
    for (int c = 0; c < 4; ++c)
      for (int t = 0; t < 16; ++t) {
        texels[c][t] = float(whole_texels[c][t]);
        importance[c][t] = float(whole_importance[c][t]);
      }
    return __builtin_sqrt(largest);
  }

  double squared_error(const int32_t *decoded) const {
    vint total(0);
    for (int part = 0; part < PARTS; ++part) {
      const vint texel = load(decoded + part * LANES);
      for (int c = 0; c < 4; ++c) {
        const vint value = (texel >> (8 * c)) & vint(255);
        const vint miss = load(whole_texels[c] + part * LANES) - value;
        total += load(whole_importance[c] + part * LANES) * miss * miss;
      }
    }
    return double(sum(total));
  }

  bool keeps_alpha(AlphaMasks candidate) const {
    return !(promised.opaque & ~candidate.opaque) &&
           !(promised.transparent & ~candidate.transparent);
  }
};

// For each of the 64 partitions into two subsets: its second subset and its size.
struct PartitionSums {
  float inside[16][64]; // [texel][partition]: 1 in the second subset, else 0
  double count[64];
  double divisor[64]; // 16 count (16 - count)
};
constexpr PartitionSums make_partition_sums() {
  PartitionSums sums{};
  for (int p = 0; p < 64; ++p) {
    for (int t = 0; t < 16; ++t) {
      sums.inside[t][p] = PARTITIONS.subset[1][p][t];
      sums.count[p] += PARTITIONS.subset[1][p][t];
    }
    sums.divisor[p] = 16.0 * sums.count[p] * (16.0 - sums.count[p]);
  }
  return sums;
}
constexpr PartitionSums PARTITION_SUMS = make_partition_sums();

// errors[p] = squared error of one mean colour in each of the two subsets of partition p, of the
// colours of an opaque block.
inline void partition_errors(const Block &block, const Picture &picture, double *errors) {
  double explained[64] = {};
  for (int c = 0; c < 3; ++c) {
    float part[64] = {}; // sum over the second subset
    double total = 0;
    for (int t = 0; t < 16; ++t) {
      const float x = block.texels[c][t];
      for (int p = 0; p < 64; ++p) part[p] += x * PARTITION_SUMS.inside[t][p];
      total += double(x);
    }
    const double weight = double(picture.weights[c]);
    for (int p = 0; p < 64; ++p) {
      const double difference = double(part[p]) * 16.0 - total * PARTITION_SUMS.count[p];
      explained[p] += weight * (difference * difference / PARTITION_SUMS.divisor[p]);
    }
  }
  for (int p = 0; p < 64; ++p) errors[p] = block.variance - explained[p];
}

} // namespace smalti::SMALTI_ISA::rdo
