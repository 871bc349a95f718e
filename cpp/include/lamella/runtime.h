// Threads, random seeds and what was built.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lamella/export.h"

namespace lamella {

/// Upper bound on the threads of one computation; n >= 1.
LAMELLA_API void set_num_threads(int n);
/// set_num_threads, else LAMELLA_NUM_THREADS, else OMP_NUM_THREADS, else what affinity and cgroup
/// allow. 1 in a child after fork().
LAMELLA_API int num_threads();

/// How convolutions in float32 may be computed.
enum class ConvAccuracy {
  kDefault,  ///< Winograd's algorithm where it is faster: errors of about twice the sums'
  kExact,    ///< sums of products only
};
/// "default" or "exact"; another name is an error.
LAMELLA_API ConvAccuracy conv_accuracy_of(std::string_view name);
LAMELLA_API std::string_view name(ConvAccuracy accuracy);

/// For convolutions recorded from now on; a graph keeps what it was recorded (or loaded) with.
LAMELLA_API void set_conv_accuracy(ConvAccuracy accuracy);
/// set_conv_accuracy, else LAMELLA_CONV, else kDefault.
LAMELLA_API ConvAccuracy conv_accuracy();

/// Seeds the generator that draws the seeds of layers, initializers and shuffling.
LAMELLA_API void set_random_seed(std::uint64_t seed);
/// The next seed (63 bits) from that generator.
LAMELLA_API std::int64_t next_seed();

/// While it lives, this thread draws seeds from a generator of its own: what runs in other threads
/// meanwhile changes nothing, and is not changed.
class LAMELLA_API SeedScope {
 public:
  explicit SeedScope(std::uint64_t seed);
  ~SeedScope();
  SeedScope(const SeedScope&) = delete;
  SeedScope& operator=(const SeedScope&) = delete;

 private:
  std::uint64_t state_;
  std::uint64_t* outer_;
};

/// Key-value pairs: version, isa, available isas, compiler, threads, OpenMP.
LAMELLA_API std::vector<std::pair<std::string, std::string>> build_info();

}  // namespace lamella
