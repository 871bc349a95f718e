// Reverse-mode differentiation of eager computations.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lamella/tensor.h"

namespace lamella {

/// Adds d(root)/d(leaf) to the gradient of every leaf that root was computed from.
/// `gradient`: upstream gradient of root's shape; may be undefined for a root with one element.
/// The tape is freed as it is walked unless `retain_graph`; a second walk throws StateError. With
/// `create_graph` the gradients can be differentiated again.
LAMELLA_API void backward(const Tensor& root, const Tensor& gradient = {},
                          bool retain_graph = false, bool create_graph = false);

/// d(sum of roots . gradients)/d(inputs), without touching stored gradients. With `create_graph`
/// the results can be differentiated again. An input that roots do not depend on gives an undefined
/// tensor.
LAMELLA_API std::vector<Tensor> gradients(std::span<const Tensor> roots,
                                          std::span<const Tensor> inputs,
                                          std::span<const Tensor> root_gradients = {},
                                          bool retain_graph = false, bool create_graph = false);

LAMELLA_API bool grad_enabled();

/// Switches recording off (or on) for this thread while it lives.
class LAMELLA_API GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

struct GradCheckOptions {
  double step = 1e-6;  ///< scaled by max(1, |x|)
  double rtol = 1e-5;
  double atol = 1e-7;
  std::uint64_t seed = 0;  ///< of the random cotangent
};

struct GradCheckResult {
  bool ok = true;
  double max_error = 0;  ///< largest |analytic - numeric| / (atol + rtol * |numeric|)
  std::string message;   ///< empty when ok; else input, element, both values
};

/// Compares the gradient of `f` (float64 inputs, any number of outputs) with central differences,
/// element by element, for a random cotangent.
LAMELLA_API GradCheckResult
gradcheck(const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f,
          std::span<const Tensor> inputs, const GradCheckOptions& options = {});

}  // namespace lamella
