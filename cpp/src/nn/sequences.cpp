// Layers over sequences: Embedding, the recurrent layers, and LayerNormalization.
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "lamella/nn.h"
#include "lamella/ops.h"
#include "lamella/runtime.h"
#include "nn/json.h"

namespace lamella::nn {
namespace {

Tensor key_of(std::int64_t seed) { return Tensor::from<std::int64_t>({seed, 0}, Shape{2}); }

Tensor glorot_uniform(std::int64_t seed, std::int64_t in, std::int64_t out) {
  const double limit = std::sqrt(6.0 / static_cast<double>(in + out));
  return ops::random_uniform(key_of(seed), Shape{in, out}, -limit, limit);
}

/// Rows that are orthogonal and of length 1: Gram-Schmidt, twice, on normal draws.
Tensor orthogonal(std::int64_t seed, std::int64_t rows, std::int64_t columns) {
  const auto m = static_cast<std::size_t>(rows), n = static_cast<std::size_t>(columns);
  const Tensor drawn =
      ops::random_normal(key_of(seed), Shape{rows, columns}, 0, 1, DType::kFloat64);
  std::vector<double> a = drawn.to_vector<double>();
  const auto dot = [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) sum += a[i * n + k] * a[j * n + k];
    return sum;
  };
  for (std::size_t i = 0; i < m; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t j = 0; j < i; ++j) {
        const double along = dot(i, j);
        for (std::size_t k = 0; k < n; ++k) a[i * n + k] -= along * a[j * n + k];
      }
    const double length = std::sqrt(dot(i, i));
    for (std::size_t k = 0; k < n; ++k) a[i * n + k] /= length;
  }
  return Tensor::from<float>(std::vector<float>(a.begin(), a.end()), Shape{rows, columns});
}

class Embedding final : public Layer {
 public:
  explicit Embedding(const EmbeddingOptions& o)
      : Layer("Embedding", o.name), o_(o), seed_(next_seed()) {
    check(o.input_dim >= 1 && o.output_dim >= 1,
          "Embedding: input_dim and output_dim must be positive, got input_dim=", o.input_dim,
          ", output_dim=", o.output_dim);
  }
  void build(const Shape&) override {
    table_ = add_weight(
        "embeddings",
        ops::random_uniform(key_of(seed_), Shape{o_.input_dim, o_.output_dim}, -0.05, 0.05));
  }
  Tensor call(const Tensor& x, bool) override {
    const bool integers = x.dtype() == DType::kInt32 || x.dtype() == DType::kInt64;
    return ops::gather(table_.value(), integers ? x : ops::cast(x, DType::kInt32), 0);
  }
  std::string config() const override {
    return ",\"input_dim\":" + std::to_string(o_.input_dim) +
           ",\"output_dim\":" + std::to_string(o_.output_dim);
  }

 private:
  EmbeddingOptions o_;
  std::int64_t seed_;
  Variable table_;
};

class LayerNormalization final : public Layer {
 public:
  explicit LayerNormalization(const LayerNormalizationOptions& o)
      : Layer("LayerNormalization", o.name), o_(o) {
    check(o.epsilon >= 0,
          "LayerNormalization: epsilon must not be negative, got epsilon=", o.epsilon);
  }
  void build(const Shape& input) override {
    check<ShapeError>(input.rank() >= 2 && input.back().known(), who(),
                      ": expected input (rows, ..., features) with a known number of features, got "
                      "shape ",
                      input);
    if (o_.scale) gamma_ = add_weight("gamma", Tensor::full(Shape{input.back()}, 1));
    if (o_.center) beta_ = add_weight("beta", Tensor::zeros(Shape{input.back()}));
  }
  Tensor call(const Tensor& x, bool) override {
    return ops::layer_norm(x, gamma_.defined() ? gamma_.value() : Tensor(),
                           beta_.defined() ? beta_.value() : Tensor(), o_.epsilon);
  }
  std::string config() const override {
    return ",\"axis\":-1,\"epsilon\":" + number(o_.epsilon) + ",\"center\":" + flag(o_.center) +
           ",\"scale\":" + flag(o_.scale);
  }

 private:
  LayerNormalizationOptions o_;
  Variable gamma_, beta_;
};

enum class Cell { kSimple, kLstm, kGru };

class Recurrent final : public Layer {
 public:
  Recurrent(const char* kind, Cell cell, const RecurrentLayerOptions& o)
      : Layer(kind, o.name),
        cell_(cell),
        o_(o),
        gates_(cell == Cell::kSimple ? 1
               : cell == Cell::kLstm ? 4
                                     : 3),
        seeds_{next_seed(), next_seed(), next_seed()} {
    check(o.units >= 1, kind, ": units must be positive, got units=", o.units);
    options_.activation = o.activation;
    options_.recurrent_activation = o.recurrent_activation;
    options_.go_backwards = o.go_backwards;
    options_.reset_after = o.reset_after;
  }
  void build(const Shape& input) override {
    check_input(input);
    check<ShapeError>(input[2].known(), who(), ": expected a known number of features, got shape ",
                      input);
    const std::int64_t units = o_.units, columns = gates_ * units, features = input[2].value();
    kernel_ = add_weight("cell/kernel", glorot_uniform(seeds_[0], features, columns));
    recurrent_ = add_weight("cell/recurrent_kernel", orthogonal(seeds_[1], units, columns));
    if (o_.use_bias) bias_ = add_weight("cell/bias", first_bias());
    // As in Python, where the cell has a generator for its dropout.
    add_weight("cell/seed_generator/state", key_of(seeds_[2]), false);
  }
  Tensor call(const Tensor& x, bool) override {
    check_input(x.shape());
    check<ShapeError>(x.shape()[2] == kernel_.shape()[0], who(), ": expected ", kernel_.shape()[0],
                      " features, got shape ", x.shape());
    const Tensor zeros = Tensor::zeros(Shape{Dim(1), Dim(o_.units)});
    const Tensor start = ops::broadcast_to(zeros, Shape{x.shape()[0], Dim(o_.units)});
    const Tensor bias = bias_.defined() ? bias_.value() : Tensor();
    const Tensor kernel = kernel_.value(), recurrent = recurrent_.value();
    const ops::RecurrentResult r =
        cell_ == Cell::kSimple ? ops::simple_rnn(x, start, kernel, recurrent, bias, {}, options_)
        : cell_ == Cell::kLstm ? ops::lstm(x, start, start, kernel, recurrent, bias, {}, options_)
                               : ops::gru(x, start, kernel, recurrent, bias, {}, options_);
    return o_.return_sequences ? r.sequence : r.h;
  }
  std::string config() const override {
    std::string out = ",\"units\":" + std::to_string(o_.units) +
                      ",\"activation\":" + quote(o_.activation) +
                      ",\"use_bias\":" + flag(o_.use_bias) +
                      ",\"return_sequences\":" + flag(o_.return_sequences) +
                      ",\"go_backwards\":" + flag(o_.go_backwards);
    if (cell_ != Cell::kSimple)
      out += ",\"recurrent_activation\":" + quote(o_.recurrent_activation);
    if (cell_ == Cell::kGru) out += ",\"reset_after\":" + flag(o_.reset_after);
    return out;
  }

 private:
  void check_input(const Shape& x) const {
    check<ShapeError>(x.rank() == 3, who(),
                      ": expected input of rank 3 (rows, steps, features), got shape ", x);
  }
  /// Zeros; the forget gate of LSTM starts at 1, and GRU may have a row for the state.
  Tensor first_bias() const {
    const auto columns = static_cast<std::size_t>(gates_ * o_.units);
    std::vector<float> values(columns, 0);
    if (cell_ == Cell::kLstm)
      for (auto i = static_cast<std::size_t>(o_.units); i < 2 * static_cast<std::size_t>(o_.units);
           ++i)
        values[i] = 1;
    if (cell_ != Cell::kGru || !o_.reset_after)
      return Tensor::from<float>(values, Shape{gates_ * o_.units});
    return Tensor::zeros(Shape{2, gates_ * o_.units});
  }

  Cell cell_;
  RecurrentLayerOptions o_;
  std::int64_t gates_;
  std::array<std::int64_t, 3> seeds_;
  ops::RecurrentOptions options_;
  Variable kernel_, recurrent_, bias_;
};

}  // namespace

LayerPtr embedding(const EmbeddingOptions& options) { return std::make_shared<Embedding>(options); }
LayerPtr layer_normalization(const LayerNormalizationOptions& options) {
  return std::make_shared<LayerNormalization>(options);
}
LayerPtr simple_rnn(const RecurrentLayerOptions& options) {
  return std::make_shared<Recurrent>("SimpleRNN", Cell::kSimple, options);
}
LayerPtr lstm(const RecurrentLayerOptions& options) {
  return std::make_shared<Recurrent>("LSTM", Cell::kLstm, options);
}
LayerPtr gru(const RecurrentLayerOptions& options) {
  return std::make_shared<Recurrent>("GRU", Cell::kGru, options);
}

}  // namespace lamella::nn
