#include "backend/cpu/gemm.h"

#include <cstring>

#include "backend/cpu/elementwise_loops.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

namespace ei = Eigen::internal;

template <class P, int NV, bool Masked>
EIGEN_STRONG_INLINE void load_row(const LaneOf<P>* p, std::int64_t last, P (&v)[NV]) {
#pragma GCC unroll 8
  for (int j = 0; j < NV; ++j) {
    if (Masked && j == NV - 1) {
      v[j] = load_first<P>(p + j * kLanes<P>, last);
    } else {
      v[j] = ei::ploadu<P>(p + j * kLanes<P>);
    }
  }
}

// Always inlined: called, it would take the sums through memory.
template <class P, int NV, int MR, class TileT>
EIGEN_ALWAYS_INLINE void store_tile(const TileT& t, P (&acc)[MR][NV]) {
  using T = LaneOf<P>;
  const bool finish = t.epilogue != nullptr;
  const bool has_bias = finish && t.epilogue->bias != nullptr;
  const bool relu = finish && t.epilogue->act == Activation::kRelu;
  const std::int64_t last = t.cols - (NV - 1) * kLanes<P>;
  const bool whole = last == kLanes<P>;
  P bias[NV];
#pragma GCC unroll 8
  for (int j = 0; j < NV; ++j) bias[j] = ei::pset1<P>(T(0));
  if (has_bias) {
    if (t.epilogue->bias_step == 0) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) bias[j] = ei::pset1<P>(*t.epilogue->bias);
    } else if (whole) {
      load_row<P, NV, false>(t.epilogue->bias, last, bias);
    } else {
      load_row<P, NV, true>(t.epilogue->bias, last, bias);
    }
  }
  if (t.add) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      P before[NV];
      const T* c = t.c + t.c_off[i < t.rows ? i : t.rows - 1];
      if (whole) {
        load_row<P, NV, false>(c, last, before);
      } else {
        load_row<P, NV, true>(c, last, before);
      }
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = ei::padd(before[j], acc[i][j]);
    }
  }
  if (has_bias) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = ei::padd(acc[i][j], bias[j]);
    }
  }
  if (relu) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) acc[i][j] = relu_of(acc[i][j]);
    }
  }
  if (whole && t.rows == MR) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      T* c = t.c + t.c_off[i];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) ei::pstoreu(c + j * kLanes<P>, acc[i][j]);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      if (i < t.rows) {
        T* c = t.c + t.c_off[i];
#pragma GCC unroll 8
        for (int j = 0; j < NV - 1; ++j) ei::pstoreu(c + j * kLanes<P>, acc[i][j]);
        store_first<P>(c + (NV - 1) * kLanes<P>, acc[i][NV - 1], last);
      }
    }
  }
  if (finish && !relu && t.epilogue->act != Activation::kNone) {
    for (int i = 0; i < t.rows; ++i) {
      activate(t.epilogue->act, t.epilogue->alpha, t.c + t.c_off[i], t.cols);
    }
  }
}

template <class P, int NV, int MR, bool Masked>
void strided_tile(const Tile<LaneOf<P>>& t) {
  using T = LaneOf<P>;
  P acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) acc[i][j] = ei::pset1<P>(T(0));
  }
  std::int64_t off[MR];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) off[i] = t.a_off[i < t.rows ? i : t.rows - 1];
  const std::int64_t a_step = t.a_step;
  const std::int64_t ldb = t.ldb;
  const std::int64_t last = t.cols - (NV - 1) * kLanes<P>;
  for (int s = 0; s < t.n_segments; ++s) {
    const T* a = t.segments[s].a + t.a_shift;
    const T* b = t.segments[s].b + t.b_shift;
    for (std::int64_t k = t.segments[s].k; k > 0; --k) {
      P bv[NV];
      load_row<P, NV, Masked>(b, last, bv);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const P av = ei::pset1<P>(a[off[i]]);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) acc[i][j] = ei::pmadd(av, bv[j], acc[i][j]);
      }
      a += a_step;
      b += ldb;
    }
  }
  store_tile<P, NV, MR>(t, acc);
}

template <class P, int NV, int MR>
void indirect_tile(const IndirectTile<LaneOf<P>>& t) {
  using T = LaneOf<P>;
  P acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) acc[i][j] = ei::pset1<P>(T(0));
  }
  const T* b = t.b;
  const T* const* pointers = t.pointers;
  for (std::int64_t s = 0; s < t.taps; ++s, pointers += kStrip) {
    const T* a[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) a[i] = pointers[i] + t.a_shift;
    for (std::int64_t k = 0; k < t.k; ++k) {
      P bv[NV];
      load_row<P, NV, false>(b, 0, bv);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const P av = ei::pset1<P>(a[i][k]);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) acc[i][j] = ei::pmadd(av, bv[j], acc[i][j]);
      }
      b += NV * kLanes<P>;
    }
  }
  store_tile<P, NV, MR>(t, acc);
}

template <class P, int NV, bool Masked>
TileFn<LaneOf<P>> tall_kernel(int rows) {  // up to 12 rows
  if (rows <= 1) return strided_tile<P, NV, 1, Masked>;
  if (rows <= 2) return strided_tile<P, NV, 2, Masked>;
  if (rows <= 4) return strided_tile<P, NV, 4, Masked>;
  if (rows <= 6) return strided_tile<P, NV, 6, Masked>;
  if (rows <= 8) return strided_tile<P, NV, 8, Masked>;
  if (rows <= 10) return strided_tile<P, NV, 10, Masked>;
  return strided_tile<P, NV, 12, Masked>;
}

template <class P, bool Masked>
TileFn<LaneOf<P>> wide_kernel(int rows) {
  if constexpr (kWideRows<LaneOf<P>> == 12) {
    return tall_kernel<P, 2, Masked>(rows);
  } else {
    if (rows <= 1) return strided_tile<P, 2, 1, Masked>;
    if (rows <= 2) return strided_tile<P, 2, 2, Masked>;
    if (rows <= 4) return strided_tile<P, 2, 4, Masked>;
    return strided_tile<P, 2, 6, Masked>;
  }
}

template <class T, bool Masked>
TileFn<T> strided_kernel(PanelKind kind, int rows) {
  using Full = FullPacket<T>;
  switch (kind) {
    case PanelKind::kQuarter:
      return tall_kernel<QuarterPacket<T>, 1, Masked>(rows);
    case PanelKind::kHalf:
      return tall_kernel<HalfPacket<T>, 1, Masked>(rows);
    case PanelKind::kSingle:
      return tall_kernel<Full, 1, Masked>(rows);
    case PanelKind::kWide:
      return wide_kernel<Full, Masked>(rows);
    case PanelKind::kRow4:
      return strided_tile<Full, 4, 1, Masked>;
    case PanelKind::kRow8:
      return strided_tile<Full, 8, 1, Masked>;
  }
  return nullptr;
}

// Up to as many columns of a panel as P has lanes, transposed block by block in registers.
template <class P, class T>
void transpose_columns(const T* b, std::int64_t ldb, std::int64_t k, std::int64_t cols, T* out,
                       std::int64_t width) {
  constexpr int kW = kLanes<P>;
  ei::PacketBlock<P, kW> block;
#pragma GCC unroll 16
  for (int j = 0; j < kW; ++j) block.packet[j] = ei::pset1<P>(T(0));
  for (; k >= kW; k -= kW, b += kW, out += kW * width) {
    ei::PacketBlock<P, kW> turned = block;
#pragma GCC unroll 16
    for (int j = 0; j < kW; ++j) {
      if (j < cols) turned.packet[j] = ei::ploadu<P>(b + j * ldb);
    }
    ei::ptranspose(turned);
#pragma GCC unroll 16
    for (int j = 0; j < kW; ++j) ei::pstoreu(out + j * width, turned.packet[j]);
  }
  if (k == 0) return;
#pragma GCC unroll 16
  for (int j = 0; j < kW; ++j) {
    if (j < cols) block.packet[j] = load_first<P>(b + j * ldb, k);
  }
  ei::ptranspose(block);
#pragma GCC unroll 16
  for (int j = 0; j < kW; ++j) {
    if (j < k) ei::pstoreu(out + j * width, block.packet[j]);
  }
}

constexpr UnaryOp unary_of(Activation act) {
  switch (act) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return UnaryOp::kRelu;
    case Activation::kSigmoid:
      return UnaryOp::kSigmoid;
    case Activation::kTanh:
      return UnaryOp::kTanh;
    case Activation::kElu:
      return UnaryOp::kElu;
    case Activation::kLeakyRelu:
      return UnaryOp::kLeakyRelu;
    case Activation::kSilu:
      return UnaryOp::kSilu;
    case Activation::kGelu:
      return UnaryOp::kGelu;
  }
  return UnaryOp::kCopy;
}

}  // namespace

template <class T>
int tile_rows(PanelKind kind) {
  if (kind == PanelKind::kRow4 || kind == PanelKind::kRow8) return 1;
  return kind == PanelKind::kWide ? kWideRows<T> : kStrip;
}

template <class T>
TileFn<T> tile_kernel(const Panel& panel, int rows, bool masked) {
  return masked && panel.cols < panel.width ? strided_kernel<T, true>(panel.kind, rows)
                                            : strided_kernel<T, false>(panel.kind, rows);
}

template <class T>
IndirectTileFn<T> indirect_tile_kernel(const Panel& panel) {
  switch (panel.kind) {
    case PanelKind::kQuarter:
      return indirect_tile<QuarterPacket<T>, 1, kStrip>;
    case PanelKind::kHalf:
      return indirect_tile<HalfPacket<T>, 1, kStrip>;
    case PanelKind::kSingle:
      return indirect_tile<FullPacket<T>, 1, kStrip>;
    default:
      return indirect_tile<FullPacket<T>, 2, kWideRows<T>>;
  }
}

template <class T>
void pack_panel(const Panel& panel, const T* b, std::int64_t ldb, std::int64_t k, T* out) {
  const auto bytes = static_cast<std::size_t>(panel.cols) * sizeof(T);
  if (panel.cols == panel.width && panel.kind == PanelKind::kWide) {
    constexpr std::size_t kBytes = static_cast<std::size_t>(kPanelWidth<T>) * sizeof(T);
    for (std::int64_t i = 0; i < k; ++i) std::memcpy(out + i * kPanelWidth<T>, b + i * ldb, kBytes);
    return;
  }
  for (std::int64_t i = 0; i < k; ++i) {
    T* row = out + i * panel.width;
    std::memcpy(row, b + i * ldb, bytes);
    std::fill(row + panel.cols, row + panel.width, T(0));
  }
}

template <class T>
void pack_panel_transposed(const Panel& panel, const T* b, std::int64_t ldb, std::int64_t k,
                           T* out) {
  using Full = FullPacket<T>;
  constexpr int kW = kLanes<Full>;
  switch (panel.kind) {
    case PanelKind::kQuarter:
      transpose_columns<QuarterPacket<T>>(b, ldb, k, panel.cols, out, panel.width);
      return;
    case PanelKind::kHalf:
      transpose_columns<HalfPacket<T>>(b, ldb, k, panel.cols, out, panel.width);
      return;
    default:
      for (int j = 0; j < panel.width; j += kW) {
        transpose_columns<Full>(b + j * ldb, ldb, k, std::min(kW, panel.cols - j), out + j,
                                panel.width);
      }
  }
}

template <class T>
void activate(Activation act, double alpha, T* row, std::int64_t n) {
  unary_loop<T>(unary_of(act))(row, row, n, static_cast<T>(alpha), T(0));
}

template <class T>
void finish_row(const Epilogue<T>& e, T* row, std::int64_t n) {
  if (e.bias != nullptr) {
    for (std::int64_t j = 0; j < n; ++j) row[j] += e.bias[j * e.bias_step];
  }
  if (e.act != Activation::kNone) activate(e.act, e.alpha, row, n);
}

template <class T>
void run_strips(const Panel& panel, bool masked, std::int64_t m, std::int64_t a_row,
                std::int64_t ldc, Tile<T> tile) {
  const Rows rows{m, a_row, kWideRows<T> * a_row, ldc};
  run_strips(panel, masked, rows, tile, false);
}

template <class T>
void run_strips(const Panel& panel, bool masked, const Rows& grid, Tile<T> tile, bool prefetch) {
  constexpr int kLine = 64 / static_cast<int>(sizeof(T));
  constexpr int kGroup = kWideRows<T>;
  const int most = tile_rows<T>(panel.kind);
  std::int64_t a_off[kStrip];
  std::int64_t c_off[kStrip];
  for (int i = 0; i < kStrip; ++i) {
    a_off[i] = i / kGroup * grid.a_group + i % kGroup * grid.a_row;
    c_off[i] = i * grid.ldc;
  }
  tile.a_off = a_off;
  tile.c_off = c_off;
  tile.cols = panel.cols;
  TileFn<T> kernel = nullptr;
  for (std::int64_t i = 0; i < grid.m; i += most) {
    const int rows = static_cast<int>(std::min<std::int64_t>(most, grid.m - i));
    if (kernel == nullptr || rows != tile.rows) {
      kernel = tile_kernel<T>(panel, rows, masked);
      tile.rows = rows;
    }
    if (prefetch) {
      for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < panel.cols; j += kLine) __builtin_prefetch(tile.c + c_off[r] + j, 1, 2);
      }
    }
    kernel(tile);
    tile.a_shift += most / kGroup * grid.a_group;
    tile.c += most * grid.ldc;
  }
}

#define LAMELLA_GEMM_INSTANCES(T)                                                                 \
  template int tile_rows<T>(PanelKind);                                                           \
  template TileFn<T> tile_kernel<T>(const Panel&, int, bool);                                     \
  template IndirectTileFn<T> indirect_tile_kernel<T>(const Panel&);                               \
  template void pack_panel<T>(const Panel&, const T*, std::int64_t, std::int64_t, T*);            \
  template void pack_panel_transposed<T>(const Panel&, const T*, std::int64_t, std::int64_t, T*); \
  template void activate<T>(Activation, double, T*, std::int64_t);                                \
  template void finish_row<T>(const Epilogue<T>&, T*, std::int64_t);                              \
  template void run_strips<T>(const Panel&, bool, std::int64_t, std::int64_t, std::int64_t,       \
                              Tile<T>);                                                           \
  template void run_strips<T>(const Panel&, bool, const Rows&, Tile<T>, bool);
LAMELLA_GEMM_INSTANCES(float)
LAMELLA_GEMM_INSTANCES(double)
#undef LAMELLA_GEMM_INSTANCES

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
