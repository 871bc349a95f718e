// Reduction and softmax op classes, which passes look for.
#pragma once

#include "ops/op.h"

namespace lamella {

struct Reduce final : OpBase<Reduce> {
  static constexpr const char* kName = "reduce";
  kernels::ReduceOp op = kernels::ReduceOp::kSum;
  std::vector<std::int64_t> axes;  // sorted, non-negative
  bool keepdims = false;

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  bool row_wise(const Rows&) const override { return !axes.empty() && axes[0] != 0; }
};

/// For each element, the product of the other elements along `axes`.
Tensor prod_of_others(const Tensor& x, const std::vector<std::int64_t>& axes);

/// Over the last axis.
struct Softmax final : OpBase<Softmax> {
  static constexpr const char* kName = "softmax";
  bool log = false;
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override { v.attr("log", log); }
  bool may_overwrite(int) const override { return true; }
  bool row_wise(const Rows& r) const override { return r.in[0].shape.rank() >= 2; }
};

struct SoftmaxGrad final : OpBase<SoftmaxGrad> {
  static constexpr const char* kName = "softmax_grad";
  Arity arity() const override { return {2, 2}; }
  bool log = false;
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override { v.attr("log", log); }
  bool may_overwrite(int i) const override { return i == 1; }
};

}  // namespace lamella
