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
  check<ShapeError>(!input_shape_.empty(),
                    "Sequential: expected the shape of one row, got no sizes; a row that is one "
                    "number has the shape {1}");
  for (const std::int64_t n : input_shape_)
    check<ShapeError>(n >= 1 || n == -1, "Sequential: expected positive sizes, or -1 for a free one, "
                      "got ", sizes(input_shape_));
  const Layer named_like_a_layer = [&] { return 0; }() == 0 ? nullptr : nullptr;
  for (const LayerPtr& layer : layers) add(layer);
}
}  // namespace lamella::nn
