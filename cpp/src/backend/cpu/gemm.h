// The register-blocked heart of matmul and convolution. A tile is up to kStrip rows of the result
// by one panel of columns; it lives in registers while the sum runs. Rows of the left operand are
// read in place, element by element (broadcast), through offsets or pointers, so no operand is ever
// rearranged on that side; columns of the right operand come as vectors, from memory or from a
// packed panel [k][width].
//
// Every element of a result is one chain of multiply-adds in the order of k, cut into blocks that
// depend on k alone. Which tile, strip, panel or thread computes it does not change a bit of it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/gemm_packet.h"
#include "backend/kernels.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// Most rows in a tile; conv cuts its pixels into strips of this size.
inline constexpr int kStrip = 12;

/// Multiply-adds that are worth a chunk of their own in parallel loops.
inline constexpr std::int64_t kGemmGrain = 1 << 18;

/// Most elements of k that are summed in registers before they are added to memory.
inline constexpr std::int64_t kBlockK = 512;

enum class PanelKind : std::uint8_t { kQuarter, kHalf, kSingle, kWide, kRow4, kRow8 };

/// Rows of a tile with 2 vectors a row: 12 rows fill 24 of AVX-512's 32 registers, 6 rows 12 of 16.
template <class T>
inline constexpr int kWideRows = sizeof(FullPacket<T>) == 64 ? 12 : 6;

/// One run of columns: `width` lanes are computed, the first `cols` of them exist.
struct Panel {
  PanelKind kind;
  int width;
  int cols;
};

template <class T>
inline constexpr int kPanelWidth = 2 * kLanes<FullPacket<T>>;

/// The panel for the next of `left` (> 0) columns. Panels before the last have kPanelWidth columns.
template <class T>
Panel next_panel(std::int64_t left) {
  constexpr int kFull = kLanes<FullPacket<T>>;
  constexpr int kHalf = kLanes<HalfPacket<T>>;
  constexpr int kQuarter = kLanes<QuarterPacket<T>>;
  const int cols = static_cast<int>(std::min<std::int64_t>(left, 2 * kFull));
  if (cols > kFull) return {PanelKind::kWide, 2 * kFull, cols};
  if (cols > kHalf || kHalf == kFull) return {PanelKind::kSingle, kFull, cols};
  if (cols > kQuarter || kQuarter == kHalf) return {PanelKind::kHalf, kHalf, cols};
  return {PanelKind::kQuarter, kQuarter, cols};
}

/// As next_panel, but 1.5 vectors of columns are a full and a half one.
template <class T>
Panel next_narrow_panel(std::int64_t left) {
  constexpr int kFull = kLanes<FullPacket<T>>;
  constexpr int kHalf = kLanes<HalfPacket<T>>;
  if (left > kFull && left <= kFull + kHalf && kHalf < kFull) {
    return {PanelKind::kSingle, kFull, kFull};
  }
  return next_panel<T>(left);
}

/// As next_panel for products with one row, where more columns at a time keep more sums in flight.
template <class T>
Panel next_row_panel(std::int64_t left) {
  constexpr int kFull = kLanes<FullPacket<T>>;
  if (left > 7 * kFull) {
    return {PanelKind::kRow8, 8 * kFull, static_cast<int>(std::min<std::int64_t>(left, 8 * kFull))};
  }
  if (left > 3 * kFull) {
    return {PanelKind::kRow4, 4 * kFull, static_cast<int>(std::min<std::int64_t>(left, 4 * kFull))};
  }
  return next_panel<T>(left);
}

/// What happens to a finished element: add bias[column * bias_step], then the activation.
template <class T>
struct Epilogue {
  const T* bias = nullptr;
  std::int64_t bias_step = 1;
  Activation act = Activation::kNone;
  double alpha = 0;
};

/// Part of the sum over k: `k` elements from a and b on.
template <class T>
struct Segment {
  const T* a;
  const T* b;
  std::int64_t k;
};

/// c[c_off[i] + j] (+)= sum over segments and k of a[a_off[i] + k * a_step] * b[k * ldb + j]
template <class T>
struct Tile {
  const Segment<T>* segments;
  int n_segments;
  std::int64_t a_shift = 0, b_shift = 0;  // added to every segment's a and b
  std::int64_t a_step;
  std::int64_t ldb;
  const std::int64_t* a_off;  // per row
  T* c;
  const std::int64_t* c_off;              // per row
  int rows, cols;                         // that exist
  bool add = false;                       // to what c holds
  const Epilogue<T>* epilogue = nullptr;  // null: the sum goes on, or there is nothing to do
};

/// As Tile, with rows read through pointers: row i of tap t is k contiguous elements from
/// pointers[t * kStrip + i] on. b is one packed panel of taps * k rows.
template <class T>
struct IndirectTile {
  const T* const* pointers;
  std::int64_t taps;
  std::int64_t a_shift = 0;  // added to every pointer
  std::int64_t k;
  const T* b;
  T* c;
  const std::int64_t* c_off;
  int rows, cols;
  bool add = false;
  const Epilogue<T>* epilogue = nullptr;  // bias as in Epilogue, of this panel's first column
};

template <class T>
using TileFn = void (*)(const Tile<T>&);
template <class T>
using IndirectTileFn = void (*)(const IndirectTile<T>&);

/// Rows of the largest tile of a panel kind.
template <class T>
int tile_rows(PanelKind kind);

/// The kernel for a panel and for `rows` (1 .. tile_rows) rows. `masked` must be set where the last
/// vector of b may not be read to its end (b is not packed).
template <class T>
TileFn<T> tile_kernel(const Panel& panel, int rows, bool masked);
template <class T>
IndirectTileFn<T> indirect_tile_kernel(const Panel& panel);

/// out[k][width] from b (k, cols), row-major with leading dimension ldb; zeros beyond cols.
template <class T>
void pack_panel(const Panel& panel, const T* b, std::int64_t ldb, std::int64_t k, T* out);
/// The same from b^T: element (k, j) lies at b[j * ldb + k].
template <class T>
void pack_panel_transposed(const Panel& panel, const T* b, std::int64_t ldb, std::int64_t k,
                           T* out);

/// Elements that the packed panels of a (k, n) operand take.
template <class T>
std::int64_t packed_size(std::int64_t k, std::int64_t n) {
  return k * ((n + kPanelWidth<T> - 1) / kPanelWidth<T>)*kPanelWidth<T>;
}

/// row[0 .. n) = act(row), with the unary kernels' functions.
template <class T>
void activate(Activation act, double alpha, T* row, std::int64_t n);

/// row[j] = act(row[j] + bias[j * bias_step]).
template <class T>
void finish_row(const Epilogue<T>& epilogue, T* row, std::int64_t n);

/// Rows for run_strips: those of the left operand lie a_row elements apart in groups of kWideRows,
/// the groups a_group elements apart; rows of c are ldc apart.
struct Rows {
  std::int64_t m;
  std::int64_t a_row, a_group;
  std::int64_t ldc;
};

/// Strips of one panel: rows [0, m). The segment list, steps, c and epilogue come in `tile`.
/// `prefetch` asks for c's rows before their sums begin, for results that lie far away.
template <class T>
void run_strips(const Panel& panel, bool masked, const Rows& rows, Tile<T> tile, bool prefetch);
/// The same with all rows of the left operand a_row elements apart.
template <class T>
void run_strips(const Panel& panel, bool masked, std::int64_t m, std::int64_t a_row,
                std::int64_t ldc, Tile<T> tile);

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
