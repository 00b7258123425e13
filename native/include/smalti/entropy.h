/* Lossless coding of planes of small integers by a context mixer and a range coder. The bytes are
 * those that docs/ENTROPY.md describes, the same on every machine. */
#ifndef SMALTI_ENTROPY_H
#define SMALTI_ENTROPY_H

#include "../smalti.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values to bytes. Some plane has more than one level (an array where none has is no bytes). */
typedef struct smalti_entropy_encode_args {
  const int32_t *values; /* planes x height x width, of plane c in 0 .. levels[c] - 1 */
  const int32_t *levels; /* planes; each 1 .. 65536 */
  int64_t planes, height, width; /* each 1 or more; at most 2^40 values */
  int32_t *slots;                /* slot_count, scratch */
  int64_t slot_count; /* at least 9 * 2^k; k = the bits of 4 planes height width, in 12 .. 18 */
  uint8_t *data;      /* capacity; receives the bytes */
  int64_t capacity;
  int64_t *size; /* receives how many they are; more than capacity: encode again with that room */
} smalti_entropy_encode_args;
SMALTI_API int smalti_entropy_encode(const smalti_entropy_encode_args *args);

/* Bytes to values. SMALTI_DAMAGED for bytes that no encoder ends with; damage that is not found (one
 * case in 65536) still gives values in range. */
typedef struct smalti_entropy_decode_args {
  const uint8_t *data; /* size */
  int64_t size;
  const int32_t *levels;         /* as in encoding */
  int64_t planes, height, width; /* likewise */
  int32_t *slots;                /* likewise */
  int64_t slot_count;
  int32_t *values;   /* planes x height x width; receives the values */
  int64_t *position; /* receives how many bytes were asked for; of sound data size + 3 */
} smalti_entropy_decode_args;
SMALTI_API int smalti_entropy_decode(const smalti_entropy_decode_args *args);

#define SMALTI_ENTROPY_KERNELS(X) \
  X(entropy_encode)               \
  X(entropy_decode)

#ifdef __cplusplus
}
#endif
#endif
