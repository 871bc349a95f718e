// Executor and Trainer: run a Graph as static Programs, one per set of input shapes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lamella/graph.h"
#include "lamella/optim.h"
#include "lamella/profile.h"

namespace lamella {

/// Rows of the user's memory, read by index while training: no copy of the data set is made. Rows
/// are dense; their stride is free (a memory map, every second row, ...).
struct RowSource {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t rows = 0;
  std::int64_t row_stride = 0;  ///< bytes
  Shape row_shape;              ///< without the first axis
};

/// A source over all of a tensor.
LAMELLA_API RowSource rows_of(const Tensor& t);

/// Asked now and then during long work; true stops it with Interrupted.
using PollFn = std::function<bool()>;

/// Where output number `output`, of this shape and dtype, is to be written: asked for each output,
/// in order, before anything is computed.
using PlaceFn = std::function<void*(std::size_t output, const Spec& spec)>;

/// Runs a graph without an optimizer on any batch sizes. Safe to use from many threads.
class LAMELLA_API Executor {
 public:
  explicit Executor(const Graph& graph);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// One run on whole tensors; values are cast to the inputs' dtypes.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  /// Like run, on raw rows (all of each source).
  std::vector<Tensor> run(std::span<const RowSource> inputs);
  /// Like run, into the caller's memory: for small graphs that run often, nothing is allocated.
  void run(std::span<const RowSource> inputs, const PlaceFn& place);
  /// All rows in batches; outputs are concatenated along the first axis. `progress(step)` after
  /// each batch.
  std::vector<Tensor> map(std::span<const RowSource> inputs, std::int64_t batch_size,
                          const PollFn& poll = {},
                          const std::function<void(std::int64_t)>& progress = {});
  const Graph& graph() const;

  /// Feeds all rows of the sources `repeats` times and runs the graph; one line per kernel call.
  std::vector<ProfileLine> profile(std::span<const RowSource> inputs, int repeats);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What an epoch does besides computing.
struct EpochOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  std::uint64_t seed = 0;  ///< with `epoch` decides the order of rows
  std::int64_t epoch = 0;
  std::int64_t max_steps = 0;  ///< 0: all rows
  /// Called before and after each batch when set; true ends the epoch after it.
  std::function<bool(std::int64_t step)> on_batch_begin;
  std::function<bool(std::int64_t step, std::span<const double> values)> on_batch_end;
  /// At most every `progress_interval` seconds; true ends the epoch.
  std::function<bool(std::int64_t step, std::span<const double> values)> progress;
  double progress_interval = 0.1;
  PollFn poll;
};

/// Trains (or, without an optimizer, evaluates) a graph whose outputs are scalars: the logs.
class LAMELLA_API Trainer {
 public:
  /// `optimizer` must be built for the variables to train; null to evaluate.
  /// `variables`: those of the optimizer's variables that are to change (the others are frozen);
  /// empty means all.
  Trainer(const Graph& graph, const Optimizer* optimizer,
          const std::vector<Variable>& variables = {});
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One batch: all rows of the sources. Sets the variables of `reset` (metrics) to zero before it
  /// and returns the outputs after it.
  std::vector<double> step(std::span<const RowSource> inputs, const PollFn& poll = {},
                           std::span<const Variable> reset = {});
  /// All batches. Returns the outputs after the last one.
  std::vector<double> epoch(std::span<const RowSource> inputs, const EpochOptions& options);
  /// Many epochs; `reset` variables are zeroed before each. Returns outputs, (epochs, n) row-major.
  std::vector<double> fit(std::span<const RowSource> inputs, std::int64_t epochs,
                          EpochOptions options, std::span<const Variable> reset);
  const Graph& graph() const;

  /// Takes `repeats` steps on these inputs; one line per kernel call. The variables do change.
  std::vector<ProfileLine> profile(std::span<const RowSource> inputs, int repeats);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A permutation of 0..n-1 that depends on (seed, epoch) only.
LAMELLA_API std::vector<std::int64_t> shuffled_order(std::int64_t n, std::uint64_t seed,
                                                     std::int64_t epoch);

}  // namespace lamella
