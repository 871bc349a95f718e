#include "nn/objectives.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lamella/ops.h"
#include "nn/json.h"

namespace lamella::nn {
namespace {

constexpr const char* kLosses =
    "categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy, "
    "mean_squared_error or mean_absolute_error";
constexpr const char* kMetrics =
    "accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy, "
    "mean_squared_error or mean_absolute_error";

std::string long_name(const std::string& name) {
  if (name == "mse") return "mean_squared_error";
  if (name == "mae") return "mean_absolute_error";
  if (name == "acc") return "accuracy";
  return name;
}

template <std::size_t N>
bool one_of(const std::string& name, const std::array<const char*, N>& names) {
  return std::any_of(names.begin(), names.end(), [&](const char* n) { return name == n; });
}

/// "accuracy" is one of three.
std::string resolved(const std::string& metric, bool sparse, const Shape& output) {
  const std::string name = long_name(metric);
  if (name != "accuracy") return name;
  if (output.back() == Dim(1)) return "binary_accuracy";
  return sparse ? "sparse_categorical_accuracy" : "categorical_accuracy";
}

}  // namespace

bool is_sparse(const std::string& loss) { return loss == "sparse_categorical_crossentropy"; }

void check_objectives(const CompileOptions& options, const Shape& output, const std::string& who) {
  const std::string loss = long_name(options.loss);
  check(one_of<5>(loss, {"categorical_crossentropy", "sparse_categorical_crossentropy",
                         "binary_crossentropy", "mean_squared_error", "mean_absolute_error"}),
        "compile: expected the loss ", kLosses, ", got '", options.loss, "'");
  check<ShapeError>(!loss.ends_with("categorical_crossentropy") || !(output.back() == Dim(1)), who,
                    ": ", loss, " expects one output for each class, got shape ", output,
                    "; for two classes and one output use binary_crossentropy");
  check<ShapeError>(!is_sparse(loss) || output.back().known(), who, ": ", loss,
                    " expects a known number of classes, got shape ", output);
  for (const std::string& given : options.metrics) {
    const std::string metric = resolved(given, is_sparse(loss), output);
    check(
        one_of<5>(metric, {"binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
                           "mean_squared_error", "mean_absolute_error"}),
        "compile: expected a metric of ", kMetrics, ", got '", given, "'");
    check(std::count(options.metrics.begin(), options.metrics.end(), given) == 1,
          "compile: the metric '", given, "' is named twice");
    check((metric == "sparse_categorical_accuracy") == is_sparse(loss), "compile: the metric '",
          given, "' does not fit the targets of ", loss, ", which are ",
          is_sparse(loss) ? "class numbers" : "of the output's shape");
  }
}

Tensor loss_value(const std::string& loss, const Tensor& target, const Tensor& output) {
  using namespace ops;
  const std::string name = long_name(loss);
  if (is_sparse(name)) return mean(sparse_categorical_crossentropy(target, output, false));
  if (name == "categorical_crossentropy")
    return mean(categorical_crossentropy(target, output, false));
  if (name == "binary_crossentropy")
    return mean(mean(binary_crossentropy(target, output, false), {-1}));
  const Tensor error = sub(target, output);
  return mean(mean(name == "mean_squared_error" ? square(error) : abs(error), {-1}));
}

Tensor metric_values(const std::string& metric, bool sparse, const Tensor& target,
                     const Tensor& output) {
  using namespace ops;
  const std::string name = resolved(metric, sparse, output.shape());
  Tensor values;
  if (name == "binary_accuracy") {
    const Tensor above = greater(output, Tensor::scalar(0.5, output.dtype()));
    values = cast(equal(target, cast(above, target.dtype())), DType::kFloat32);
  } else if (name == "categorical_accuracy") {
    values = cast(equal(argmax(target, {-1}), argmax(output, {-1})), DType::kFloat32);
  } else if (name == "sparse_categorical_accuracy") {
    values = cast(equal(target, cast(argmax(output, {-1}), target.dtype())), DType::kFloat32);
  } else {
    const Tensor error = sub(target, output);
    values = mean(name == "mean_squared_error" ? square(error) : abs(error), {-1});
  }
  Axes rest;
  for (int i = 1; i < values.rank(); ++i) rest.push_back(i);
  return rest.empty() ? values : mean(values, rest);
}

// ---------------------------------------------------------------- optimizers

OptimizerChoice::OptimizerChoice(const std::string& name)
    : value_(name, [&] {
        OptimizerOptions o;
        if (name == "sgd") o.learning_rate = 0.01;
        if (name == "adadelta") o.rho = 0.95;
        return o;
      }()) {}

std::string optimizer_config(const Optimizer& optimizer) {
  constexpr std::array<std::pair<const char*, const char*>, 7> kKinds = {{{"sgd", "SGD"},
                                                                          {"rmsprop", "RMSprop"},
                                                                          {"adagrad", "Adagrad"},
                                                                          {"adadelta", "Adadelta"},
                                                                          {"adam", "Adam"},
                                                                          {"adamax", "Adamax"},
                                                                          {"nadam", "Nadam"}}};
  const std::string& kind = optimizer.kind();
  const OptimizerOptions& o = optimizer.options();
  const auto off = [](double v) { return v > 0 ? number(v) : std::string("null"); };
  std::string text = "\"name\":" + quote(kind) +
                     ",\"learning_rate\":" + number(optimizer.learning_rate().value().item()) +
                     ",\"weight_decay\":" + off(o.weight_decay) +
                     ",\"clipnorm\":" + off(o.clip_norm) + ",\"clipvalue\":" + off(o.clip_value) +
                     ",\"global_clipnorm\":" + off(o.global_clip_norm);
  if (kind == "sgd" || kind == "rmsprop") text += ",\"momentum\":" + number(o.momentum);
  if (kind == "sgd") text += ",\"nesterov\":" + flag(o.nesterov);
  if (kind == "rmsprop") text += ",\"centered\":" + flag(o.centered);
  if (kind == "rmsprop" || kind == "adadelta") text += ",\"rho\":" + number(o.rho);
  if (kind == "adagrad")
    text += ",\"initial_accumulator_value\":" + number(o.initial_accumulator_value);
  if (kind != "sgd") text += ",\"epsilon\":" + number(o.epsilon);
  if (kind == "adam" || kind == "adamax" || kind == "nadam")
    text += ",\"beta_1\":" + number(o.beta_1) + ",\"beta_2\":" + number(o.beta_2);
  if (kind == "adam") text += ",\"amsgrad\":" + flag(o.amsgrad);
  const auto* found =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return kind == k.first; });
  return object("keras.optimizers", found->second, text);
}

}  // namespace lamella::nn
