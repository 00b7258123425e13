// Noise without a state: the hash of a number and a key.
#pragma once

#include "simd.h"

namespace smalti::SMALTI_ISA {

// Numbers in [-1/2, 1/2) from two of 32 bits, by an integer hash.
SIMD_INLINE vfloat uniform(vint number, uint32_t key) {
  vint h = number ^ vint(int32_t(key));
  h = (h ^ shift_right_logical(h, 16)) * vint(0x7FEB352D);
  h = (h ^ shift_right_logical(h, 15)) * vint(int32_t(0x846CA68Bu));
  h = h ^ shift_right_logical(h, 16);
  // 23 random bits as the mantissa of a number in [1, 2)
  return as_float(shift_right_logical(h, 9) | vint(0x3F800000)) - vfloat(1.5f);
}

} // namespace smalti::SMALTI_ISA
