// Which CPU backend runs, and which others could.
#pragma once

#include <string>
#include <vector>

#include "backend/kernels.h"
#include "lamella/export.h"

namespace lamella::kernels {

LAMELLA_API const KernelTable& table();  // exported for the tests of the kernels

/// Instruction sets from the oldest to the newest that this machine, with its operating system,
/// runs: "x86-64-v2", "x86-64-v3", "x86-64-v4", or "native" on other processors.
LAMELLA_API std::vector<std::string> supported_isas();

/// Instruction sets whose kernels were found beside the library (or are linked in).
LAMELLA_API std::vector<std::string> available_isas();

struct BackendInfo {
  std::string isa;                     // the one in use
  std::vector<std::string> supported;  // supported_isas()
  std::vector<std::string> available;  // available_isas()
  std::string compiler;                // that built the kernels
  int vector_bytes;                    // width of a vector register
};

/// Loads the backend if that has not happened yet; throws what table() throws.
LAMELLA_API BackendInfo backend_info();

}  // namespace lamella::kernels
