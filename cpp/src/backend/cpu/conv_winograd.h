// Convolution of 3x3 kernels at stride 1 by Winograd's minimal filtering: a quarter of the
// multiplications, at errors of about twice the direct sums' (docs/winograd.md). float32 only.
//
// A NaN or infinity spreads over the tile that reads it, further than in the direct sums, and sums
// of huge numbers may overflow on the way. So the results are watched: where one is not finite, the
// caller computes all of them directly.
#pragma once

#include <cstddef>

#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Whether Winograd serves these arguments: a function of the sizes and of `exact`.
bool takes_winograd(const ConvArgs& args);
bool takes_winograd(const ConvBackwardDataArgs& args);
bool takes_winograd(const ConvBackwardWeightsArgs& args);

std::size_t winograd_workspace(const ConvArgs& args);
std::size_t winograd_workspace(const ConvBackwardDataArgs& args);
std::size_t winograd_workspace(const ConvBackwardWeightsArgs& args);

/// The same convolution without Winograd.
template <class Args>
Args sums_only(Args args) {
  args.exact = true;
  return args;
}

/// False when a result is not finite: then what was written does not count.
bool run_winograd(const ConvArgs& args, const Exec& exec);
bool run_winograd(const ConvBackwardDataArgs& args, const Exec& exec);
bool run_winograd(const ConvBackwardWeightsArgs& args, const Exec& exec);

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
