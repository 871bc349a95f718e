// Gathers with few elements to each sum: walking tiles pixel by pixel through offsets would cost as
// much as the sums. Here one call computes a whole row of results, whose sources lie one step
// apart.
#pragma once

#include <iterator>

#include "backend/cpu/conv_band.h"
#include "backend/cpu/conv_tile.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kFewElements = 128;  // of a sum at most

template <class T>
bool prefers_few(const BandPlan& plan) {
  return plan.runs * plan.run <= kFewElements;
}

/// A panel's columns of a row of results: c[i * c_step + j] =
/// act(bias[j] + sum over runs and k of a[runs[s] + i * step + k] * b[s * run + k][j]), b packed.
template <class T>
struct FewRow {
  const T* a;
  std::int64_t step;
  const std::int64_t* runs;
  std::int64_t n_runs, run;
  const T* b;
  T* c;
  std::int64_t c_step, count, cols;
  Epilogue<T> epilogue;
};

// Tiles of R results; the last one begins earlier, and computes some results again.
template <class P, int NV, int R>
void few_row(const FewRow<LaneOf<P>>& t) {
  using T = LaneOf<P>;
  namespace ei = Eigen::internal;
  constexpr int kW = kLanes<P>;
  constexpr int kReach = 3;  // results that one pointer reaches: 0, 1 and 2 steps away
  constexpr int kPointers = (R + kReach - 1) / kReach;
  const std::int64_t step = t.step, run = t.run, n_runs = t.n_runs, c_step = t.c_step;
  const std::int64_t last = t.cols - (NV - 1) * kW;
  const std::int64_t* const runs = t.runs;
  const Activation act = t.epilogue.act;
  const T* const bias = t.epilogue.bias;
  for (std::int64_t at = 0;; at = std::min(at + R, t.count - R)) {
    P acc[R * NV];
    each<R * NV>([&](auto i) { acc[i] = ei::pset1<P>(T(0)); });
    const T* b = t.b;
    const T* const first = t.a + at * step;
    for (std::int64_t s = 0; s < n_runs; ++s) {
      const T* a[kPointers];
      each<kPointers>([&](auto p) { a[p] = first + runs[s] + p * kReach * step; });
      for (std::int64_t k = run; k > 0; --k) {
        P bv[NV];
        each<NV>([&](auto j) { bv[j] = ei::ploadu<P>(b + j * kW); });
        each<R>([&](auto i) {
          const P av = ei::pset1<P>(a[i / kReach][i % kReach * step]);
          each<NV>([&](auto j) { acc[i * NV + j] = ei::pmadd(av, bv[j], acc[i * NV + j]); });
        });
        each<kPointers>([&](auto p) { ++a[p]; });
        b += NV * kW;
      }
    }
    if (bias != nullptr) {
      each<NV>([&](auto j) {
        const P more = j < NV - 1 || last == kW ? ei::ploadu<P>(bias + j * kW)
                                                : load_first<P>(bias + j * kW, last);
        each<R>([&](auto i) { acc[i * NV + j] = ei::padd(acc[i * NV + j], more); });
      });
    }
    if (act == Activation::kRelu) each<R * NV>([&](auto i) { acc[i] = relu_of(acc[i]); });
    T* const c = t.c + at * c_step;
    if (last == kW && c_step == NV * kW) {  // side by side: constant distances
      each<R * NV>([&](auto i) { ei::pstoreu(c + i * kW, acc[i]); });
    } else {
      const auto store = [&](auto j, T* to, const P& v) {
        if (j < NV - 1 || last == kW) {
          ei::pstoreu(to, v);
        } else {
          store_first<P>(to, v, last);
        }
      };
      T* to = c;
      each<R>([&](auto i) {
        each<NV>([&](auto j) { store(j, to + j * kW, acc[i * NV + j]); });
        to += c_step;
      });
    }
    if (act != Activation::kNone && act != Activation::kRelu) {
      for (int i = 0; i < R; ++i) activate(act, t.epilogue.alpha, c + i * c_step, t.cols);
    }
    if (at + R >= t.count) return;
  }
}

template <class T>
using FewRowFn = void (*)(const FewRow<T>&);

/// Most results of a tile: what the registers hold.
template <class P, int NV>
inline constexpr int kFewMost = sizeof(FullPacket<LaneOf<P>>) == 64 ? 14
                                : NV == 1                           ? 12
                                                                    : 6;

/// The tile for rows of `count` results that covers them with the least work; beginning a tile
/// costs about as much as one result more.
template <class P, int NV>
FewRowFn<LaneOf<P>> few_row_of(std::int64_t count) {
  FewRowFn<LaneOf<P>> best = few_row<P, NV, 1>;
  std::int64_t least = 2 * count;
  const auto consider = [&]<int kRows>(std::integral_constant<int, kRows>) {
    if constexpr (kRows <= kFewMost<P, NV>) {
      const std::int64_t work = (count + kRows - 1) / kRows * (kRows + 1);
      if (kRows > count || work > least) return;
      least = work;
      best = few_row<P, NV, kRows>;
    }
  };
  [&]<int... kRows>(std::integer_sequence<int, kRows...>) {
    (consider(std::integral_constant<int, kRows>{}), ...);
  }(std::integer_sequence<int, 2, 4, 6, 8, 10, 12, 13, 14>{});
  return best;
}

template <class T>
FewRowFn<T> few_row_for(PanelKind kind, std::int64_t count) {
  switch (kind) {
    case PanelKind::kQuarter:
      return few_row_of<QuarterPacket<T>, 1>(count);
    case PanelKind::kHalf:
      return few_row_of<HalfPacket<T>, 1>(count);
    case PanelKind::kSingle:
      return few_row_of<FullPacket<T>, 1>(count);
    default:
      return few_row_of<FullPacket<T>, 2>(count);
  }
}

template <class T>
void few_bands(const PanelConv<T>& c, std::int64_t b0, std::int64_t b1) {
  alignas(64) T buffer[kBandBytes / static_cast<std::int64_t>(sizeof(T))];
  std::int64_t runs[kBandRuns];
  locate_runs(c.gather, c.plan, runs);
  const Axis* a = c.gather.axis;
  FewRow<T> row{};
  row.step = a[2].scale * c.plan.pixel;
  row.runs = runs;
  row.n_runs = c.plan.runs;
  row.run = c.plan.run;
  row.c_step = c.gather.out_stride[2];
  constexpr PanelKind kKinds[] = {PanelKind::kQuarter, PanelKind::kHalf, PanelKind::kSingle,
                                  PanelKind::kWide};
  FewRowFn<T> tiles[std::size(kKinds)] = {};  // for rows of row.count results
  for (std::int64_t index = b0; index < b1; ++index) {
    const Band<T> band = open_band(c.gather, c.plan, index, buffer);
    if (row.count != band.cols) {
      row.count = band.cols;
      for (const PanelKind kind : kKinds) {
        tiles[static_cast<int>(kind)] = few_row_for<T>(kind, row.count);
      }
    }
    for (std::int64_t r = 0; r < band.rows; ++r) {
      row.a = band.base + band.at + r * a[1].scale * c.plan.row;
      T* out = c.out + band.out + r * c.gather.out_stride[1];
      for (std::int64_t j = 0; j < c.gather.n;) {
        const Panel panel = next_narrow_panel<T>(c.gather.n - j);
        row.b = c.packed + j * row.n_runs * row.run;
        row.c = out + j;
        row.cols = panel.cols;
        row.epilogue = c.epilogue;
        if (row.epilogue.bias != nullptr) row.epilogue.bias += j;
        tiles[static_cast<int>(panel.kind)](row);
        j += panel.cols;
      }
    }
  }
}

template <class T>
void run_few(const PanelConv<T>& c, const Exec& exec) {
  const std::int64_t cost = c.plan.rows * c.plan.cols * c.plan.runs * c.plan.run * c.gather.n;
  parallel_for(exec, count_bands(c.gather, c.plan), kGemmGrain / std::max<std::int64_t>(1, cost),
               [&](std::int64_t b0, std::int64_t b1) { few_bands(c, b0, b1); });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
