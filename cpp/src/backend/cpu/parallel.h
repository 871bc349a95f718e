// The one gate to threads. Work is cut into chunks by problem size alone, so results never depend
// on how many threads share them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Elementary operations below which a chunk is not worth a thread of its own.
inline constexpr std::int64_t kGrainOps = 16384;

/// Items per chunk so that a chunk holds about kGrainOps operations of `cost` operations an item.
inline std::int64_t grain_for(std::int64_t cost) {
  return std::max<std::int64_t>(1, kGrainOps / std::max<std::int64_t>(1, cost));
}

/// Runs body(context, chunk) for chunks 0 .. count-1 on up to `threads` threads, this one included;
/// returns when all are done. Serial inside another loop, or while another thread runs one.
void run_chunks(int threads, std::int64_t count, void (*body)(void* context, std::int64_t chunk),
                void* context);

/// Calls f(begin, end) for consecutive chunks of `grain` items that cover [0, n). f must not throw,
/// and chunks must write disjoint memory.
template <class F>
void parallel_for(const Exec& exec, std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (n + grain - 1) / grain;
  if (chunks == 1 || exec.threads <= 1) {
    for (std::int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
    return;
  }
#if defined(_OPENMP)
  // A program that uses OpenMP itself shares its threads this way (LAMELLA_WITH_OPENMP).
  if (!omp_in_parallel()) {
    const int threads = static_cast<int>(std::min<std::int64_t>(exec.threads, chunks));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
  } else {
    for (std::int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
  }
#else
  struct Context {
    std::remove_reference_t<F>& f;
    std::int64_t n, grain;
  } context{f, n, grain};
  run_chunks(
      exec.threads, chunks,
      [](void* raw, std::int64_t c) {
        const Context& k = *static_cast<Context*>(raw);
        k.f(c * k.grain, std::min(k.n, (c + 1) * k.grain));
      },
      &context);
#endif
}

/// Stores the first fault of a run.
inline void report(const Exec& exec, Fault fault) {
  int expected = 0;
  __atomic_compare_exchange_n(exec.fault, &expected, static_cast<int>(fault), false,
                              __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
