// The modes of the BC6H format; src/smalti/bc6/layout.py has the same table with more words.
//
// Khronos Data Format Specification 1.4, chapter 20, section BC6H. Partitions and weights are those
// of BC7.
#pragma once

#include "bc7/tables.h"

namespace smalti::SMALTI_ISA::bc6 {

constexpr int MODE_COUNT = 14, TWO_SUBSETS = 10; // modes with two come first
constexpr int MOST_STEPS = 0x7BFF;                // of a texel: 65504, the greatest float16
constexpr int ONE = 0x3C00;

struct Mode {
  int number; // as the first 2 or 5 bits have it
  int subsets;
  bool transformed; // x, y and z are differences to w
  int bits;         // of each channel of w
  int others[3];    // bits of R, G, B of x, y and z
  char fields[128]; // where the bits of the endpoints lie: channel, end, bits
};

constexpr Mode MODES[MODE_COUNT] = {
    {0, 2, true, 10, {5, 5, 5},
     "gy4 by4 bz4 rw0-9 gw0-9 bw0-9 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 ry0-4 bz2 "
     "rz0-4 bz3"},
    {1, 2, true, 7, {6, 6, 6},
     "gy5 gz4 gz5 rw0-6 bz0 bz1 by4 gw0-6 by5 bz2 gy4 bw0-6 bz3 bz5 bz4 rx0-5 gy0-3 gx0-5 gz0-3 "
     "bx0-5 by0-3 ry0-5 rz0-5"},
    {2, 2, true, 11, {5, 4, 4},
     "rw0-9 gw0-9 bw0-9 rx0-4 rw10 gy0-3 gx0-3 gw10 bz0 gz0-3 bx0-3 bw10 bz1 by0-3 ry0-4 bz2 "
     "rz0-4 bz3"},
    {6, 2, true, 11, {4, 5, 4},
     "rw0-9 gw0-9 bw0-9 rx0-3 rw10 gz4 gy0-3 gx0-4 gw10 gz0-3 bx0-3 bw10 bz1 by0-3 ry0-3 bz0 "
     "bz2 rz0-3 gy4 bz3"},
    {10, 2, true, 11, {4, 4, 5},
     "rw0-9 gw0-9 bw0-9 rx0-3 rw10 by4 gy0-3 gx0-3 gw10 bz0 gz0-3 bx0-4 bw10 by0-3 ry0-3 bz1 "
     "bz2 rz0-3 bz4 bz3"},
    {14, 2, true, 9, {5, 5, 5},
     "rw0-8 by4 gw0-8 gy4 bw0-8 bz4 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 ry0-4 bz2 "
     "rz0-4 bz3"},
    {18, 2, true, 8, {6, 5, 5},
     "rw0-7 gz4 by4 gw0-7 bz2 gy4 bw0-7 bz3 bz4 rx0-5 gy0-3 gx0-4 bz0 gz0-3 bx0-4 bz1 by0-3 "
     "ry0-5 rz0-5"},
    {22, 2, true, 8, {5, 6, 5},
     "rw0-7 bz0 by4 gw0-7 gy5 gy4 bw0-7 gz5 bz4 rx0-4 gz4 gy0-3 gx0-5 gz0-3 bx0-4 bz1 by0-3 "
     "ry0-4 bz2 rz0-4 bz3"},
    {26, 2, true, 8, {5, 5, 6},
     "rw0-7 bz1 by4 gw0-7 by5 gy4 bw0-7 bz5 bz4 rx0-4 gz4 gy0-3 gx0-4 bz0 gz0-3 bx0-5 by0-3 "
     "ry0-4 bz2 rz0-4 bz3"},
    {30, 2, false, 6, {6, 6, 6},
     "rw0-5 gz4 bz0 bz1 by4 gw0-5 gy5 by5 bz2 gy4 bw0-5 gz5 bz3 bz5 bz4 rx0-5 gy0-3 gx0-5 gz0-3 "
     "bx0-5 by0-3 ry0-5 rz0-5"},
    {3, 1, false, 10, {10, 10, 10}, "rw0-9 gw0-9 bw0-9 rx0-9 gx0-9 bx0-9"},
    {7, 1, true, 11, {9, 9, 9}, "rw0-9 gw0-9 bw0-9 rx0-8 rw10 gx0-8 gw10 bx0-8 bw10"},
    {11, 1, true, 12, {8, 8, 8},
     "rw0-9 gw0-9 bw0-9 rx0-7 rw11 rw10 gx0-7 gw11 gw10 bx0-7 bw11 bw10"},
    {15, 1, true, 16, {4, 4, 4},
     "rw0-9 gw0-9 bw0-9 rx0-3 rw15 rw14 rw13 rw12 rw11 rw10 gx0-3 gw15 gw14 gw13 gw12 gw11 gw10 "
     "bx0-3 bw15 bw14 bw13 bw12 bw11 bw10"},
};

constexpr int mode_bits(const Mode &mode) { return mode.number < 2 ? 2 : 5; }

// Bits of an endpoint that lie side by side in a block, upwards in both.
struct Run {
  int at; // bit of the block
  int channel, end, first, count;
};
constexpr int MOST_RUNS = 32;

struct Runs {
  Run run[MOST_RUNS];
  int count;
};

constexpr Runs make_runs(const Mode &mode) {
  Runs runs{};
  int at = mode_bits(mode);
  for (const char *text = mode.fields; *text; text += *text == ' ') {
    Run &run = runs.run[runs.count++];
    run.channel = text[0] == 'r' ? 0 : text[0] == 'g' ? 1 : 2;
    run.end = text[1] == 'w' ? 0 : text[1] - 'w';
    int bits[2] = {0, 0}, which = 0;
    for (text += 2; *text && *text != ' '; ++text) {
      if (*text == '-')
        which = 1;
      else
        bits[which] = 10 * bits[which] + (*text - '0');
    }
    run.at = at;
    run.first = bits[0];
    run.count = which ? bits[1] - bits[0] + 1 : 1;
    at += run.count;
  }
  return runs;
}

template <int MODE> constexpr Runs RUNS = make_runs(MODES[MODE]);

} // namespace smalti::SMALTI_ISA::bc6
