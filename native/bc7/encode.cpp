// BC7 encoder: all eight modes, the best of those that are worth a trial.
//
//   texels --+-- alpha 255 throughout --> mode 6 -> modes 1, 3, 0, 2 by rank -> modes 5, 4 --+-->
//   16 bytes
//            +-- else -----------------> modes 5, 4, 6 -> mode 7 by rank ----------------------+
//
// On the way, or in the end for the best alone, codes are moved while that lowers the error.
//
// Each step is done for all blocks of a wave that still need it, LANES at a time. Floor: a fit of
// one line and the choice of 16 indices are some 80 operations a texel, 1,300 for LANES blocks; the
// eight quantisers that begin a trial as many; ranking 64 partitions of two subsets 5,000.
#include "bc7/encode_pack.h"
#include "bc7/encode_rank.h"
#include "bc7/encode_trial.h"

namespace smalti::SMALTI_ISA {
namespace encoding {

// Codes of mode 5 between which index 1 is exactly a value, the nearest such pair.
struct SolidCodes {
  uint8_t code[256][2];
};
constexpr SolidCodes make_solid_codes() {
  SolidCodes table{};
  int apart[256] = {};
  for (int &a : apart) a = 256;
  for (int i = 0; i < 128; ++i)
    for (int j = 0; j < 128; ++j) {
      const int value = (43 * (2 * i + (i >> 6)) + 21 * (2 * j + (j >> 6)) + 32) >> 6;
      const int distance = i < j ? j - i : i - j;
      if (distance >= apart[value]) continue;
      apart[value] = distance;
      table.code[value][0] = uint8_t(i);
      table.code[value][1] = uint8_t(j);
    }
  return table;
}
constexpr SolidCodes SOLID = make_solid_codes();

SIMD_INLINE void keep_solid(uint32_t texel, Coding &coding) {
  coding = {};
  coding.head = 5;
  for (int c = 0; c < 3; ++c)
    for (int e = 0; e < 2; ++e)
      coding.ends[e] |= uint32_t(SOLID.code[texel >> 8 * c & 255][e]) << 8 * c;
  coding.ends[0] |= texel & 0xFF000000;
  coding.ends[1] |= texel & 0xFF000000;
  coding.index[0] = coding.index[1] = 0x11111111;
}

// Give invisible texels the mean of the visible colours, so that they do not turn an axis.
inline void fill_invisible(uint32_t *words) {
  uint32_t total[3] = {0, 0, 0}, count = 0, mean = 0;
  for (int t = 0; t < 16; ++t) {
    if (words[t] >> 24 == 0) continue;
    ++count;
    for (int c = 0; c < 3; ++c) total[c] += words[t] >> 8 * c & 255;
  }
  for (int c = 0; c < 3; ++c) mean |= (total[c] + count / 2) / count << 8 * c;
  for (int t = 0; t < 16; ++t)
    if (words[t] >> 24 == 0) words[t] = mean;
}

// The wave's blocks that still have to be searched.
struct Open {
  Queue opaque, alpha;
};

// Read a block's texels; edge texels repeat where the picture ends.
SIMD_INLINE void read_block(const smalti_bc7_encode_args &args, int64_t stride, int64_t row,
                            int64_t column, uint32_t *words) {
  const int channels = args.channels ? args.channels : 4;
  for (int y = 0; y < 4; ++y) {
    const int64_t at = 4 * row + y < args.height ? 4 * row + y : args.height - 1;
    const uint8_t *line = args.texels + at * stride;
    if (channels == 4 && 4 * column + 4 <= args.width) {
      __builtin_memcpy(words + 4 * y, line + 16 * column, 16);
      continue;
    }
    for (int x = 0; x < 4; ++x) {
      const int64_t to = 4 * column + x < args.width ? 4 * column + x : args.width - 1;
      const uint8_t *texel = line + to * channels;
      words[4 * y + x] = texel[0] | texel[1] << 8 | texel[2] << 16 |
                         uint32_t(channels == 4 ? texel[3] : 255) << 24;
    }
  }
}

// all: colour under alpha 0 counts as any.
SIMD_INLINE void load_block(Wave &wave, int number, bool all, Open &open) {
  uint32_t *words = reinterpret_cast<uint32_t *>(wave.words + 16 * number);
  uint32_t both = words[0], either = words[0], change = 0, black = 0, hidden = 0;
  for (int t = 0; t < 16; ++t) {
    both &= words[t];
    either |= words[t];
    change |= words[t] ^ words[0];
    black |= (words[t] & 0xFFFFFF) == 0;
    hidden |= words[t] >> 24 == 0;
  }
  wave.black[number] = black != 0;
  wave.error[number] = FAR_OFF;
  if (either >> 24 == 0 && !all) {
    wave.coding[number] = {};
    wave.coding[number].head = 6; // all the rest zero
  } else if (change == 0) {
    keep_solid(words[0], wave.coding[number]);
  } else if (both >> 24 == 255) {
    open.opaque.add(number, 0);
  } else {
    if (hidden && !all) fill_invisible(words);
    open.alpha.add(number, 0);
  }
}

// Ways to give a channel indices of its own; the last two only where there is alpha.
struct Way {
  int rotation, mode, selection;
};
constexpr int WAY_COUNT = 12, OPAQUE_WAYS = 10;
constexpr Way WAYS[WAY_COUNT] = {{0, 5, 0}, {1, 5, 0}, {1, 4, 0}, {1, 4, 1}, {2, 5, 0}, {2, 4, 0},
                                 {2, 4, 1}, {3, 5, 0}, {3, 4, 0}, {3, 4, 1}, {0, 4, 0}, {0, 4, 1}};

// What a search works in, besides the wave.
struct Scratch {
  TrialScratch trial;
  Promises promises;
  Queue live, first, second;
  float expected[WAY_COUNT][WAVE + LANES];
};

// Those of a queue that are not yet good enough.
inline void remain(const Wave &wave, const Queue &from, float enough, Queue &to) {
  to.count = 0;
  for (int i = 0; i < from.count; ++i)
    if (wave.error[from.number[i]] > enough) to.add(from.number[i], 0);
}

// Try partitions of one or two modes, each block's most promising first.
template <int S, AlphaKind KIND>
inline void try_ranked(Wave &wave, const Metric &metric, const Effort &effort, Scratch &scratch) {
  const int trials = S == 2 ? effort.trials : effort.three;
  constexpr int first = KIND == ON_LINES ? 7 : S == 2 ? 1 : 0, second = S == 2 ? 3 : 2;
  Queue &live = scratch.live; // `partition` is the block's column of the promises
  for (int i = 0; i < live.count; ++i) live.partition[i] = i;
  rank<S, KIND != OPAQUE>(wave, metric, trials, live, scratch.promises);
  for (int trial = 0; trial < trials && live.count; ++trial) {
    scratch.first.count = scratch.second.count = 0;
    int kept = 0;
    for (int i = 0; i < live.count; ++i) {
      const int number = live.number[i], column = live.partition[i];
      const int entry = int(scratch.promises.entry[trial][column]);
      const float expected = float(entry >> 7);
      if (effort.hope * expected >= wave.error[number] || expected == NEVER) continue;
      live.number[kept] = number;
      live.partition[kept++] = column;
      (entry & 64 ? scratch.second : scratch.first).add(number, entry & 63);
    }
    live.count = kept;
    try_lines<S, KIND>(wave, metric, effort, scratch.first, first, scratch.trial);
    if (KIND == OPAQUE)
      try_lines<S, KIND>(wave, metric, effort, scratch.second, second, scratch.trial);
  }
}

constexpr float SECOND_SHARE[2] = {1.0f / 30, 1.0f / 150}; // of a lone channel's, 4 and 8 steps

// A block with less square error than SMOOTH has ends so near each other that some pair of codes
// rounds well: less to expect of rounding, in modes 4 and 5.
constexpr float SMOOTH = 24, SMOOTH_ROUNDING[2] = {10, 2};
constexpr float CLOSER = 1.0f / 20; // these modes are tried down to this share of what is enough

// Fill `expected`: the error of each way to give one channel, or opaque alpha, indices of its own.
// The other colours leave something off their best line, and along it, as partitions' subsets do.
inline void rank_ways(const Wave &wave, const Metric &metric, int ways, Scratch &scratch) {
  const vfloat zero(0.0f), one(1.0f), half(0.5f), sixteenth(1.0f / 16);
  for (int start = 0; start < scratch.live.count; start += LANES) {
    const Group group(scratch.live, start);
    Texels texels;
    load_texels<false>(wave, group.number, metric, texels);
    Moments sums[1];
    subset_moments<1>(texels, Subsets<1>(vint(0)), sums);
    const Matrix3 whole = scaled(scatter(sums[0]), sixteenth);
    // without alpha, the largest eigenvalue is nearly (tr A^8)^(1/8)
    const vfloat trace = max(whole.a + whole.d + whole.f, zero);
    const Matrix3 m = squared(squared(scaled(whole, one / (trace + one))));
    const vfloat power =
        m.a * m.a + m.d * m.d + m.f * m.f + vfloat(2.0f) * (m.b * m.b + m.c * m.c + m.e * m.e);
    vfloat off[4], along[4];
    along[0] = sqrt(sqrt(sqrt(power))) * (trace + one);
    off[0] = max(trace - along[0], zero);
    // without a colour, it is the root of a quadratic
    const vfloat lone[4] = {zero, whole.a, whole.d, whole.f},
                 products[4] = {zero, whole.e, whole.c, whole.b};
    for (int rotation = 1; rotation < 4; ++rotation) {
      const vfloat p = lone[rotation == 1 ? 2 : 1], q = lone[rotation == 3 ? 2 : 3];
      const vfloat difference = p - q, twice = products[rotation] + products[rotation];
      const vfloat root = sqrt(difference * difference + twice * twice);
      off[rotation] = max((p + q) - root, zero) * half;
      along[rotation] = ((p + q) + root) * half;
    }
    const vmask smooth = gather(wave.error, group.number) < vfloat(SMOOTH);
    for (int w = 0; w < ways; ++w) {
      const Way &way = WAYS[w];
      const Expect &expect = EXPECT[way.mode];
      const float share = way.selection ? SECOND_SHARE[1] : expect.along;
      const float second = SECOND_SHARE[way.mode == 4 && !way.selection];
      const vfloat rounding =
          select(smooth, vfloat(SMOOTH_ROUNDING[way.mode - 4]), vfloat(expect.rounding));
      store(scratch.expected[w] + start,
            (vfloat(expect.off) * off[way.rotation] + vfloat(share) * along[way.rotation]) +
                (vfloat(second) * lone[way.rotation] + rounding));
    }
  }
}

// Modes 4 and 5 on opaque blocks: of the ways, those that promise most to a block.
inline void try_rotations(Wave &wave, const Metric &metric, const Effort &effort,
                          Scratch &scratch) {
  const int ways = metric.crossed ? 1 : OPAQUE_WAYS;
  const Queue &live = scratch.live;
  rank_ways(wave, metric, ways, scratch);
  for (int w = 0; w < ways; ++w) {
    scratch.first.count = 0;
    for (int i = 0; i < live.count; ++i) {
      const float expected = scratch.expected[w][i];
      if (effort.hope * expected >= wave.error[live.number[i]]) continue;
      int before = 0;
      for (int v = 0; v < ways; ++v)
        before += v < w ? scratch.expected[v][i] <= expected : scratch.expected[v][i] < expected;
      if (before < effort.apart) scratch.first.add(live.number[i], 0);
    }
    try_apart<OPAQUE>(wave, metric, effort, scratch.first, WAYS[w].mode, WAYS[w].rotation,
                      WAYS[w].selection, scratch.trial);
  }
}

inline void search_opaque(Wave &wave, const Metric &metric, const Effort &effort,
                          const Queue &blocks, Scratch &scratch) {
  try_lines<1, OPAQUE>(wave, metric, effort, blocks, 6, scratch.trial);
  if (effort.trials == 0) return;
  scratch.first.count = 0;
  for (int i = 0; i < blocks.count; ++i)
    if (wave.black[blocks.number[i]]) scratch.first.add(blocks.number[i], 0);
  try_apart<OPAQUE>(wave, metric, effort, scratch.first, 5, 0, 0, scratch.trial);
  remain(wave, blocks, effort.enough, scratch.live);
  try_ranked<2, OPAQUE>(wave, metric, effort, scratch);
  if (effort.three) {
    remain(wave, blocks, effort.enough, scratch.live);
    try_ranked<3, OPAQUE>(wave, metric, effort, scratch);
  }
  if (effort.apart) {
    remain(wave, blocks, CLOSER * effort.enough, scratch.live);
    try_rotations(wave, metric, effort, scratch);
  }
}

// Blocks with texels that are not opaque. Mode 5 can hold alpha 0 and 255 whatever the colours.
inline void search_alpha(Wave &wave, const Metric &metric, const Effort &effort,
                         const Queue &blocks, Scratch &scratch) {
  try_apart<APART>(wave, metric, effort, blocks, 5, 0, 0, scratch.trial);
  if (effort.trials) {
    try_apart<APART>(wave, metric, effort, blocks, 4, 0, 0, scratch.trial);
    try_apart<APART>(wave, metric, effort, blocks, 4, 0, 1, scratch.trial);
  }
  try_lines<1, ON_LINES>(wave, metric, effort, blocks, 6, scratch.trial);
  if (effort.trials == 0) return;
  remain(wave, blocks, 0, scratch.live);
  try_ranked<2, ON_LINES>(wave, metric, effort, scratch);
}

// Move the codes of what each of the blocks has become.
inline void polish_all(Wave &wave, const Metric &metric, const Effort &effort, const Queue &blocks,
                       bool opaque, Scratch &scratch) {
  remain(wave, blocks, 0, scratch.live);
  const Queue &live = scratch.live;
  TrialScratch &trial = scratch.trial;
  if (opaque) {
    polish<1, OPAQUE>(wave, metric, effort, live, 6, 0, 0, trial);
    polish<2, OPAQUE>(wave, metric, effort, live, 1, 0, 0, trial);
    polish<2, OPAQUE>(wave, metric, effort, live, 3, 0, 0, trial);
    polish<3, OPAQUE>(wave, metric, effort, live, 0, 0, 0, trial);
    polish<3, OPAQUE>(wave, metric, effort, live, 2, 0, 0, trial);
  } else {
    polish<1, ON_LINES>(wave, metric, effort, live, 6, 0, 0, trial);
    polish<2, ON_LINES>(wave, metric, effort, live, 7, 0, 0, trial);
  }
  for (const Way &way : WAYS)
    polish<1, APART>(wave, metric, effort, live, way.mode, way.rotation, way.selection, trial);
}

} // namespace encoding

KERNEL(bc7_encode) {
  using namespace encoding;
  const int64_t rows = (args.height + 3) / 4, columns = (args.width + 3) / 4;
  const int channels = args.channels ? args.channels : 4;
  const int64_t stride = args.stride ? args.stride : args.width * channels;
  if ((channels != 3 && channels != 4) || args.effort < 0 ||
      args.effort >= int(sizeof EFFORTS / sizeof EFFORTS[0]))
    return SMALTI_INVALID;
  const Metric metric = read_metric(args.metric);
  const Effort &effort = EFFORTS[args.effort];
  // Bands of several waves, so that few of their groups are half empty.
  parallel(args.threads, rows * columns, 4 * WAVE, [&](int64_t band, int64_t end) {
    Wave wave;
    Scratch scratch;
    for (int64_t first = band; first < end; first += WAVE) {
      const int count = int(end - first < WAVE ? end - first : WAVE);
      Open open;
      for (int i = 0; i < count; ++i) {
        const int64_t block = first + i;
        read_block(args, stride, block / columns, block % columns,
                   reinterpret_cast<uint32_t *>(wave.words + 16 * i));
        load_block(wave, i, metric.by_alpha == 2, open);
      }
      search_opaque(wave, metric, effort, open.opaque, scratch);
      search_alpha(wave, metric, effort, open.alpha, scratch);
      if (effort.passes && effort.near == 0) {
        polish_all(wave, metric, effort, open.opaque, true, scratch);
        polish_all(wave, metric, effort, open.alpha, false, scratch);
      }
      for (int i = 0; i < count; ++i) pack(wave.coding[i], args.blocks + BLOCK_BYTES * (first + i));
    }
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
