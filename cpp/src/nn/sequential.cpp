#include <cctype>
#include <map>
#include <utility>

#include "lamella/graph.h"
#include "lamella/io.h"
#include "lamella/nn.h"
#include "lamella/ops.h"
#include "nn/json.h"
#include "nn/objectives.h"

namespace lamella::nn {
namespace {

/// Keras's key of a class: MaxPooling2D -> max_pooling2d.
std::string snake_case(const std::string& name) {
  const auto is = [&](int (*kind)(int), std::size_t i) {
    return i < name.size() && kind(static_cast<unsigned char>(name[i])) != 0;
  };
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (i > 0 && is(std::isupper, i) && (is(std::islower, i + 1) || is(std::islower, i - 1)))
      out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

/// dense, dense_1, ...: `used` counts the kinds.
std::string numbered(const std::string& kind, std::map<std::string, int>& used) {
  const std::string key = snake_case(kind);
  const int n = used[key]++;
  return n == 0 ? key : key + "_" + std::to_string(n);
}

/// Errors of a layer say which one it was.
template <class F>
Tensor named(const Layer& layer, F&& f) {
  const auto text = [&](const Error& e) {
    const std::string what = e.what(), who = layer.who();
    return what.starts_with(who) ? what : who + ": " + what;
  };
  try {
    return f();
  } catch (const ShapeError& e) {
    throw ShapeError(text(e));
  } catch (const DTypeError& e) {
    throw DTypeError(text(e));
  }
}

/// Keras's Mean: total and count over an epoch.
class Mean {
 public:
  explicit Mean(const std::string& name)
      : total_(Tensor::zeros(Shape{}), name + "/total", false),
        count_(Tensor::zeros(Shape{}), name + "/count", false) {}

  void add(const Tensor& sum, const Tensor& rows) {
    total_.assign(ops::add(total_.value(), sum));
    count_.assign(ops::add(count_.value(), rows));
  }
  /// 0 before the first row.
  Tensor result() const {
    const Tensor count = count_.value();
    const Tensor none = ops::equal(count, Tensor::scalar(0));
    return ops::where(none, Tensor::scalar(0),
                      ops::div(total_.value(), ops::where(none, Tensor::scalar(1), count)));
  }
  void append_to(std::vector<Variable>& variables) const {
    variables.push_back(total_);
    variables.push_back(count_);
  }

 private:
  Variable total_, count_;
};

Tensor forward(const std::vector<LayerPtr>& layers, Tensor x, bool training, Graph* graph) {
  for (const LayerPtr& layer : layers) {
    if (graph != nullptr) graph->set_scope(layer->name());
    x = named(*layer, [&] { return layer->call(x, training); });
  }
  if (graph != nullptr) graph->set_scope("");
  return x;
}

}  // namespace

Sequential::Sequential(std::vector<std::int64_t> input_shape, const std::vector<LayerPtr>& layers,
                       std::string name)
    : input_shape_(std::move(input_shape)), name_(std::move(name)) {
  check_name("Sequential", name_);
  check<ShapeError>(!input_shape_.empty(),
                    "Sequential: expected the shape of one row, got no sizes; a row that is one "
                    "number has the shape {1}");
  for (const std::int64_t n : input_shape_)
    check<ShapeError>(n >= 1 || n == -1,
                      "Sequential: expected positive sizes, or -1 for a free one, got ",
                      sizes(input_shape_));
  output_shape_ = Graph().input("x", batch_shape(), DType::kFloat32).shape();
  for (const LayerPtr& layer : layers) add(layer);
}

std::vector<std::int64_t> Sequential::batch_shape() const {
  std::vector<std::int64_t> shape = {-1};
  shape.insert(shape.end(), input_shape_.begin(), input_shape_.end());
  return shape;
}

Sequential& Sequential::add(LayerPtr layer) {
  check(layer != nullptr, "Sequential: expected a layer, got null");
  check<StateError>(!layer->used_, layer->who(), ": this layer is part of a model already");
  std::map<std::string, int> used;
  for (const LayerPtr& l : layers_) numbered(l->kind(), used);
  if (layer->name_.empty()) layer->name_ = numbered(layer->kind(), used);
  for (const LayerPtr& l : layers_)
    check(l->name() != layer->name(), layer->who(), ": ", l->who(),
          " has the same name; give one of them another");
  layer->used_ = true;
  layer->build(output_shape_);

  // One symbolic run tells the output's shape, and whether the input fits.
  Graph probe;
  const Graph::Trace trace(probe);
  std::vector<std::int64_t> input;
  for (const Dim d : output_shape_) input.push_back(d.value_or_unknown());
  const Tensor x = probe.input("x", input, DType::kFloat32);
  const Shape output = named(*layer, [&] { return layer->call(x, false); }).shape();
  check<ShapeError>(output.rank() >= 2 && output[0] == x.shape()[0], layer->who(),
                    ": expected an output with one row for each row of the input, got shape ",
                    output);
  output_shape_ = output;
  layers_.push_back(std::move(layer));
  return *this;
}

Tensor Sequential::operator()(const Tensor& x, bool training) const {
  return forward(layers_, x, training, nullptr);
}

std::vector<Variable> Sequential::trainable_variables() const {
  std::vector<Variable> out;
  for (const LayerPtr& layer : layers_)
    for (const auto& [name, v] : layer->weights())
      if (v.trainable()) out.push_back(v);
  return out;
}

Model Sequential::model() const { return Model(file(nullptr)); }
Model Sequential::compile(const CompileOptions& options) const { return Model(file(&options)); }

io::ModelFile Sequential::file(const CompileOptions* options) const {
  check<StateError>(!layers_.empty(), "Sequential: add layers first");
  const LayerPtr& last = layers_.back();
  if (options != nullptr) check_objectives(*options, output_shape_, last->who());

  io::ModelFile file;
  std::map<std::string, int> used;
  for (const LayerPtr& layer : layers_) {
    const std::string path = "layers/" + numbered(layer->kind(), used) + "/";
    for (const auto& [name, v] : layer->weights()) file.variables.emplace_back(path + name, v);
  }
  {
    Graph& graph = file.graphs["predict"];
    const Graph::Trace trace(graph);
    const Tensor x = graph.input("input_layer", batch_shape(), DType::kFloat32);
    graph.output("output0", forward(layers_, x, false, &graph));
  }
  file.metadata["config"] = config(options);
  if (options == nullptr) return file;

  const std::vector<Variable> variables = trainable_variables();
  check<StateError>(!variables.empty(), "compile: no layer has weights to train");
  file.optimizer = options->optimizer.value();
  file.optimizer->build(variables);
  Mean loss_mean("loss");
  std::vector<Mean> means;
  for (const std::string& metric : options->metrics) means.emplace_back(metric);
  loss_mean.append_to(file.metric_state);
  for (const Mean& mean : means) mean.append_to(file.metric_state);

  const bool sparse = is_sparse(options->loss);
  for (const char* mode : {"train", "test"}) {
    Graph& graph = file.graphs[mode];
    const Graph::Trace trace(graph);
    const Tensor x = graph.input("x", batch_shape(), DType::kFloat32);
    std::vector<std::int64_t> target;
    for (const Dim d : output_shape_) target.push_back(d.value_or_unknown());
    if (sparse) target.pop_back();
    const Tensor y = graph.input("y", target, sparse ? DType::kInt32 : DType::kFloat32);
    const Tensor output = forward(layers_, x, mode == std::string("train"), &graph);
    graph.set_scope("loss");
    const Tensor loss = named(*last, [&] { return loss_value(options->loss, y, output); });
    const Tensor rows = ops::sum(ops::full(Shape{x.shape()[0]}, 1, DType::kFloat32));
    loss_mean.add(ops::mul(ops::stop_gradient(loss), rows), rows);
    graph.output("loss", loss_mean.result());
    graph.set_scope("metrics");
    for (std::size_t i = 0; i < means.size(); ++i) {
      const std::string& metric = options->metrics[i];
      means[i].add(ops::sum(metric_values(metric, sparse, y, output)), rows);
      graph.output(metric, means[i].result());
    }
    graph.set_loss(loss);
  }
  return file;
}

std::string Sequential::config(const CompileOptions* options) const {
  const std::string shape = sizes(batch_shape(), true);
  std::string stack =
      object("keras.layers", "InputLayer",
             "\"batch_shape\":" + shape + ",\"dtype\":\"float32\",\"name\":\"input_layer\"");
  for (const LayerPtr& layer : layers_) {
    stack += ',';
    stack +=
        object("keras.layers", layer->kind(), "\"name\":" + quote(layer->name()) + layer->config());
  }
  std::string text = object(
      "keras", "Sequential",
      "\"name\":" + quote(name_) + ",\"layers\":[" + stack + "],\"build_input_shape\":" + shape);
  text.pop_back();  // more members follow
  text += ",\"build_config\":{\"input_shape\":" + shape + "}";
  if (options != nullptr) {
    std::string metrics;
    for (const std::string& m : options->metrics) {
      if (!metrics.empty()) metrics += ',';
      metrics += quote(m);
    }
    text += ",\"compile_config\":{\"optimizer\":" + optimizer_config(options->optimizer.value()) +
            ",\"loss\":" + quote(options->loss) + ",\"metrics\":[" + metrics + "]}";
  }
  text += '}';
  return text;
}

}  // namespace lamella::nn
