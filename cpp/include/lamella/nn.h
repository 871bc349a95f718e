// Models for programs without Python: build one here or load what Python saved; predict, train,
// save.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lamella/optim.h"
#include "lamella/program.h"
#include "lamella/tensor.h"

namespace lamella {

namespace io {
struct ModelFile;
}

struct FitOptions {
  std::int64_t batch_size = 32;
  std::int64_t epochs = 1;
  bool shuffle = true;
  /// Decides the order of rows together with the epoch; negative: drawn from the global generator
  /// (set_random_seed), as Python's fit does.
  std::int64_t seed = -1;
  std::int64_t initial_epoch = 0;
  /// After each epoch; true stops. May evaluate and save the model.
  std::function<bool(std::int64_t epoch, const std::vector<std::pair<std::string, double>>& logs)>
      on_epoch_end = {};
};

/// Loss and metrics of an epoch, by name.
using EpochLog = std::vector<std::pair<std::string, double>>;

/// A model that was loaded or compiled: predict, and (when it has a loss) evaluate and fit. Copies
/// share one model. predict may be called from many threads at once, also while another one trains.
class LAMELLA_API Model {
 public:
  Model() = default;
  /// From graphs of one's own; `file.graphs` must hold "predict".
  explicit Model(io::ModelFile file);

  /// All rows at once, or in batches of `batch_size`.
  Tensor predict(const Tensor& x, std::int64_t batch_size = 0) const;
  std::vector<Tensor> predict(const std::vector<Tensor>& inputs, std::int64_t batch_size = 0) const;
  /// Loss and metrics over all rows.
  EpochLog evaluate(const Tensor& x, const Tensor& y, std::int64_t batch_size = 32);
  /// The logs of each epoch.
  std::vector<EpochLog> fit(const Tensor& x, const Tensor& y, const FitOptions& options = {});
  /// Atomically, with optimizer state and random counters.
  void save(const std::string& path) const;

  bool compiled() const;
  /// Weights and counters, without the metrics' totals.
  std::vector<Variable> variables() const;
  /// By the name it has in the file, "layers/dense/kernel" for instance.
  Variable variable(const std::string& name) const;
  /// A handle to the optimizer of a compiled model: optimizer().learning_rate().assign(...)
  Optimizer optimizer() const;

  std::vector<std::string> input_names() const;
  /// Shapes with None for sizes that are free, first of all the number of rows.
  std::vector<Spec> input_specs() const;
  std::vector<std::string> output_names() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Opens a .lamella file. Throws IoError.
LAMELLA_API Model load(const std::string& path);

// Layers and Sequential, with Keras 3's names and defaults.
namespace nn {

/// A layer: weights, made by build() from the shape of its input, and a computation over
/// lamella::ops, run once to be recorded. Derive from it for a layer of one's own: the file holds
/// the recorded Graph, so loading it needs no class. (Python's load_model asks for one; see
/// config().)
class LAMELLA_API Layer {
 public:
  /// kind: the class's name in Keras; an empty name becomes the kind's snake case, numbered.
  explicit Layer(std::string kind, std::string name = {});
  virtual ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  /// Makes the weights. `input` starts with the unknown number of rows.
  virtual void build(const Shape& input);
  virtual Tensor call(const Tensor& x, bool training) = 0;
  /// The constructor's arguments in Python as members of a JSON object, each after a comma: what
  /// Python's load_model rebuilds the layer from.
  virtual std::string config() const;

  const std::string& kind() const { return kind_; }
  const std::string& name() const { return name_; }
  /// "Dense 'dense_1'", for errors.
  std::string who() const { return kind_ + " '" + name_ + "'"; }
  /// In the order they were added.
  const std::vector<std::pair<std::string, Variable>>& weights() const { return weights_; }

 protected:
  /// `name` is unique in the layer and part of the name in the file.
  Variable add_weight(const std::string& name, const Tensor& initial, bool trainable = true);

 private:
  friend class Sequential;
  std::string kind_, name_;
  std::vector<std::pair<std::string, Variable>> weights_;
  bool used_ = false;
};

using LayerPtr = std::shared_ptr<Layer>;

/// Activations: linear, relu, sigmoid, tanh, softmax, log_softmax, softplus, softsign, elu, selu,
/// gelu, silu (swish), leaky_relu, hard_sigmoid, exponential. Initializers: zeros, ones, and
/// glorot_, he_ or lecun_ with uniform or normal.
struct DenseOptions {
  std::int64_t units = 0;
  std::string activation = "linear";
  bool use_bias = true;
  std::string kernel_initializer = "glorot_uniform";
  std::string name = {};
};
/// activation(x @ kernel + bias) over the last axis.
LAMELLA_API LayerPtr dense(const DenseOptions& options);

using Pair = std::array<std::int64_t, 2>;

struct Conv2DOptions {
  std::int64_t filters = 0;
  Pair kernel_size = {0, 0};
  Pair strides = {1, 1};
  std::string padding = "valid";  ///< or "same"
  Pair dilation_rate = {1, 1};
  std::int64_t groups = 1;
  std::string activation = "linear";
  bool use_bias = true;
  std::string kernel_initializer = "glorot_uniform";
  std::string name = {};
};
/// (n, height, width, channels) -> (n, height', width', filters)
LAMELLA_API LayerPtr conv2d(const Conv2DOptions& options);

struct Pooling2DOptions {
  Pair pool_size = {2, 2};
  Pair strides = {0, 0};  ///< 0: as pool_size
  std::string padding = "valid";
  std::string name = {};
};
LAMELLA_API LayerPtr max_pooling2d(const Pooling2DOptions& options = {});
LAMELLA_API LayerPtr average_pooling2d(const Pooling2DOptions& options = {});

struct BatchNormalizationOptions {
  double momentum = 0.99;  ///< share of the old moving average
  double epsilon = 1e-3;
  bool center = true, scale = true;
  std::string name = {};
};
/// Over the last axis.
LAMELLA_API LayerPtr batch_normalization(const BatchNormalizationOptions& options = {});

struct DropoutOptions {
  double rate = 0;         ///< in [0, 1)
  std::int64_t seed = -1;  ///< negative: from the global generator
  std::string name = {};
};
LAMELLA_API LayerPtr dropout(const DropoutOptions& options);

struct ReshapeOptions {
  std::vector<std::int64_t> target_shape;  ///< of one row; one size may be -1
  std::string name = {};
};
LAMELLA_API LayerPtr reshape(const ReshapeOptions& options);

struct EmbeddingOptions {
  std::int64_t input_dim = 0;   ///< number of rows of the table
  std::int64_t output_dim = 0;  ///< length of a row
  std::string name = {};
};
/// Numbers 0 .. input_dim - 1 (whole, of any type) -> rows of a table.
LAMELLA_API LayerPtr embedding(const EmbeddingOptions& options);

struct LayerNormalizationOptions {
  double epsilon = 1e-3;
  bool center = true, scale = true;
  std::string name = {};
};
/// Over the last axis.
LAMELLA_API LayerPtr layer_normalization(const LayerNormalizationOptions& options = {});

/// Activations: tanh, sigmoid, relu, hard_sigmoid, linear. The kernel starts as glorot_uniform, the
/// recurrent kernel orthogonal, the bias of LSTM's forget gate at 1.
struct RecurrentLayerOptions {
  std::int64_t units = 0;
  std::string activation = "tanh";
  std::string recurrent_activation = "sigmoid";  ///< of the gates of LSTM and GRU
  bool use_bias = true;
  bool return_sequences = false;  ///< all outputs, or the last
  bool go_backwards = false;      ///< from the last step to the first
  bool reset_after = true;        ///< of GRU, see ops::RecurrentOptions
  std::string name = {};
};
/// (n, steps, features) -> (n, units), or (n, steps, units) with return_sequences
LAMELLA_API LayerPtr simple_rnn(const RecurrentLayerOptions& options);
LAMELLA_API LayerPtr lstm(const RecurrentLayerOptions& options);
LAMELLA_API LayerPtr gru(const RecurrentLayerOptions& options);

LAMELLA_API LayerPtr flatten(const std::string& name = {});
LAMELLA_API LayerPtr activation(const std::string& activation, const std::string& name = {});

/// An optimizer, or the name of one with Keras's defaults: "sgd", "rmsprop", "adagrad", "adadelta",
/// "adam", "adamax", "nadam".
class LAMELLA_API OptimizerChoice {
 public:
  OptimizerChoice(const char* name) : OptimizerChoice(std::string(name)) {}  // NOLINT
  OptimizerChoice(const std::string& name);                                  // NOLINT
  OptimizerChoice(Optimizer optimizer) : value_(std::move(optimizer)) {}     // NOLINT
  const Optimizer& value() const { return value_; }

 private:
  Optimizer value_;
};

struct CompileOptions {
  OptimizerChoice optimizer = "adam";
  /// "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy",
  /// "mean_squared_error" ("mse"), "mean_absolute_error" ("mae")
  std::string loss;
  /// "accuracy" (which one follows from the output and the loss), "binary_accuracy",
  /// "categorical_accuracy", "sparse_categorical_accuracy", "mean_squared_error" ("mse"),
  /// "mean_absolute_error" ("mae")
  std::vector<std::string> metrics = {};
};

/// A stack of layers. add() makes their weights at once, so a shape that does not fit is an error
/// there.
class LAMELLA_API Sequential {
 public:
  /// input_shape: of one row; -1 for a size that is free.
  explicit Sequential(std::vector<std::int64_t> input_shape,
                      const std::vector<LayerPtr>& layers = {}, std::string name = "sequential");
  Sequential& add(LayerPtr layer);

  /// Eagerly, or recorded while a Graph is traced.
  Tensor operator()(const Tensor& x, bool training = false) const;
  /// Of the last layer so far, with the unknown number of rows first.
  const Shape& output_shape() const { return output_shape_; }
  const std::vector<LayerPtr>& layers() const { return layers_; }
  std::vector<Variable> trainable_variables() const;

  /// A model that can be trained. It shares its weights with the layers; compiling again makes
  /// another one of the same weights.
  Model compile(const CompileOptions& options) const;
  /// A model that only predicts.
  Model model() const;

 private:
  io::ModelFile file(const CompileOptions* options) const;
  std::string config(const CompileOptions* options) const;
  std::vector<std::int64_t> batch_shape() const;

  std::vector<std::int64_t> input_shape_;
  std::vector<LayerPtr> layers_;
  std::string name_;
  Shape output_shape_;
};

}  // namespace nn
}  // namespace lamella
