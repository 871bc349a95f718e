#include "lamella/runtime.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#include "backend/registry.h"
#include "lamella/error.h"
#include "lamella/version.h"

namespace lamella {
namespace {

int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// CPUs that the container's quota allows, rounded up; a large number when there is none.
int cgroup_count() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return std::max(1, static_cast<int>((std::stod(quota) + period - 1) / period));
  std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), p("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota_us = 0, period_us = 0;
  if (q >> quota_us && p >> period_us && quota_us > 0 && period_us > 0)
    return std::max(1, static_cast<int>((quota_us + period_us - 1) / period_us));
  return 1 << 20;
}

/// A positive number from the environment, or 0. OMP_NUM_THREADS may be a list: its first entry
/// counts.
int from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  errno = 0;
  const long n = std::strtol(text, &end, 10);
  check(errno == 0 && end != text && (*end == '\0' || *end == ',') && n >= 1 && n < (1 << 20), name,
        ": expected a positive number of threads, got '", text, "'");
  return static_cast<int>(n);
}

std::atomic<int> threads{0};  // 0: not decided yet

constexpr int kNotDecided = -1;
std::atomic<int> accuracy_of_conv{kNotDecided};

int default_threads() {
  if (const int n = from_environment("LAMELLA_NUM_THREADS")) return n;
  if (const int n = from_environment("OMP_NUM_THREADS")) return n;
  return std::min(affinity_count(), cgroup_count());
}

#if defined(__linux__)
// GNU OpenMP's threads do not survive fork() and a parallel region in the child would hang.
void single_threaded_child() { threads.store(1, std::memory_order_relaxed); }
#endif

/// Stores the number and sees to children of fork(); `replace` says whether over one that is there.
void store_threads(int n, bool replace) {
#if defined(__linux__)
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, single_threaded_child); });
#endif
  int expected = 0;
  if (replace)
    threads.store(n, std::memory_order_relaxed);
  else
    threads.compare_exchange_strong(expected, n);
}

struct Generator {
  std::mutex mutex;
  std::uint64_t state = 0;
  bool seeded = false;
};

Generator& generator() {
  static Generator g;
  return g;
}

thread_local std::uint64_t* scoped_state = nullptr;  // of the innermost SeedScope

std::int64_t draw(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ull);  // splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<std::int64_t>((z ^ (z >> 31)) >> 1);
}

}  // namespace

void set_num_threads(int n) {
  check(n >= 1, "set_num_threads: expected a number of threads >= 1, got ", n);
  store_threads(n, true);
}

int num_threads() {
  const int n = threads.load(std::memory_order_relaxed);
  if (n > 0) [[likely]]
    return n;
  store_threads(default_threads(), false);
  return threads.load(std::memory_order_relaxed);
}

ConvAccuracy conv_accuracy_of(std::string_view text) {
  const bool exact = text == name(ConvAccuracy::kExact);
  check(exact || text == name(ConvAccuracy::kDefault),
        "accuracy of convolutions (set_conv_accuracy, LAMELLA_CONV): expected 'default' or "
        "'exact', got '",
        text, "'");
  return exact ? ConvAccuracy::kExact : ConvAccuracy::kDefault;
}

std::string_view name(ConvAccuracy accuracy) {
  return accuracy == ConvAccuracy::kExact ? "exact" : "default";
}

void set_conv_accuracy(ConvAccuracy accuracy) {
  accuracy_of_conv.store(static_cast<int>(accuracy), std::memory_order_relaxed);
}

ConvAccuracy conv_accuracy() {
  int value = accuracy_of_conv.load(std::memory_order_relaxed);
  if (value == kNotDecided) [[unlikely]] {
    const char* text = std::getenv("LAMELLA_CONV");
    const bool given = text != nullptr && *text != '\0';
    const ConvAccuracy chosen = given ? conv_accuracy_of(text) : ConvAccuracy::kDefault;
    if (accuracy_of_conv.compare_exchange_strong(value, static_cast<int>(chosen))) return chosen;
  }
  return static_cast<ConvAccuracy>(value);
}

void set_random_seed(std::uint64_t seed) {
  if (scoped_state != nullptr) {
    *scoped_state = seed;
    return;
  }
  Generator& g = generator();
  std::lock_guard lock(g.mutex);
  g.state = seed;
  g.seeded = true;
}

SeedScope::SeedScope(std::uint64_t seed) : state_(seed), outer_(scoped_state) {
  scoped_state = &state_;
}

SeedScope::~SeedScope() { scoped_state = outer_; }

std::int64_t next_seed() {
  if (scoped_state != nullptr) return draw(*scoped_state);
  Generator& g = generator();
  std::lock_guard lock(g.mutex);
  if (!g.seeded) {
    std::ifstream random("/dev/urandom", std::ios::binary);
    if (!random.read(reinterpret_cast<char*>(&g.state), sizeof g.state))
      g.state =
          static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    g.seeded = true;
  }
  return draw(g.state);
}

std::vector<std::pair<std::string, std::string>> build_info() {
  const kernels::BackendInfo backend = kernels::backend_info();
  auto join = [](const std::vector<std::string>& list) {
    std::string out;
    for (const std::string& item : list) out += (out.empty() ? "" : ", ") + item;
    return out;
  };
#if defined(LAMELLA_HAS_OPENMP) && LAMELLA_HAS_OPENMP
  const char* openmp = "yes";
#else
  const char* openmp = "no";
#endif
  return {{"version", LAMELLA_VERSION},
          {"isa", backend.isa},
          {"supported_isas", join(backend.supported)},
          {"available_isas", join(backend.available)},
          {"vector_bytes", std::to_string(backend.vector_bytes)},
          {"compiler", backend.compiler},
          {"openmp", openmp},
          {"threads", std::to_string(num_threads())}};
}

}  // namespace lamella
