/* smalti's kernels for programs in C, C++ or anything that can call C.
 *
 * Every kernel takes one struct of arguments and returns a status. Set a struct to zero first
 * (`smalti_bc7_decode_args args = {0}`): a field that is 0 or NULL means its default, and fields
 * that later versions add stay unset. Arrays are C-contiguous, of the shapes that each field's
 * comment gives, and stay the caller's. Sizes are trusted: check them where they come from.
 *
 * No kernel keeps anything between two calls, so any number of threads may call them at once, also
 * after a fork. `threads` in a struct is how many threads a call may use itself (0: one); the result
 * never depends on it, nor on the instruction set.
 */
#ifndef SMALTI_H
#define SMALTI_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(SMALTI_BUILD)
#define SMALTI_API __declspec(dllexport)
#elif defined(_WIN32)
#define SMALTI_API __declspec(dllimport)
#else
#define SMALTI_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a kernel returns. */
enum {
  SMALTI_OK = 0,
  SMALTI_INVALID = 1, /* an argument outside the range that its comment gives */
  SMALTI_DAMAGED = 2, /* compressed data that no encoder writes */
  SMALTI_NO_MEMORY = 3,
};

/* The instruction set in use: "x86-64-v2", "x86-64-v3", "x86-64-v4", "arm64" or "plain". The best
 * that the processor has, chosen when the library is loaded; the environment variable SMALTI_ISA
 * ("v2", "v3", ...) can ask for a lesser one. */
SMALTI_API const char *smalti_instruction_set(void);

/* The number-th build of a kernel that this processor can run, 0 being the least instruction set.
 * name: without its prefix, as "bc7_decode". args_size: receives sizeof its struct, for callers that
 * declare it themselves. instruction_set: receives its name. NULL where there is none. */
SMALTI_API void *smalti_kernel(const char *name, int number, int64_t *args_size,
                               const char **instruction_set);

#ifdef __cplusplus
}
#endif

#include "smalti/bc6.h"
#include "smalti/bc7.h"
#include "smalti/entropy.h"
#include "smalti/fits.h"
#include "smalti/image.h"
#include "smalti/materials.h"
#include "smalti/tables.h"
#include "smalti/train.h"

#endif
