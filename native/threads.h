// Work on several threads: a range is handed out in chunks to whoever is free.
#pragma once

#include <cstdint>

namespace smalti {

// Call body(context, first, last) so that the chunks cover 0 .. count, each `chunk` long (the last
// may be shorter), on up to `threads` threads, the caller's among them. Threads live as long as the
// call: nothing is left that a fork could lose. Where none can be started, the caller does it all.
void run_chunks(int threads, int64_t count, int64_t chunk,
                void (*body)(const void *context, int64_t first, int64_t last),
                const void *context);

} // namespace smalti

namespace smalti::SMALTI_ISA {

// parallel(threads, rows, 4, [&](int64_t first, int64_t last) { ... });
// A body may use its stack for what it works in; what several bodies write must not overlap.
template <class Body>
inline void parallel(int threads, int64_t count, int64_t chunk, const Body &body) {
  run_chunks(
      threads, count, chunk,
      [](const void *context, int64_t first, int64_t last) {
        (*static_cast<const Body *>(context))(first, last);
      },
      &body);
}

} // namespace smalti::SMALTI_ISA
