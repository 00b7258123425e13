// The public functions: each calls the build of its kernel that the processor runs best.

#include <cstdlib>
#include <cstring>
#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#endif

#include "smalti.h"

#define ALL_KERNELS(X)        \
  SMALTI_BC6_KERNELS(X)       \
  SMALTI_BC7_KERNELS(X)       \
  SMALTI_ENTROPY_KERNELS(X)   \
  SMALTI_FITS_KERNELS(X)      \
  SMALTI_IMAGE_KERNELS(X)     \
  SMALTI_MATERIALS_KERNELS(X) \
  SMALTI_TABLES_KERNELS(X)    \
  SMALTI_TRAIN_KERNELS(X)

namespace {

struct Isa {
  const char *suffix; // as in SMALTI_ISA
  const char *name;
  bool (*runs_here)();
};

bool always() { return true; }
#if defined(__x86_64__) || defined(_M_X64)
// By cpuid: zig's runtime library answers __builtin_cpu_supports with 0, whatever the processor.
constexpr unsigned bit(int n) { return 1u << n; }
bool all(unsigned word, unsigned wanted) { return (word & wanted) == wanted; }

// Registers that the operating system saves: bits of XCR0.
bool saves(unsigned mask) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit(27))) return false; // OSXSAVE
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return all(low, mask);
}

bool has_v3() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) &&
         all(c, bit(12) | bit(22) | bit(28) | bit(29)) && // FMA, MOVBE, AVX, F16C
         __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         all(b, bit(3) | bit(5) | bit(8)) &&                          // BMI1, AVX2, BMI2
         __get_cpuid(0x80000001, &a, &b, &c, &d) && all(c, bit(5)) && // LZCNT
         saves(bit(1) | bit(2));                                      // xmm, ymm
}

bool has_v4() {
  unsigned a, b, c, d;
  return has_v3() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         all(b, bit(16) | bit(17) | bit(28) | bit(30) | bit(31)) && // AVX-512 F, DQ, CD, BW, VL
         saves(bit(5) | bit(6) | bit(7));                           // mask registers, zmm
}
#endif

constexpr Isa ISAS[] = {
#ifdef SMALTI_HAS_v2
    {"v2", "x86-64-v2", always},
#endif
#ifdef SMALTI_HAS_v3
    {"v3", "x86-64-v3", has_v3},
#endif
#ifdef SMALTI_HAS_v4
    {"v4", "x86-64-v4", has_v4},
#endif
#ifdef SMALTI_HAS_neon
    {"neon", "arm64", always},
#endif
#ifdef SMALTI_HAS_plain
    {"plain", "plain", always},
#endif
};
constexpr int ISA_COUNT = sizeof(ISAS) / sizeof(ISAS[0]);

// Which of ISAS is in use: the last that runs here, or the one that SMALTI_ISA names if it does.
int chosen() {
  static const int number = [] {
    const char *wanted = std::getenv("SMALTI_ISA");
    int best = 0;
    for (int i = 0; i < ISA_COUNT; ++i) {
      if (!ISAS[i].runs_here()) continue;
      best = i;
      if (wanted && !std::strcmp(wanted, ISAS[i].suffix)) break;
    }
    return best;
  }();
  return number;
}

} // namespace

extern "C" {

// One row a kernel: its builds, in the order of ISAS.
#ifdef SMALTI_HAS_v2
#define DECLARE(name)                                          \
  int kernel_##name##_v2(const smalti_##name##_args *);        \
  int kernel_##name##_v3(const smalti_##name##_args *);        \
  int kernel_##name##_v4(const smalti_##name##_args *);
#define BUILDS(name) {kernel_##name##_v2, kernel_##name##_v3, kernel_##name##_v4}
#elif defined(SMALTI_HAS_neon)
#define DECLARE(name) int kernel_##name##_neon(const smalti_##name##_args *);
#define BUILDS(name) {kernel_##name##_neon}
#else
#define DECLARE(name) int kernel_##name##_plain(const smalti_##name##_args *);
#define BUILDS(name) {kernel_##name##_plain}
#endif

#define PUBLIC(name)                                                                     \
  DECLARE(name)                                                                          \
  static int (*const builds_of_##name[ISA_COUNT])(const smalti_##name##_args *) = BUILDS(name); \
  int smalti_##name(const smalti_##name##_args *args) {                                  \
    return builds_of_##name[chosen()](args);                                             \
  }
ALL_KERNELS(PUBLIC)

const char *smalti_instruction_set(void) { return ISAS[chosen()].name; }

void *smalti_kernel(const char *name, int number, int64_t *args_size,
                    const char **instruction_set) {
  if (number < 0 || number >= ISA_COUNT || !ISAS[number].runs_here()) return nullptr;
#define FIND(kernel)                                                  \
  if (!std::strcmp(name, #kernel)) {                                  \
    if (args_size) *args_size = sizeof(smalti_##kernel##_args);       \
    if (instruction_set) *instruction_set = ISAS[number].name;        \
    return reinterpret_cast<void *>(builds_of_##kernel[number]);      \
  }
  ALL_KERNELS(FIND)
  return nullptr;
}

} // extern "C"
