// Large products.
#pragma once

#include "backend/cpu/gemm_product.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kBlockM = 48;           // most rows of a copied at a time
inline constexpr std::int64_t kFewestRows = 24;       // and least
inline constexpr std::int64_t kBlockN = 4096;         // columns of b packed at a time
inline constexpr std::int64_t kGroupBytes = 1 << 19;  // of b that stay in the second-level cache
inline constexpr std::int64_t kManyUnits = 16;        // enough to keep some threads busy

/// A copy of op(a)'s rows [0, rows) and k elements that the tiles read without cache conflicts.
template <class T>
struct BlockOfA {
  static constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  alignas(64) T data[kBlockM * (kBlockK + kLine)];
  std::int64_t row, step;

  void copy(const Product<T>& p, const T* a, std::int64_t rows, std::int64_t k) {
    if (p.a_step == 1) {
      row = kBlockK + kLine;
      step = 1;
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(a + i * p.a_row, k, data + i * row);
    } else {
      row = 1;
      step = kBlockM;
      constexpr std::int64_t kW = Vec<T>::kWidth;
      for (std::int64_t i = 0; i < k; ++i) {
        const T* from = a + i * p.a_step;
        T* to = data + i * step;
        std::int64_t r = 0;
        for (; r + kW <= rows; r += kW) Vec<T>::load(from + r).store(to + r);
        if (r < rows) Vec<T>::load_partial(from + r, rows - r).store(to + r);
      }
    }
  }
};

/// Packs columns [n0, n0 + nn) of b's rows [k0, k0 + kn), panel after panel.
template <class T>
void pack_b(const Product<T>& p, std::int64_t n0, std::int64_t nn, std::int64_t k0, std::int64_t kn,
            T* packed, const Exec& exec) {
  constexpr int kW = kPanelWidth<T>;
  parallel_for(exec, (nn + kW - 1) / kW, std::max<std::int64_t>(1, 65536 / (kW * kn)),
               [&](std::int64_t q0, std::int64_t q1) {
                 for (std::int64_t q = q0; q < q1; ++q) {
                   const Panel panel = next_panel<T>(nn - q * kW);
                   const std::int64_t j = n0 + q * kW;
                   T* out = packed + q * kW * kn;
                   if (p.tb) {
                     pack_panel_transposed(panel, p.b + j * p.ldb + k0, p.ldb, kn, out);
                   } else {
                     pack_panel(panel, p.b + k0 * p.ldb + j, p.ldb, kn, out);
                   }
                 }
               });
}

template <class T>
void multiply_blocked(const Product<T>& p, T* packed, const Exec& exec) {
  constexpr int kW = kPanelWidth<T>;
  const std::int64_t k_block = block_k(p.k);
  for (std::int64_t n0 = 0; n0 < p.n; n0 += kBlockN) {
    const std::int64_t nn = std::min(kBlockN, p.n - n0);
    const std::int64_t most = kGroupBytes / (k_block * static_cast<std::int64_t>(sizeof(T)));
    const std::int64_t groups = (nn + most - 1) / most;
    const std::int64_t group = round_up((nn + groups - 1) / groups, kW);
    std::int64_t block_m = kBlockM;
    while (block_m > kFewestRows && (p.m + block_m - 1) / block_m * groups < kManyUnits) {
      block_m -= kStrip;
    }
    const std::int64_t blocks = (p.m + block_m - 1) / block_m;
    for (std::int64_t k0 = 0; k0 < p.k; k0 += k_block) {
      const std::int64_t kn = std::min(k_block, p.k - k0);
      pack_b(p, n0, nn, k0, kn, packed, exec);
      parallel_for(exec, groups * blocks, 1, [&](std::int64_t u, std::int64_t) {
        BlockOfA<T> block;
        const std::int64_t i = u % blocks * block_m;
        const std::int64_t rows = std::min(block_m, p.m - i);
        const std::int64_t g0 = u / blocks * group;
        const std::int64_t g1 = std::min(nn, g0 + group);
        block.copy(p, p.a + i * p.a_row + k0 * p.a_step, rows, kn);
        for (std::int64_t j = g0; j < g1; j += kW) {
          const Panel panel = next_panel<T>(nn - j);
          const Epilogue<T> epilogue = epilogue_from(p.epilogue, n0 + j);
          const Segment<T> segment{block.data, packed + j * kn, kn};
          Tile<T> tile{};
          tile.segments = &segment;
          tile.n_segments = 1;
          tile.a_step = block.step;
          tile.ldb = panel.width;
          tile.c = p.c + i * p.ldc + n0 + j;
          tile.add = p.accumulate || k0 > 0;
          tile.epilogue = k0 + kn == p.k ? &epilogue : nullptr;
          run_strips(panel, false, rows, block.row, p.ldc, tile, true);
        }
      });
    }
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
