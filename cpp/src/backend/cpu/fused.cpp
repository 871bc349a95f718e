// Chains of elementwise operations, run tile by tile so that intermediate values stay in the L1/L2
// cache. The loops are those of elementwise.cpp: a chain gives the bits of its separate operations.
#include <cstring>

#include "backend/cpu/elementwise_loops.h"
#include "backend/cpu/kernel_list.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

constexpr int64_t kTile = 512;
constexpr int kMaxValues = kMaxFusedInputs + kMaxFused;

template <class T>
struct Step {
  UnaryLoop<T> unary = nullptr;
  BinaryLoops<T> binary;
  T a, b;
  int x, y;     // values read
  int buffer;   // tile buffer written, or -1: straight into `output`
  int output;   // index of the output written directly, or -1
  bool scalar;  // all operands are scalars, so is the result: one element
};

template <class T>
struct Plan {
  Step<T> steps[kMaxFused];
  bool scalar[kMaxValues] = {};   // value is one element
  int expanded[kMaxFusedInputs];  // tile buffer of a row or column input, or -1
  // outputs that no step writes directly: copied from their value's place at the end of a tile
  bool copied[kMaxFusedOutputs];
  int buffers = 0;
  int cost = 1;
  bool valid = true;
};

template <class T>
Plan<T> make_plan(const FusedArgs& args) {
  Plan<T> plan;
  const int inputs = args.n_inputs;
  const int values = inputs + args.n_instr;
  int last_use[kMaxValues];  // index of the last step that reads the value; outputs live on
  int direct[kMaxValues];    // output that the value is written to as it is computed
  for (int v = 0; v < values; ++v) {
    last_use[v] = -1;
    direct[v] = -1;
  }
  for (int i = 0; i < args.n_instr; ++i) {
    last_use[args.instr[i].x] = i;
    if (args.instr[i].binary) last_use[args.instr[i].y] = i;
  }
  for (int k = 0; k < args.n_outputs; ++k) last_use[args.out_value[k]] = args.n_instr;
  for (int v = 0; v < inputs; ++v) plan.scalar[v] = args.access[v] == FusedAccess::kScalar;

  // An output may be written as its value is computed unless it overlays an input still needed.
  for (int k = 0; k < args.n_outputs; ++k) {
    const int v = args.out_value[k];
    plan.copied[k] = true;
    if (v < inputs || direct[v] >= 0) continue;
    bool safe = true;
    for (int j = 0; j < inputs; ++j) {
      if (args.inputs[j] == args.outputs[k] && last_use[j] > v - inputs) safe = false;
    }
    if (!safe) continue;
    direct[v] = k;
    plan.copied[k] = false;
  }

  // Tile buffers: one for each row or column input, the rest reused as values die.
  bool busy[kMaxValues + kMaxFusedInputs] = {};
  int home[kMaxValues];
  const auto take = [&] {
    int b = 0;
    while (busy[b]) ++b;
    busy[b] = true;
    plan.buffers = std::max(plan.buffers, b + 1);
    return b;
  };
  for (int v = 0; v < values; ++v) home[v] = -1;
  for (int v = 0; v < inputs; ++v) {
    const bool expand =
        args.access[v] == FusedAccess::kRow || args.access[v] == FusedAccess::kColumn;
    plan.expanded[v] = expand ? take() : -1;
  }
  for (int i = 0; i < args.n_instr; ++i) {
    const FusedInstr& in = args.instr[i];
    Step<T>& step = plan.steps[i];
    const int v = inputs + i;
    step.x = in.x;
    step.y = in.binary ? in.y : in.x;
    step.a = saturate_to<T>(in.a);
    step.b = saturate_to<T>(in.b);
    if (in.binary) {
      step.binary = binary_loops<T>(in.bin);
      plan.cost += binary_cost(in.bin);
      plan.valid = plan.valid && step.binary.vv != nullptr;
    } else {
      step.unary = unary_loop<T>(in.unary);
      plan.cost += unary_cost(in.unary);
      plan.valid = plan.valid && step.unary != nullptr;
    }
    step.scalar = plan.scalar[step.x] && plan.scalar[step.y];
    plan.scalar[v] = step.scalar;
    // operands that die here give their buffer to the result (loops may run in place)
    if (last_use[step.x] == i && step.x >= inputs && home[step.x] >= 0) {
      busy[home[step.x]] = false;
      home[step.x] = -1;
    }
    if (last_use[step.y] == i && step.y >= inputs && home[step.y] >= 0) {
      busy[home[step.y]] = false;
      home[step.y] = -1;
    }
    if (step.scalar && direct[v] >= 0) {  // a scalar is spread over its output at the end
      plan.copied[direct[v]] = true;
      direct[v] = -1;
    }
    step.output = direct[v];
    step.buffer = direct[v] >= 0 ? -1 : take();
    home[v] = step.buffer;
  }
  return plan;
}

template <class T>
void fused(const FusedArgs& args, const Exec& exec) {
  const int64_t rows = args.rows;
  const int64_t cols = args.cols;
  if (rows <= 0 || cols <= 0) return;
  const Plan<T> plan = make_plan<T>(args);
  if (!plan.valid) return;
  bool rowwise = false;
  for (int v = 0; v < args.n_inputs; ++v) rowwise = rowwise || plan.expanded[v] >= 0;

  // A tile is a stretch of the flat array; where row or column inputs exist it is whole rows or a
  // part of one row.
  const int64_t n = rows * cols;
  const int64_t width = rowwise ? cols : n;  // length that a tile may not straddle
  const int64_t rows_per_tile = std::max<int64_t>(1, rowwise ? kTile / width : 1);
  const int64_t tiles_per_row = rowwise ? (width + kTile - 1) / kTile : 1;
  const int64_t tiles = !rowwise            ? (n + kTile - 1) / kTile
                        : tiles_per_row > 1 ? rows * tiles_per_row
                                            : (rows + rows_per_tile - 1) / rows_per_tile;
  const int inputs = args.n_inputs;

  const auto run = [&](int64_t first_tile, int64_t last_tile) {
    alignas(64) T buffers[kMaxFused + kMaxFusedInputs][kTile];
    const T* at[kMaxValues];
    for (int v = 0; v < inputs; ++v) {
      const T* x = static_cast<const T*>(args.inputs[v]);
      at[v] = x;
      if (args.access[v] == FusedAccess::kRow && tiles_per_row == 1) {
        T* tile = buffers[plan.expanded[v]];
        for (int64_t r = 0; r < std::min(rows_per_tile, rows); ++r) {
          std::memcpy(tile + r * cols, x, static_cast<std::size_t>(cols) * sizeof(T));
        }
        at[v] = tile;
      }
    }
    for (int64_t t = first_tile; t < last_tile; ++t) {
      int64_t begin, m, row = 0, col = 0;
      if (!rowwise) {
        begin = t * kTile;
        m = std::min(kTile, n - begin);
      } else if (tiles_per_row > 1) {
        row = t / tiles_per_row;
        col = (t - row * tiles_per_row) * kTile;
        begin = row * cols + col;
        m = std::min(kTile, cols - col);
      } else {
        row = t * rows_per_tile;
        begin = row * cols;
        m = std::min(rows_per_tile, rows - row) * cols;
      }
      for (int v = 0; v < inputs; ++v) {
        const T* x = static_cast<const T*>(args.inputs[v]);
        switch (args.access[v]) {
          case FusedAccess::kElement:
            at[v] = x + begin;
            break;
          case FusedAccess::kScalar:
            break;
          case FusedAccess::kRow:
            if (tiles_per_row > 1) at[v] = x + col;
            break;
          case FusedAccess::kColumn: {
            T* tile = buffers[plan.expanded[v]];
            if (tiles_per_row > 1) {
              std::fill(tile, tile + m, x[row]);
            } else {
              for (int64_t r = 0; r * cols < m; ++r) {
                std::fill(tile + r * cols, tile + (r + 1) * cols, x[row + r]);
              }
            }
            at[v] = tile;
            break;
          }
        }
      }
      for (int i = 0; i < args.n_instr; ++i) {
        const Step<T>& step = plan.steps[i];
        T* out = step.output >= 0 ? static_cast<T*>(args.outputs[step.output]) + begin
                                  : buffers[step.buffer];
        const int64_t len = step.scalar ? 1 : m;
        if (step.unary != nullptr) {
          step.unary(at[step.x], out, len, step.a, step.b);
        } else if (step.scalar || plan.scalar[step.x] == plan.scalar[step.y]) {
          step.binary.vv(at[step.x], at[step.y], out, len);
        } else if (plan.scalar[step.y]) {
          step.binary.vs(at[step.x], at[step.y], out, len);
        } else {
          step.binary.sv(at[step.x], at[step.y], out, len);
        }
        at[inputs + i] = out;
      }
      for (int k = 0; k < args.n_outputs; ++k) {
        if (!plan.copied[k]) continue;
        const int v = args.out_value[k];
        T* out = static_cast<T*>(args.outputs[k]) + begin;
        if (plan.scalar[v]) {
          std::fill(out, out + m, at[v][0]);
        } else if (out != at[v]) {
          std::memmove(out, at[v], static_cast<std::size_t>(m) * sizeof(T));
        }
      }
    }
  };
  parallel_for(exec, tiles, grain_for(std::min(n, kTile) * plan.cost), run);
}

}  // namespace

void fused_kernel(const FusedArgs& args, const Exec& exec) {
  visit_floating(args.dtype, [&]<class T>(TypeTag<T>) { fused<T>(args, exec); });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
