#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "lamella/io.h"
#include "lamella/nn.h"
#include "lamella/runtime.h"

namespace lamella {

struct Model::Impl {
  io::ModelFile file;
  std::unique_ptr<Executor> predict;
  std::unique_ptr<Trainer> train, test;
  std::mutex mutex;

  const Graph* graph(const char* name) const {
    const auto it = file.graphs.find(name);
    return it == file.graphs.end() ? nullptr : &it->second;
  }

  static EpochLog log(const Graph& g, const double* values) {
    EpochLog out;
    const auto names = g.output_names();
    for (std::size_t i = 0; i < names.size(); ++i) out.emplace_back(names[i], values[i]);
    return out;
  }
};

namespace {

template <class T>
T& opened(const std::shared_ptr<T>& impl) {
  check<StateError>(impl != nullptr, "model: this handle is empty; load() or compile() one first");
  return *impl;
}

/// The rows of x and y. A last axis of size 1 that y lacks or has too much is only a matter of
/// form.
std::array<RowSource, 2> rows_of_pair(const Graph& g, const Tensor& x, const Tensor& y) {
  std::array<RowSource, 2> rows = {rows_of(x), rows_of(y)};
  const std::vector<Spec> specs = g.input_specs();
  if (specs.size() != 2) return rows;  // the Trainer says what it expects
  const Shape& want = specs[1].shape;
  Shape& have = rows[1].row_shape;
  if (want.rank() == y.rank() + 1 && want.back() == Dim(1)) have.push_back(Dim(1));
  if (want.rank() == y.rank() - 1 && have.back() == Dim(1))
    have = Shape(have.begin(), static_cast<std::size_t>(have.rank() - 1));
  return rows;
}

}  // namespace

Model::Model(io::ModelFile file) : impl_(std::make_shared<Impl>()) {
  impl_->file = std::move(file);
  const Graph* g = impl_->graph("predict");
  check<StateError>(g != nullptr, "model: there is no prediction graph");
  impl_->predict = std::make_unique<Executor>(*g);
}

Model load(const std::string& path) {
  io::ModelFile file = io::load_model(path);
  check<IoError>(file.graphs.contains("predict"), path, ": the file holds no prediction graph");
  return Model(std::move(file));
}

std::vector<Tensor> Model::predict(const std::vector<Tensor>& inputs,
                                   std::int64_t batch_size) const {
  Impl& m = opened(impl_);
  if (batch_size <= 0) return m.predict->run(inputs);
  std::vector<RowSource> rows;
  for (const Tensor& t : inputs) rows.push_back(rows_of(t));
  return m.predict->map(rows, batch_size);
}

Tensor Model::predict(const Tensor& x, std::int64_t batch_size) const {
  auto out = predict(std::vector<Tensor>{x}, batch_size);
  check<StateError>(out.size() == 1, "model: ", out.size(),
                    " outputs; use predict with a list of inputs");
  return out[0];
}

bool Model::compiled() const {
  const Impl& m = opened(impl_);
  return m.file.optimizer.has_value() && m.graph("train") != nullptr;
}

std::vector<Variable> Model::variables() const {
  std::vector<Variable> out;
  const io::ModelFile& file = opened(impl_).file;
  for (const auto& [name, v] : file.variables)
    if (std::none_of(file.metric_state.begin(), file.metric_state.end(),
                     [&](const Variable& m) { return same(m, v); }))
      out.push_back(v);
  return out;
}

Variable Model::variable(const std::string& name) const {
  for (const auto& [key, v] : opened(impl_).file.variables)
    if (key == name) return v;
  throw Error("model: no variable named '" + name + "'");
}

Optimizer Model::optimizer() const {
  const Impl& m = opened(impl_);
  check<StateError>(m.file.optimizer.has_value(),
                    "model: it is not compiled, so it has no optimizer");
  return *m.file.optimizer;
}

std::vector<std::string> Model::input_names() const {
  return opened(impl_).predict->graph().input_names();
}
std::vector<Spec> Model::input_specs() const {
  return opened(impl_).predict->graph().input_specs();
}
std::vector<std::string> Model::output_names() const {
  return opened(impl_).predict->graph().output_names();
}

EpochLog Model::evaluate(const Tensor& x, const Tensor& y, std::int64_t batch_size) {
  Impl& m = opened(impl_);
  std::lock_guard lock(m.mutex);
  const Graph* g = m.graph("test");
  check<StateError>(
      g != nullptr,
      "model: it has no loss and metrics; compile it (in Python: and call evaluate or fit "
      "before save)");
  if (!m.test) m.test = std::make_unique<Trainer>(*g, nullptr);
  const auto rows = rows_of_pair(*g, x, y);
  EpochOptions o;
  o.batch_size = batch_size;
  const auto values = m.test->fit(rows, 1, o, m.file.metric_state);
  return Impl::log(*g, values.data());
}

std::vector<EpochLog> Model::fit(const Tensor& x, const Tensor& y, const FitOptions& options) {
  Impl& m = opened(impl_);
  check<StateError>(
      compiled(), "model: it cannot be trained; compile it (in Python: and call fit before save)");
  const Graph& g = *m.graph("train");
  {
    std::lock_guard lock(m.mutex);
    if (!m.train) m.train = std::make_unique<Trainer>(g, &*m.file.optimizer);
  }
  const auto rows = rows_of_pair(g, x, y);
  EpochOptions o;
  o.batch_size = options.batch_size;
  o.shuffle = options.shuffle;
  if (options.shuffle)
    o.seed = static_cast<std::uint64_t>(options.seed >= 0 ? options.seed : next_seed());
  std::vector<EpochLog> logs;
  for (std::int64_t e = options.initial_epoch; e < options.epochs; ++e) {
    o.epoch = e;
    {
      std::lock_guard lock(m.mutex);  // not during on_epoch_end, which may evaluate or save
      const auto values = m.train->fit(rows, 1, o, m.file.metric_state);
      logs.push_back(Impl::log(g, values.data()));
    }
    if (options.on_epoch_end && options.on_epoch_end(e, logs.back())) break;
  }
  return logs;
}

void Model::save(const std::string& path) const {
  Impl& m = opened(impl_);
  std::lock_guard lock(m.mutex);  // between two epochs, not within one
  io::save_model(path, m.file);
}

}  // namespace lamella
