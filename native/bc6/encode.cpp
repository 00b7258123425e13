// BC6H encoder: the finest mode that holds a block's ends, with one line or the best of the
// partitions that are worth a trial.
//
//   texels --> one line --> rank: which partitions? --> two lines --> least error --> descend --> pack
//                 +- fit: choose the mode, quantise <-> index, least squares -+
//
// Floor, counted: indexing sixteen texels and fitting ends to them takes 850 operations for one line
// and 1 400 for two, of LANES blocks at once; ranking the partitions takes 8 000, a pass of descent
// 18 000. On one core with AVX-512 ultrafast takes 5 ns a texel.

#include "bc6/encode_lines.h"
#include "bc6/encode_pack.h"
#include "bc6/encode_trial.h"

namespace smalti::SMALTI_ISA {

namespace bc6 {

// Numbers of float16 as steps, the bits of their sizes as whole numbers: from these bits, and from
// floats, rounded to the nearest and halves to even.
SIMD_INLINE vint steps_of(vint bits, vmask &negative) {
  const vint size = bits & vint(0x7FFF);
  negative = bits >= vint(0x8000);
  return select(size > vint(0x7C00), vint(0), min(size, vint(MOST_STEPS)));
}
SIMD_INLINE vint steps_of(vfloat number, vmask &negative) {
  const vfloat size = abs(number);
  const vint bits = as_bits(size);
  negative = number < vfloat(0.0f);
  const vint normal = ((bits + vint(0xFFF) + ((bits >> 13) & vint(1))) >> 13) - vint(112 << 10);
  const vint small = truncate(round(min(size, vfloat(1.0f)) * vfloat(0x1p24f)));
  const vint steps = select(size < vfloat(0x1p-14f), small, min(normal, vint(MOST_STEPS)));
  return select(size == size, steps, vint(0));
}

template <class Number> struct Stored { typedef Number type; };
template <> struct Stored<uint16_t> { typedef int32_t type; };

// The texels of LANES blocks from `block` on, the last one again past the end: in units of 16 bits.
template <bool SIGNED, class Number>
inline void load_blocks(const smalti_bc6_encode_args &args, const Number *texels, int64_t block,
                        int count, Texels &y) {
  typename Stored<Number>::type numbers[16][3][LANES];
  const int64_t columns = (args.width + 3) / 4;
  const int channels = args.channels ? args.channels : 3;
  for (int lane = 0; lane < LANES; ++lane) {
    const int64_t number = block + (lane < count ? lane : count - 1);
    const int64_t top = number / columns * 4, left = number % columns * 4;
    for (int t = 0; t < 16; ++t) {
      const int64_t row = least(top + t / 4, args.height - 1);
      const int64_t column = least(left + t % 4, args.width - 1);
      const Number *texel = texels + (row * args.width + column) * channels;
      for (int c = 0; c < 3; ++c) numbers[t][c][lane] = texel[c];
    }
  }
  for (int t = 0; t < 16; ++t)
    for (int c = 0; c < 3; ++c) {
      vmask negative;
      const vfloat whole = to_float(steps_of(load(numbers[t][c]), negative));
      if (SIGNED) { // the 16 bits that stand for just these steps
        const vfloat wide = ceil(whole * vfloat(32.0f) / vfloat(31.0f));
        y[t][c] = select(negative, vfloat(0.0f) - wide, wide);
      } else {
        const vfloat positive = select(negative, vfloat(0.0f), whole);
        y[t][c] = floor((positive + vfloat(0.5f)) * vfloat(64.0f) / vfloat(31.0f));
      }
    }
}

template <bool SIGNED>
inline void search(const Texels &y, const Effort &effort, Coding &best) {
  const vfloat zero(0.0f);
  best.mode = best.partition = vint(0);
  best.error = vfloat(1e38f);
  for (auto &end : best.codes) end = {{zero, zero, zero}};
  for (auto &index : best.index) index = zero;
  Vector mean = y[0];
  for (int t = 1; t < 16; ++t) mean = mean + y[t];
  mean = mean * vfloat(1.0f / 16);
  Texels x;
  for (int t = 0; t < 16; ++t) x[t] = y[t] - mean;

  const vmask every = best.mode == vint(0);
  Ends ends;
  const Members whole(vint(0));
  lines<1>(x, whole, ends);
  for (int end = 0; end < 2; ++end) ends[end] = ends[end] + mean;
  improve<1, SIGNED>(y, ends, vint(0), whole, effort.fits, every, best);

  if (effort.trials && any(best.error > vfloat(effort.enough))) {
    vint ranks[32];
    rank(x, ranks);
    for (int trial = 0; trial < effort.trials; ++trial) {
      vint least = ranks[0];
      for (int p = 1; p < 32; ++p) least = min(least, ranks[p]);
      const vint partition = least & vint(31);
      for (int p = 0; p < 32; ++p)
        ranks[p] = select(partition == vint(p), vint(INT32_MAX), ranks[p]);
      const vfloat expected = as_float(least & vint(~31));
      const vmask live = (best.error > vfloat(effort.enough)) &
                         (vfloat(effort.hope) * expected < best.error);
      if (!any(live)) break; // those to come promise less, and the best is not getting worse
      const Members members(partition);
      lines<2>(x, members, ends);
      for (auto &end : ends) end = end + mean;
      improve<2, SIGNED>(y, ends, partition, members, effort.fits, live, best);
    }
  }
  for (int pass = 0; pass < effort.passes; ++pass) {
    bool moved = descend<1, SIGNED>(y, best);
    moved |= descend<2, SIGNED>(y, best);
    if (!moved) break;
  }
}

template <bool SIGNED>
void encode_blocks(const smalti_bc6_encode_args &args, int64_t first, int64_t end) {
  Texels y;
  Coding best;
  for (int64_t block = first; block < end; block += LANES) {
    const int count = int(least(end - block, LANES));
    if (args.halves)
      load_blocks<SIGNED>(args, args.halves, block, count, y);
    else
      load_blocks<SIGNED>(args, args.floats, block, count, y);
    search<SIGNED>(y, EFFORTS[args.effort], best);
    pack(best, count, args.blocks + BLOCK_BYTES * block);
  }
}

} // namespace bc6

KERNEL(bc6_encode) {
  const int channels = args.channels ? args.channels : 3;
  if ((channels != 3 && channels != 4) || args.effort < 0 ||
      args.effort >= int(sizeof bc6::EFFORTS / sizeof bc6::EFFORTS[0]))
    return SMALTI_INVALID;
  if (args.height <= 0 || args.width <= 0) return SMALTI_OK;
  const int64_t count = (args.height + 3) / 4 * ((args.width + 3) / 4);
  parallel(args.threads, count, 512, [&](int64_t first, int64_t end) {
    if (args.is_signed)
      bc6::encode_blocks<true>(args, first, end);
    else
      bc6::encode_blocks<false>(args, first, end);
  });
  return SMALTI_OK;
}

} // namespace smalti::SMALTI_ISA
