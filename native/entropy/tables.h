// Integer tables of the plane coder (docs/ENTROPY.md, section 1), made while compiling.
#pragma once

#include <stdint.h>

namespace smalti {

constexpr int SQUASH_LIMIT = 2847; // squash(±LIMIT / 256) is 1 or 65535

struct EntropyTables {
  uint32_t stretch[32768];              // two of 16 bits in each, the even one lower
  int32_t squash[2 * SQUASH_LIMIT + 1]; // logistic function, steps of 1/256, as 16 bits
  int32_t cdf[2050];                    // logistic function on [-16, 16], steps of 1/64, 30 bits
  int32_t rate[256];                    // 65536 / (n + 2), how far observation n moves an estimate
  int32_t speed[301];                   // 6 + 640 / (n + 16), of a mixer corrected n times
};

extern const EntropyTables ENTROPY;

} // namespace smalti
