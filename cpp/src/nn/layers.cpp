#include <algorithm>
#include <cmath>
#include <utility>

#include "lamella/nn.h"
#include "lamella/ops.h"
#include "lamella/runtime.h"
#include "nn/json.h"

namespace lamella::nn {
namespace {

Tensor key_of(std::int64_t seed) { return Tensor::from<std::int64_t>({seed, 0}, Shape{2}); }

// ---------------------------------------------------------------- activations

using ActivationFn = Tensor (*)(const Tensor&);
struct ActivationEntry {
  const char* name;
  ActivationFn fn;
};
constexpr ActivationEntry kActivations[] = {
    {"linear", [](const Tensor& x) { return x; }},
    {"relu", ops::relu},
    {"sigmoid", ops::sigmoid},
    {"tanh", ops::tanh},
    {"softmax", [](const Tensor& x) { return ops::softmax(x); }},
    {"log_softmax", [](const Tensor& x) { return ops::log_softmax(x); }},
    {"softplus", ops::softplus},
    {"softsign", ops::softsign},
    {"elu", [](const Tensor& x) { return ops::elu(x, 1.0); }},
    {"selu", ops::selu},
    {"gelu", [](const Tensor& x) { return ops::gelu(x, false); }},
    {"silu", ops::silu},
    {"swish", ops::silu},
    {"leaky_relu", [](const Tensor& x) { return ops::leaky_relu(x, 0.2); }},
    {"hard_sigmoid", ops::hard_sigmoid},
    {"exponential", ops::exp},
};

ActivationFn find_activation(const char* kind, const std::string& name) {
  std::string known;
  for (const ActivationEntry& e : kActivations) {
    if (name == e.name) return e.fn;
    known += (known.empty() ? "" : ", ") + std::string(e.name);
  }
  throw Error(detail::format(kind, ": unknown activation '", name, "'; expected one of ", known));
}

// ---------------------------------------------------------------- initializers

/// A weight's first values. Its seed is drawn when the layer is made, as in Python: the same
/// set_random_seed and the same layers give the same weights there and here.
class Initializer {
 public:
  Initializer(const char* kind, const std::string& name) {
    if (name == "zeros" || name == "ones") {
      value_ = name == "ones" ? 1 : 0;
      return;
    }
    const auto at = name.rfind('_');
    const std::string rule = name.substr(0, at),
                      law = at == std::string::npos ? "" : name.substr(at + 1);
    check((rule == "glorot" || rule == "he" || rule == "lecun") &&
              (law == "uniform" || law == "normal"),
          kind, ": unknown kernel_initializer '", name,
          "'; expected zeros, ones, or glorot, he or lecun with _uniform or _normal");
    random_ = true;
    uniform_ = law == "uniform";
    scale_ = rule == "he" ? 2 : 1;
    average_ = rule == "glorot";
    seed_ = next_seed();
  }

  Tensor operator()(const Shape& shape) const {
    if (!random_) return Tensor::full(shape, value_);
    std::int64_t field = 1;
    for (int i = 0; i + 2 < shape.rank(); ++i) field *= shape[i].value();
    const auto in = static_cast<double>(field * shape[shape.rank() - 2].value());
    const auto out = static_cast<double>(field * shape.back().value());
    const double variance = scale_ / std::max(1.0, average_ ? (in + out) / 2 : in);
    if (uniform_) {
      const double limit = std::sqrt(3 * variance);
      return ops::random_uniform(key_of(seed_), shape, -limit, limit);
    }
    constexpr double kTruncated = 0.87962566103423978;  // stddev of a normal cut at 2
    return ops::random_truncated_normal(key_of(seed_), shape, 0, std::sqrt(variance) / kTruncated);
  }

 private:
  bool random_ = false, uniform_ = false, average_ = false;
  double value_ = 0, scale_ = 1;
  std::int64_t seed_ = 0;
};

// ---------------------------------------------------------------- layers

ops::Padding find_padding(const char* kind, const std::string& name) {
  check(name == "valid" || name == "same", kind, ": padding must be 'valid' or 'same', got '", name,
        "'");
  return name == "same" ? ops::Padding::kSame : ops::Padding::kValid;
}

void check_positive(const char* kind, const char* what, const Pair& p) {
  check(p[0] >= 1 && p[1] >= 1, kind, ": ", what, " must be positive, got (", p[0], ", ", p[1],
        ")");
}

/// Rank 4, and a window of this extent fits when nothing is padded.
void check_image(const Layer& layer, const Shape& x, const Pair& extent, bool valid) {
  check<ShapeError>(x.rank() == 4, layer.who(),
                    ": expected input of rank 4 (rows, height, width, channels), got shape ", x);
  if (!valid) return;
  for (int i = 0; i < 2; ++i) {
    const std::int64_t size = x[i + 1].value_or_unknown(),
                       need = extent[static_cast<std::size_t>(i)];
    check<ShapeError>(size < 0 || size >= need, layer.who(), ": a window of ", extent[0], " x ",
                      extent[1], " is larger than the input of shape ", x,
                      "; use padding = \"same\" or less pooling before it");
  }
}

std::string affine_config(const auto& o) {
  return ",\"activation\":" + quote(o.activation) + ",\"use_bias\":" + flag(o.use_bias) +
         ",\"kernel_initializer\":" + quote(o.kernel_initializer);
}

class Dense final : public Layer {
 public:
  explicit Dense(const DenseOptions& o)
      : Layer("Dense", o.name),
        o_(o),
        activation_(find_activation("Dense", o.activation)),
        initializer_("Dense", o.kernel_initializer) {
    check(o.units >= 1, "Dense: units must be positive, got units=", o.units);
  }
  void build(const Shape& input) override {
    check<ShapeError>(input.rank() >= 2 && input.back().known(), who(),
                      ": expected input (rows, ..., features) with a known number of features, got "
                      "shape ",
                      input);
    kernel_ = add_weight("kernel", initializer_(Shape{input.back(), o_.units}));
    if (o_.use_bias) bias_ = add_weight("bias", Tensor::zeros(Shape{o_.units}));
  }
  Tensor call(const Tensor& x, bool) override {
    check<ShapeError>(x.rank() >= 2 && x.shape().back() == kernel_.shape()[0], who(),
                      ": expected a last axis of size ", kernel_.shape()[0], ", got shape ",
                      x.shape());
    const Tensor y = ops::matmul(x, kernel_.value());
    return activation_(bias_.defined() ? ops::add(y, bias_.value()) : y);
  }
  std::string config() const override {
    return ",\"units\":" + std::to_string(o_.units) + affine_config(o_);
  }

 private:
  DenseOptions o_;
  ActivationFn activation_;
  Initializer initializer_;
  Variable kernel_, bias_;
};

class Conv2D final : public Layer {
 public:
  explicit Conv2D(const Conv2DOptions& o)
      : Layer("Conv2D", o.name),
        o_(o),
        activation_(find_activation("Conv2D", o.activation)),
        initializer_("Conv2D", o.kernel_initializer) {
    check(o.filters >= 1, "Conv2D: filters must be positive, got filters=", o.filters);
    check_positive("Conv2D", "kernel_size", o.kernel_size);
    check_positive("Conv2D", "strides", o.strides);
    check_positive("Conv2D", "dilation_rate", o.dilation_rate);
    check(o.groups >= 1 && o.filters % o.groups == 0,
          "Conv2D: groups must divide filters, got groups=", o.groups, ", filters=", o.filters);
    conv_.strides.assign(o.strides.begin(), o.strides.end());
    conv_.dilation.assign(o.dilation_rate.begin(), o.dilation_rate.end());
    conv_.padding = find_padding("Conv2D", o.padding);
    conv_.groups = o.groups;
  }
  void build(const Shape& input) override {
    check_input(input);
    check<ShapeError>(input[3].known() && input[3].value() % o_.groups == 0, who(),
                      ": expected a known number of channels that groups=", o_.groups,
                      " divides, got shape ", input);
    kernel_ = add_weight("kernel", initializer_(Shape{o_.kernel_size[0], o_.kernel_size[1],
                                                      input[3].value() / o_.groups, o_.filters}));
    if (o_.use_bias) bias_ = add_weight("bias", Tensor::zeros(Shape{o_.filters}));
  }
  Tensor call(const Tensor& x, bool) override {
    check_input(x.shape());
    check<ShapeError>(x.shape()[3] == kernel_.shape()[2] * Dim(o_.groups), who(), ": expected ",
                      kernel_.shape()[2] * Dim(o_.groups), " channels, got shape ", x.shape());
    const Tensor y = ops::conv(x, kernel_.value(), conv_);
    return activation_(bias_.defined() ? ops::add(y, bias_.value()) : y);
  }
  std::string config() const override {
    return ",\"filters\":" + std::to_string(o_.filters) +
           ",\"kernel_size\":" + sizes(o_.kernel_size) + ",\"strides\":" + sizes(o_.strides) +
           ",\"padding\":" + quote(o_.padding) + ",\"dilation_rate\":" + sizes(o_.dilation_rate) +
           ",\"groups\":" + std::to_string(o_.groups) + affine_config(o_);
  }

 private:
  void check_input(const Shape& x) const {
    const Pair extent = {(o_.kernel_size[0] - 1) * o_.dilation_rate[0] + 1,
                         (o_.kernel_size[1] - 1) * o_.dilation_rate[1] + 1};
    check_image(*this, x, extent, conv_.padding == ops::Padding::kValid);
  }

  Conv2DOptions o_;
  ActivationFn activation_;
  Initializer initializer_;
  ops::ConvOptions conv_;
  Variable kernel_, bias_;
};

class Pooling2D final : public Layer {
 public:
  using PoolFn = Tensor (*)(const Tensor&, const ops::PoolOptions&);
  Pooling2D(const char* kind, PoolFn fn, const Pooling2DOptions& o)
      : Layer(kind, o.name), o_(o), fn_(fn) {
    if (o.strides == Pair{0, 0}) o_.strides = o.pool_size;
    check_positive(kind, "pool_size", o_.pool_size);
    check_positive(kind, "strides", o_.strides);
    pool_.size.assign(o_.pool_size.begin(), o_.pool_size.end());
    pool_.strides.assign(o_.strides.begin(), o_.strides.end());
    pool_.padding = find_padding(kind, o.padding);
  }
  Tensor call(const Tensor& x, bool) override {
    check_image(*this, x.shape(), o_.pool_size, pool_.padding == ops::Padding::kValid);
    return fn_(x, pool_);
  }
  std::string config() const override {
    return ",\"pool_size\":" + sizes(o_.pool_size) + ",\"strides\":" + sizes(o_.strides) +
           ",\"padding\":" + quote(o_.padding);
  }

 private:
  Pooling2DOptions o_;
  PoolFn fn_;
  ops::PoolOptions pool_;
};

class BatchNormalization final : public Layer {
 public:
  explicit BatchNormalization(const BatchNormalizationOptions& o)
      : Layer("BatchNormalization", o.name), o_(o) {
    check(o.momentum >= 0 && o.momentum <= 1,
          "BatchNormalization: momentum must be in [0, 1], got momentum=", o.momentum);
    check(o.epsilon >= 0,
          "BatchNormalization: epsilon must not be negative, got epsilon=", o.epsilon);
  }
  void build(const Shape& input) override {
    check<ShapeError>(input.rank() >= 2 && input.back().known(), who(),
                      ": expected input (rows, ..., channels) with a known number of channels, got "
                      "shape ",
                      input);
    const Shape channels{input.back()};
    if (o_.scale) gamma_ = add_weight("gamma", Tensor::full(channels, 1));
    if (o_.center) beta_ = add_weight("beta", Tensor::zeros(channels));
    mean_ = add_weight("moving_mean", Tensor::zeros(channels), false);
    variance_ = add_weight("moving_variance", Tensor::full(channels, 1), false);
  }
  Tensor call(const Tensor& x, bool training) override {
    using namespace ops;
    check<ShapeError>(x.rank() >= 2 && x.shape().back() == mean_.shape()[0], who(), ": expected ",
                      mean_.shape()[0], " channels, got shape ", x.shape());
    const Tensor gamma = gamma_.defined() ? gamma_.value() : Tensor();
    const Tensor beta = beta_.defined() ? beta_.value() : Tensor();
    if (training) {
      const BatchNormResult r = batch_norm(x, gamma, beta, o_.epsilon);
      average(mean_, r.mean);
      average(variance_, r.var);
      return r.y;
    }
    Tensor factor = rsqrt(add(variance_.value(), Tensor::scalar(o_.epsilon)));
    if (gamma.defined()) factor = mul(factor, gamma);
    Tensor offset = neg(mul(mean_.value(), factor));
    if (beta.defined()) offset = add(offset, beta);
    return add(mul(x, factor), offset);
  }
  std::string config() const override {
    return ",\"momentum\":" + number(o_.momentum) + ",\"epsilon\":" + number(o_.epsilon) +
           ",\"center\":" + flag(o_.center) + ",\"scale\":" + flag(o_.scale);
  }

 private:
  void average(Variable& moving, const Tensor& now) const {
    using namespace ops;
    moving.assign(add(mul(moving.value(), Tensor::scalar(o_.momentum)),
                      mul(stop_gradient(now), Tensor::scalar(1 - o_.momentum))));
  }

  BatchNormalizationOptions o_;
  Variable gamma_, beta_, mean_, variance_;
};

class Dropout final : public Layer {
 public:
  explicit Dropout(const DropoutOptions& o)
      : Layer("Dropout", o.name), o_(o), seed_(o.seed >= 0 ? o.seed : next_seed()) {
    check(o.rate >= 0 && o.rate < 1, "Dropout: rate must be in [0, 1), got rate=", o.rate);
  }
  void build(const Shape&) override {
    state_ = add_weight("seed_generator/state", key_of(seed_), false);
  }
  Tensor call(const Tensor& x, bool training) override {
    if (!training || o_.rate == 0) return x;
    const Tensor key = state_.value();
    state_.assign(ops::add(key, Tensor::from<std::int64_t>({0, 1}, Shape{2})));
    return ops::dropout(x, key, o_.rate);
  }
  std::string config() const override {
    return ",\"rate\":" + number(o_.rate) +
           ",\"seed\":" + (o_.seed >= 0 ? std::to_string(o_.seed) : "null");
  }

 private:
  DropoutOptions o_;
  std::int64_t seed_;
  Variable state_;
};

class Reshape final : public Layer {
 public:
  explicit Reshape(const ReshapeOptions& o) : Layer("Reshape", o.name), o_(o) {
    check(std::all_of(o.target_shape.begin(), o.target_shape.end(),
                      [](std::int64_t n) { return n >= -1; }) &&
              std::count(o.target_shape.begin(), o.target_shape.end(), -1) <= 1,
          "Reshape: target_shape must hold sizes and at most one -1, got ", sizes(o.target_shape));
  }
  Tensor call(const Tensor& x, bool) override {
    Dim row(1), target(1);
    for (int i = 1; i < x.rank(); ++i) row = row * x.shape()[i];
    for (const std::int64_t n : o_.target_shape) target = target * Dim(n < 0 ? 1 : n);
    const bool infer = std::count(o_.target_shape.begin(), o_.target_shape.end(), -1) > 0;
    const bool fits =
        !row.known() ||
        (infer ? target.value() > 0 && row.value() % target.value() == 0 : row == target);
    check<ShapeError>(fits, who(), ": cannot reshape rows of input ", x.shape(), " (", row,
                      " elements) to ", sizes(o_.target_shape));
    Shape shape{x.shape()[0]};
    for (const std::int64_t n : o_.target_shape)
      shape.push_back(n < 0 ? floor_div(row, target) : Dim(n));
    return ops::reshape(x, shape);
  }
  std::string config() const override { return ",\"target_shape\":" + sizes(o_.target_shape); }

 private:
  ReshapeOptions o_;
};

class Flatten final : public Layer {
 public:
  explicit Flatten(const std::string& name) : Layer("Flatten", name) {}
  Tensor call(const Tensor& x, bool) override {
    Dim row(1);
    for (int i = 1; i < x.rank(); ++i) row = row * x.shape()[i];
    return ops::reshape(x, Shape{x.shape()[0], row});
  }
};

class Activation final : public Layer {
 public:
  Activation(const std::string& activation, const std::string& name)
      : Layer("Activation", name),
        activation_(activation),
        fn_(find_activation("Activation", activation)) {}
  Tensor call(const Tensor& x, bool) override { return fn_(x); }
  std::string config() const override { return ",\"activation\":" + quote(activation_); }

 private:
  std::string activation_;
  ActivationFn fn_;
};

}  // namespace

// ---------------------------------------------------------------- Layer

Layer::Layer(std::string kind, std::string name) : kind_(std::move(kind)), name_(std::move(name)) {
  check(!kind_.empty(), "layer: kind must not be empty");
  check_name(kind_, kind_);
  check_name(kind_, name_);
}
Layer::~Layer() = default;
void Layer::build(const Shape&) {}
std::string Layer::config() const { return {}; }

Variable Layer::add_weight(const std::string& name, const Tensor& initial, bool trainable) {
  for (const auto& [known, v] : weights_)
    check(known != name, who(), ": the weight '", name, "' is added twice");
  weights_.emplace_back(name, Variable(initial, name_ + "/" + name, trainable));
  return weights_.back().second;
}

LayerPtr dense(const DenseOptions& options) { return std::make_shared<Dense>(options); }
LayerPtr conv2d(const Conv2DOptions& options) { return std::make_shared<Conv2D>(options); }
LayerPtr max_pooling2d(const Pooling2DOptions& options) {
  return std::make_shared<Pooling2D>("MaxPooling2D", ops::max_pool, options);
}
LayerPtr average_pooling2d(const Pooling2DOptions& options) {
  return std::make_shared<Pooling2D>("AveragePooling2D", ops::avg_pool, options);
}
LayerPtr batch_normalization(const BatchNormalizationOptions& options) {
  return std::make_shared<BatchNormalization>(options);
}
LayerPtr dropout(const DropoutOptions& options) { return std::make_shared<Dropout>(options); }
LayerPtr reshape(const ReshapeOptions& options) { return std::make_shared<Reshape>(options); }
LayerPtr flatten(const std::string& name) { return std::make_shared<Flatten>(name); }
LayerPtr activation(const std::string& activation, const std::string& name) {
  return std::make_shared<Activation>(activation, name);
}

}  // namespace lamella::nn
