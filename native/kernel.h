// What every kernel file begins with: the public structs, lanes, threads, and how a kernel is named.
//
//   #include "kernel.h"
//   namespace smalti::SMALTI_ISA {
//   ... helpers ...
//   KERNEL(bc7_decode) {           // args: const smalti_bc7_decode_args &
//     ...
//     return SMALTI_OK;
//   }
//   }
//
// A kernel file is compiled once for every instruction set, with SMALTI_ISA its short name. All of
// it lies in that namespace and nothing of it may come from a library's inline functions: the linker
// would keep one of several builds of them for all.
#pragma once

#include "simd.h"
#include "smalti.h"
#include "threads.h"

#define SMALTI_PASTE_(a, b) a##_##b
#define SMALTI_PASTE(a, b) SMALTI_PASTE_(a, b)
#define KERNEL(name)                                                                      \
  static int name(const smalti_##name##_args &args);                                      \
  extern "C" int SMALTI_PASTE(kernel_##name, SMALTI_ISA)(const smalti_##name##_args *args) { \
    return name(*args);                                                                   \
  }                                                                                       \
  static int name(const smalti_##name##_args &args)
