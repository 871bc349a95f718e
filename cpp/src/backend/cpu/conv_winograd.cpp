// Forward and backward-data by Winograd. Results are cut into tiles of 4x4 pixels, tiles into
// blocks. For a block: its input tiles go to the 36 points, there 36 small matrix products with the
// transformed weights replace the convolution, and the products come back as pixels, all within the
// cache of one core.
#include "backend/cpu/conv_winograd.h"

#include <algorithm>
#include <cstdint>

#include "backend/cpu/conv_geometry.h"
#include "backend/cpu/conv_winograd_transform.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kLine = 16;              // floats of a cache line
constexpr std::int64_t kGroup = 64;             // columns that come back from the points at a time
constexpr std::int64_t kBlockBytes = 512 << 10; // of a block's points, so that they stay in L2
constexpr std::int64_t kLeastBlock = 48;        // tiles that share one pass over the weights
constexpr std::int64_t kMostBlock = 96;
constexpr std::int64_t kPackRows = 32;          // rows of weights that are transformed at a time
constexpr std::int64_t kUnits = 16;             // pieces of work wanted
constexpr std::int64_t kMostSlots = 32;
constexpr std::int64_t kSlotsBytes = 32 << 20;

std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

/// Result q is the sum over taps t and channels of src[q - pad + t] * w[t]; with `flipped`, w is
/// the forward pass's and read as w[2 - t], transposed.
struct Problem {
  std::int64_t batch, k, n;
  std::int64_t src[2], grid[2], pad[2];
  bool flipped;
};

struct Plan {
  std::int64_t across[2], per_image, tiles;  // tiles along the axes, of an image, of all
  std::int64_t block, blocks;                // tiles at a time
  std::int64_t groups, splits;               // column groups; parts of them that work apart
  std::int64_t u_plane, v_plane, m_plane;    // floats from one point to the next
  std::int64_t slot, slots;                  // floats of a slot (v and m of one block)
  std::int64_t zeros_at, u_at, slots_at, total;
};

Plan plan_for(const Problem& p) {
  Plan q{};
  for (int d = 0; d < 2; ++d) q.across[d] = (p.grid[d] + kTileOut - 1) / kTileOut;
  q.per_image = q.across[0] * q.across[1];
  q.tiles = p.batch * q.per_image;
  const std::int64_t columns = std::min(p.n, kGroup);
  const std::int64_t tile_bytes = kTilePoints * (p.k + columns) * 4;
  q.block = std::clamp(kBlockBytes / tile_bytes / kStrip * kStrip, kLeastBlock, kMostBlock);
  q.block = std::min(q.block, q.tiles);
  q.blocks = (q.tiles + q.block - 1) / q.block;
  q.groups = (p.n + kGroup - 1) / kGroup;
  q.splits = std::clamp<std::int64_t>(kUnits / q.blocks, 1, q.groups);
  // One line more than a block needs: planes a power of two apart would share their cache sets.
  q.u_plane = round_up(packed_size<float>(p.k, p.n), kLine) + kLine;
  q.v_plane = round_up(q.block * p.k, kLine) + kLine;
  q.m_plane = round_up(q.block * columns, kLine) + kLine;
  q.slot = kTilePoints * (q.v_plane + q.m_plane);
  q.slots = std::clamp<std::int64_t>(kSlotsBytes / (q.slot * 4), 4, kMostSlots);
  q.slots = std::min(q.slots, q.blocks * q.splits);
  q.zeros_at = kLine;
  q.u_at = q.zeros_at + round_up(p.k, kLine);
  q.slots_at = q.u_at + kTilePoints * q.u_plane;
  q.total = q.slots_at + q.slots * q.slot;
  return q;
}

/// Scratch memory for as many chunks as run at once. The loop must have no more threads than slots.
class Slots {
 public:
  Slots(void* line, std::int64_t count) : free_(static_cast<std::uint64_t*>(line)) {
    *free_ = (std::uint64_t{1} << count) - 1;
  }
  int take() {
    std::uint64_t mask = __atomic_load_n(free_, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(free_, &mask, mask & (mask - 1), true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
    }
    return __builtin_ctzll(mask);
  }
  void give(int slot) {
    __atomic_fetch_or(free_, std::uint64_t{1} << slot, __ATOMIC_RELEASE);
  }

 private:
  std::uint64_t* free_;
};

// ---------------------------------------------------------------- weights

/// u[point][panel][row][lane] from w, rows [r0, r1) of the panel at column j.
void transform_weights(const Problem& p, const Plan& q, const float* w, std::int64_t j,
                       std::int64_t r0, std::int64_t r1, float* u) {
  constexpr int kW = WinogradVec::kWidth;
  const Panel panel = next_panel<float>(p.n - j);
  const std::int64_t rows = r1 - r0;
  const std::int64_t size = rows * panel.width;
  alignas(64) float taps[9 * kPackRows * kPanelWidth<float> + kW];
  for (std::int64_t t = 0; t < 9; ++t) {
    if (p.flipped) {
      pack_panel_transposed(panel, w + ((8 - t) * p.n + j) * p.k + r0, p.k, rows, taps + t * size);
    } else {
      pack_panel(panel, w + (t * p.k + r0) * p.n + j, p.n, rows, taps + t * size);
    }
  }
  float* to = u + j * p.k + r0 * panel.width;
  for (std::int64_t i = 0; i < size; i += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, size - i);
    WinogradVec half[6][3];
    for (int c = 0; c < 3; ++c) {
      WinogradVec column[3];
      WinogradVec t[6];
      for (int r = 0; r < 3; ++r) column[r] = WinogradVec::load(taps + (r * 3 + c) * size + i);
      weights_to_points(column, t);
      for (int r = 0; r < 6; ++r) half[r][c] = t[r];
    }
    for (int r = 0; r < 6; ++r) {
      WinogradVec t[6];
      weights_to_points(half[r], t);
      for (int c = 0; c < 6; ++c) {
        float* at = to + (r * 6 + c) * q.u_plane + i;
        __builtin_prefetch(at + 8 * kW, 1);
        if (left == kW) {
          t[c].store(at);
        } else {
          t[c].store_partial(at, left);
        }
      }
    }
  }
}

// ---------------------------------------------------------------- tiles

struct TileAt {
  std::int64_t image, top, left;  // of its results
};

TileAt tile_at(const Plan& q, std::int64_t tile) {
  const std::int64_t rest = tile % q.per_image;
  return {tile / q.per_image, rest / q.across[1] * kTileOut, rest % q.across[1] * kTileOut};
}

/// v[point][k] from the 6x6 pixels that a tile reads, those outside the image being zero.
void transform_input(const Problem& p, const Plan& q, const float* x, const float* zeros,
                     const TileAt& tile, float* v) {
  constexpr int kW = WinogradVec::kWidth;
  const float* pixel[kTilePoints];
  for (int i = 0; i < kTileIn; ++i) {
    const std::int64_t row = tile.top - p.pad[0] + i;
    for (int j = 0; j < kTileIn; ++j) {
      const std::int64_t column = tile.left - p.pad[1] + j;
      const bool inside = row >= 0 && row < p.src[0] && column >= 0 && column < p.src[1];
      pixel[i * kTileIn + j] =
          inside ? x + ((tile.image * p.src[0] + row) * p.src[1] + column) * p.k : zeros;
    }
  }
  std::int64_t c = 0;
  for (; c + kW <= p.k; c += kW) {
    transform_square<6, 6>(
        to_points, [&](int i, int j) { return WinogradVec::load(pixel[i * kTileIn + j] + c); },
        [&](int i, int j, WinogradVec t) { t.store(v + (i * kTileIn + j) * q.v_plane + c); });
  }
  if (c < p.k) {
    const std::int64_t left = p.k - c;
    transform_square<6, 6>(
        to_points,
        [&](int i, int j) {
          return WinogradVec::load_partial(pixel[i * kTileIn + j] + c, left);
        },
        [&](int i, int j, WinogradVec t) {
          t.store_partial(v + (i * kTileIn + j) * q.v_plane + c, left);
        });
  }
}

/// Columns [j, j + columns) of a tile's results from m[point][columns].
void transform_output(const Problem& p, const Plan& q, const float* m, const TileAt& tile,
                      std::int64_t j, std::int64_t columns, const Epilogue<float>& epilogue,
                      float* out) {
  constexpr int kW = WinogradVec::kWidth;
  const std::int64_t rows = std::min<std::int64_t>(kTileOut, p.grid[0] - tile.top);
  const std::int64_t across = std::min<std::int64_t>(kTileOut, p.grid[1] - tile.left);
  float* at = out + ((tile.image * p.grid[0] + tile.top) * p.grid[1] + tile.left) * p.n + j;
  const bool relu = epilogue.act == Activation::kRelu;
  for (std::int64_t o = 0; o < columns; o += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, columns - o);
    WinogradVec half[kTileOut][kTileIn];
    for (int c = 0; c < kTileIn; ++c) {
      WinogradVec column[kTileIn];
      WinogradVec t[kTileOut];
#pragma GCC unroll 8
      for (int r = 0; r < kTileIn; ++r) {
        column[r] = WinogradVec::load(m + (r * kTileIn + c) * q.m_plane + o);
      }
      from_points(column, t);
#pragma GCC unroll 4
      for (int r = 0; r < kTileOut; ++r) half[r][c] = t[r];
    }
    WinogradVec bias = WinogradVec::zero();
    if (epilogue.bias != nullptr) bias = WinogradVec::load_partial(epilogue.bias + j + o, left);
#pragma GCC unroll 4
    for (int r = 0; r < kTileOut; ++r) {
      if (r >= rows) break;
      WinogradVec t[kTileOut];
      from_points(half[r], t);
      float* row = at + r * p.grid[1] * p.n + o;
#pragma GCC unroll 4
      for (int c = 0; c < kTileOut; ++c) {
        if (c >= across) break;
        WinogradVec y = t[c] + bias;
        if (relu) y = {relu_of(y.v)};
        if (left == kW) {
          y.store(row + c * p.n);
        } else {
          y.store_partial(row + c * p.n, left);
        }
      }
    }
  }
  if (relu || epilogue.act == Activation::kNone) return;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < across; ++c) {
      activate(epilogue.act, epilogue.alpha, at + (r * p.grid[1] + c) * p.n, columns);
    }
  }
}

/// m[point][tile][columns] = v[point][tile][k] * u[point][k][columns from j on].
void multiply(const Problem& p, const Plan& q, const float* v, const float* u, std::int64_t count,
              std::int64_t j, std::int64_t columns, std::int64_t pitch, float* m) {
  for (std::int64_t point = 0; point < kTilePoints; ++point) {
    for (std::int64_t o = 0; o < columns; o += kPanelWidth<float>) {
      const Panel panel = next_panel<float>(columns - o);
      const Segment<float> segment{v + point * q.v_plane, u + point * q.u_plane + (j + o) * p.k,
                                   p.k};
      Tile<float> tile{};
      tile.segments = &segment;
      tile.n_segments = 1;
      tile.a_step = 1;
      tile.ldb = panel.width;
      tile.c = m + point * q.m_plane + o;
      run_strips(panel, false, count, p.k, pitch, tile);
    }
  }
}

void run(const Problem& p, const float* x, const float* w, const Epilogue<float>& epilogue,
         float* out, void* workspace, const Exec& exec) {
  const Plan q = plan_for(p);
  float* memory = static_cast<float*>(workspace);
  float* zeros = memory + q.zeros_at;
  float* u = memory + q.u_at;
  std::fill(zeros, zeros + p.k, 0.0F);

  const std::int64_t panels = (p.n + kPanelWidth<float> - 1) / kPanelWidth<float>;
  const std::int64_t pieces = (p.k + kPackRows - 1) / kPackRows;
  parallel_for(exec, panels * pieces, 4, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      // In the order in which w lies in memory.
      const std::int64_t panel = p.flipped ? i / pieces : i % panels;
      const std::int64_t row = (p.flipped ? i % pieces : i / panels) * kPackRows;
      transform_weights(p, q, w, panel * kPanelWidth<float>, row, std::min(p.k, row + kPackRows),
                        u);
    }
  });

  Slots slots(workspace, q.slots);
  Exec inner = exec;
  inner.threads = static_cast<int>(std::min<std::int64_t>(exec.threads, q.slots));
  const std::int64_t pitch = std::min(p.n, kGroup);
  parallel_for(inner, q.blocks * q.splits, 1, [&](std::int64_t unit, std::int64_t) {
    const std::int64_t first = unit / q.splits * q.block;
    const std::int64_t count = std::min(q.block, q.tiles - first);
    const std::int64_t split = unit % q.splits;
    const int slot = slots.take();
    float* v = memory + q.slots_at + slot * q.slot;
    float* m = v + kTilePoints * q.v_plane;
    for (std::int64_t i = 0; i < count; ++i) {
      transform_input(p, q, x, zeros, tile_at(q, first + i), v + i * p.k);
    }
    for (std::int64_t g = q.groups * split / q.splits; g < q.groups * (split + 1) / q.splits; ++g) {
      const std::int64_t j = g * kGroup;
      const std::int64_t columns = std::min(kGroup, p.n - j);
      multiply(p, q, v, u, count, j, columns, pitch, m);
      for (std::int64_t i = 0; i < count; ++i) {
        transform_output(p, q, m + i * pitch, tile_at(q, first + i), j, columns, epilogue, out);
      }
    }
    slots.give(slot);
  });
}

// ---------------------------------------------------------------- which sizes

bool is_plain_3x3(const ConvGeometry& g) {
  if (g.groups != 1 || g.k[0] != 1 || g.in[0] != 1 || g.out[0] != 1 || g.pad[0] != 0) return false;
  for (int d = 1; d < 3; ++d) {
    if (g.k[d] != 3 || g.stride[d] != 1 || g.dilation[d] != 1) return false;
  }
  return g.n * product3(g.out) * product3(g.in) > 0;
}

Problem problem_of(const ConvArgs& args) {
  const ConvGeometry& g = args.g;
  return {g.n,          g.c, g.o, {g.in[1], g.in[2]}, {g.out[1], g.out[2]}, {g.pad[1], g.pad[2]},
          false};
}

Problem problem_of(const ConvBackwardDataArgs& args) {
  const ConvGeometry& g = args.g;
  return {g.n,  g.o, g.c, {g.out[1], g.out[2]}, {g.in[1], g.in[2]}, {2 - g.pad[1], 2 - g.pad[2]},
          true};
}

template <class Args>
bool takes(const Args& args) {
  if (args.exact || args.dtype != DType::kFloat32 || !is_plain_3x3(args.g)) return false;
  return args.g.c >= 8 && args.g.o >= 8;
}

template <class Args>
std::size_t workspace_of(const Args& args) {
  return static_cast<std::size_t>(plan_for(problem_of(args)).total) * sizeof(float);
}

template <class Args>
void run_for(const Args& args, const void* x, void* y, const Exec& exec) {
  const Epilogue<float> epilogue{static_cast<const float*>(args.bias), 1, args.act,
                                 args.act_alpha};
  run(problem_of(args), static_cast<const float*>(x), static_cast<const float*>(args.w), epilogue,
      static_cast<float*>(y), args.workspace, exec);
}

}  // namespace

bool takes_winograd(const ConvArgs& args) { return takes(args); }
bool takes_winograd(const ConvBackwardDataArgs& args) { return takes(args); }

std::size_t winograd_workspace(const ConvArgs& args) { return workspace_of(args); }
std::size_t winograd_workspace(const ConvBackwardDataArgs& args) { return workspace_of(args); }

void run_winograd(const ConvArgs& args, const Exec& exec) { run_for(args, args.x, args.y, exec); }
void run_winograd(const ConvBackwardDataArgs& args, const Exec& exec) {
  run_for(args, args.dy, args.dx, exec);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
