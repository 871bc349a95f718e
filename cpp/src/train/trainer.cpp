#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "graph/program.h"
#include "lamella/program.h"
#include "lamella/runtime.h"
#include "optim/optimizer_impl.h"

namespace lamella {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(20);

std::vector<Shape> batch_shapes(std::span<const RowSource> inputs, std::int64_t rows) {
  std::vector<Shape> shapes;
  for (const RowSource& s : inputs) {
    Shape shape{Dim(rows)};
    for (Dim d : s.row_shape) shape.push_back(d);
    shapes.push_back(shape);
  }
  return shapes;
}

/// Whether `shapes` is what batch_shapes gives, without building that.
bool fits(std::span<const Shape> shapes, std::span<const RowSource> inputs, std::int64_t rows) {
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Shape& have = shapes[i];
    const Shape& row = inputs[i].row_shape;
    if (have.rank() != row.rank() + 1 || !(have[0] == Dim(rows))) return false;
    for (int a = 0; a < row.rank(); ++a)
      if (!(have[a + 1] == row[a])) return false;
  }
  return true;
}

/// All sources have the same number of rows.
std::int64_t common_rows(const GraphData& g, std::span<const RowSource> inputs) {
  check<ShapeError>(inputs.size() == g.inputs.size(), "expected ", g.inputs.size(), " arrays, got ",
                    inputs.size());
  for (std::size_t i = 1; i < inputs.size(); ++i)
    check<ShapeError>(inputs[i].rows == inputs[0].rows, "input '", g.inputs[i].name, "' has ",
                      inputs[i].rows, " rows, input '", g.inputs[0].name, "' has ", inputs[0].rows);
  return inputs.empty() ? 1 : inputs[0].rows;
}

/// Copies rows into the program's input slots: `index[0..n)` or first, first + 1, ...
void feed(Program& p, std::span<const RowSource> inputs, const std::int64_t* index,
          std::int64_t first, std::int64_t n) {
  int fault = 0;
  const kernels::Exec exec{num_threads(), &fault};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    void* dst = p.input(i);
    if (dst == nullptr) continue;
    const RowSource& s = inputs[i];
    kernels::table().feed({s.dtype, p.input_spec(i).dtype, s.data, dst, index, first, n,
                           s.row_shape.size(), s.row_stride},
                          exec);
  }
}

void set_to_zero(std::span<const Variable> variables) {
  for (const Variable& v : variables) {
    std::lock_guard guard(detail::snapshots_mutex());
    v.data()->detach_snapshot();
    std::memset(v.data()->raw(), 0, v.data()->nbytes());
  }
}

/// Rows first, first + 1, ... through an inference program.
void compute(Program& p, std::span<const RowSource> inputs, std::int64_t first, std::int64_t n,
             const Poll* poll) {
  feed(p, inputs, nullptr, first, n);
  const Program::Writing writing(p);
  p.run(poll);
}

}  // namespace

RowSource rows_of(const Tensor& t) {
  check<ShapeError>(t.rank() >= 1, "data: expected at least one axis, got a scalar");
  RowSource s;
  s.data = t.raw();
  s.dtype = t.dtype();
  s.rows = t.shape()[0].value();
  for (int i = 1; i < t.rank(); ++i) s.row_shape.push_back(t.shape()[i]);
  s.row_stride = s.row_shape.size() * static_cast<std::int64_t>(size_of(s.dtype));
  return s;
}

/// floor(r * n / 2^64): for a random r a number below n, with a bias of n / 2^64.
static std::uint64_t scaled(std::uint64_t r, std::uint64_t n) {
  const std::uint64_t r1 = r >> 32, r0 = r & 0xFFFFFFFFu, n1 = n >> 32, n0 = n & 0xFFFFFFFFu;
  const std::uint64_t middle = r1 * n0 + (r0 * n0 >> 32);
  return r1 * n1 + (middle >> 32) + ((r0 * n1 + (middle & 0xFFFFFFFFu)) >> 32);
}

std::vector<std::int64_t> shuffled_order(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  // Fisher-Yates over splitmix64; the stream depends on seed and epoch only.
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ull ^
                        (static_cast<std::uint64_t>(epoch) + 1) * 0xD1B54A32D192ED03ull;
  auto next = [&state] {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  };
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) {
    const auto j = static_cast<std::size_t>(scaled(next(), i));
    std::swap(order[i - 1], order[j]);
  }
  return order;
}

// ---------------------------------------------------------------- Executor

struct Executor::Impl {
  explicit Impl(const Graph& g) : graph(g) {}

  struct Entry {
    std::vector<Shape> shapes;
    std::vector<std::unique_ptr<Program>> free;
  };
  static constexpr std::size_t kMaxEntries = 16;  // shapes kept; the oldest goes

  std::unique_ptr<Program> take(std::span<const RowSource> inputs, std::int64_t rows) {
    {
      std::lock_guard lock(mutex);
      for (Entry& e : entries)
        if (!e.free.empty() && fits(e.shapes, inputs, rows)) {
          auto p = std::move(e.free.back());
          e.free.pop_back();
          return p;
        }
    }
    return std::make_unique<Program>(*graph.data(), batch_shapes(inputs, rows), nullptr,
                                     std::span<const Variable>{});
  }

  void give(std::span<const RowSource> inputs, std::int64_t rows, std::unique_ptr<Program> p) {
    std::lock_guard lock(mutex);
    for (Entry& e : entries)
      if (fits(e.shapes, inputs, rows)) {
        if (e.free.size() < 64) e.free.push_back(std::move(p));
        return;
      }
    if (entries.size() >= kMaxEntries) entries.pop_front();
    entries.emplace_back();
    entries.back().shapes = batch_shapes(inputs, rows);
    entries.back().free.push_back(std::move(p));
  }

  /// A program for so many rows of these sources while it lives.
  struct Lease {
    Impl& impl;
    std::span<const RowSource> inputs;
    std::int64_t rows;
    std::unique_ptr<Program> program;
    Lease(Impl& i, std::span<const RowSource> sources, std::int64_t n)
        : impl(i), inputs(sources), rows(n), program(i.take(sources, n)) {}
    ~Lease() { impl.give(inputs, rows, std::move(program)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
  };

  /// Outputs for all rows, filled piece by piece.
  struct Results {
    std::vector<char*> data;
    std::vector<std::size_t> row_bytes;

    void allocate(const Program& p, std::int64_t size, std::int64_t rows, const PlaceFn& place) {
      for (std::size_t i = 0; i < p.output_count(); ++i) {
        Shape shape = p.output_spec(i).shape;
        check<ShapeError>(shape.rank() >= 1 && shape[0] == Dim(size), "predict: output '",
                          p.graph().outputs[i].name, "' of shape ", shape,
                          " does not have one row for each input row; use predict_on_batch");
        const DType dtype = p.output_spec(i).dtype;
        row_bytes.push_back(
            static_cast<std::size_t>(shape.size() / std::max(size, std::int64_t{1})) *
            size_of(dtype));
        shape[0] = Dim(rows);
        data.push_back(static_cast<char*>(place(i, {shape, dtype})));
      }
    }
    /// Copies the program's rows from `from` on to row `to` and the following.
    void store(const Program& p, std::int64_t from, std::int64_t to, std::int64_t n) {
      for (std::size_t i = 0; i < data.size(); ++i)
        std::memcpy(
            data[i] + row_bytes[i] * static_cast<std::size_t>(to),
            static_cast<const char*>(p.output(i)) + row_bytes[i] * static_cast<std::size_t>(from),
            row_bytes[i] * static_cast<std::size_t>(n));
    }
  };

  static constexpr std::int64_t kFewRows = 8;

  /// How many rows to carry through the whole graph at a time, so that what lies between two
  /// layers stays in cache: decided by sizes alone. Not fewer than make reading the weights again
  /// for each piece cheap, and not more memory than `batch_size` rows would take, or the cache has.
  std::int64_t rows_at_a_time(std::span<const RowSource> inputs, std::int64_t batch_size) {
    constexpr std::int64_t kCache = 1 << 20, kMost = 4096;
    const std::int64_t probe = std::min(kFewRows, batch_size);
    std::int64_t row_bytes = 0;
    {
      const Lease lease(*this, inputs, probe);
      row_bytes = static_cast<std::int64_t>(lease.program->arena_bytes()) / probe + 1;
    }
    std::int64_t weights = 0;
    for (const Variable& v : graph.data()->variables)
      weights += static_cast<std::int64_t>(v.data()->nbytes());
    const std::int64_t for_weights = std::min<std::int64_t>(256, weights / row_bytes);
    const std::int64_t least = std::min(std::max(kFewRows, for_weights), batch_size);
    const std::int64_t n = std::max(least, std::min(kCache / row_bytes, kMost));
    return std::max(probe, n / kFewRows * kFewRows);
  }

  using Done = std::function<void(std::int64_t rows)>;

  /// All rows, `some` at a time; for graphs whose rows are computed alone. With many pieces each
  /// thread carries its own through the graph; with few the threads share each kernel. The
  /// pieces, and so the results, are the same.
  void by_rows(std::span<const RowSource> inputs, std::int64_t rows, std::int64_t some,
               const PlaceFn& place, const PollFn& poll, const Done& done) {
    const std::int64_t pieces = (rows + some - 1) / some;
    Results out;
    {
      const Lease lease(*this, inputs, some);
      out.allocate(*lease.program, some, rows, place);
    }
    std::atomic<std::int64_t> finished{0};
    std::atomic<bool> stop{false};
    std::exception_ptr failure;
    std::mutex failing;
    const std::thread::id caller = std::this_thread::get_id();
    auto polled = Clock::now();
    auto piece = [&](std::int64_t i) {
      if (stop.load(std::memory_order_relaxed)) return;
      const bool here = std::this_thread::get_id() == caller;
      try {
        const Lease lease(*this, inputs, some);
        // The last piece is as long as the others: it begins earlier, and stores what is new.
        const std::int64_t to = i * some, from = std::min(to, rows - some);
        compute(*lease.program, inputs, from, some, here && poll ? &poll : nullptr);
        const std::int64_t n = std::min(some, rows - to);
        out.store(*lease.program, to - from, to, n);
        const std::int64_t now_done = finished.fetch_add(n) + n;
        if (!here) return;
        if (done) done(now_done);
        if (poll && Clock::now() - polled > kPollInterval) {
          polled = Clock::now();
          if (poll()) throw Interrupted("predict: interrupted");
        }
      } catch (...) {
        const std::lock_guard lock(failing);
        if (!failure) failure = std::current_exception();
        stop = true;
      }
    };
    const int threads = num_threads();
    if (pieces >= 2 * threads && threads > 1) {
      kernels::table().parallel(
          threads, pieces,
          [](void* context, std::int64_t i) { (*static_cast<decltype(piece)*>(context))(i); },
          &piece);
    } else {
      for (std::int64_t i = 0; i < pieces; ++i) piece(i);
    }
    if (failure) std::rethrow_exception(failure);
    if (done) done(rows);
  }

  /// Rows in batches, one after the other.
  void in_batches(std::span<const RowSource> inputs, std::int64_t rows, std::int64_t batch_size,
                  const PlaceFn& place, const PollFn& poll,
                  const std::function<void(std::int64_t)>& progress) {
    Results out;
    auto polled = Clock::now();
    std::int64_t step = 0;
    const std::int64_t tail = rows % batch_size;
    auto batches = [&](std::int64_t begin, std::int64_t end, std::int64_t size) {
      if (begin >= end) return;
      const Lease lease(*this, inputs, size);
      Program& p = *lease.program;
      if (out.data.empty()) out.allocate(p, size, rows, place);
      for (std::int64_t row = begin; row < end; row += size) {
        compute(p, inputs, row, size, poll ? &poll : nullptr);
        out.store(p, 0, row, size);
        ++step;
        if (progress) progress(step);
        if (poll && Clock::now() - polled > kPollInterval) {
          polled = Clock::now();
          if (poll()) throw Interrupted("predict: interrupted");
        }
      }
    };
    batches(0, rows - tail, batch_size);
    batches(rows - tail, rows, tail);
  }

  Graph graph;
  bool alone = row_wise(*graph.data());
  std::mutex mutex;
  std::deque<Entry> entries;
};

namespace {

/// Outputs as new tensors.
struct Fresh {
  std::vector<Tensor> tensors;
  PlaceFn place() {
    return [this](std::size_t, const Spec& s) {
      return tensors.emplace_back(Tensor::empty(s.shape, s.dtype)).mutable_raw();
    };
  }
};

}  // namespace

Executor::Executor(const Graph& graph) : impl_(std::make_unique<Impl>(graph)) {}
Executor::~Executor() = default;
const Graph& Executor::graph() const { return impl_->graph; }

std::vector<Tensor> Executor::run(std::span<const Tensor> inputs) {
  std::vector<RowSource> sources;
  for (const Tensor& t : inputs) sources.push_back(rows_of(t));
  return run(sources);
}

std::vector<Tensor> Executor::run(std::span<const RowSource> inputs) {
  Fresh out;
  run(inputs, out.place());
  return std::move(out.tensors);
}

void Executor::run(std::span<const RowSource> inputs, const PlaceFn& place) {
  const std::int64_t rows = common_rows(*impl_->graph.data(), inputs);
  if (impl_->alone && rows > Impl::kFewRows) {
    const std::int64_t some = impl_->rows_at_a_time(inputs, rows);
    if (some < rows) {
      impl_->by_rows(inputs, rows, some, place, {}, {});
      return;
    }
  }
  const Impl::Lease lease(*impl_, inputs, rows);
  Program& p = *lease.program;
  constexpr std::size_t kFewOutputs = 4;
  std::array<void*, kFewOutputs> few{};
  std::vector<void*> many;
  std::span<void*> places(few.data(), std::min(p.output_count(), kFewOutputs));
  if (p.output_count() > kFewOutputs) {
    many.resize(p.output_count());
    places = many;
  }
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = place(i, p.output_spec(i));
  compute(p, inputs, 0, rows, nullptr);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Spec& s = p.output_spec(i);
    std::memcpy(places[i], p.output(i),
                static_cast<std::size_t>(s.shape.size()) * size_of(s.dtype));
  }
}

std::vector<ProfileLine> Executor::profile(std::span<const RowSource> inputs, int repeats) {
  const std::int64_t rows = common_rows(*impl_->graph.data(), inputs);
  check(rows >= 1, "the batch is empty: expected at least one row");
  const Impl::Lease lease(*impl_, inputs, rows);
  Program& p = *lease.program;
  const Program::Writing writing(p);
  return p.profile(repeats, [&] { feed(p, inputs, nullptr, 0, rows); });
}

std::vector<Tensor> Executor::map(std::span<const RowSource> inputs, std::int64_t batch_size,
                                  const PollFn& poll,
                                  const std::function<void(std::int64_t)>& progress) {
  check(batch_size >= 1, "predict: batch_size must be positive, got ", batch_size);
  const std::int64_t rows = common_rows(*impl_->graph.data(), inputs);
  if (impl_->alone && rows > Impl::kFewRows) {
    const std::int64_t some = impl_->rows_at_a_time(inputs, std::min(rows, batch_size));
    if (some < rows) {
      Impl::Done done;
      if (progress) done = [&](std::int64_t n) { progress((n + batch_size - 1) / batch_size); };
      Fresh out;
      impl_->by_rows(inputs, rows, some, out.place(), poll, done);
      return std::move(out.tensors);
    }
  }
  if (rows <= batch_size) {
    auto out = run(inputs);
    if (progress) progress(1);
    return out;
  }
  Fresh out;
  impl_->in_batches(inputs, rows, batch_size, out.place(), poll, progress);
  return std::move(out.tensors);
}

// ---------------------------------------------------------------- Trainer

struct Trainer::Impl {
  Graph graph;
  std::shared_ptr<OptimizerState> optimizer;
  std::vector<Variable> trained;
  std::mutex mutex;  // one run at a time
  std::atomic<std::thread::id> runner{};
  struct Entry {
    std::vector<Shape> shapes;
    std::unique_ptr<Program> program;
  };
  std::deque<Entry> programs;
  static constexpr std::size_t kMaxEntries = 8;

  /// The program for batches of so many rows; compiled when it is not there yet.
  Program& program(std::span<const RowSource> inputs, std::int64_t rows) {
    for (Entry& e : programs)
      if (fits(e.shapes, inputs, rows)) return *e.program;
    std::vector<Shape> shapes = batch_shapes(inputs, rows);
    auto p = std::make_unique<Program>(*graph.data(), shapes, optimizer, trained);
    if (programs.size() >= kMaxEntries) programs.pop_front();
    programs.push_back({std::move(shapes), std::move(p)});
    return *programs.back().program;
  }

  /// One run at a time; a callback of a run that starts another one would wait for itself.
  class Turn {
   public:
    explicit Turn(Impl& impl) : impl_(impl) {
      check<StateError>(impl.runner.load() != std::this_thread::get_id(),
                        "train: this trainer is already running; a callback cannot start another "
                        "step or epoch on it");
      impl.mutex.lock();
      impl.runner = std::this_thread::get_id();
    }
    ~Turn() {
      impl_.runner = std::thread::id();
      impl_.mutex.unlock();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Impl& impl_;
  };

  static void read(const Program& p, std::vector<double>& values) {
    values.resize(p.output_count());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Spec& s = p.output_spec(i);
      if (s.shape.size() != 1) {
        values[i] = std::nan("");
        continue;
      }
      const void* at = p.output(i);
      values[i] = visit_dtype(s.dtype, [&]<class T>(TypeTag<T>) {
        return static_cast<double>(*static_cast<const T*>(at));
      });
    }
  }

  /// One pass over the rows; false when a callback asked to end it.
  void epoch(std::span<const RowSource> inputs, const EpochOptions& o,
             std::vector<double>& values) {
    const std::int64_t rows = common_rows(*graph.data(), inputs);
    check(o.batch_size >= 1, "batch_size must be positive, got ", o.batch_size);
    check(rows >= 1, "the data are empty: expected at least one row");
    const std::int64_t batch = std::min(o.batch_size, rows);
    const std::int64_t tail = rows % batch;
    std::int64_t steps = rows / batch + (tail > 0 ? 1 : 0);
    if (o.max_steps > 0) steps = std::min(steps, o.max_steps);
    if (o.shuffle && rows > 1) {
      order = shuffled_order(rows, o.seed, o.epoch);
    } else {
      order.clear();
    }
    const std::int64_t* index = order.empty() ? nullptr : order.data();
    const PollFn* poll = o.poll ? &o.poll : nullptr;
    auto polled = Clock::now(), shown = polled;
    Program* p = nullptr;
    std::unique_ptr<Program::Writing> writing;
    std::int64_t current = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
      const std::int64_t first = step * batch, n = std::min(batch, rows - first);
      if (o.on_batch_begin) {
        // Python may look at (and set) the variables here.
        writing.reset();
        if (o.on_batch_begin(step)) return;
      }
      if (n != current || p == nullptr) {
        writing.reset();
        p = &program(inputs, n);
        current = n;
      }
      if (!writing) writing = std::make_unique<Program::Writing>(*p);
      feed(*p, inputs, index == nullptr ? nullptr : index + first, first, n);
      p->run(poll);
      const bool last = step + 1 == steps;
      if (o.on_batch_end) {
        writing.reset();
        read(*p, values);
        if (o.on_batch_end(step, values)) return;
      }
      if (poll != nullptr || o.progress) {
        const auto now = Clock::now();
        if (poll != nullptr && now - polled > kPollInterval) {
          polled = now;
          if ((*poll)()) throw Interrupted("training: interrupted");
        }
        if (o.progress && !last &&
            std::chrono::duration<double>(now - shown).count() >= o.progress_interval) {
          shown = now;
          read(*p, values);
          if (o.progress(step, values)) return;
        }
      }
    }
    if (p != nullptr) read(*p, values);
  }

  std::vector<std::int64_t> order;
};

Trainer::Trainer(const Graph& graph, const Optimizer* optimizer,
                 const std::vector<Variable>& variables)
    : impl_(std::make_unique<Impl>()) {
  impl_->graph = graph;
  if (optimizer == nullptr) return;
  check<StateError>(optimizer->built(), "train: the optimizer has no variables; build it first");
  impl_->optimizer = optimizer->state();
  impl_->trained = variables.empty() ? optimizer->variables() : variables;
}

Trainer::~Trainer() = default;
const Graph& Trainer::graph() const { return impl_->graph; }

std::vector<double> Trainer::step(std::span<const RowSource> inputs, const PollFn& poll,
                                  std::span<const Variable> reset) {
  const Impl::Turn turn(*impl_);
  set_to_zero(reset);
  const std::int64_t rows = common_rows(*impl_->graph.data(), inputs);
  check(rows >= 1, "the batch is empty: expected at least one row");
  Program& p = impl_->program(inputs, rows);
  const Program::Writing writing(p);
  feed(p, inputs, nullptr, 0, rows);
  p.run(poll ? &poll : nullptr);
  std::vector<double> values;
  Impl::read(p, values);
  return values;
}

std::vector<double> Trainer::epoch(std::span<const RowSource> inputs, const EpochOptions& options) {
  const Impl::Turn turn(*impl_);
  std::vector<double> values;
  impl_->epoch(inputs, options, values);
  return values;
}

std::vector<double> Trainer::fit(std::span<const RowSource> inputs, std::int64_t epochs,
                                 EpochOptions options, std::span<const Variable> reset) {
  const Impl::Turn turn(*impl_);
  std::vector<double> all, values;
  for (std::int64_t e = 0; e < epochs; ++e) {
    set_to_zero(reset);
    impl_->epoch(inputs, options, values);
    all.insert(all.end(), values.begin(), values.end());
    ++options.epoch;
  }
  return all;
}

std::vector<ProfileLine> Trainer::profile(std::span<const RowSource> inputs, int repeats) {
  const Impl::Turn turn(*impl_);
  const std::int64_t rows = common_rows(*impl_->graph.data(), inputs);
  check(rows >= 1, "the batch is empty: expected at least one row");
  Program& p = impl_->program(inputs, rows);
  const Program::Writing writing(p);
  return p.profile(repeats, [&] { feed(p, inputs, nullptr, 0, rows); });
}

}  // namespace lamella
