// Optimizers: Keras 3's update rules as fused kernels over flat parameter storage.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lamella/tensor.h"

namespace lamella {

struct OptimizerState;

/// Hyper-parameters; each rule reads its own. Defaults are Keras's where all rules agree.
struct OptimizerOptions {
  double learning_rate = 1e-3;
  double momentum = 0, rho = 0.9, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  double initial_accumulator_value = 0.1;
  double weight_decay = 0;                                     ///< decoupled; 0 is off
  double clip_norm = 0, clip_value = 0, global_clip_norm = 0;  ///< 0 is off; at most one
  bool nesterov = false, centered = false, amsgrad = false;
};

class LAMELLA_API Optimizer {
 public:
  /// kind: "sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam".
  Optimizer(const std::string& kind, const OptimizerOptions& options = {});

  const std::string& kind() const;
  const OptimizerOptions& options() const;
  /// Creates the slots for these variables (float32 or float64, all of one dtype). Called again, it
  /// accepts some of the same variables and changes nothing.
  void build(const std::vector<Variable>& variables);
  bool built() const;
  const std::vector<Variable>& variables() const;
  /// Per variable: (name, slot) in Keras's order.
  std::vector<std::vector<std::pair<std::string, Variable>>> slots() const;
  Variable iterations() const;     ///< int64 scalar
  Variable learning_rate() const;  ///< float32 scalar
  Variable u_product() const;      ///< nadam only: float32 scalar
  /// Variables that weight decay leaves alone.
  void exclude_from_weight_decay(const std::vector<Variable>& variables);

  /// One update from eager gradients, in the order of variables().
  void apply(const std::vector<Tensor>& gradients);

  const std::shared_ptr<OptimizerState>& state() const { return state_; }

 private:
  std::shared_ptr<OptimizerState> state_;
};

}  // namespace lamella
