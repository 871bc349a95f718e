// State of an optimizer and its kernel calls.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/kernels.h"
#include "lamella/optim.h"
#include "tensor/tensor_impl.h"

namespace lamella {

struct OptimizerState {
  std::string kind_name;
  kernels::OptimizerKind kind;
  OptimizerOptions options;
  Variable iterations, learning_rate, u_product;
  std::vector<Variable> variables;
  std::vector<std::string> slot_names;       // which slots this rule keeps, in Keras's order
  std::vector<int> slot_places;              // index into OptimizerArgs::slot
  std::vector<std::vector<Variable>> slots;  // [slot][variable]
  std::vector<char> no_decay;                // per variable

  /// Moves parameters and slots so that all of a kind lie in one block, in the order of
  /// `variables`, at the offsets that layout() gives. Does nothing when they already do.
  void flatten();
  /// Byte offsets of the variables in a flat block, and its size in `total`.
  std::vector<std::size_t> layout(std::size_t& total) const;

  using Call = std::function<void(void (*fn)(const void*, const kernels::Exec&), const void* args,
                                  std::size_t size, std::size_t align)>;
  /// The calls of one update. `gradients[i]` is null where the loss does not depend on variable i.
  /// `lr` points to a float32. `scratch` needs scratch_bytes().
  void lower(const kernels::KernelTable& k, const std::vector<const void*>& gradients,
             const void* lr, void* scratch, const Call& call) const;
  std::size_t scratch_bytes() const;
};

}  // namespace lamella
