// Large products: b is packed once into the workspace, block of k after block of k, and stays in
// the outermost cache; rows of a are copied to the stack, a few strips at a time, and every panel
// of b runs past them.
#pragma once

#include <cstring>

#include "backend/cpu/gemm_product.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

inline constexpr std::int64_t kBlockM = 48;      // most rows of a copied at a time
inline constexpr std::int64_t kFewestRows = 24;  // and least
inline constexpr std::int64_t kBlockN = 2048;    // columns of b packed at a time
inline constexpr std::int64_t kManyUnits = 16;   // enough to keep some threads busy
inline constexpr std::int64_t kCutN = 128;       // columns that are worth a copy of a

/// A copy of op(a)'s rows [0, rows) and k elements that the tiles read without cache conflicts.
template <class T>
struct BlockOfA {
  static constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  static constexpr int kGroup = kWideRows<T>;
  alignas(64) T data[kBlockM * (kBlockK + kLine)];
  std::int64_t row, group, step;

  void copy(const Product<T>& p, const T* a, std::int64_t rows, std::int64_t k) {
    if (p.a_step == 1) {  // row after row
      row = kBlockK + kLine;
      group = kGroup * row;
      step = 1;
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(a + i * p.a_row, k, data + i * row);
      return;
    }
    row = 1;  // group after group, and in a group k after k
    group = kGroup * k;
    step = kGroup;
    const std::int64_t whole = rows / kGroup;
    for (std::int64_t i = 0; i < k; ++i) {
      const T* from = a + i * p.a_step;
      T* to = data + i * kGroup;
      for (std::int64_t g = 0; g < whole; ++g, from += kGroup, to += group) {
        std::memcpy(to, from, sizeof(T[kGroup]));
      }
      for (std::int64_t r = 0; r < rows - whole * kGroup; ++r) to[r] = from[r];
    }
  }
};

/// Packs columns [n0, n0 + nn) of b's rows [k0, k0 + kn), panel after panel.
template <class T>
void pack_b(const Product<T>& p, std::int64_t n0, std::int64_t nn, std::int64_t k0, std::int64_t kn,
            T* packed, const Exec& exec) {
  constexpr int kW = kPanelWidth<T>;
  const std::int64_t worth = p.tb ? 16384 : 65536;  // elements: transposing takes longer
  parallel_for(exec, (nn + kW - 1) / kW, std::max<std::int64_t>(1, worth / (kW * kn)),
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
  const std::int64_t k_block = block_k(p.k, p.n);
  const std::int64_t k_packed = kBlockK / k_block * k_block;
  for (std::int64_t n0 = 0; n0 < p.n; n0 += kBlockN) {
    const std::int64_t nn = std::min(kBlockN, p.n - n0);
    std::int64_t block_m = kBlockM;
    while (block_m > kFewestRows && (p.m + block_m - 1) / block_m < kManyUnits) block_m -= kStrip;
    std::int64_t blocks = (p.m + block_m - 1) / block_m;
    const std::int64_t panels = (nn + kW - 1) / kW;
    const std::int64_t narrowest = blocks < kManyUnits / 4 ? kCutN / 2 : kCutN;
    const std::int64_t cuts = std::clamp<std::int64_t>((kManyUnits + blocks - 1) / blocks, 1,
                                                       std::max<std::int64_t>(1, nn / narrowest));
    if (cuts == 1 && blocks > 1) {  // as many rows for each of two threads
      block_m = (p.m + round_up(blocks, 2) - 1) / round_up(blocks, 2);
      blocks = (p.m + block_m - 1) / block_m;
    }
    const std::int64_t cut = (panels + cuts - 1) / cuts * kW;
    for (std::int64_t k0 = 0; k0 < p.k; k0 += k_packed) {
      const std::int64_t kn = std::min(k_packed, p.k - k0);
      pack_b(p, n0, nn, k0, kn, packed, exec);
      parallel_for(exec, cuts * blocks, 1, [&](std::int64_t u, std::int64_t) {
        BlockOfA<T> block;
        const std::int64_t i = u % blocks * block_m;
        const std::int64_t rows = std::min(block_m, p.m - i);
        const std::int64_t j0 = u / blocks * cut;
        const std::int64_t j1 = std::min(nn, j0 + cut);
        block.copy(p, p.a + i * p.a_row + k0 * p.a_step, rows, kn);
        for (std::int64_t j = j0; j < j1; j += kW) {
          const Panel panel = next_panel<T>(nn - j);
          const Epilogue<T> epilogue = epilogue_from(p.epilogue, n0 + j);
          for (std::int64_t kb = 0; kb < kn; kb += k_block) {
            const std::int64_t some = std::min(k_block, kn - kb);
            const Segment<T> segment{block.data + kb * block.step,
                                     packed + j * kn + kb * panel.width, some};
            Tile<T> tile{};
            tile.segments = &segment;
            tile.n_segments = 1;
            tile.a_step = block.step;
            tile.ldb = panel.width;
            tile.c = p.c + i * p.ldc + n0 + j;
            tile.add = p.accumulate || k0 + kb > 0;
            tile.epilogue = k0 + kb + some == p.k ? &epilogue : nullptr;
            run_strips(panel, false, Rows{rows, block.row, block.group, p.ldc}, tile, true);
          }
        }
      });
    }
  }
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
