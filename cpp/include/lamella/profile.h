// Where the time of a step goes, and what this machine could do.
#pragma once

#include <string>
#include <vector>

#include "lamella/export.h"
#include "lamella/tensor.h"

namespace lamella {

/// One kernel call of a Program, or the feeding of a batch ("feed").
struct ProfileLine {
  std::string op;             ///< "matmul", "conv", ...; "assign", or the optimizer's name
  std::string scope;          ///< the layer, or the variable that is assigned
  std::vector<Spec> outputs;  ///< what the op computes
  double seconds = 0;         ///< median
  double flops = 0;           ///< floating-point operations
  double bytes = 0;           ///< that must be read and written, each once
};

/// What the processor reaches on `threads` threads in loops that do nothing else.
struct MachinePeaks {
  int threads = 1;
  double flops32 = 0, flops64 = 0;  ///< multiply-adds (two operations each) per second
  /// Bytes per second (read + written) of a copy within so many bytes of memory, smallest first.
  struct Level {
    double bytes = 0, bandwidth = 0;
  };
  std::vector<Level> levels;
};

/// Measures for about a quarter of a second, with the number of threads now set.
LAMELLA_API MachinePeaks measure_peaks();

}  // namespace lamella
