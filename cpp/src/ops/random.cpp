// Counter-based random numbers and dropout.
#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {
namespace {

void check_key(const char* op, const Spec& key) {
  check<DTypeError>(key.dtype == DType::kInt64 && key.shape == Shape{Dim(2)}, op,
                    ": the key must be an int64 tensor of shape (2,), got ", name(key.dtype), " ",
                    key.shape);
}

struct Random final : OpBase<Random> {
  static constexpr const char* kName = "random";
  static constexpr const char* kKinds[] = {"uniform", "normal", "truncated_normal", "bernoulli"};
  kernels::RandomKind kind = kernels::RandomKind::kUniform;
  std::vector<Dim> shape;
  DType to = DType::kFloat32;
  double a = 0, b = 1;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check_key("random", in[0]);
    return {{Shape(shape), to}};
  }
  void lower(Lowering& l) const override {
    l.call(l.k.random, {kind, to, static_cast<const std::int64_t*>(l.in(0)), l.out(0),
                        l.out_shape(0).size(), a, b});
  }
  void visit(AttrVisitor& v) override {
    v.choice_of("kind", kind, kKinds);
    v.attr("shape", shape);
    v.dtype("to", to);
    v.attr("a", a);
    v.attr("b", b);
  }
  void vjp(const Vjp&) const override {}
};

/// Inputs x, key. The mask is never stored: the gradient draws it again from the same key.
struct Dropout final : OpBase<Dropout> {
  static constexpr const char* kName = "dropout";
  Arity arity() const override { return {2, 2}; }
  double rate = 0;
  std::vector<Dim> noise_shape;  // empty: one draw per element
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check_floating("dropout", in[0].dtype);
    check_key("dropout", in[1]);
    return {in[0]};
  }
  void lower(Lowering& l) const override {
    const Shape& x = l.in_shape(0);
    kernels::DropoutArgs args{};
    args.dtype = l.in_spec(0).dtype;
    args.x = l.in(0);
    args.key = static_cast<const std::int64_t*>(l.in(1));
    args.y = l.out(0);
    args.rate = rate;
    if (noise_shape.empty()) {
      args.rank = 1;
      args.shape[0] = x.size();
      args.mask_strides[0] = 1;
    } else {
      args.rank = x.rank();
      const auto strides = strides_of(Shape(noise_shape));
      for (int i = 0; i < x.rank(); ++i) {
        const auto u = static_cast<std::size_t>(i);
        args.shape[i] = x[i].value();
        args.mask_strides[i] = noise_shape[u] == Dim(1) ? 0 : strides[u];
      }
    }
    l.call(l.k.dropout, args);
  }
  void visit(AttrVisitor& v) override {
    v.attr("rate", rate);
    v.attr("noise_shape", noise_shape);
  }
  bool may_overwrite(int i) const override { return i == 0; }
  void vjp(const Vjp& v) const override {
    if (v.needs[0]) v.result[0] = ops::dropout(v.grad[0], v.in[1], rate, Shape(noise_shape));
  }
};

const RegisterOp<Random> r1;
const RegisterOp<Dropout> r2;

Tensor draw(kernels::RandomKind kind, const Tensor& key, const Shape& shape, double a, double b,
            DType dtype) {
  auto op = std::make_shared<Random>();
  op->kind = kind;
  op->shape = dims_of(shape);
  op->to = dtype;
  op->a = a;
  op->b = b;
  return apply1(op, {key});
}

}  // namespace

namespace ops {

Tensor random_uniform(const Tensor& key, const Shape& shape, double low, double high, DType dtype) {
  return draw(kernels::RandomKind::kUniform, key, shape, low, high, dtype);
}

Tensor random_normal(const Tensor& key, const Shape& shape, double mean, double stddev,
                     DType dtype) {
  check_floating("random_normal", dtype);
  return draw(kernels::RandomKind::kNormal, key, shape, mean, stddev, dtype);
}

Tensor random_truncated_normal(const Tensor& key, const Shape& shape, double mean, double stddev,
                               DType dtype) {
  check_floating("random_truncated_normal", dtype);
  return draw(kernels::RandomKind::kTruncatedNormal, key, shape, mean, stddev, dtype);
}

Tensor dropout(const Tensor& x, const Tensor& key, double rate, const Shape& noise_shape) {
  check(rate >= 0 && rate < 1, "dropout: rate must be in [0, 1), got ", rate);
  auto op = std::make_shared<Dropout>();
  op->rate = rate;
  op->noise_shape = dims_of(noise_shape);
  check<ShapeError>(noise_shape.rank() == 0 || noise_shape.rank() == x.rank(),
                    "dropout: noise_shape ", noise_shape, " needs one entry for each axis of ",
                    x.shape());
  return apply1(op, {x, key});
}

}  // namespace ops
}  // namespace lamella
