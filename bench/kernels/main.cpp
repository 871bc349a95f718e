// Times every kernel of the table on fixed shapes and compares it with the roofline: the smaller of
// the machine's peak and the kernel's intensity times the copy bandwidth of the level of memory
// that its data fit in. Both are measured here first.
//
//   lamella_kernel_bench --filter conv --threads 1,2 --json conv.json
//   LAMELLA_ISA=x86-64-v3 lamella_kernel_bench --filter "unary exp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "bench.h"
#include "probe.h"

namespace bench {

void Arena::Free::operator()(void* p) const { std::free(p); }

void* Arena::bytes(std::size_t n) {
  const std::size_t size = (std::max<std::size_t>(n, 1) + 63) / 64 * 64;
  blocks_.emplace_back(std::aligned_alloc(64, size));
  if (!blocks_.back()) throw std::bad_alloc();
  return std::memset(blocks_.back().get(), 0, size);
}

void* Arena::floats(std::int64_t n, lamella::DType dtype, bool fill) {
  void* block = bytes(static_cast<std::size_t>(n) * lamella::size_of(dtype));
  if (!fill) return block;
  std::uint32_t state = 12345;
  for (std::int64_t i = 0; i < n; ++i) {
    state = state * 1664525U + 1013904223U;
    const double x = static_cast<double>(state >> 8) / (1 << 23) - 1;
    if (dtype == lamella::DType::kFloat64) {
      static_cast<double*>(block)[i] = x;
    } else {
      static_cast<float*>(block)[i] = static_cast<float>(x);
    }
  }
  return block;
}

namespace {

struct Options {
  std::string filter, json;
  std::vector<int> threads{1};
  lamella::DType dtype = lamella::DType::kFloat32;
  double seconds = 0.05;
  bool list = false;
};

[[noreturn]] void usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s [--filter TEXT] [--threads 1,2] [--dtype float32|float64]\n"
               "       [--seconds S] [--json FILE] [--list]\n"
               "  --filter   only kernels or shapes whose names contain TEXT\n"
               "  --seconds  spent on each kernel, shape and number of threads\n"
               "The instruction set is lamella's choice, or LAMELLA_ISA.\n",
               program);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--list") {
      options.list = true;
      continue;
    }
    if (i + 1 == argc) usage(argv[0]);
    const std::string value = argv[++i];
    if (name == "--filter") {
      options.filter = value;
    } else if (name == "--json") {
      options.json = value;
    } else if (name == "--seconds") {
      options.seconds = std::atof(value.c_str());
    } else if (name == "--dtype" && (value == "float32" || value == "float64")) {
      options.dtype = lamella::parse_dtype(value);
    } else if (name == "--threads") {
      options.threads.clear();
      std::stringstream list(value);
      for (std::string part; std::getline(list, part, ',');) {
        options.threads.push_back(std::atoi(part.c_str()));
        if (options.threads.back() < 1) usage(argv[0]);
      }
    } else {
      usage(argv[0]);
    }
  }
  return options;
}

struct Times {
  double minimum, median;
};

// Samples of about a millisecond (or one call) until the time is spent; at least five.
Times measure(const Run& run, int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  int fault = 0;
  const lamella::kernels::Exec exec{threads, &fault};
  auto sample = [&](int calls) {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) run(exec);
    return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
  };
  sample(1);
  const double once = std::max(sample(1), 1e-9);
  const int calls = std::max(1, static_cast<int>(1e-3 / once));
  std::vector<double> samples;
  const auto begin = Clock::now();
  while (samples.size() < 5 ||
         std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    samples.push_back(sample(calls));
  }
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2]};
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

int run(const Options& options) {
  auto cases = memory_cases(options.dtype);
  for (auto& c : product_cases(options.dtype)) cases.push_back(std::move(c));
  std::erase_if(cases, [&](const Case& c) {
    return (c.kernel + " " + c.shape).find(options.filter) == std::string::npos;
  });
  if (options.list) {
    for (const auto& c : cases) std::printf("%s  %s\n", c.kernel.c_str(), c.shape.c_str());
    return 0;
  }
  const auto info = lamella::kernels::backend_info();
  const std::string dtype(lamella::name(options.dtype));
  std::string machines, rows;
  for (const int threads : options.threads) {
    const Machine machine = probe(info.isa, threads);
    machines += (machines.empty() ? "" : ", ") + to_json(machine);
    const double peak =
        options.dtype == lamella::DType::kFloat64 ? machine.flops_f64 : machine.flops_f32;
    std::printf("\n%s, %s, %d thread(s): peak %.4g GFLOP/s; copy", info.isa.c_str(), dtype.c_str(),
                threads, peak / 1e9);
    for (const auto& level : machine.levels) {
      std::printf(" %s %.3g GB/s", level.name.c_str(), level.bytes_per_s / 1e9);
    }
    std::printf("\n%-24s %-28s %10s %10s %9s %8s  %s\n", "kernel", "shape", "minimum", "median",
                "GFLOP/s", "GB/s", "roofline");
    for (const auto& c : cases) {
      Arena arena;
      const Times times = measure(c.make(arena), threads, options.seconds);
      const Level& level = machine.level_for(c.bytes);
      const double floor = std::max(c.bytes / level.bytes_per_s, c.flops / peak);
      const bool by_memory = floor > c.flops / peak;
      const double share = floor / times.minimum;
      std::printf("%-24s %-28s %8.2fus %8.2fus %9.1f %8.1f  %3.0f%% of %s\n", c.kernel.c_str(),
                  c.shape.c_str(), times.minimum * 1e6, times.median * 1e6,
                  c.flops / times.minimum / 1e9, c.bytes / times.minimum / 1e9, 100 * share,
                  by_memory ? level.name.c_str() : "peak");
      std::fflush(stdout);
      char numbers[256];
      std::snprintf(numbers, sizeof numbers,
                    "\"threads\": %d, \"minimum\": %.4g, \"median\": %.4g, \"flops\": %.6g, "
                    "\"bytes\": %.6g, \"share\": %.4g",
                    threads, times.minimum, times.median, c.flops, c.bytes, share);
      rows += (rows.empty() ? "  " : ",\n  ");
      rows += "{\"kernel\": " + quoted(c.kernel) + ", \"shape\": " + quoted(c.shape) +
              ", \"bound\": " + quoted(by_memory ? level.name : "peak") + ", " + numbers + "}";
    }
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << "{\"isa\": " << quoted(info.isa) << ", \"dtype\": " << quoted(dtype)
         << ", \"compiler\": " << quoted(info.compiler) << ",\n\"machine\": [" << machines
         << "],\n\"results\": [\n"
         << rows << "\n]}\n";
    if (!file.flush()) throw std::runtime_error("cannot write " + options.json);
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto options = bench::parse(argc, argv);
  try {
    return bench::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}
