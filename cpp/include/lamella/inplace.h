// What an idiom with assignment in place, gradient hooks and custom gradients needs from tensors
// that are values: lamella.torch is built on it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lamella/tensor.h"

namespace lamella {

/// Makes `t` name the elements of `value`. With `keep_history` the place of `t` on the tape (a leaf
/// with its gradient, or a result) stays; else it takes that of `value`. Computations recorded
/// before keep the elements they saw, unless the memory of `t` is pinned.
LAMELLA_API void rebind(Tensor& t, const Tensor& value, bool keep_history);

/// Memory that others see (a numpy array shares it): from now on `rebind` and `update` write into
/// it.
LAMELLA_API void pin_memory(const Tensor& t);

/// The elements of `t` for writing: in place when no one else has them (or they are pinned), else
/// of a copy that `t` names from now on. Its place on the tape stays.
LAMELLA_API void* writable_elements(Tensor& t);

/// A hook gets the gradient of a tensor and gives another one, or an undefined one for no change.
using GradientHook = std::function<Tensor(const Tensor& gradient)>;
/// Calls the hook when backward() or gradients() has the whole gradient of `t`. Returns what
/// remove_hook() takes.
LAMELLA_API std::int64_t add_hook(const Tensor& t, GradientHook hook);
LAMELLA_API void remove_hook(const Tensor& t, std::int64_t id);
/// Lets backward() keep the gradient of a result, as it does for a leaf.
LAMELLA_API void retain_gradient(const Tensor& t);
/// Forgets the gradient.
LAMELLA_API void clear_gradient(const Tensor& t);

/// The name of the op (or of its elementwise function or reduction) that made `t`; empty for a
/// leaf.
LAMELLA_API std::string producer(const Tensor& t);

/// Puts a computation on the tape: `outputs` were made from `inputs`, and `vjp` turns the gradients
/// of the outputs (zeros where no one asked) into those of the inputs (undefined for none).
using VjpFunction = std::function<std::vector<Tensor>(std::span<const Tensor> gradients)>;
LAMELLA_API std::vector<Tensor> record_custom(std::string name, std::span<const Tensor> inputs,
                                              std::span<const Tensor> outputs, VjpFunction vjp);

/// PyTorch's update rules. Names and meanings are those of torch.optim; what a rule does not read
/// is ignored.
struct UpdateRule {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, alpha = 0.99, rho = 0.9, lr_decay = 0;
  double momentum_decay = 4e-3;
  bool nesterov = false, maximize = false, amsgrad = false, centered = false, decoupled = false;
};
/// One update in place. kind: sgd, adam, rmsprop, adagrad, adadelta, adamax, nadam, radam. `step`
/// counts from 1. `state` has the tensors of the rule in PyTorch's order: sgd [momentum buffer],
/// adam [m, v, max v], rmsprop [v, momentum buffer, mean gradient], adagrad [sum], adadelta [v,
/// delta], adamax [m, u], nadam [m, v], radam [m, v]. mu_product: nadam's product of momenta, which
/// the call advances.
LAMELLA_API void update(const std::string& kind, const UpdateRule& rule, std::int64_t step,
                        Tensor& parameter, const Tensor& gradient, std::span<Tensor*> state,
                        double* mu_product = nullptr);

}  // namespace lamella
