// Lanes: the only file that knows instruction sets and how wide they are.
//
//   vfloat, vint      LANES numbers of 32 bits: 16 (x86-64-v4), 8 (v3), 4 (v2, arm64, plain)
//   vmask             LANES truths, of comparing two of those
//   select(m, a, b)   a where m, else b
//
// Arithmetic on lanes is the arithmetic of one number, done LANES times: + - * / and sqrt round as
// IEEE 754 says, fma rounds once (exactly so where the processor has no such instruction, too), and
// nothing is contracted or reordered. So what a lane computes does not depend on the instruction
// set, and code that adds in a fixed order gives the same bits everywhere. For sums over texels use
// `Sixteen` lanes, which are as many on every machine.
#pragma once

#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define SIMD_AVX512 1
#include <immintrin.h>
#elif defined(__AVX2__)
#define SIMD_AVX2 1
#include <immintrin.h>
#elif defined(__SSE4_2__)
#define SIMD_SSE4 1
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define SIMD_NEON 1
#include <arm_neon.h>
#endif

#ifdef SMALTI_SANITIZE // compilers take minutes for what inlining makes of the checks
#define SIMD_INLINE inline
#else
#define SIMD_INLINE inline __attribute__((always_inline))
#endif

namespace smalti::SMALTI_ISA {

#if SIMD_AVX512
constexpr int LANES = 16;
#elif SIMD_AVX2
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float float_lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t int_lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t uint_lanes __attribute__((vector_size(4 * LANES)));
typedef float float_lanes_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t int_lanes_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

struct vmask {
#if SIMD_AVX512
  __mmask16 v;
#else
  int_lanes v; // 0 or -1
#endif
};

struct vfloat {
  float_lanes v;
  vfloat() = default;
  SIMD_INLINE vfloat(float_lanes lanes) : v(lanes) {}
  SIMD_INLINE vfloat(float x) : v(x - float_lanes{}) {} // x in every lane, -0 included
};

struct vint {
  int_lanes v;
  vint() = default;
  SIMD_INLINE vint(int_lanes lanes) : v(lanes) {}
  SIMD_INLINE vint(int32_t x) : v(x - int_lanes{}) {}
};

// ---- one number ----

SIMD_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
SIMD_INLINE int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- memory ----

SIMD_INLINE vfloat load(const float *p) {
  return float_lanes(*reinterpret_cast<const float_lanes_unaligned *>(p));
}
SIMD_INLINE vint load(const int32_t *p) {
  return int_lanes(*reinterpret_cast<const int_lanes_unaligned *>(p));
}
SIMD_INLINE void store(float *p, vfloat a) { *reinterpret_cast<float_lanes_unaligned *>(p) = a.v; }
SIMD_INLINE void store(int32_t *p, vint a) { *reinterpret_cast<int_lanes_unaligned *>(p) = a.v; }

// The first n of LANES numbers, 0 in the others; n <= 0 reads nothing.
SIMD_INLINE vfloat load_first(const float *p, int64_t n) {
#if SIMD_AVX512
  const uint32_t m = n >= LANES ? 0xFFFF : n <= 0 ? 0 : (1u << n) - 1;
  return float_lanes(_mm512_maskz_loadu_ps(__mmask16(m), p));
#else
  float_lanes a = {};
  for (int i = 0; i < LANES; ++i)
    if (i < n) a[i] = p[i];
  return a;
#endif
}
SIMD_INLINE void store_first(float *p, vfloat a, int64_t n) {
#if SIMD_AVX512
  const uint32_t m = n >= LANES ? 0xFFFF : n <= 0 ? 0 : (1u << n) - 1;
  _mm512_mask_storeu_ps(p, __mmask16(m), __m512(a.v));
#else
  for (int i = 0; i < LANES; ++i)
    if (i < n) p[i] = a.v[i];
#endif
}

// bfloat16, as the upper 16 bits of a float; stored rounded to the nearest, halves to even.
typedef uint16_t half_lanes __attribute__((vector_size(2 * LANES)));
typedef uint16_t half_lanes_unaligned __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
SIMD_INLINE vfloat load(const uint16_t *p) {
  const half_lanes bits = *reinterpret_cast<const half_lanes_unaligned *>(p);
  return float_lanes(__builtin_convertvector(bits, uint_lanes) << 16);
}
SIMD_INLINE void store(uint16_t *p, vfloat a) {
  const uint_lanes bits = uint_lanes(a.v);
  const uint_lanes rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  *reinterpret_cast<half_lanes_unaligned *>(p) = __builtin_convertvector(rounded, half_lanes);
}
SIMD_INLINE vfloat load_first(const uint16_t *p, int64_t n) {
  uint16_t whole[LANES] = {};
  for (int i = 0; i < LANES; ++i)
    if (i < n) whole[i] = p[i];
  return load(whole);
}
SIMD_INLINE void store_first(uint16_t *p, vfloat a, int64_t n) {
  uint16_t whole[LANES];
  store(whole, a);
  for (int i = 0; i < LANES; ++i)
    if (i < n) p[i] = whole[i];
}

// LANES bytes, 0 .. 255.
typedef uint8_t byte_lanes __attribute__((vector_size(LANES)));
typedef uint8_t byte_lanes_unaligned __attribute__((vector_size(LANES), aligned(1), may_alias));
SIMD_INLINE vint load(const uint8_t *p) {
  const byte_lanes bytes = *reinterpret_cast<const byte_lanes_unaligned *>(p);
  // in two steps: GCC takes one of four times the width apart
  return int_lanes(__builtin_convertvector(__builtin_convertvector(bytes, half_lanes), uint_lanes));
}

// table[index] for each lane.
SIMD_INLINE vfloat gather(const float *table, vint index) {
#if SIMD_AVX512
  return float_lanes(_mm512_i32gather_ps(__m512i(index.v), table, 4));
#elif SIMD_AVX2
  return float_lanes(_mm256_i32gather_ps(table, __m256i(index.v), 4));
#else
  float_lanes a;
  for (int i = 0; i < LANES; ++i) a[i] = table[index.v[i]];
  return a;
#endif
}
SIMD_INLINE vint gather(const int32_t *table, vint index) {
#if SIMD_AVX512
  return int_lanes(_mm512_i32gather_epi32(__m512i(index.v), table, 4));
#elif SIMD_AVX2
  return int_lanes(_mm256_i32gather_epi32(table, __m256i(index.v), 4));
#else
  int_lanes a;
  for (int i = 0; i < LANES; ++i) a[i] = table[index.v[i]];
  return a;
#endif
}

// 0, 1, 2, ...
SIMD_INLINE vint lane_numbers() {
  int_lanes a = {};
  for (int i = 0; i < LANES; ++i) a[i] = i;
  return a;
}

// a0 b0 a1 b1 ... in `first`, going on in `second`; and back.
#define SIMD_LANES_16(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), \
                         f(12), f(13), f(14), f(15)
#define SIMD_LANES_8(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)
#define SIMD_LANES_4(f) f(0), f(1), f(2), f(3)
#if SIMD_AVX512
#define SIMD_EVERY_LANE SIMD_LANES_16
#elif SIMD_AVX2
#define SIMD_EVERY_LANE SIMD_LANES_8
#else
#define SIMD_EVERY_LANE SIMD_LANES_4
#endif
#define SIMD_LOW(i) (i) / 2 + (i) % 2 * LANES
#define SIMD_HIGH(i) ((i) + LANES) / 2 + (i) % 2 * LANES
#define SIMD_EVEN(i) 2 * (i)
#define SIMD_ODD(i) 2 * (i) + 1
SIMD_INLINE void zip(vfloat a, vfloat b, vfloat &first, vfloat &second) {
  first = float_lanes(__builtin_shufflevector(a.v, b.v, SIMD_EVERY_LANE(SIMD_LOW)));
  second = float_lanes(__builtin_shufflevector(a.v, b.v, SIMD_EVERY_LANE(SIMD_HIGH)));
}
SIMD_INLINE void unzip(vfloat first, vfloat second, vfloat &a, vfloat &b) {
  a = float_lanes(__builtin_shufflevector(first.v, second.v, SIMD_EVERY_LANE(SIMD_EVEN)));
  b = float_lanes(__builtin_shufflevector(first.v, second.v, SIMD_EVERY_LANE(SIMD_ODD)));
}
#undef SIMD_LANES_16
#undef SIMD_LANES_8
#undef SIMD_LANES_4
#undef SIMD_EVERY_LANE
#undef SIMD_LOW
#undef SIMD_HIGH
#undef SIMD_EVEN
#undef SIMD_ODD

// ---- arithmetic ----

SIMD_INLINE vfloat operator+(vfloat a, vfloat b) { return a.v + b.v; }
SIMD_INLINE vfloat operator-(vfloat a, vfloat b) { return a.v - b.v; }
SIMD_INLINE vfloat operator*(vfloat a, vfloat b) { return a.v * b.v; }
SIMD_INLINE vfloat operator/(vfloat a, vfloat b) { return a.v / b.v; }
SIMD_INLINE vfloat operator-(vfloat a) { return -a.v; }
SIMD_INLINE vfloat &operator+=(vfloat &a, vfloat b) { return a = a + b; }
SIMD_INLINE vfloat &operator-=(vfloat &a, vfloat b) { return a = a - b; }
SIMD_INLINE vfloat &operator*=(vfloat &a, vfloat b) { return a = a * b; }

// Whole numbers wrap around, as unsigned ones do.
SIMD_INLINE vint operator+(vint a, vint b) { return int_lanes(uint_lanes(a.v) + uint_lanes(b.v)); }
SIMD_INLINE vint operator-(vint a, vint b) { return int_lanes(uint_lanes(a.v) - uint_lanes(b.v)); }
SIMD_INLINE vint operator*(vint a, vint b) { return int_lanes(uint_lanes(a.v) * uint_lanes(b.v)); }
SIMD_INLINE vint operator-(vint a) { return int_lanes(-uint_lanes(a.v)); }
SIMD_INLINE vint operator&(vint a, vint b) { return a.v & b.v; }
SIMD_INLINE vint operator|(vint a, vint b) { return a.v | b.v; }
SIMD_INLINE vint operator^(vint a, vint b) { return a.v ^ b.v; }
SIMD_INLINE vint operator~(vint a) { return ~a.v; }
SIMD_INLINE vint operator<<(vint a, int n) { return int_lanes(uint_lanes(a.v) << n); }
SIMD_INLINE vint operator>>(vint a, int n) { return a.v >> n; } // keeps the sign
SIMD_INLINE vint operator<<(vint a, vint n) { return int_lanes(uint_lanes(a.v) << uint_lanes(n.v)); }
SIMD_INLINE vint operator>>(vint a, vint n) { return a.v >> n.v; }
// Each lane's two halves of 16 bits, with signs, multiplied with another's, the products added.
SIMD_INLINE vint pair_products(vint a, vint b) {
#if SIMD_AVX512
  return int_lanes(_mm512_madd_epi16(__m512i(a.v), __m512i(b.v)));
#elif SIMD_AVX2
  return int_lanes(_mm256_madd_epi16(__m256i(a.v), __m256i(b.v)));
#elif SIMD_SSE4
  return int_lanes(_mm_madd_epi16(__m128i(a.v), __m128i(b.v)));
#elif SIMD_NEON
  const int16x8_t x = vreinterpretq_s16_s32(int32x4_t(a.v)), y = vreinterpretq_s16_s32(int32x4_t(b.v));
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
  return int_lanes(vpaddq_s32(low, vmull_high_s16(x, y)));
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}
SIMD_INLINE vint shift_right_logical(vint a, int n) { return int_lanes(uint_lanes(a.v) >> n); }
SIMD_INLINE vint &operator+=(vint &a, vint b) { return a = a + b; }
SIMD_INLINE vint &operator-=(vint &a, vint b) { return a = a - b; }
SIMD_INLINE vint &operator|=(vint &a, vint b) { return a = a | b; }

// The 32 bits of a lane, taken as the other type.
SIMD_INLINE vint as_bits(vfloat a) { return int_lanes(a.v); }
SIMD_INLINE vfloat as_float(vint a) { return float_lanes(a.v); }

SIMD_INLINE vfloat to_float(vint a) { return __builtin_convertvector(a.v, float_lanes); }
SIMD_INLINE vint truncate(vfloat a) { return __builtin_convertvector(a.v, int_lanes); }

// ---- 64-bit lanes ----

constexpr int LONGS = LANES / 2;
typedef int64_t long_lanes __attribute__((vector_size(8 * LONGS)));
typedef uint64_t ulong_lanes __attribute__((vector_size(8 * LONGS)));
typedef int64_t long_lanes_unaligned __attribute__((vector_size(8 * LONGS), aligned(8), may_alias));

// LONGS whole numbers of 64 bits, which wrap around.
struct vlong {
  long_lanes v;
  vlong() = default;
  SIMD_INLINE vlong(long_lanes lanes) : v(lanes) {}
  SIMD_INLINE vlong(int64_t x) : v(x - long_lanes{}) {}
};

SIMD_INLINE vlong load(const int64_t *p) {
  return long_lanes(*reinterpret_cast<const long_lanes_unaligned *>(p));
}
SIMD_INLINE void store(int64_t *p, vlong a) { *reinterpret_cast<long_lanes_unaligned *>(p) = a.v; }
SIMD_INLINE vlong operator+(vlong a, vlong b) {
  return long_lanes(ulong_lanes(a.v) + ulong_lanes(b.v));
}
SIMD_INLINE vlong operator-(vlong a, vlong b) {
  return long_lanes(ulong_lanes(a.v) - ulong_lanes(b.v));
}
SIMD_INLINE vlong operator*(vlong a, vlong b) {
  return long_lanes(ulong_lanes(a.v) * ulong_lanes(b.v));
}
SIMD_INLINE vlong operator<<(vlong a, int n) { return long_lanes(ulong_lanes(a.v) << n); }
// Keeps the sign, 0 < n < 63.
SIMD_INLINE vlong operator>>(vlong a, int n) {
#if SIMD_AVX512 || SIMD_NEON
  return a.v >> n;
#else // no such instruction: as unsigned numbers, 2^63 higher
  const ulong_lanes half = ulong_lanes(vlong(INT64_MIN).v);
  return long_lanes(((ulong_lanes(a.v) + half) >> n) - (half >> n));
#endif
}

// ---- masks ----

#if SIMD_AVX512
#define SIMD_COMPARE(op, floats, ints)                                       \
  SIMD_INLINE vmask operator op(vfloat a, vfloat b) {                        \
    return {_mm512_cmp_ps_mask(__m512(a.v), __m512(b.v), floats)};           \
  }                                                                          \
  SIMD_INLINE vmask operator op(vint a, vint b) {                            \
    return {_mm512_cmp_epi32_mask(__m512i(a.v), __m512i(b.v), ints)};        \
  }
SIMD_COMPARE(<, _CMP_LT_OQ, _MM_CMPINT_LT)
SIMD_COMPARE(<=, _CMP_LE_OQ, _MM_CMPINT_LE)
SIMD_COMPARE(>, _CMP_GT_OQ, _MM_CMPINT_NLE)
SIMD_COMPARE(>=, _CMP_GE_OQ, _MM_CMPINT_NLT)
SIMD_COMPARE(==, _CMP_EQ_OQ, _MM_CMPINT_EQ)
SIMD_COMPARE(!=, _CMP_NEQ_UQ, _MM_CMPINT_NE)
#undef SIMD_COMPARE
SIMD_INLINE vmask operator&(vmask a, vmask b) { return {__mmask16(a.v & b.v)}; }
SIMD_INLINE vmask operator|(vmask a, vmask b) { return {__mmask16(a.v | b.v)}; }
SIMD_INLINE vmask operator!(vmask a) { return {__mmask16(~a.v)}; }
SIMD_INLINE vfloat select(vmask m, vfloat a, vfloat b) {
  return float_lanes(_mm512_mask_blend_ps(m.v, __m512(b.v), __m512(a.v)));
}
SIMD_INLINE vint select(vmask m, vint a, vint b) {
  return int_lanes(_mm512_mask_blend_epi32(m.v, __m512i(b.v), __m512i(a.v)));
}
// Lane i is bit i.
SIMD_INLINE uint32_t bits_of(vmask m) { return m.v; }
SIMD_INLINE vmask mask_from_bits(uint32_t bits) { return {__mmask16(bits)}; }
#else
#define SIMD_COMPARE(op)                                                                \
  SIMD_INLINE vmask operator op(vfloat a, vfloat b) { return {int_lanes(a.v op b.v)}; } \
  SIMD_INLINE vmask operator op(vint a, vint b) { return {int_lanes(a.v op b.v)}; }
SIMD_COMPARE(<)
SIMD_COMPARE(<=)
SIMD_COMPARE(>)
SIMD_COMPARE(>=)
SIMD_COMPARE(==)
SIMD_COMPARE(!=)
#undef SIMD_COMPARE
SIMD_INLINE vmask operator&(vmask a, vmask b) { return {a.v & b.v}; }
SIMD_INLINE vmask operator|(vmask a, vmask b) { return {a.v | b.v}; }
SIMD_INLINE vmask operator!(vmask a) { return {~a.v}; }
SIMD_INLINE vint select(vmask m, vint a, vint b) {
#if SIMD_AVX2
  return int_lanes(_mm256_blendv_epi8(__m256i(b.v), __m256i(a.v), __m256i(m.v)));
#elif SIMD_SSE4
  return int_lanes(_mm_blendv_epi8(__m128i(b.v), __m128i(a.v), __m128i(m.v)));
#elif SIMD_NEON
  return int_lanes(vbslq_s32(uint32x4_t(m.v), int32x4_t(a.v), int32x4_t(b.v)));
#else
  return (a.v & m.v) | (b.v & ~m.v);
#endif
}
SIMD_INLINE vfloat select(vmask m, vfloat a, vfloat b) {
  return as_float(select(m, as_bits(a), as_bits(b)));
}
SIMD_INLINE uint32_t bits_of(vmask m) {
#if SIMD_AVX2
  return uint32_t(_mm256_movemask_ps(__m256(m.v)));
#elif SIMD_SSE4
  return uint32_t(_mm_movemask_ps(__m128(m.v)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < LANES; ++i) bits |= uint32_t(m.v[i] & 1) << i;
  return bits;
#endif
}
SIMD_INLINE vmask mask_from_bits(uint32_t bits) {
  int_lanes bit = {};
  for (int i = 0; i < LANES; ++i) bit[i] = 1 << i;
  return (vint(int32_t(bits)) & vint(bit)) == vint(bit);
}
#endif

constexpr uint32_t EVERY_LANE = uint32_t((uint64_t(1) << LANES) - 1);
SIMD_INLINE bool any(vmask m) { return bits_of(m) != 0; }
SIMD_INLINE bool all(vmask m) { return bits_of(m) == EVERY_LANE; }
// Lanes 0 .. n - 1.
SIMD_INLINE vmask first_lanes(int64_t n) { return lane_numbers() < vint(int32_t(n)); }

// ---- functions ----

// b where a is not less (greater) than b, so also where one is no number.
SIMD_INLINE vfloat min(vfloat a, vfloat b) {
#if SIMD_AVX512
  return float_lanes(_mm512_min_ps(__m512(a.v), __m512(b.v)));
#elif SIMD_AVX2
  return float_lanes(_mm256_min_ps(__m256(a.v), __m256(b.v)));
#elif SIMD_SSE4
  return float_lanes(_mm_min_ps(__m128(a.v), __m128(b.v)));
#else
  return select(a < b, a, b);
#endif
}
SIMD_INLINE vfloat max(vfloat a, vfloat b) {
#if SIMD_AVX512
  return float_lanes(_mm512_max_ps(__m512(a.v), __m512(b.v)));
#elif SIMD_AVX2
  return float_lanes(_mm256_max_ps(__m256(a.v), __m256(b.v)));
#elif SIMD_SSE4
  return float_lanes(_mm_max_ps(__m128(a.v), __m128(b.v)));
#else
  return select(a > b, a, b);
#endif
}
#if SIMD_AVX512
#define SIMD_CHOOSE(name, neon) \
  SIMD_INLINE vint name(vint a, vint b) { return int_lanes(_mm512_##name##_epi32(__m512i(a.v), __m512i(b.v))); }
#elif SIMD_AVX2
#define SIMD_CHOOSE(name, neon) \
  SIMD_INLINE vint name(vint a, vint b) { return int_lanes(_mm256_##name##_epi32(__m256i(a.v), __m256i(b.v))); }
#elif SIMD_SSE4
#define SIMD_CHOOSE(name, neon) \
  SIMD_INLINE vint name(vint a, vint b) { return int_lanes(_mm_##name##_epi32(__m128i(a.v), __m128i(b.v))); }
#elif SIMD_NEON
#define SIMD_CHOOSE(name, neon) \
  SIMD_INLINE vint name(vint a, vint b) { return int_lanes(neon(int32x4_t(a.v), int32x4_t(b.v))); }
#endif
#ifdef SIMD_CHOOSE
SIMD_CHOOSE(min, vminq_s32)
SIMD_CHOOSE(max, vmaxq_s32)
#undef SIMD_CHOOSE
#else
SIMD_INLINE vint min(vint a, vint b) { return select(a < b, a, b); }
SIMD_INLINE vint max(vint a, vint b) { return select(a > b, a, b); }
#endif
SIMD_INLINE vfloat abs(vfloat a) { return as_float(as_bits(a) & vint(0x7FFFFFFF)); }
SIMD_INLINE vint abs(vint a) { return max(a, -a); }

// Down, up, and to the nearest whole number, halves to the even one.
#if SIMD_AVX512
#define SIMD_ROUND(mode) float_lanes(_mm512_roundscale_ps(__m512(a.v), (mode) | _MM_FROUND_NO_EXC))
#elif SIMD_AVX2
#define SIMD_ROUND(mode) float_lanes(_mm256_round_ps(__m256(a.v), (mode) | _MM_FROUND_NO_EXC))
#elif SIMD_SSE4
#define SIMD_ROUND(mode) float_lanes(_mm_round_ps(__m128(a.v), (mode) | _MM_FROUND_NO_EXC))
#endif
#ifdef SIMD_ROUND
SIMD_INLINE vfloat floor(vfloat a) { return SIMD_ROUND(_MM_FROUND_TO_NEG_INF); }
SIMD_INLINE vfloat ceil(vfloat a) { return SIMD_ROUND(_MM_FROUND_TO_POS_INF); }
SIMD_INLINE vfloat round(vfloat a) { return SIMD_ROUND(_MM_FROUND_TO_NEAREST_INT); }
#undef SIMD_ROUND
#else
#if SIMD_NEON
#define SIMD_EACH(name, neon, one) \
  SIMD_INLINE vfloat name(vfloat a) { return float_lanes(neon(float32x4_t(a.v))); }
#else
#define SIMD_EACH(name, neon, one)                            \
  SIMD_INLINE vfloat name(vfloat a) {                         \
    for (int i = 0; i < LANES; ++i) a.v[i] = one(a.v[i]);     \
    return a;                                                 \
  }
#endif
SIMD_EACH(floor, vrndmq_f32, __builtin_floorf)
SIMD_EACH(ceil, vrndpq_f32, __builtin_ceilf)
SIMD_EACH(round, vrndnq_f32, __builtin_rintf)
#undef SIMD_EACH
#endif

SIMD_INLINE vfloat sqrt(vfloat a) {
#if SIMD_AVX512
  return float_lanes(_mm512_sqrt_ps(__m512(a.v)));
#elif SIMD_AVX2
  return float_lanes(_mm256_sqrt_ps(__m256(a.v)));
#elif SIMD_SSE4
  return float_lanes(_mm_sqrt_ps(__m128(a.v)));
#elif SIMD_NEON
  return float_lanes(vsqrtq_f32(float32x4_t(a.v)));
#else
  for (int i = 0; i < LANES; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
#endif
}

// a b + c of one number, rounded once. Where the processor cannot: the product of two float32 is
// exact in float64; its sum with c is rounded to odd there, after which rounding to float32 is as if
// it were the only one (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums").
SIMD_INLINE float fma(float a, float b, float c) {
#if SIMD_AVX512 || SIMD_AVX2 || SIMD_NEON
  return __builtin_fmaf(a, b, c);
#else
  const double product = double(a) * double(b), third = double(c);
  const double sum = product + third;
  const double part = sum - product;
  const double lost = (product - (sum - part)) + (third - part);
  int64_t bits = __builtin_bit_cast(int64_t, sum);
  if (lost != 0 && (bits & 1) == 0) bits += (lost > 0) == (sum > 0) ? 1 : -1;
  return float(__builtin_bit_cast(double, bits));
#endif
}
#if !SIMD_AVX512 && !SIMD_AVX2 && !SIMD_NEON
// Not inline: dense layers are hundreds of these, and compilers take minutes over that.
[[maybe_unused]] __attribute__((noinline)) static vfloat fma_emulated(vfloat a, vfloat b, vfloat c) {
  for (int i = 0; i < LANES; ++i) c.v[i] = fma(a.v[i], b.v[i], c.v[i]);
  return c;
}
#endif
SIMD_INLINE vfloat fma(vfloat a, vfloat b, vfloat c) {
#if SIMD_AVX512
  return float_lanes(_mm512_fmadd_ps(__m512(a.v), __m512(b.v), __m512(c.v)));
#elif SIMD_AVX2
  return float_lanes(_mm256_fmadd_ps(__m256(a.v), __m256(b.v), __m256(c.v)));
#elif SIMD_NEON
  return float_lanes(vfmaq_f32(float32x4_t(c.v), float32x4_t(a.v), float32x4_t(b.v)));
#else
  return fma_emulated(a, b, c);
#endif
}

// Of sixteen numbers x those of 16 bits, in pairs: x[i] in the lower half of pairs[i], x[i + 8] above.
SIMD_INLINE void store_pairs(const vint (&x)[16 / LANES], int32_t (&pairs)[8]) {
#if SIMD_AVX512
  const __m512i v = __m512i(x[0].v);
  const __m256i high = _mm256_slli_epi32(_mm512_extracti64x4_epi64(v, 1), 16);
  const __m256i both = _mm256_blend_epi16(_mm512_castsi512_si256(v), high, 0xAA);
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(pairs), both);
#else
  constexpr int HALF = 8 / LANES;
  for (int p = 0; p < HALF; ++p)
    store(pairs + p * LANES, (x[p] & vint(0xFFFF)) | (x[p + HALF] << 16));
#endif
#ifdef __GNUC__
  asm("" : "+m"(pairs)); // each is read in every lane: cheaper from memory than out of a vector
#endif
}

// The sums over all lanes of each vector.
#if SIMD_AVX512 || SIMD_AVX2 || SIMD_SSE4
// Its quarters, of four numbers, added up.
SIMD_INLINE __m128i sum_of_quarters(vint a) {
#if SIMD_AVX512
  const __m512i v = __m512i(a.v);
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
#elif SIMD_AVX2
  const __m256i v = __m256i(a.v);
  return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
#else
  return __m128i(a.v);
#endif
}
// Of each pair of lanes the two vectors' numbers, a b a b ...: as sums of two of theirs.
SIMD_INLINE vint interleaved_sums(vint a, vint b) {
#if SIMD_AVX512
  return int_lanes(_mm512_add_epi32(_mm512_unpacklo_epi32(__m512i(a.v), __m512i(b.v)),
                                    _mm512_unpackhi_epi32(__m512i(a.v), __m512i(b.v))));
#elif SIMD_AVX2
  return int_lanes(_mm256_add_epi32(_mm256_unpacklo_epi32(__m256i(a.v), __m256i(b.v)),
                                    _mm256_unpackhi_epi32(__m256i(a.v), __m256i(b.v))));
#else
  return int_lanes(_mm_add_epi32(_mm_unpacklo_epi32(__m128i(a.v), __m128i(b.v)),
                                 _mm_unpackhi_epi32(__m128i(a.v), __m128i(b.v))));
#endif
}
SIMD_INLINE void totals(vint a, vint b, int32_t (&sum)[2]) {
  const __m128i four = sum_of_quarters(interleaved_sums(a, b));
  const uint64_t two = uint64_t(_mm_cvtsi128_si64(_mm_add_epi32(four, _mm_unpackhi_epi64(four, four))));
  sum[0] = int32_t(uint32_t(two));
  sum[1] = int32_t(uint32_t(two >> 32));
}
#else
SIMD_INLINE void totals(vint a, vint b, int32_t (&sum)[2]) {
  uint32_t total[2] = {0, 0};
  for (int lane = 0; lane < LANES; ++lane) {
    total[0] += uint32_t(a.v[lane]);
    total[1] += uint32_t(b.v[lane]);
  }
  sum[0] = int32_t(total[0]);
  sum[1] = int32_t(total[1]);
}
#endif

// a b + c where neither the product nor the sum is rounded, as of small whole numbers: one
// instruction where there is one, else two, with the same bits.
SIMD_INLINE vfloat fma_exact(vfloat a, vfloat b, vfloat c) {
#if SIMD_AVX512 || SIMD_AVX2 || SIMD_NEON
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// ---- sixteen lanes on every machine ----

// For sums whose order must not depend on the machine: number i is added in lane i % 16.
struct Sixteen {
  static constexpr int PARTS = 16 / LANES;
  vfloat part[PARTS];
  SIMD_INLINE Sixteen() {
    for (auto &p : part) p = vfloat(0.0f);
  }
  // The sum of all sixteen, halves first: lane i with i + 8, then with i + 4, i + 2, i + 1.
  SIMD_INLINE float total() const {
    float lanes[16];
    for (int p = 0; p < PARTS; ++p) store(lanes + p * LANES, part[p]);
    for (int half = 8; half; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
  }
};

// Of each 2 H lanes: the lower H added to the upper, a's first, then b's.
template <int... I> struct lane_pack {};
template <int N, int... I> struct lane_pack_of : lane_pack_of<N - 1, N - 1, I...> {};
template <int... I> struct lane_pack_of<0, I...> { typedef lane_pack<I...> type; };
template <int H, int... I> SIMD_INLINE vfloat fold(vfloat a, vfloat b, lane_pack<I...>) {
  return float_lanes(__builtin_shufflevector(a.v, b.v, (I / H % 2 ? LANES + I - H : I)...)) +
         float_lanes(__builtin_shufflevector(a.v, b.v, (I / H % 2 ? LANES + I : I + H)...));
}

// numbers[0] = the sums of the lanes of each of numbers[0 .. LANES - 1], halves first, as `total`.
template <int H = LANES / 2> SIMD_INLINE void fold_all(vfloat *numbers) {
  for (int i = 0; i < H; ++i)
    numbers[i] = fold<H>(numbers[i], numbers[i + H], typename lane_pack_of<LANES>::type());
  if constexpr (H > 1) fold_all<H / 2>(numbers);
}

// ---- elementary functions, as plain arithmetic ----

// e^x for -87 <= x <= 88, relatively within 1e-7 + 5e-8 |x|; beyond, its value at the ends.
SIMD_INLINE vfloat exp(vfloat x) {
  x = max(vfloat(-87.0f), min(vfloat(88.0f), x)) * vfloat(1.44269504f);
  const vfloat rounder(12582912.0f); // 1.5 * 2^23: adding it leaves a whole number in the low bits
  const vfloat shifted = x + rounder;
  const vfloat r = x - (shifted - rounder);
  // 2^r, |r| <= 1/2: Taylor's coefficients ln(2)^k / k!
  vfloat power = fma(vfloat(1.5403529687e-4f), r, vfloat(1.3333557872e-3f));
  power = fma(power, r, vfloat(9.6181286499e-3f));
  power = fma(power, r, vfloat(5.5504110307e-2f));
  power = fma(power, r, vfloat(2.4022650719e-1f));
  power = fma(power, r, vfloat(6.9314718056e-1f));
  const vfloat scale = as_float((as_bits(shifted) + vint(127)) << 23);
  return fma(power, r, vfloat(1.0f)) * scale;
}

// ln x within 2e-7 + 2e-7 |ln x|, for positive normal x.
SIMD_INLINE vfloat log(vfloat x) {
  const vint bits = as_bits(x);
  vfloat e = to_float((bits >> 23) - vint(126));
  vfloat m = as_float((bits & vint(0x7FFFFF)) | vint(0x3F000000)); // in [1/2, 1)
  const vmask small = m < vfloat(0.70710678f);
  m = select(small, m + m, m);
  e = select(small, e - vfloat(1.0f), e);
  // ln((1 + t) / (1 - t)) = 2 (t + t^3 / 3 + ...), |t| <= 0.172
  const vfloat t = (m - vfloat(1.0f)) / (m + vfloat(1.0f));
  const vfloat s = t * t;
  vfloat series = fma(vfloat(1.0f / 9), s, vfloat(1.0f / 7));
  series = fma(series, s, vfloat(1.0f / 5));
  series = fma(series, s, vfloat(1.0f / 3));
  series = fma(series, s, vfloat(1.0f));
  return fma(e, vfloat(0.69314718f), vfloat(2.0f) * t * series);
}

// tanh x within 3e-7.
SIMD_INLINE vfloat tanh(vfloat x) {
  return vfloat(1.0f) - vfloat(2.0f) / (exp(x + x) + vfloat(1.0f));
}

} // namespace smalti::SMALTI_ISA
