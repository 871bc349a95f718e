// The matmul op class, which the fusion pass looks for.
#pragma once

#include "ops/op.h"

namespace lamella {

/// Names of kernels::Activation in files.
std::span<const char* const> activation_names();

/// act(a b + bias): a (..., m, k), b (k, n) or (..., k, n) with equal batch axes; inputs a, b[,
/// bias]. ta, tb read the last two axes transposed. Bias and activation are set by the fusion pass.
struct Matmul final : OpBase<Matmul> {
  static constexpr const char* kName = "matmul";
  Arity arity() const override { return {2, 3}; }
  bool ta = false, tb = false;
  kernels::Activation act = kernels::Activation::kNone;
  double act_alpha = 0;

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  double flops(std::span<const Spec> in, std::span<const Spec> out) const override;
  bool row_wise(const Rows& r) const override;
};

}  // namespace lamella
