// Losses and metrics by name, as Keras computes them, and optimizers' configuration.
#pragma once

#include <string>
#include <vector>

#include "lamella/nn.h"

namespace lamella::nn {

/// Whether targets are class numbers.
bool is_sparse(const std::string& loss);
/// Throws unless loss and metrics are known and fit the output (rows first) of the layer `who`.
void check_objectives(const CompileOptions& options, const Shape& output, const std::string& who);
/// The mean over all values.
Tensor loss_value(const std::string& loss, const Tensor& target, const Tensor& output);
/// One value per row; "accuracy" by the rule of Keras.
Tensor metric_values(const std::string& metric, bool sparse, const Tensor& target,
                     const Tensor& output);
std::string optimizer_config(const Optimizer& optimizer);

}  // namespace lamella::nn
