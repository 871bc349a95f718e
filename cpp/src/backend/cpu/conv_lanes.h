// Depthwise convolution, and groups of so few channels that several fill one vector: vectors run
// along the channels of all groups.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_pack.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Groups with as many results as sources, a power of two of them, too few for a panel of their
/// own: half an AVX-512 vector is a panel that wastes nothing.
template <class T>
bool prefers_lanes(const ConvGeometry& g) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  constexpr std::int64_t kMost = sizeof(Vec<T>) == 64 ? kW / 4 : kW / 2;
  const std::int64_t cg = g.groups > 1 && g.c == g.o ? g.c / g.groups : 0;
  return cg > 0 && cg <= kMost && kW % cg == 0 && g.k[0] * g.k[1] <= kBandRuns;
}

/// Forward or one phase of backward-data.
template <class T>
struct LanesConv {
  Gather<T> gather;  // of all groups; k: channels of a group
  const T* w;        // (tap of the convolution, channel of a group's source, channel)
  std::int64_t k1, k2;
  T* out;
  Epilogue<T> epilogue;
};

template <class T>
void run_lanes(const LanesConv<T>& p, const Exec& exec);

/// out (tap, output channel of its group, input channel) from w (tap, input channel of its group,
/// output channel).
template <class T>
void turn_groups(const ConvGeometry& g, const T* w, T* out);

/// Parts of dw, each of its size, that run_lanes_weights wants in its workspace if there are
/// several.
std::int64_t lanes_weight_parts(const ConvGeometry& g);
template <class T>
void run_lanes_weights(const ConvGeometry& g, const T* x, const T* dy, T* dw, T* workspace,
                       const Exec& exec);

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
