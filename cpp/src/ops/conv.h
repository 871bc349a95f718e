// Convolution op classes, which passes look for. The three passes share one geometry and are each
// other's gradients.
#pragma once

#include "lamella/runtime.h"
#include "ops/op.h"

namespace lamella {

/// What does not follow from the operands' shapes. Padding is a name, or explicit when `padding` is
/// kExplicit: amounts before and after per spatial axis (transposed convolution).
struct ConvAttrs {
  static constexpr int kExplicit = 3;  // after ops::Padding's three
  int padding = 0;
  std::vector<std::int64_t> strides, dilation, before, after;
  std::int64_t groups = 1;
  /// Fixed here, so that planning and running agree, and gradients do as their convolution does.
  bool exact = conv_accuracy() == ConvAccuracy::kExact;

  void visit(AttrVisitor& v);
  /// Output size along a spatial axis.
  Dim out_size(Dim in, std::int64_t kernel, std::size_t axis) const;
  /// Padding before, along an axis of known sizes.
  std::int64_t pad_before(std::int64_t in, std::int64_t kernel, std::size_t axis) const;
  kernels::ConvGeometry geometry(const Shape& x, const Shape& w) const;
};

/// act(conv(x, w) + bias); inputs x, w[, bias]. Bias and activation are set by the fusion pass.
struct Conv final : OpBase<Conv> {
  static constexpr const char* kName = "conv";
  Arity arity() const override { return {2, 3}; }
  ConvAttrs attrs;
  kernels::Activation act = kernels::Activation::kNone;
  double act_alpha = 0;

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  double flops(std::span<const Spec> in, std::span<const Spec> out) const override;
  bool row_wise(const Rows& r) const override { return r.only_first(); }
};

/// dx of shape `x_shape` from dy, w[, bias]; also the forward of the transposed convolution.
struct ConvBackwardData final : OpBase<ConvBackwardData> {
  static constexpr const char* kName = "conv_backward_data";
  Arity arity() const override { return {2, 3}; }
  ConvAttrs attrs;
  std::vector<Dim> x_shape;
  kernels::Activation act = kernels::Activation::kNone;
  double act_alpha = 0;

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  double flops(std::span<const Spec> in, std::span<const Spec> out) const override;
  bool row_wise(const Rows& r) const override { return r.only_first(); }
};

/// dw of shape `w_shape` from x, dy.
struct ConvBackwardWeights final : OpBase<ConvBackwardWeights> {
  static constexpr const char* kName = "conv_backward_weights";
  Arity arity() const override { return {2, 2}; }
  ConvAttrs attrs;
  std::vector<Dim> w_shape;

  std::vector<Spec> infer(std::span<const Spec> in) const override;
  void lower(Lowering& l) const override;
  void vjp(const Vjp& v) const override;
  void visit(AttrVisitor& v) override;
  double flops(std::span<const Spec> in, std::span<const Spec> out) const override;
};

}  // namespace lamella
