// What earlier blocks offer a later one: whole blocks, index patterns, endpoint pairs.
//
// Each of the three is a book of different entries, each with the last block that had it. A full
// book forgets the entry that was used longest ago. Entries lie in groups of 16, feature by
// feature, so that a scan reads memory in order with entries in lanes. Each lane's sums are in one
// order: scans give the same bits on every machine. A scan that adds up errors stops where each of
// its lanes has reached the limit, as none can be chosen any more.
#pragma once

#include "bc7/rdo_fit.h"
#include "bc7/rdo_rate.h"

namespace smalti::SMALTI_ISA::rdo {

constexpr int GROUP = 16;      // entries
constexpr int BLOCK_ROWS = 64; // 16 texels x 4 channels, decoded
// A subset: 16 weights less their mean, times its size; 1 / sum of their squares.
constexpr int PATTERN_ROWS = 17;
// Start R G B A, end R G B A, |start|^2, start . end, |end|^2, 1 / |end - start|^2.
constexpr int ENDS_ROWS = 12;

struct Book {
  int rows, capacity, count = 0;
  float *features;   // groups x rows x GROUP
  uint64_t *keys[2]; // capacity each
  int32_t *tags;     // of the keys, 32 bits that tell most apart
  int32_t *used;     // the last block with this entry, counted in the segment
  // Of whole blocks: texels of alpha 255, and of 0. [0] of mode 1 patterns: the partition.
  int32_t *masks[2];

  static int64_t padded(int entries) { return (int64_t(entries) + GROUP - 1) / GROUP * GROUP; }
  static int64_t bytes(int rows, int entries) {
    return padded(entries) * (4 * rows + 2 * 8 + 4 * 4);
  }

  // Take `bytes(rows, entries)` zeroed bytes of the memory; return where the next book begins.
  uint8_t *place(uint8_t *memory, int rows_of_an_entry, int entries) {
    rows = rows_of_an_entry, capacity = entries;
    const int64_t n = padded(entries);
    uint64_t *words = reinterpret_cast<uint64_t *>(memory);
    keys[0] = words, keys[1] = words + n;
    int32_t *numbers = reinterpret_cast<int32_t *>(words + 2 * n);
    tags = numbers, used = numbers + n;
    masks[0] = numbers + 2 * n, masks[1] = numbers + 3 * n;
    features = reinterpret_cast<float *>(numbers + 4 * n);
    return memory + bytes(rows, entries);
  }

  // Feature 0 of entry n; the next are GROUP apart.
  float *entry(int n) { return features + int64_t(n / GROUP) * rows * GROUP + n % GROUP; }
  const float *entry(int n) const { return const_cast<Book *>(this)->entry(n); }

  // Note that `block` has the entry; return its place if it is new to the book, else -1.
  int enter(uint64_t key_0, uint64_t key_1, int block) {
    uint64_t mixed = (key_0 ^ (key_1 << 1 | key_1 >> 63)) * 0x9E3779B97F4A7C15;
    const int32_t tag = int32_t(mixed >> 32);
    for (int base = 0; base < count; base += LANES) {
      uint32_t same = bits_of(load(tags + base) == vint(tag));
      for (; same; same &= same - 1) {
        const int n = base + __builtin_ctz(same);
        if (n < count && keys[0][n] == key_0 && keys[1][n] == key_1) {
          used[n] = block;
          return -1;
        }
      }
    }
    const int n = count < capacity ? count++ : oldest();
    keys[0][n] = key_0, keys[1][n] = key_1;
    tags[n] = tag;
    used[n] = block;
    return n;
  }

private:
  int oldest() const { // of a full book; no two entries were used by one block
    vint least(INT32_MAX);
    for (int base = 0; base < capacity; base += LANES)
      least = min(least, select(first_lanes(capacity - base), load(used + base), vint(INT32_MAX)));
    int32_t lanes[LANES], first = INT32_MAX;
    store(lanes, least);
    for (int32_t lane : lanes) first = lane < first ? lane : first;
    for (int base = 0;; base += LANES)
      if (const uint32_t same = bits_of(load(used + base) == vint(first)))
        return base + __builtin_ctz(same);
  }
};

// ---- entries ----

inline void enter_block(Book &book, Words words, int number, const int32_t *texels) {
  const int n = book.enter(words.low, words.high, number);
  if (n < 0) return;
  float *row = book.entry(n);
  for (int i = 0; i < BLOCK_ROWS; ++i) row[i * GROUP] = float(texels[i / 4] >> (8 * (i % 4)) & 255);
  const AlphaMasks masks = alpha_masks(texels);
  book.masks[0][n] = int32_t(masks.opaque), book.masks[1][n] = int32_t(masks.transparent);
}

// Turn the weights of a subset of `count` texels, 0 elsewhere, into what `pattern_gains` wants.
inline void centre(float *row, int count, uint32_t texels) {
  float total = 0, squares = 0;
  for (int t = 0; t < 16; ++t) total += row[t * GROUP];
  for (int t = 0; t < 16; ++t) {
    const float centred = texels >> t & 1 ? float(count) * row[t * GROUP] - total : 0.0f;
    row[t * GROUP] = centred;
    squares += centred * centred;
  }
  row[16 * GROUP] = squares > 0 ? 1.0f / squares : 0.0f;
}

// The second word of a mode 6 block: its indices, and the p-bit of its second endpoint.
inline void enter_pattern_6(Book &book, uint64_t high, int number) {
  const int n = book.enter(high, 0, number);
  if (n < 0) return;
  float *row = book.entry(n);
  for (int t = 0; t < 16; ++t) row[t * GROUP] = float(weight_of(4, index_6(high, t)));
  centre(row, 16, ALL_TEXELS);
}

// What a mode 1 block has but endpoints: partition, p-bits and indices.
inline void enter_pattern_1(Book &book, Words words, int number) {
  const int n = book.enter(words.low & 0xFF, words.high & ~uint64_t(0xFFFF), number);
  if (n < 0) return;
  const int partition = int(words.low >> 2) & 63;
  book.masks[0][n] = partition;
  for (int subset = 0; subset < 2; ++subset) {
    float *row = book.entry(n) + PATTERN_ROWS * subset * GROUP;
    const uint32_t texels = PARTITIONS.texels[1][partition][subset];
    for (int t = 0; t < 16; ++t)
      row[t * GROUP] =
          texels >> t & 1 ? float(weight_of(3, index_1(words.high, partition, t))) : 0.0f;
    centre(row, __builtin_popcount(texels), texels);
  }
}

// The first word of a mode 6 block, with the p-bit of the second endpoint beside it.
inline void enter_ends(Book &book, Words words, int number) {
  const int n = book.enter(words.low, words.high & 1, number);
  if (n < 0) return;
  float *row = book.entry(n);
  float starts = 0, both = 0, stops = 0;
  for (int c = 0; c < 4; ++c) {
    const Ends ends = ends_6(words, c);
    const float start = float(ends.start), end = float(ends.end);
    row[c * GROUP] = start, row[(4 + c) * GROUP] = end;
    starts += start * start;
    both += start * end;
    stops += end * end;
  }
  row[8 * GROUP] = starts, row[9 * GROUP] = both, row[10 * GROUP] = stops;
  const float length = starts - 2.0f * both + stops;
  row[11 * GROUP] = length > 0 ? 1.0f / length : 0.0f;
}

// ---- scans: LANES entries, the first of which has its features at `row` ----

// Squared error of whole blocks. channels: 3 where alpha is the same in all, else 4.
SIMD_INLINE vfloat block_errors(const float *row, const Block &block, int channels, vfloat limit) {
  vfloat errors(0.0f);
  for (int t = 0; t < 16; ++t, row += 4 * GROUP) {
    vfloat part(0.0f);
    for (int c = 0; c < channels; ++c) {
      const vfloat miss = vfloat(block.texels[c][t]) - load(row + c * GROUP);
      const vfloat square = miss * miss * vfloat(block.importance[c][t]);
      part = c ? part + square : square;
    }
    errors += part;
    if (t % 4 == 3 && !any(errors < limit)) break;
  }
  return errors;
}

// How much of the squared error the slopes fitted to patterns take away: (d . x)^2 / d^2 in each
// subset and channel, d the centred weights.
template <int SUBSETS, int CHANNELS>
SIMD_INLINE vfloat pattern_gains(const float *row, const Block &block, const float *weights) {
  vfloat gains(0.0f);
  for (int s = 0; s < SUBSETS; ++s, row += PATTERN_ROWS * GROUP) {
    vfloat sums[CHANNELS];
    for (vfloat &sum : sums) sum = vfloat(0.0f);
    for (int t = 0; t < 16; t += 4) {
      vfloat d[4];
      for (int i = 0; i < 4; ++i) d[i] = load(row + (t + i) * GROUP);
      for (int c = 0; c < CHANNELS; ++c) {
        const float *x = block.texels[c] + t;
        sums[c] +=
            vfloat(x[0]) * d[0] + vfloat(x[1]) * d[1] + (vfloat(x[2]) * d[2] + vfloat(x[3]) * d[3]);
      }
    }
    const vfloat inverse = load(row + 16 * GROUP);
    for (int c = 0; c < CHANNELS; ++c) gains += vfloat(weights[c]) * (sums[c] * sums[c]) * inverse;
  }
  return gains;
}

// Squared error of endpoint pairs with the best indices, not rounded.
SIMD_INLINE vfloat ends_errors(const float *row, const Block &block, vfloat limit) {
  vfloat start[4], span[4], errors(0.0f);
  for (int c = 0; c < 4; ++c) {
    start[c] = load(row + c * GROUP);
    span[c] = load(row + (4 + c) * GROUP) - start[c];
  }
  const vfloat inverse = load(row + 11 * GROUP);
  for (int t = 0; t < 16; ++t) {
    vfloat d[4], along, part;
    for (int c = 0; c < 4; ++c) {
      d[c] = vfloat(block.texels[c][t]) - start[c];
      along = c ? along + d[c] * span[c] : d[c] * span[c];
    }
    const vfloat k = min(max(along * inverse, vfloat(0.0f)), vfloat(1.0f));
    for (int c = 0; c < 4; ++c) {
      const vfloat miss = d[c] - k * span[c];
      const vfloat square = miss * miss * vfloat(block.importance[c][t]);
      part = c ? part + square : square;
    }
    errors += part;
    if (t % 4 == 3 && !any(errors < limit)) break;
  }
  return errors;
}

// Sums over a block's texels with the weights u = 1 - w and w of one pattern.
struct PatternSums {
  float uu = 0, uw = 0, ww = 0;
  float starts[4] = {}, stops[4] = {}; // of each channel with u, and with w
};

// Squared error of endpoint pairs with one pattern, less that of black.
SIMD_INLINE vfloat pair_errors(const float *row, const PatternSums &sums) {
  vfloat cross, other;
  for (int c = 0; c < 4; ++c) {
    const vfloat start = vfloat(sums.starts[c]) * load(row + c * GROUP);
    const vfloat stop = vfloat(sums.stops[c]) * load(row + (4 + c) * GROUP);
    cross = c ? cross + start : start;
    other = c ? other + stop : stop;
  }
  cross += other;
  const vfloat square = vfloat(sums.uu) * load(row + 8 * GROUP) +
                        vfloat(2.0f * sums.uw) * load(row + 9 * GROUP) +
                        vfloat(sums.ww) * load(row + 10 * GROUP);
  return square - vfloat(2.0f) * cross;
}

} // namespace smalti::SMALTI_ISA::rdo
