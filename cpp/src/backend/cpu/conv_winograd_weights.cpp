// Backward-weights by Winograd: the nine weights of a channel pair are a 3x3 tile of results, the
// 4x4 pixels of dy the kernel. x and dy go to the 36 points tile by tile; there the sum over pixels
// is 36 matrix products (c x tiles) (tiles x o), and only the total comes back. Tiles are cut into
// fixed parts with totals of their own, which are added in order at the end.
#include <algorithm>
#include <cstdint>

#include "backend/cpu/conv_winograd.h"
#include "backend/cpu/conv_winograd_tiles.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/parallel.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kBlock = 128;             // tiles that share a pass over a part's totals
constexpr std::int64_t kUnits = 8;               // pieces of work wanted
constexpr std::int64_t kTotalsFloats = 4 << 20;  // of all parts, about
constexpr std::int64_t kGroup = 64;              // columns that may work apart

struct Plan {
  TileGrid grid;
  std::int64_t block, blocks;                   // tiles at a time
  std::int64_t parts, splits;                   // of the blocks; of the columns
  std::int64_t columns;                         // of a split, the last may have fewer
  std::int64_t x_plane, dy_plane, total_plane;  // of a block's tiles, and of a part's totals
  std::int64_t slot, slots;
  std::int64_t zeros_at, totals_at, slots_at, total;

  explicit Plan(const ConvGeometry& g) : grid(g.n, g.out[1], g.out[2]) {
    block = std::min(kBlock, grid.tiles);
    blocks = (grid.tiles + block - 1) / block;
    total_plane = plane_floats(g.c * g.o);
    const std::int64_t by_memory = kTotalsFloats / (kTilePoints * total_plane);
    parts = std::clamp<std::int64_t>(std::min(blocks, by_memory), 1, kUnits);
    const std::int64_t groups = (g.o + kGroup - 1) / kGroup;
    splits = std::clamp<std::int64_t>(kUnits / parts, 1, groups);
    columns = (groups + splits - 1) / splits * kGroup;
    splits = (g.o + columns - 1) / columns;
    columns = std::min(columns, g.o);
    x_plane = plane_floats(block * g.c);
    dy_plane = plane_floats(block * columns);
    slot = kTilePoints * (x_plane + dy_plane);
    slots = Slots::count_for(parts * splits, slot);
    zeros_at = kLineFloats;  // behind the line that Slots keeps
    totals_at = zeros_at + whole_lines(std::max(g.c, g.o));
    slots_at = totals_at + parts * kTilePoints * total_plane;
    total = slots_at + slots * slot;
  }
};

/// total[point][c][columns from j on] (+)= the sum over a block's tiles of x[point] dy[point].
void multiply(const ConvGeometry& g, const Plan& q, const float* x, const float* dy,
              std::int64_t count, std::int64_t j, std::int64_t columns, bool add, float* total,
              Ahead& x_next, Ahead& dy_next) {
  for (std::int64_t point = 0; point < kTilePoints; ++point) {
    x_next.ask(kTilePoints - point);
    dy_next.ask(kTilePoints - point);
    for (std::int64_t at = 0; at < columns; at += kPanelWidth<float>) {
      const Segment<float> segment{x + point * q.x_plane, dy + point * q.dy_plane + at, count};
      Tile<float> tile{};
      tile.segments = &segment;
      tile.n_segments = 1;
      tile.a_step = g.c;
      tile.ldb = columns;
      tile.c = total + point * q.total_plane + j + at;
      tile.add = add;
      run_strips(next_panel<float>(columns - at), true, g.c, 1, g.o, tile);
    }
  }
}

/// dw of channel c from the parts' totals.
void finish(const ConvGeometry& g, const Plan& q, const float* totals, std::int64_t c, float* dw,
            Watch& watch) {
  constexpr int kW = WinogradVec::kWidth;
  for (std::int64_t o = 0; o < g.o; o += kW) {
    const std::int64_t left = std::min<std::int64_t>(kW, g.o - o);
    transform_square<kTileIn, 3>(
        weights_from_points,
        [&](int i, int j) {
          const float* at = totals + (i * kTileIn + j) * q.total_plane + c * g.o + o;
          __builtin_prefetch(at + 8 * kW);
          WinogradVec sum = WinogradVec::load_partial(at, left);
          for (std::int64_t part = 1; part < q.parts; ++part) {
            sum = sum + WinogradVec::load_partial(at + part * kTilePoints * q.total_plane, left);
          }
          return sum;
        },
        [&](int i, int j, WinogradVec t) {
          watch.see(t);
          t.store_partial(dw + ((i * 3 + j) * g.c + c) * g.o + o, left);
        });
  }
}

}  // namespace

bool takes_winograd(const ConvBackwardWeightsArgs& args) {
  if (args.exact || args.dtype != DType::kFloat32 || !has_winograd_shape(args.g)) return false;
  const ConvGeometry& g = args.g;
  return std::min(g.c, g.o) >= kLeastChannels &&
         winograd_saves(g.n, {g.out[1], g.out[2]}) > 512 + g.c * g.o / 64;
}

std::size_t winograd_workspace(const ConvBackwardWeightsArgs& args) {
  return static_cast<std::size_t>(Plan(args.g).total) * sizeof(float);
}

bool run_winograd(const ConvBackwardWeightsArgs& args, const Exec& exec) {
  const ConvGeometry& g = args.g;
  const Plan q(g);
  float* memory = static_cast<float*>(args.workspace);
  float* zeros = memory + q.zeros_at;
  float* totals = memory + q.totals_at;
  std::fill_n(zeros, std::max(g.c, g.o), 0.0F);
  const Images x{static_cast<const float*>(args.x), {g.in[1], g.in[2]}, g.c, g.c, zeros};

  Slots slots(args.workspace, q.slots);
  Exec inner = exec;
  inner.threads = static_cast<int>(std::min<std::int64_t>(exec.threads, q.slots));
  parallel_for(inner, q.parts * q.splits, 1, [&](std::int64_t unit, std::int64_t) {
    const std::int64_t part = unit / q.splits;
    const std::int64_t j = unit % q.splits * q.columns;
    const std::int64_t columns = std::min(q.columns, g.o - j);
    const Images dy{
        static_cast<const float*>(args.dy) + j, {g.out[1], g.out[2]}, g.o, columns, zeros};
    const int slot = slots.take();
    float* x_points = memory + q.slots_at + slot * q.slot;
    float* dy_points = x_points + kTilePoints * q.x_plane;
    const std::int64_t begin = q.blocks * part / q.parts;
    for (std::int64_t b = begin; b < q.blocks * (part + 1) / q.parts; ++b) {
      const std::int64_t first = b * q.block;
      const std::int64_t count = std::min(q.block, q.grid.tiles - first);
      for (std::int64_t i = 0; i < count; ++i) {
        const TileAt tile = tile_at(q.grid, first + i);
        tile_to_points<kTileIn>(x, tile.image, tile.top - g.pad[1], tile.left - g.pad[2], to_points,
                                x_points + i * g.c, q.x_plane);
        tile_to_points<kTileOut>(dy, tile.image, tile.top, tile.left, gradient_to_points,
                                 dy_points + i * columns, q.dy_plane);
      }
      Ahead x_next(q.grid, first + count, q.block, x.data, g.n * g.in[1] * g.in[2] * g.c, false);
      Ahead dy_next(q.grid, first + count, q.block, static_cast<const float*>(args.dy),
                    g.n * g.out[1] * g.out[2] * g.o, false);
      multiply(g, q, x_points, dy_points, count, j, columns, b > begin,
               totals + part * kTilePoints * q.total_plane, x_next, dy_next);
    }
    slots.give(slot);
  });

  float* dw = static_cast<float*>(args.dw);
  parallel_for(exec, g.c, grain_for(q.parts * kTilePoints * g.o / WinogradVec::kWidth),
               [&](std::int64_t begin, std::int64_t end) {
                 Watch watch;
                 for (std::int64_t c = begin; c < end; ++c) finish(g, q, totals, c, dw, watch);
                 slots.note(watch);
               });
  return slots.finite();
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
