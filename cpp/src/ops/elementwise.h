// The two elementwise op classes, which passes look for.
#pragma once

#include <array>

#include "ops/op.h"

namespace lamella {

struct UnaryElementwise final : OpBase<UnaryElementwise> {
  static constexpr const char* kName = "unary";
  kernels::UnaryOp op = kernels::UnaryOp::kCopy;
  double a = 0, b = 0;

  UnaryElementwise() = default;
  UnaryElementwise(kernels::UnaryOp o, double pa, double pb) : op(o), a(pa), b(pb) {}
  static OpPtr shared(kernels::UnaryOp op, double a = 0, double b = 0);

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  bool may_overwrite(int input) const override;
  bool row_wise(const Rows&) const override { return true; }
};

struct BinaryElementwise final : OpBase<BinaryElementwise> {
  static constexpr const char* kName = "binary";
  kernels::BinaryOp op = kernels::BinaryOp::kAdd;

  BinaryElementwise() = default;
  explicit BinaryElementwise(kernels::BinaryOp o) : op(o) {}
  static OpPtr shared(kernels::BinaryOp op);

  Arity arity() const override { return {2, 2}; }
  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  bool may_overwrite(int input) const override;
  bool row_wise(const Rows& r) const override { return r.broadcast(); }
};

}  // namespace lamella
