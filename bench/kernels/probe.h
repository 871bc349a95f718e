// What this machine can do: peak of fused multiply-adds and bandwidth of a copy at each level of
// memory. Measured, with as many threads as are asked for, each on buffers of its own.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

struct Level {
  std::string name;      // "L1", "L2", "L3", "DRAM"
  std::size_t capacity;  // bytes that fit, of all threads together; DRAM: no limit
  double bytes_per_s;    // read plus written by a copy
};

struct Machine {
  int threads;
  double flops_f32, flops_f64;  // FMA counts two
  std::vector<Level> levels;    // from the nearest to the farthest

  /// The nearest level that holds so many bytes.
  const Level& level_for(double bytes) const;
};

/// `isa` as lamella names them ("x86-64-v2", "x86-64-v3", "x86-64-v4"): whose multiply-adds are
/// counted; any other name takes the compiler's default.
Machine probe(const std::string& isa, int threads);

/// The newest of those names that this machine runs.
std::string best_isa();

/// {"threads": ..., "flops_f32": ..., "levels": [...]}
std::string to_json(const Machine& machine);

}  // namespace bench
