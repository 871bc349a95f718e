// Weights as the tiles of a gather read them.
#pragma once

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_dots.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Weights (k0, k1, k2, cg, o) of one group, seen from a gather: from its tap's k channels to n
/// results.
template <class T>
struct WeightView {
  const T* w;  // of the group's first output channel
  const Axis* axis;
  std::int64_t k1, k2;   // the convolution's kernel size
  std::int64_t cg, ldw;  // input channels of a group; output channels of all groups
  bool backward;         // results are input channels

  /// The block (cg, o) of tap (j0, j1, j2).
  const T* tap(std::int64_t j0, std::int64_t j1, std::int64_t j2) const {
    return w +
           ((tap_of(axis[0], j0) * k1 + tap_of(axis[1], j1)) * k2 + tap_of(axis[2], j2)) * cg * ldw;
  }
  const T* tap(std::int64_t j) const {
    const std::int64_t rest = j / axis[2].taps;
    return tap(rest / axis[1].taps, rest % axis[1].taps, j % axis[2].taps);
  }
};

/// Panels (next_narrow_panel) of n columns and taps * k rows.
template <class T>
void pack_panels(const Gather<T>& p, const WeightView<T>& view, T* packed, const Exec& exec) {
  constexpr std::int64_t kW = kPanelWidth<T>;
  const std::int64_t taps = p.taps();
  const std::int64_t pairs = (p.n + kW - 1) / kW;
  parallel_for(exec, pairs * taps, std::max<std::int64_t>(1, 65536 / (kW * p.k)),
               [&](std::int64_t u0, std::int64_t u1) {
                 for (std::int64_t u = u0; u < u1; ++u) {
                   const std::int64_t t = u % taps;
                   const T* w = view.tap(t);
                   const std::int64_t end = std::min(p.n, (u / taps + 1) * kW);
                   for (std::int64_t j = u / taps * kW; j < end;) {
                     const Panel panel = next_narrow_panel<T>(p.n - j);
                     T* out = packed + j * taps * p.k + t * p.k * panel.width;
                     if (view.backward) {
                       pack_panel_transposed(panel, w + j * view.ldw, view.ldw, p.k, out);
                     } else {
                       pack_panel(panel, w + j, view.ldw, p.k, out);
                     }
                     j += panel.cols;
                   }
                 }
               });
}

/// As run_dots reads them.
template <class T>
void pack_dots(const Gather<T>& p, const BandPlan& plan, const WeightView<T>& view, T* packed) {
  constexpr std::int64_t kW = Vec<T>::kWidth;
  const std::int64_t vectors = run_vectors<T>(plan.run);
  const std::int64_t row = plan.run / p.k;  // taps of a run
  for (std::int64_t s = 0; s < plan.runs; ++s) {
    T* out = packed + s * vectors * p.n * kW;
    std::fill(out, out + vectors * p.n * kW, T(0));
    for (std::int64_t e = 0; e < plan.run; ++e) {
      const T* w = view.tap(s * row + e / p.k);
      for (std::int64_t o = 0; o < p.n; ++o) {
        out[(e / kW * p.n + o) * kW + e % kW] =
            view.backward ? w[o * view.ldw + e % p.k] : w[e % p.k * view.ldw + o];
      }
    }
  }
}

/// Elements that either takes, for taps * k rows and n columns.
template <class T>
std::int64_t packed_weights_size(std::int64_t rows, std::int64_t n) {
  return std::max(packed_size<T>(rows, n), n <= kDotColumns ? 3 * rows * n : 0);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
