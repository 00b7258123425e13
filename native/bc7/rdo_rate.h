// How many bits a block takes behind a general compressor: matches at a distance, and literals.
//
// Deflate, zstd and their kind send a run of bytes either as literals, each with a Huffman code of
// some 4 to 8 bits here, or as a match: a length, and a distance with about log2(distance) bits
// that no code makes shorter. The rates below follow that and no single compressor. Unit: 1/16 bit,
// in integers, so that the same blocks win on every machine.
//
// A match here reaches whole blocks back: the same bytes of an earlier block. A block has at most
// two, one that starts at its first byte and one that ends at its last; what lies between is
// literal.
#pragma once

#include "bc7/decode.h"

namespace smalti::SMALTI_ISA::rdo {

constexpr int UNITS = 16; // of rate, in a bit
constexpr int MATCH =
    7 * UNITS; // codes of length and distance class, and the end of a run of literals
constexpr int CONTINUED = UNITS / 2;     // a match that only goes on from the block before
constexpr int BYTE_DISTANCE = 4 * UNITS; // log2(16): distances count bytes in the file, blocks here

constexpr int FARTHEST = 2047; // blocks, 32 KiB: Deflate sees no farther
constexpr int REPRICED = 256;  // blocks after which literals get new rates
constexpr int FADE = 1 << 14;  // literals counted before the counts are halved

// round(16 log2 n) of n >= 1: five squarings give five binary digits of the logarithm. No n below
// 2^15 is so near to a half that float64 could miss it.
constexpr int log2_in_units(int n) {
  int whole = 0;
  while (n >> (whole + 1)) ++whole;
  double rest = double(n) / double(1 << whole);
  int digits = whole;
  for (int i = 0; i < 5; ++i) {
    rest *= rest;
    digits = 2 * digits + (rest >= 2);
    if (rest >= 2) rest /= 2;
  }
  return (digits + 1) / 2;
}

struct Log2Table {
  uint8_t of[FARTHEST + 1];
};
constexpr Log2Table make_log2_table() {
  Log2Table table{};
  for (int n = 1; n <= FARTHEST; ++n) table.of[n] = uint8_t(log2_in_units(n));
  return table;
}
constexpr Log2Table LOG2 = make_log2_table();

constexpr int NONE = -1; // no earlier block

// The blocks before `number` as they are sent, the others as they came.
struct Stream {
  uint8_t *blocks;        // of the whole picture
  int64_t number;         // the block at work
  int64_t distance = 0;   // of the last match
  bool continues = false; // it reached the last byte sent
  int rate[256];          // of each byte value as a literal
  int counts[256];        // how often each was sent
  int counted = 256;

  Words words(int64_t block) const { return load_words(blocks + block * BLOCK_BYTES); }

  // Blocks `first` to `last`, of which a sample gives the first rates.
  void start(uint8_t *all, int64_t first, int64_t last) {
    blocks = all;
    for (int &count : counts) count = 1;
    const int64_t step = (last - first) / 64 > 1 ? (last - first) / 64 : 1;
    for (int64_t block = first; block < last; block += step) count(words(block), 0, 16);
    price_literals();
  }

  // Of a new match `distance` blocks back, or of one that goes on from the block before.
  int match_rate(int64_t back) const {
    if (continues && back == distance) return CONTINUED;
    return MATCH + BYTE_DISTANCE + LOG2.of[back];
  }

  struct Spans {
    int rate;
    int start, stop; // bytes that are literals; those before and after are matched
  };

  // Of a block with matches from the earlier blocks `front` and `tail`, or NONE. A match is as long
  // as the bytes are equal, and none where literals are cheaper. Without a front, the match that
  // reached the end of the block before is tried.
  Spans spans(Words block, int64_t front, int64_t tail) const {
    uint8_t bytes[BLOCK_BYTES];
    __builtin_memcpy(bytes, &block, BLOCK_BYTES);
    int before[17]; // rate of the literals before each byte
    before[0] = 0;
    for (int i = 0; i < 16; ++i) before[i + 1] = before[i] + rate[bytes[i]];

    Spans result{0, 0, 16};
    if (front == NONE && continues) front = number - distance;
    if (front != NONE) {
      const int equal = equal_from_start(block, words(front));
      const int match = match_rate(number - front);
      if (match < before[equal]) result.rate = match, result.start = equal;
    }
    if (tail != NONE && result.start < 16) {
      const int from = 16 - equal_to_end(block, words(tail));
      const int stop = from > result.start ? from : result.start;
      const int match = MATCH + BYTE_DISTANCE + LOG2.of[number - tail];
      if (match < before[16] - before[stop]) result.rate += match, result.stop = stop;
    }
    result.rate += before[result.stop] - before[result.start];
    return result;
  }

  // Send the block: write it, and bring the state up to date.
  void accept(Words block, int64_t front, int64_t tail) {
    if (front == NONE && continues) front = number - distance;
    const Spans sent = spans(block, front, tail);
    __builtin_memcpy(blocks + number * BLOCK_BYTES, &block, BLOCK_BYTES);
    count(block, sent.start, sent.stop);
    continues = false;
    if (sent.start) distance = number - front, continues = sent.start == 16;
    if (sent.stop < 16) distance = number - tail, continues = true;
    if (number % REPRICED == 0) price_literals();
  }

private:
  void count(Words block, int start, int stop) {
    uint8_t bytes[BLOCK_BYTES];
    __builtin_memcpy(bytes, &block, BLOCK_BYTES);
    for (int i = start; i < stop; ++i) ++counts[bytes[i]];
    counted += stop - start;
  }

  // Turn counts into rates; old counts fade.
  void price_literals() {
    if (counted >= FADE) {
      counted = 0;
      for (int &count : counts) counted += count = (count + 1) / 2;
    }
    const int all = log2_in_units(counted);
    for (int value = 0; value < 256; ++value) {
      const int bits = all - log2_in_units(counts[value]);
      rate[value] =
          bits > UNITS ? bits : UNITS; // Deflate and zstd give no literal less than one bit
    }
  }

  static int equal_from_start(Words a, Words b) {
    if (a.low != b.low) return __builtin_ctzll(a.low ^ b.low) / 8;
    return a.high != b.high ? 8 + __builtin_ctzll(a.high ^ b.high) / 8 : 16;
  }
  static int equal_to_end(Words a, Words b) {
    if (a.high != b.high) return __builtin_clzll(a.high ^ b.high) / 8;
    return a.low != b.low ? 8 + __builtin_clzll(a.low ^ b.low) / 8 : 16;
  }
};

} // namespace smalti::SMALTI_ISA::rdo
