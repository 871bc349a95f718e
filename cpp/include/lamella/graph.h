// Graph: a batch-polymorphic record of a computation, traced from ops on symbolic tensors.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lamella/tensor.h"

namespace lamella {

struct GraphData;

class LAMELLA_API Graph {
 public:
  Graph();
  explicit Graph(std::shared_ptr<GraphData> data) : data_(std::move(data)) {}

  /// While it lives, ops on this thread that meet a symbolic tensor or read a Variable are
  /// recorded.
  class LAMELLA_API Trace {
   public:
    explicit Trace(const Graph& graph);
    ~Trace();
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;
  };

  /// A new input. Sizes given as -1 are unknown; unknown sizes at axis 0 are one and the same (the
  /// batch), others are independent.
  Tensor input(const std::string& name, const std::vector<std::int64_t>& shape, DType dtype);
  void output(const std::string& name, const Tensor& value);
  /// A value known while tracing, as a traced tensor: what is computed from it is recorded.
  Tensor constant(const Tensor& value);
  /// A scalar to minimise.
  void set_loss(const Tensor& loss);
  /// A scalar that replaces the optimizer's learning-rate variable.
  void set_learning_rate(const Tensor& value);
  /// An optimizer's rule that was traced by itself: input i of `update` is the gradient of the loss
  /// with respect to trained[i], and what it assigns is assigned at the end of every step. A
  /// Trainer without an Optimizer then trains.
  void set_update(const Graph& update, const std::vector<Variable>& trained);
  /// For each of the variables, whether the loss can have a gradient with respect to it.
  std::vector<bool> loss_depends_on(const std::vector<Variable>& variables) const;
  /// Names the nodes recorded from now on (a layer's name); returns the name before.
  std::string set_scope(std::string scope);

  std::vector<std::string> input_names() const;
  std::vector<Spec> input_specs() const;
  std::vector<std::string> output_names() const;
  /// Every variable that is read or assigned, in order of first use.
  std::vector<Variable> variables() const;
  bool has_loss() const;
  /// One line a node.
  std::string str() const;

  const std::shared_ptr<GraphData>& data() const { return data_; }

 private:
  std::shared_ptr<GraphData> data_;
};

/// Whether this thread is tracing.
LAMELLA_API bool is_tracing();

/// d(sum of roots . gradients)/d(inputs) of traced tensors, recorded behind them in the graph being
/// traced, where it can be differentiated again. An input that roots do not depend on, or that is
/// not traced, gives an undefined tensor.
LAMELLA_API std::vector<Tensor> traced_gradients(std::span<const Tensor> roots,
                                                 std::span<const Tensor> inputs,
                                                 std::span<const Tensor> root_gradients = {});

}  // namespace lamella
