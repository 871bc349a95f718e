#include "lamella/profile.h"

#include <algorithm>
#include <chrono>

#include "backend/kernels.h"
#include "lamella/runtime.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

/// The shortest of some runs, in seconds.
template <class F>
double shortest(F&& run, double budget) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30, spent = 0;
  run();  // pages and caches
  for (int i = 0; i < 3 || (spent < budget && i < 1000); ++i) {
    const auto begin = Clock::now();
    run();
    const double t = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::min(best, t);
    spent += t;
  }
  return best;
}

}  // namespace

MachinePeaks measure_peaks() {
  MachinePeaks peaks;
  peaks.threads = num_threads();
  int fault = 0;
  const kernels::Exec exec{peaks.threads, &fault};
  const auto& probe = kernels::table().probe;

  // Footprints of a copy, source and destination together: within L1, L2, L3, and memory.
  constexpr double kSizes[] = {24e3, 512e3, 8e6, 192e6};
  const auto block = detail::allocate(static_cast<std::size_t>(kSizes[3]) + 4096);
  char* memory = static_cast<char*>(block->data);
  std::fill_n(memory, block->bytes, char{0});

  const std::int64_t pieces = peaks.threads;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    constexpr std::int64_t kFlops = 20'000'000;
    const kernels::ProbeArgs args{dtype, nullptr, memory, 64, pieces, kFlops};
    const double t = shortest([&] { probe(args, exec); }, 0.01);
    (dtype == DType::kFloat32 ? peaks.flops32 : peaks.flops64) =
        static_cast<double>(kFlops * pieces) / t;
  }
  for (const double bytes : kSizes) {
    // Private caches: each thread has a footprint of its own; what is shared is divided.
    const bool shared = bytes > 1e6;
    const auto items = static_cast<std::int64_t>(bytes) / (shared ? pieces : 1) / 8 / 64 * 64;
    const auto moved = static_cast<double>(items * 8 * pieces);
    const auto repeats = std::max<std::int64_t>(1, static_cast<std::int64_t>(8e6 / moved));
    if (moved > static_cast<double>(block->bytes)) continue;
    const kernels::ProbeArgs args{DType::kFloat32, memory, memory + items * 4 * pieces,
                                  items,           pieces, repeats};
    const double t = shortest([&] { probe(args, exec); }, 0.02);
    peaks.levels.push_back({bytes * 1.5 * (shared ? 1 : static_cast<double>(pieces)),
                            moved * static_cast<double>(repeats) / t});
  }
  return peaks;
}

}  // namespace lamella
