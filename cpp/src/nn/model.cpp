#include <algorithm>
#include <map>
#include <mutex>

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
  check<StateError>(impl != nullptr, "model: this handle is empty; load() a file first");
  return *impl;
}

}  // namespace

Model load(const std::string& path) {
  auto impl = std::make_shared<Model::Impl>();
  impl->file = io::load_model(path);
  const Graph* g = impl->graph("predict");
  check<IoError>(g != nullptr, path, ": the file holds no prediction graph");
  impl->predict = std::make_unique<Executor>(*g);
  Model model;
  model.impl_ = std::move(impl);
  return model;
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
  for (const auto& [name, v] : opened(impl_).file.variables) out.push_back(v);
  return out;
}

Variable Model::variable(const std::string& name) const {
  for (const auto& [key, v] : opened(impl_).file.variables)
    if (key == name) return v;
  throw Error("model: no variable named '" + name + "'");
}

EpochLog Model::evaluate(const Tensor& x, const Tensor& y, std::int64_t batch_size) {
  Impl& m = opened(impl_);
  std::lock_guard lock(m.mutex);
  const Graph* g = m.graph("test");
  check<StateError>(g != nullptr, "model: it was saved without being compiled, so it has no loss");
  if (!m.test) m.test = std::make_unique<Trainer>(*g, nullptr);
  const RowSource rows[] = {rows_of(x), rows_of(y)};
  EpochOptions o;
  o.batch_size = batch_size;
  const auto values = m.test->fit(rows, 1, o, m.file.metric_state);
  return Impl::log(*g, values.data());
}

std::vector<EpochLog> Model::fit(const Tensor& x, const Tensor& y, const FitOptions& options) {
  Impl& m = opened(impl_);
  check<StateError>(compiled(),
                    "model: it was saved without being compiled, so it cannot be trained");
  std::lock_guard lock(m.mutex);
  const Graph& g = *m.graph("train");
  if (!m.train) m.train = std::make_unique<Trainer>(g, &*m.file.optimizer);
  const RowSource rows[] = {rows_of(x), rows_of(y)};
  EpochOptions o;
  o.batch_size = options.batch_size;
  o.shuffle = options.shuffle;
  if (options.shuffle)
    o.seed = static_cast<std::uint64_t>(options.seed >= 0 ? options.seed : next_seed());
  std::vector<EpochLog> logs;
  for (std::int64_t e = options.initial_epoch; e < options.epochs; ++e) {
    o.epoch = e;
    const auto values = m.train->fit(rows, 1, o, m.file.metric_state);
    logs.push_back(Impl::log(g, values.data()));
    if (options.on_epoch_end && options.on_epoch_end(e, logs.back())) break;
  }
  return logs;
}

void Model::save(const std::string& path) const { io::save_model(path, opened(impl_).file); }

}  // namespace lamella
