// Prints what probe.h measures as one line of JSON: probe ISA THREADS; ISA "best" is the newest.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "probe.h"

int main(int argc, char** argv) {
  if (argc != 3 || std::atoi(argv[2]) < 1) {
    std::fprintf(stderr, "usage: %s ISA|best THREADS\n", argv[0]);
    return 2;
  }
  const std::string isa = std::string(argv[1]) == "best" ? bench::best_isa() : argv[1];
  std::printf("%s\n", bench::to_json(bench::probe(isa, std::atoi(argv[2]))).c_str());
}
