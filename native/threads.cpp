#define SMALTI_ISA base // this file is compiled once
#include "threads.h"

#ifndef SMALTI_NO_THREADS
#include <atomic>
#include <system_error>
#include <thread>
#endif

namespace smalti {

namespace {
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
} // namespace

#ifdef SMALTI_NO_THREADS

void run_chunks(int, int64_t count, int64_t chunk,
                void (*body)(const void *, int64_t, int64_t), const void *context) {
  for (int64_t first = 0; first < count; first += chunk)
    body(context, first, least(first + chunk, count));
}

#else

constexpr int MAX_THREADS = 256;

void run_chunks(int threads, int64_t count, int64_t chunk,
                void (*body)(const void *, int64_t, int64_t), const void *context) {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (;;) {
      const int64_t first = next.fetch_add(chunk, std::memory_order_relaxed);
      if (first >= count) return;
      body(context, first, least(first + chunk, count));
    }
  };
  const int64_t chunks = (count + chunk - 1) / chunk;
  const int helpers = static_cast<int>(least(least(threads, MAX_THREADS), chunks)) - 1;
  std::thread pool[MAX_THREADS];
  int started = 0;
  try {
    for (; started < helpers; ++started) pool[started] = std::thread(work);
  } catch (const std::system_error &) {
    // as many as there are
  }
  work();
  for (int i = 0; i < started; ++i) pool[i].join();
}

#endif

} // namespace smalti
