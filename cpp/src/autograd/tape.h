// The tape of eager mode.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ops/op.h"

namespace lamella {

/// One recorded op. Inputs keep their own history, so the nodes form the backward graph.
struct TapeNode {
  OpPtr op;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;  // without history (no cycle)
  std::uint64_t sequence = 0;
  bool released = false;
  /// Called with the gradient of one output before it goes on (see inplace.h).
  struct Hook {
    std::int64_t id;
    int output;
    std::function<Tensor(const Tensor&)> call;
  };
  std::vector<Hook> hooks;

  TapeNode() = default;
  TapeNode(const TapeNode&) = delete;
  TapeNode& operator=(const TapeNode&) = delete;
  ~TapeNode();  // iterative: a deep tape must not overflow the stack
};

/// Connects outputs to inputs when gradients are enabled and an input requires one.
void record_on_tape(const OpPtr& op, std::span<const Tensor> in, std::span<Tensor> out);

}  // namespace lamella
