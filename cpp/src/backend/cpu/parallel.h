// The one gate to threads. Work is cut into chunks by problem size alone, so results never depend on
// how many threads share them.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Elementary operations below which a chunk is not worth a thread of its own.
inline constexpr std::int64_t kGrainOps = 32768;

/// Items per chunk so that a chunk holds about kGrainOps operations of `cost` operations an item.
inline std::int64_t grain_for(std::int64_t cost) {
  return std::max<std::int64_t>(1, kGrainOps / std::max<std::int64_t>(1, cost));
}

/// Calls f(begin, end) for consecutive chunks of `grain` items that cover [0, n). f must not throw,
/// and chunks must write disjoint memory.
template <class F>
void parallel_for(const Exec& exec, std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (n + grain - 1) / grain;
#if defined(_OPENMP)
  if (chunks > 1 && exec.threads > 1 && !omp_in_parallel()) {
    const int threads = static_cast<int>(std::min<std::int64_t>(exec.threads, chunks));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
    return;
  }
#endif
  for (std::int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
}

/// Stores the first fault of a run.
inline void report(const Exec& exec, Fault fault) {
  int expected = 0;
  __atomic_compare_exchange_n(exec.fault, &expected, static_cast<int>(fault), false,
                              __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
