#include "probe.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// ---------------------------------------------------------------- multiply-adds

constexpr int kChains = 12;  // independent, to cover the latency; all fit in 16 registers
constexpr int kRounds = 2000;

// The compiler may neither merge nor drop what made x.
template <class Vector>
__attribute__((always_inline)) inline void keep(Vector& x) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(x));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#else
  asm volatile("" : "+m"(x));
#endif
}

template <class Vector>
__attribute__((always_inline)) inline void step(Vector& x, const Vector& m, const Vector& a) {
  x = x * m + a;
  keep(x);
}

// The body of a probe: kChains vectors of kBytes bytes, kRounds times x = x * m + a. Named values,
// not an array: those stay in registers.
template <class T, int kBytes>
__attribute__((always_inline)) inline T multiply_adds() {
  typedef T Vector __attribute__((vector_size(kBytes)));
  const Vector m = Vector{} + T(0.5), a = Vector{} + T(1);
  Vector x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a;
  Vector x6 = a, x7 = a, x8 = a, x9 = a, x10 = a, x11 = a;
  for (int round = 0; round < kRounds; ++round) {
    step(x0, m, a), step(x1, m, a), step(x2, m, a), step(x3, m, a);
    step(x4, m, a), step(x5, m, a), step(x6, m, a), step(x7, m, a);
    step(x8, m, a), step(x9, m, a), step(x10, m, a), step(x11, m, a);
  }
  return (x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11)[0];
}

#if defined(__x86_64__)
template <class T>
__attribute__((target("arch=x86-64-v4"))) T run_v4() {
  return multiply_adds<T, 64>();
}
template <class T>
__attribute__((target("arch=x86-64-v3"))) T run_v3() {
  return multiply_adds<T, 32>();
}
#endif
template <class T>
T run_default() {
  return multiply_adds<T, 16>();
}

template <class T>
struct Probe {
  T (*run)();
  int bytes;
};

template <class T>
Probe<T> choose(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "x86-64-v4") return {run_v4<T>, 64};
  if (isa == "x86-64-v3") return {run_v3<T>, 32};
#endif
  return {run_default<T>, 16};
}

// Runs `body(thread)` on all threads at once, `repeats` times; the best time of all together.
template <class Body>
double best_time(int threads, int repeats, const Body& body) {
  std::barrier gate(threads);
  double best = 1e30;
  auto work = [&](int thread) {
    body(thread);  // warms up
    for (int i = 0; i < repeats; ++i) {
      gate.arrive_and_wait();
      const auto begin = Clock::now();
      body(thread);
      gate.arrive_and_wait();
      if (thread == 0) best = std::min(best, seconds_since(begin));
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (auto& other : others) other.join();
  return best;
}

template <class T>
double peak(const std::string& isa, int threads) {
  const auto chosen = choose<T>(isa);
  constexpr int kCalls = 100;
  const double time = best_time(threads, 20, [&](int) {
    volatile T sink = 0;
    for (int i = 0; i < kCalls; ++i) sink = chosen.run();
    (void)sink;
  });
  return 2.0 * kChains * kRounds * kCalls * (chosen.bytes / sizeof(T)) * threads / time;
}

// ---------------------------------------------------------------- copies

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<char, Free>;

Buffer make_buffer(std::size_t bytes) {
  Buffer buffer(static_cast<char*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)));
  std::memset(buffer.get(), 1, bytes);
  return buffer;
}

// Ordinary stores, as a kernel makes them.
template <int kBytes>
__attribute__((always_inline)) inline void copy_with(char* to, const char* from,
                                                     std::size_t bytes) {
  typedef std::uint64_t Vector __attribute__((vector_size(kBytes)));
  for (std::size_t i = 0; i < bytes; i += 4 * kBytes) {
    Vector block[4];
    std::memcpy(block, from + i, sizeof block);
    std::memcpy(to + i, block, sizeof block);
  }
}

void narrow_copy(char* to, const char* from, std::size_t bytes) { copy_with<16>(to, from, bytes); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void wide_copy(char* to, const char* from, std::size_t bytes) {
  copy_with<32>(to, from, bytes);
}
auto* best_copy() { return __builtin_cpu_supports("avx2") ? wide_copy : narrow_copy; }
#else
auto* best_copy() { return narrow_copy; }
#endif

// Read plus written; the faster of a vector loop and memcpy (which may go past the caches).
double copy_bandwidth(std::size_t bytes, int threads) {
  std::vector<Buffer> from, to;
  for (int i = 0; i < threads; ++i) {
    from.push_back(make_buffer(bytes));
    to.push_back(make_buffer(bytes));
  }
  const std::size_t calls = std::max<std::size_t>(1, (std::size_t{16} << 20) / bytes);
  auto* const loop = best_copy();
  const double by_loop = best_time(threads, 15, [&](int i) {
    for (std::size_t call = 0; call < calls; ++call) {
      loop(to[i].get(), from[i].get(), bytes);
      asm volatile("" ::: "memory");
    }
  });
  const double by_memcpy = best_time(threads, 15, [&](int i) {
    for (std::size_t call = 0; call < calls; ++call) {
      std::memcpy(to[i].get(), from[i].get(), bytes);
      asm volatile("" ::: "memory");
    }
  });
  return 2.0 * static_cast<double>(bytes * calls) * threads / std::min(by_loop, by_memcpy);
}

// Of the data cache of one level, from Linux's own list (sysconf adds up every slice of the third
// level of a large processor); 0 where there is none.
std::size_t cache_bytes(int level) {
  for (int i = 0; i < 8; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    std::string type, size;
    int found = 0;
    std::ifstream(folder + "level") >> found;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;
    if (found != level || type == "Instruction" || size.empty()) continue;
    return std::stoul(size) << (size.back() == 'M' ? 20 : 10);
  }
  return 0;
}

}  // namespace

const Level& Machine::level_for(double bytes) const {
  for (const auto& level : levels) {
    if (bytes <= static_cast<double>(level.capacity)) return level;
  }
  return levels.back();
}

Machine probe(const std::string& isa, int threads) {
  Machine machine{threads, peak<float>(isa, threads), peak<double>(isa, threads), {}};
  const std::size_t l1 = cache_bytes(1), l2 = cache_bytes(2), l3 = cache_bytes(3);
  // Each copy fills about three quarters of the level with its two buffers.
  auto add = [&](const char* name, std::size_t capacity, std::size_t bytes) {
    machine.levels.push_back({name, capacity, copy_bandwidth(bytes / 4096 * 4096, threads)});
  };
  if (l1 > 0) add("L1", l1 * threads, l1 * 3 / 8);
  if (l2 > l1) add("L2", l2 * threads, l2 * 3 / 8);
  if (l3 > l2 * threads) add("L3", l3, l3 * 3 / 8 / threads);
  const std::size_t far = std::max<std::size_t>(4 * l3, std::size_t{64} << 20);
  add("DRAM", SIZE_MAX, std::min<std::size_t>(far, std::size_t{256} << 20) / threads);
  return machine;
}

std::string best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    return "x86-64-v4";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "x86-64-v3";
  return "x86-64-v2";
#else
  return "native";
#endif
}

std::string to_json(const Machine& machine) {
  char text[256];
  std::snprintf(text, sizeof text, "{\"threads\": %d, \"flops_f32\": %.4g, \"flops_f64\": %.4g",
                machine.threads, machine.flops_f32, machine.flops_f64);
  std::string json = std::string(text) + ", \"copy_bytes_per_s\": {";
  for (const auto& level : machine.levels) {
    std::snprintf(text, sizeof text, "%s\"%s\": %.4g", &level == &machine.levels[0] ? "" : ", ",
                  level.name.c_str(), level.bytes_per_s);
    json += text;
  }
  return json + "}}";
}

}  // namespace bench
