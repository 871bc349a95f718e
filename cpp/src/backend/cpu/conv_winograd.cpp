// Forward and backward-data by Winograd. Results are cut into tiles of 4x4 pixels, tiles into
// blocks. For a block: its input tiles go to the 36 points, there 36 small matrix products with the
// transformed weights replace the convolution, and the products come back as pixels, all within the
// cache of one core. Where there are few tiles, large weights would come from memory, go there
// transformed and come back: then each core transforms a few rows at a time and uses them at once.
#include "backend/cpu/conv_winograd.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/conv_winograd_tiles.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kGroup = 64;              // columns that come back from the points at a time
constexpr std::int64_t kBlockBytes = 512 << 10;  // of a block's points, which should stay in L2
constexpr std::int64_t kLeastBlock = 48;         // tiles that share a pass over the weights
constexpr std::int64_t kMostBlock = 96;
constexpr std::int64_t kChain = 128;    // products summed in a row: longer chains round worse
constexpr std::int64_t kPackRows = 32;  // rows of weights that are transformed at a time
constexpr std::int64_t kUnits = 16;     // pieces of work wanted

/// Result q is the sum over taps t and channels of source[q - pad + t] * w[t]; with `flipped`, w is
/// the forward pass's and read as w[2 - t], transposed.
struct Problem {
  std::int64_t batch, k, n;
  std::int64_t source[2], grid[2], pad[2];
  bool flipped;
};

struct Plan {
  TileGrid grid;
  std::int64_t block, blocks;              // tiles at a time
  std::int64_t groups, splits;             // column groups; parts of them that work apart
  std::int64_t u_plane, v_plane, m_plane;  // of weights, and of a block's tiles and products
  std::int64_t slot, slots;                // floats of v and m; how many
  std::int64_t zeros_at, u_at, slots_at, total;

  explicit Plan(const Problem& p) : grid(p.batch, p.grid[0], p.grid[1]) {
    const std::int64_t columns = std::min(p.n, kGroup);
    const std::int64_t tile_bytes = kTilePoints * (p.k + columns) * 4;
    block = std::clamp(kBlockBytes / tile_bytes / kStrip * kStrip, kLeastBlock, kMostBlock);
    block = std::min(block, grid.tiles);
    blocks = (grid.tiles + block - 1) / block;
    groups = (p.n + kGroup - 1) / kGroup;
    splits = std::clamp<std::int64_t>(kUnits / blocks, 1, groups);
    u_plane = plane_floats(packed_size<float>(p.k, p.n));
    v_plane = plane_floats(block * p.k);
    m_plane = plane_floats(block * columns);
    slot = kTilePoints * (v_plane + m_plane);
    slots = Slots::count_for(blocks * splits, slot);
    zeros_at = kLineFloats;  // behind the line that Slots keeps
    u_at = zeros_at + whole_lines(p.k);
    slots_at = u_at + kTilePoints * u_plane;
    total = slots_at + slots * slot;
  }
};

/// to[point * plane + row * width + lane] from w, rows [r0, r1) of the panel at column j.
void transform_weights(const Problem& p, const float* w, std::int64_t j, std::int64_t r0,
                       std::int64_t r1, float* to, std::int64_t plane) {
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
  for (std::int64_t at = 0; at < size; at += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, size - at);
    transform_square<3, kTileIn>(
        weights_to_points,
        [&](int i, int j) { return WinogradVec::load(taps + (i * 3 + j) * size + at); },
        [&](int i, int j, WinogradVec t) {
          float* point = to + (i * kTileIn + j) * plane + at;
          __builtin_prefetch(point + 8 * kW, 1);  // 36 streams are more than the hardware follows
          left == kW ? t.store(point) : t.store_partial(point, left);
        });
  }
}

/// Columns [j, j + columns) of a tile's results from m[point][columns].
void transform_output(const Problem& p, const float* m, std::int64_t m_plane, const TileAt& tile,
                      std::int64_t j, std::int64_t columns, const Epilogue<float>& epilogue,
                      float* out, Watch& watch) {
  constexpr int kW = WinogradVec::kWidth;
  const std::int64_t rows = p.grid[0] - tile.top;
  const std::int64_t across = p.grid[1] - tile.left;
  const std::int64_t row_step = p.grid[1] * p.n;
  float* first = out + (tile.image * p.grid[0] + tile.top) * row_step + tile.left * p.n + j;
  const bool relu = epilogue.act == Activation::kRelu;
  const bool full = rows >= kTileOut && across >= kTileOut;
  const auto vector = [&](auto whole, std::int64_t at, std::int64_t left) {
    Watch here;  // of its own, which a register holds
    WinogradVec bias = WinogradVec::zero();
    if (epilogue.bias != nullptr) bias = WinogradVec::load_partial(epilogue.bias + j + at, left);
    transform_square<kTileIn, kTileOut>(
        from_points,
        [&](int r, int c) {
          const float* point = m + (r * kTileIn + c) * m_plane + at;
          return whole ? WinogradVec::load(point) : WinogradVec::load_partial(point, left);
        },
        [&](int r, int c, WinogradVec y) {
          if (!full && (r >= rows || c >= across)) return;
          here.see(y);
          y = y + bias;
          if (relu) y = {relu_of(y.v)};
          float* pixel = first + r * row_step + c * p.n + at;
          whole ? y.store(pixel) : y.store_partial(pixel, left);
        });
    watch.see(here);
  };
  std::int64_t at = 0;
  for (; at + kW <= columns; at += kW) vector(std::true_type{}, at, kW);
  if (at < columns) vector(std::false_type{}, at, columns - at);
  if (relu || epilogue.act == Activation::kNone) return;
  for (std::int64_t r = 0; r < std::min<std::int64_t>(kTileOut, rows); ++r) {
    for (std::int64_t c = 0; c < std::min<std::int64_t>(kTileOut, across); ++c) {
      activate(epilogue.act, epilogue.alpha, first + r * row_step + c * p.n, columns);
    }
  }
}

/// m[point][tile][columns] = v[point][tile][k] * u[point][k][columns from j on].
void multiply(const Problem& p, const Plan& q, const float* v, const float* u, std::int64_t count,
              std::int64_t j, std::int64_t columns, std::int64_t pitch, float* m, Ahead& pixels,
              Ahead& results) {
  for (std::int64_t point = 0; point < kTilePoints; ++point) {
    pixels.ask(kTilePoints - point);
    results.ask(kTilePoints - point);
    for (std::int64_t at = 0; at < columns; at += kPanelWidth<float>) {
      const Panel panel = next_panel<float>(columns - at);
      Tile<float> tile{};
      tile.n_segments = 1;
      tile.a_step = 1;
      tile.ldb = panel.width;
      tile.c = m + point * q.m_plane + at;
      for (std::int64_t k = 0; k < p.k; k += kChain) {
        const Segment<float> segment{v + point * q.v_plane + k,
                                     u + point * q.u_plane + (j + at) * p.k + k * panel.width,
                                     std::min(kChain, p.k - k)};
        tile.segments = &segment;
        tile.add = k > 0;
        run_strips(panel, false, count, p.k, pitch, tile);
      }
    }
  }
}

bool run(const Problem& p, const float* x, const float* w, const Epilogue<float>& epilogue,
         float* out, void* workspace, const Exec& exec) {
  const Plan q(p);
  float* memory = static_cast<float*>(workspace);
  float* u = memory + q.u_at;
  std::fill_n(memory + q.zeros_at, p.k, 0.0F);
  const Images source{x, {p.source[0], p.source[1]}, p.k, p.k, memory + q.zeros_at};

  const std::int64_t panels = (p.n + kPanelWidth<float> - 1) / kPanelWidth<float>;
  const std::int64_t pieces = (p.k + kPackRows - 1) / kPackRows;
  parallel_for(exec, panels * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {  // in the order in which w lies in memory
      const std::int64_t panel = p.flipped ? i / pieces : i % panels;
      const std::int64_t row = (p.flipped ? i % pieces : i / panels) * kPackRows;
      const std::int64_t j = panel * kPanelWidth<float>;
      transform_weights(p, w, j, row, std::min(p.k, row + kPackRows),
                        u + j * p.k + row * next_panel<float>(p.n - j).width, q.u_plane);
    }
  });

  Slots slots(workspace, q.slots);
  Exec inner = exec;
  inner.threads = static_cast<int>(std::min<std::int64_t>(exec.threads, q.slots));
  const std::int64_t pitch = std::min(p.n, kGroup);
  parallel_for(inner, q.blocks * q.splits, 1, [&](std::int64_t unit, std::int64_t) {
    if (!slots.finite()) return;
    const std::int64_t first = unit / q.splits * q.block;
    const std::int64_t count = std::min(q.block, q.grid.tiles - first);
    const std::int64_t split = unit % q.splits;
    Watch watch;
    const int slot = slots.take();
    float* v = memory + q.slots_at + slot * q.slot;
    float* m = v + kTilePoints * q.v_plane;
    for (std::int64_t i = 0; i < count; ++i) {
      const TileAt tile = tile_at(q.grid, first + i);
      tile_to_points<kTileIn>(source, tile.image, tile.top - p.pad[0], tile.left - p.pad[1],
                              to_points, v + i * p.k, q.v_plane);
    }
    Ahead pixels(q.grid, first + count, q.block, x, p.batch * p.source[0] * p.source[1] * p.k,
                 false);
    Ahead results(q.grid, first, count, out, p.batch * p.grid[0] * p.grid[1] * p.n, true);
    for (std::int64_t g = q.groups * split / q.splits; g < q.groups * (split + 1) / q.splits; ++g) {
      const std::int64_t j = g * kGroup;
      const std::int64_t columns = std::min(kGroup, p.n - j);
      multiply(p, q, v, u, count, j, columns, pitch, m, pixels, results);
      for (std::int64_t i = 0; i < count; ++i) {
        transform_output(p, m + i * pitch, q.m_plane, tile_at(q.grid, first + i), j, columns,
                         epilogue, out, watch);
      }
    }
    slots.give(slot);
    slots.note(watch);
  });
  return slots.finite();
}

// ---------------------------------------------------------------- few tiles, many weights

constexpr std::int64_t kFewTiles = 64;
constexpr std::int64_t kLeastPanels = 4;  // of columns, which the threads share

struct FewTiles {
  TileGrid grid;
  std::int64_t panels;
  std::int64_t v_plane, u_plane, m_plane;  // of all tiles; of some rows of weights; of products
  std::int64_t slot, slots;                // floats of u and m; how many
  std::int64_t zeros_at, v_at, slots_at, total;

  explicit FewTiles(const Problem& p) : grid(p.batch, p.grid[0], p.grid[1]) {
    panels = (p.n + kPanelWidth<float> - 1) / kPanelWidth<float>;
    v_plane = plane_floats(grid.tiles * p.k);
    u_plane = plane_floats(std::min(p.k, kChain) * kPanelWidth<float>);
    m_plane = plane_floats(grid.tiles * kPanelWidth<float>);
    slot = kTilePoints * (u_plane + m_plane);
    slots = Slots::count_for(panels, slot);
    zeros_at = kLineFloats;  // behind the line that Slots keeps
    v_at = zeros_at + whole_lines(p.k);
    slots_at = v_at + kTilePoints * v_plane;
    total = slots_at + slots * slot;
  }
  bool serves() const { return grid.tiles <= kFewTiles && panels >= kLeastPanels; }
};

bool run(const Problem& p, const FewTiles& q, const float* x, const float* w,
         const Epilogue<float>& epilogue, float* out, void* workspace, const Exec& exec) {
  float* memory = static_cast<float*>(workspace);
  float* v = memory + q.v_at;
  std::fill_n(memory + q.zeros_at, p.k, 0.0F);
  const Images source{x, {p.source[0], p.source[1]}, p.k, p.k, memory + q.zeros_at};
  parallel_for(exec, q.grid.tiles, grain_for(16 * p.k), [&](std::int64_t t0, std::int64_t t1) {
    for (std::int64_t i = t0; i < t1; ++i) {
      const TileAt tile = tile_at(q.grid, i);
      tile_to_points<kTileIn>(source, tile.image, tile.top - p.pad[0], tile.left - p.pad[1],
                              to_points, v + i * p.k, q.v_plane);
    }
  });

  Slots slots(workspace, q.slots);
  Exec inner = exec;
  inner.threads = static_cast<int>(std::min<std::int64_t>(exec.threads, q.slots));
  parallel_for(inner, q.panels, 1, [&](std::int64_t unit, std::int64_t) {
    if (!slots.finite()) return;
    const std::int64_t j = unit * kPanelWidth<float>;
    const Panel panel = next_panel<float>(p.n - j);
    const int slot = slots.take();
    float* u = memory + q.slots_at + slot * q.slot;
    float* m = u + kTilePoints * q.u_plane;
    for (std::int64_t row = 0; row < p.k; row += kChain) {
      const std::int64_t end = std::min(p.k, row + kChain);
      for (std::int64_t r = row; r < end; r += kPackRows) {
        transform_weights(p, w, j, r, std::min(end, r + kPackRows), u + (r - row) * panel.width,
                          q.u_plane);
      }
      for (std::int64_t point = 0; point < kTilePoints; ++point) {
        const Segment<float> segment{v + point * q.v_plane + row, u + point * q.u_plane, end - row};
        Tile<float> tile{};
        tile.segments = &segment;
        tile.n_segments = 1;
        tile.a_step = 1;
        tile.ldb = panel.width;
        tile.c = m + point * q.m_plane;
        tile.add = row > 0;
        run_strips(panel, false, q.grid.tiles, p.k, kPanelWidth<float>, tile);
      }
    }
    Watch watch;
    for (std::int64_t i = 0; i < q.grid.tiles; ++i) {
      transform_output(p, m + i * kPanelWidth<float>, q.m_plane, tile_at(q.grid, i), j, panel.cols,
                       epilogue, out, watch);
    }
    slots.give(slot);
    slots.note(watch);
  });
  return slots.finite();
}

Problem problem_of(const ConvArgs& args) {
  const ConvGeometry& g = args.g;
  return {g.n, g.c, g.o, {g.in[1], g.in[2]}, {g.out[1], g.out[2]}, {g.pad[1], g.pad[2]}, false};
}

Problem problem_of(const ConvBackwardDataArgs& args) {
  const ConvGeometry& g = args.g;
  return {g.n, g.o, g.c, {g.out[1], g.out[2]}, {g.in[1], g.in[2]}, {2 - g.pad[1], 2 - g.pad[2]},
          true};
}

template <class Args>
bool takes(const Args& args) {
  if (args.exact || args.dtype != DType::kFloat32 || !has_winograd_shape(args.g)) return false;
  const Problem p = problem_of(args);
  return std::min(p.k, p.n) >= kLeastChannels &&
         winograd_saves(p.batch, p.grid) > 256 + p.k * p.n / 512;
}

template <class Args>
std::size_t workspace_of(const Args& args) {
  const Problem p = problem_of(args);
  const FewTiles few(p);
  return static_cast<std::size_t>(few.serves() ? few.total : Plan(p).total) * sizeof(float);
}

template <class Args>
bool run_for(const Args& args, const void* x, void* y, const Exec& exec) {
  const Epilogue<float> epilogue{static_cast<const float*>(args.bias), 1, args.act, args.act_alpha};
  const Problem p = problem_of(args);
  const auto* from = static_cast<const float*>(x);
  const auto* w = static_cast<const float*>(args.w);
  auto* to = static_cast<float*>(y);
  if (const FewTiles few(p); few.serves())
    return run(p, few, from, w, epilogue, to, args.workspace, exec);
  return run(p, from, w, epilogue, to, args.workspace, exec);
}

}  // namespace

bool takes_winograd(const ConvArgs& args) { return takes(args); }
bool takes_winograd(const ConvBackwardDataArgs& args) { return takes(args); }

std::size_t winograd_workspace(const ConvArgs& args) { return workspace_of(args); }
std::size_t winograd_workspace(const ConvBackwardDataArgs& args) { return workspace_of(args); }

bool run_winograd(const ConvArgs& args, const Exec& exec) {
  return run_for(args, args.x, args.y, exec);
}
bool run_winograd(const ConvBackwardDataArgs& args, const Exec& exec) {
  return run_for(args, args.dy, args.dx, exec);
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
