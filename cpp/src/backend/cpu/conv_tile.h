// The register-blocked sums of convolution. Loops over registers are written as folds over
// constants: compilers then keep every sum in a register of its own, also between the segments of a
// sum.
#pragma once

#include <type_traits>
#include <utility>

#include "backend/cpu/gemm.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Rows of a tile of results, whose offsets fill the general registers.
inline constexpr int kTileRows = 8;

/// f(0), f(1), ... f(N - 1), of constants.
template <int N, class F>
EIGEN_STRONG_INLINE void each(F&& f) {
  [&]<int... kI>(std::integer_sequence<int, kI...>) {
    (f(std::integral_constant<int, kI>{}), ...);
  }(std::make_integer_sequence<int, N>{});
}

/// c[c_off[i] + j] = act(bias[j] + sum over segments and k of a[a_off[i] + k] * b[k][j]), b packed.
template <class T>
struct GatherTile {
  const Segment<T>* segments;
  std::int64_t n_segments;
  std::int64_t b_shift;  // added to every segment's b
  const std::int64_t* a_off;
  T* c;
  const std::int64_t* c_off;
  int rows;           // that exist
  std::int64_t cols;  // of the panel that exist
  const Epilogue<T>* epilogue;
};

template <class P, int NV, int MR>
void gather_tile(const GatherTile<LaneOf<P>>& t) {
  using T = LaneOf<P>;
  namespace ei = Eigen::internal;
  constexpr int kW = kLanes<P>;
  P acc[MR * NV];
  each<MR * NV>([&](auto i) { acc[i] = ei::pset1<P>(T(0)); });
  std::int64_t off[MR];
  each<MR>([&](auto i) { off[i] = t.a_off[i < t.rows ? int(i) : t.rows - 1]; });
  const Segment<T>* end = t.segments + t.n_segments;
  for (const Segment<T>* s = t.segments; s != end; ++s) {
    const T* a = s->a;
    const T* b = s->b + t.b_shift;
    for (const T* a_end = a + s->k; a != a_end; ++a) {
      P bv[NV];
      each<NV>([&](auto j) { bv[j] = ei::ploadu<P>(b + j * kW); });
      each<MR>([&](auto i) {
        const P av = ei::pset1<P>(a[off[i]]);
        each<NV>([&](auto j) { acc[i * NV + j] = ei::pmadd(av, bv[j], acc[i * NV + j]); });
      });
      b += NV * kW;
    }
  }
  const Epilogue<T>& e = *t.epilogue;
  const std::int64_t last = t.cols - (NV - 1) * kW;
  if (e.bias != nullptr) {
    each<NV>([&](auto j) {
      const P bias = j < NV - 1 || last == kW ? ei::ploadu<P>(e.bias + j * kW)
                                              : load_first<P>(e.bias + j * kW, last);
      each<MR>([&](auto i) { acc[i * NV + j] = ei::padd(acc[i * NV + j], bias); });
    });
  }
  if (e.act == Activation::kRelu) {
    each<MR * NV>([&](auto i) { acc[i] = relu_of(acc[i]); });
  }
  if (last == kW) {
    each<MR>([&](auto i) {
      if (i >= t.rows) return;
      T* c = t.c + t.c_off[i];
      each<NV>([&](auto j) { ei::pstoreu(c + j * kW, acc[i * NV + j]); });
    });
  } else {
    each<MR>([&](auto i) {
      if (i >= t.rows) return;
      T* c = t.c + t.c_off[i];
      each<NV - 1>([&](auto j) { ei::pstoreu(c + j * kW, acc[i * NV + j]); });
      store_first<P>(c + (NV - 1) * kW, acc[i * NV + NV - 1], last);
    });
  }
  if (e.act != Activation::kNone && e.act != Activation::kRelu) {
    for (int i = 0; i < t.rows; ++i) activate(e.act, e.alpha, t.c + t.c_off[i], t.cols);
  }
}

template <class T>
using GatherTileFn = void (*)(const GatherTile<T>&);

/// Rows of the largest tile of a panel kind.
template <class T>
int gather_tile_rows(PanelKind kind) {
  return kind == PanelKind::kWide && sizeof(FullPacket<T>) < 64 ? 6 : kTileRows;
}

template <class P, int NV, int kMost>
GatherTileFn<LaneOf<P>> gather_tile_of(int rows) {
  if (rows <= 1) return gather_tile<P, NV, 1>;
  if (rows <= 2) return gather_tile<P, NV, 2>;
  if (rows <= 4) return gather_tile<P, NV, 4>;
  if (rows <= 6) return gather_tile<P, NV, 6>;
  return gather_tile<P, NV, kMost>;
}

/// For 1 .. gather_tile_rows rows.
template <class T>
GatherTileFn<T> gather_tile_for(PanelKind kind, int rows) {
  switch (kind) {
    case PanelKind::kQuarter:
      return gather_tile_of<QuarterPacket<T>, 1, kTileRows>(rows);
    case PanelKind::kHalf:
      return gather_tile_of<HalfPacket<T>, 1, kTileRows>(rows);
    case PanelKind::kSingle:
      return gather_tile_of<FullPacket<T>, 1, kTileRows>(rows);
    default:
      return gather_tile_of<FullPacket<T>, 2, sizeof(FullPacket<T>) < 64 ? 6 : kTileRows>(rows);
  }
}

// A tile of dw: MR rows by NV vectors of columns, the sum over segments of pixels. Rows are
// neighbouring channels or, Apart, lie at offsets of their own.
template <class T>
struct WeightsTile {
  const Segment<T>* segments;
  std::int64_t n_segments;
  std::int64_t a_shift, b_shift;  // added to every segment's a and b
  std::int64_t a_step, ldb;       // from pixel to pixel
  const std::int64_t* a_off;      // per row, where apart
  T* c;
  std::int64_t ldc;
  std::int64_t last;  // columns of the last vector
  bool add;
};

template <class P, int NV, int MR, bool Masked, bool Apart>
void weights_tile(const WeightsTile<LaneOf<P>>& t) {
  using T = LaneOf<P>;
  namespace ei = Eigen::internal;
  constexpr int kW = kLanes<P>;
  P acc[MR * NV];
  each<MR * NV>([&](auto i) { acc[i] = ei::pset1<P>(T(0)); });
  const auto load = [&t](const T* p, auto j) {
    return Masked && j == NV - 1 ? load_first<P>(p + j * kW, t.last) : ei::ploadu<P>(p + j * kW);
  };
  std::int64_t off[MR];
  each<MR>([&](auto i) { off[i] = Apart ? t.a_off[i] : std::int64_t{i}; });
  const Segment<T>* end = t.segments + t.n_segments;
  for (const Segment<T>* s = t.segments; s != end; ++s) {
    const T* a = s->a + t.a_shift;
    const T* b = s->b + t.b_shift;
    for (std::int64_t k = s->k; k > 0; --k) {
      P bv[NV];
      each<NV>([&](auto j) { bv[j] = load(b, j); });
      each<MR>([&](auto i) {
        const P av = ei::pset1<P>(a[off[i]]);
        each<NV>([&](auto j) { acc[i * NV + j] = ei::pmadd(av, bv[j], acc[i * NV + j]); });
      });
      a += t.a_step;
      b += t.ldb;
    }
  }
  each<MR>([&](auto i) {
    T* c = t.c + i * t.ldc;
    each<NV>([&](auto j) {
      P& v = acc[i * NV + j];
      if (t.add) v = ei::padd(load(c, j), v);
      if (Masked && j == NV - 1) {
        store_first<P>(c + j * kW, v, t.last);
      } else {
        ei::pstoreu(c + j * kW, v);
      }
    });
  });
}

template <class T>
using WeightsTileFn = void (*)(const WeightsTile<T>&);

template <class P, int NV, bool Masked, bool Apart, int... kRows>
WeightsTileFn<LaneOf<P>> weights_tile_of(int rows, std::integer_sequence<int, kRows...>) {
  static constexpr WeightsTileFn<LaneOf<P>> kTiles[] = {
      weights_tile<P, NV, kRows + 1, Masked, Apart>...};
  return kTiles[rows - 1];
}

/// Rows of the largest tile: as many as the vector registers hold and, apart, the others.
template <class T, bool Apart>
constexpr int weights_tile_rows(bool wide) {
  return wide && sizeof(FullPacket<T>) < 64 ? 6 : Apart ? 9 : 12;
}

/// For 1 .. weights_tile_rows rows.
template <class T, bool Apart, bool Masked>
WeightsTileFn<T> weights_tile_for(PanelKind kind, int rows) {
  constexpr auto kNarrow = std::make_integer_sequence<int, weights_tile_rows<T, Apart>(false)>{};
  constexpr auto kWide = std::make_integer_sequence<int, weights_tile_rows<T, Apart>(true)>{};
  switch (kind) {
    case PanelKind::kQuarter:
      return weights_tile_of<QuarterPacket<T>, 1, Masked, Apart>(rows, kNarrow);
    case PanelKind::kHalf:
      return weights_tile_of<HalfPacket<T>, 1, Masked, Apart>(rows, kNarrow);
    case PanelKind::kSingle:
      return weights_tile_of<FullPacket<T>, 1, Masked, Apart>(rows, kNarrow);
    default:
      return weights_tile_of<FullPacket<T>, 2, Masked, Apart>(rows, kWide);
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
