// Batch and layer normalization with their fused gradients.
#include "lamella/autograd.h"
#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {
namespace {

/// x viewed as (rows, c).
std::pair<std::int64_t, std::int64_t> rows_of(const Shape& x) {
  return {product(x, 0, x.rank() - 1), x.back().value()};
}

void check_norm(const char* op, std::span<const Spec> in) {
  check_floating(op, in[0].dtype);
  check<ShapeError>(in[0].shape.rank() >= 2, op, ": expected at least two axes, got shape ",
                    in[0].shape);
  for (std::size_t i = 1; i < in.size(); ++i)
    check<ShapeError>(in[i].shape.rank() == 1 && in[i].shape[0] == in[0].shape.back(), op,
                      ": scale and shift must have shape (", in[0].shape.back(), ",), got ",
                      in[i].shape);
}

/// The gradient of a normalization's gradient, over the axes that were normalized, in ops that can
/// be differentiated on. With S the mean over `axes`, r = rsqrt(var + epsilon), h = (x - mean) r,
/// g = dy gamma and the projection P(u) = u - S(u) - h S(u h), the outputs are
/// dx = r P(g), dgamma = sum dy h, dbeta = sum dy. Mean and variance count as functions of x.
void norm_grad_vjp(const Vjp& v, bool scale, double epsilon, const ops::Axes& axes) {
  using namespace ops;
  const Tensor& x = v.in[0];
  const Tensor& dy = v.in[3];
  const auto zeros = [](const Tensor& like, const Tensor& given) {
    return given.defined() ? given : full(like.shape(), 0, like.dtype());
  };
  const Tensor a = zeros(x, v.grad[0]);
  const auto average = [&](const Tensor& u) { return mean(u, axes, true); };
  const Tensor centred = sub(x, average(x));
  const Tensor var = average(square(centred));
  const Tensor r = rsqrt(add(var, Tensor::scalar(epsilon, x.dtype())));
  const Tensor h = mul(centred, r);
  const auto project = [&](const Tensor& u) {
    return sub(sub(u, average(u)), mul(h, average(mul(u, h))));
  };
  const Tensor g = scale ? mul(dy, v.in[4]) : dy;
  const Tensor ra = mul(r, project(a));
  const Tensor ag = average(mul(a, g)), sa = average(a), sg = average(g);
  const Tensor ah = average(mul(a, h)), gh = average(mul(g, h));
  Tensor by_h = neg(mul(r, add(mul(a, gh), mul(g, ah))));
  Tensor by_dy = scale ? mul(v.in[4], ra) : ra;
  if (v.grad[1].defined()) {
    by_h = add(by_h, mul(v.grad[1], dy));
    by_dy = add(by_dy, mul(v.grad[1], h));
  }
  if (v.grad[2].defined()) by_dy = add(by_dy, v.grad[2]);
  const Tensor by_r = sub(sub(ag, mul(sa, sg)), mul(ah, gh));
  v.result[0] = sub(mul(r, project(by_h)), mul(mul(square(r), h), by_r));
  v.result[3] = by_dy;
  if (scale) v.result[4] = sum_to(mul(dy, ra), v.in[4].shape());
}

/// Inputs x[, gamma][, beta]; outputs y, mean, var.
struct BatchNorm final : OpBase<BatchNorm> {
  static constexpr const char* kName = "batch_norm";
  Arity arity() const override {
    return {1 + std::size_t{scale} + std::size_t{center},
            1 + std::size_t{scale} + std::size_t{center}};
  }
  bool scale = true, center = true;
  double epsilon = 1e-3;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check_norm("batch_norm", in);
    const Spec channel{Shape{in[0].shape.back()}, in[0].dtype};
    return {in[0], channel, channel};
  }
  void lower(Lowering& l) const override {
    const auto [rows, c] = rows_of(l.in_shape(0));
    kernels::BatchNormArgs args{};
    args.dtype = l.in_spec(0).dtype;
    args.x = l.in(0);
    args.gamma = scale ? l.in(1) : nullptr;
    args.beta = center ? l.in(scale ? 2 : 1) : nullptr;
    args.y = l.out(0);
    args.mean = l.out(1);
    args.var = l.out(2);
    args.rows = rows;
    args.c = c;
    args.eps = epsilon;
    args.workspace = l.workspace(l.k.batch_norm_workspace(args));
    l.call(l.k.batch_norm, args);
  }
  void visit(AttrVisitor& v) override {
    v.attr("scale", scale);
    v.attr("center", center);
    v.attr("epsilon", epsilon);
  }
  void vjp(const Vjp& v) const override;
};

/// Inputs x, mean, var, dy[, gamma]; outputs dx, dgamma, dbeta.
struct BatchNormGrad final : OpBase<BatchNormGrad> {
  static constexpr const char* kName = "batch_norm_grad";
  Arity arity() const override { return {4 + std::size_t{scale}, 4 + std::size_t{scale}}; }
  bool scale = true;
  double epsilon = 1e-3;
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0], in[1], in[1]}; }
  void lower(Lowering& l) const override {
    const auto [rows, c] = rows_of(l.in_shape(0));
    kernels::BatchNormGradArgs args{};
    args.dtype = l.in_spec(0).dtype;
    args.x = l.in(0);
    args.mean = l.in(1);
    args.var = l.in(2);
    args.dy = l.in(3);
    args.gamma = scale ? l.in(4) : nullptr;
    args.dx = l.out(0);
    args.dgamma = l.out(1);
    args.dbeta = l.out(2);
    args.rows = rows;
    args.c = c;
    args.eps = epsilon;
    args.workspace = l.workspace(l.k.batch_norm_grad_workspace(args));
    l.call(l.k.batch_norm_grad, args);
  }
  void visit(AttrVisitor& v) override {
    v.attr("scale", scale);
    v.attr("epsilon", epsilon);
  }
  void vjp(const Vjp& v) const override {
    ops::Axes axes;
    for (int i = 0; i + 1 < v.in[0].shape().rank(); ++i) axes.push_back(i);
    norm_grad_vjp(v, scale, epsilon, axes);
  }
};

void BatchNorm::vjp(const Vjp& v) const {
  using namespace ops;
  const Tensor& x = v.in[0];
  if (v.grad[0].defined()) {
    auto op = std::make_shared<BatchNormGrad>();
    op->scale = scale;
    op->epsilon = epsilon;
    std::vector<Tensor> in = {x, v.out[1], v.out[2], v.grad[0]};
    if (scale) in.push_back(v.in[1]);
    const std::vector<Tensor> d = apply_op(op, in);
    v.result[0] = d[0];
    if (scale) v.result[1] = d[1];
    if (center) v.result[scale ? 2 : 1] = d[2];
  }
  if (!v.needs[0] || (!v.grad[1].defined() && !v.grad[2].defined())) return;
  // The statistics themselves were used in something that is differentiated.
  const double n = static_cast<double>(rows_of(x.shape()).first);
  auto c = [&](double value) { return Tensor::scalar(value, x.dtype()); };
  auto add_to = [&](const Tensor& t) {
    v.result[0] = v.result[0].defined() ? add(v.result[0], t) : t;
  };
  if (v.grad[1].defined()) add_to(broadcast_to(mul(v.grad[1], c(1 / n)), x.shape()));
  if (v.grad[2].defined()) add_to(mul(mul(v.grad[2], c(2 / n)), sub(x, v.out[1])));
}

/// Inputs x[, gamma][, beta]; outputs y, mean, var (one per row).
struct LayerNorm final : OpBase<LayerNorm> {
  static constexpr const char* kName = "layer_norm";
  Arity arity() const override {
    return {1 + std::size_t{scale} + std::size_t{center},
            1 + std::size_t{scale} + std::size_t{center}};
  }
  bool scale = true, center = true;
  double epsilon = 1e-3;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    check_norm("layer_norm", in);
    Shape rows;
    for (int i = 0; i + 1 < in[0].shape.rank(); ++i) rows.push_back(in[0].shape[i]);
    return {in[0], {rows, in[0].dtype}, {rows, in[0].dtype}};
  }
  void lower(Lowering& l) const override {
    const auto [rows, c] = rows_of(l.in_shape(0));
    l.call(l.k.layer_norm, {l.in_spec(0).dtype, l.in(0), scale ? l.in(1) : nullptr,
                            center ? l.in(scale ? 2 : 1) : nullptr, l.out(0), l.out(1), l.out(2),
                            rows, c, epsilon});
  }
  bool row_wise(const Rows& r) const override {
    return r.only_first() && r.in[0].shape.rank() >= 2;
  }
  void visit(AttrVisitor& v) override {
    v.attr("scale", scale);
    v.attr("center", center);
    v.attr("epsilon", epsilon);
  }
  void vjp(const Vjp& v) const override;
};

/// Inputs x, mean, var, dy[, gamma]; outputs dx, dgamma, dbeta.
struct LayerNormGrad final : OpBase<LayerNormGrad> {
  static constexpr const char* kName = "layer_norm_grad";
  Arity arity() const override { return {4 + std::size_t{scale}, 4 + std::size_t{scale}}; }
  bool scale = true;
  double epsilon = 1e-3;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec channel{Shape{in[0].shape.back()}, in[0].dtype};
    return {in[0], channel, channel};
  }
  void lower(Lowering& l) const override {
    const auto [rows, c] = rows_of(l.in_shape(0));
    kernels::LayerNormGradArgs args{};
    args.dtype = l.in_spec(0).dtype;
    args.x = l.in(0);
    args.mean = l.in(1);
    args.var = l.in(2);
    args.dy = l.in(3);
    args.gamma = scale ? l.in(4) : nullptr;
    args.dx = l.out(0);
    args.dgamma = l.out(1);
    args.dbeta = l.out(2);
    args.rows = rows;
    args.c = c;
    args.eps = epsilon;
    args.workspace = l.workspace(l.k.layer_norm_grad_workspace(args));
    l.call(l.k.layer_norm_grad, args);
  }
  void visit(AttrVisitor& v) override {
    v.attr("scale", scale);
    v.attr("epsilon", epsilon);
  }
  void vjp(const Vjp& v) const override {
    norm_grad_vjp(v, scale, epsilon, {v.in[0].shape().rank() - 1});
  }
};

void LayerNorm::vjp(const Vjp& v) const {
  check(!v.grad[1].defined() && !v.grad[2].defined(),
        "layer_norm: the statistics are not differentiable outputs");
  auto op = std::make_shared<LayerNormGrad>();
  op->scale = scale;
  op->epsilon = epsilon;
  std::vector<Tensor> in = {v.in[0], v.out[1], v.out[2], v.grad[0]};
  if (scale) in.push_back(v.in[1]);
  const std::vector<Tensor> d = apply_op(op, in);
  v.result[0] = d[0];
  if (scale) v.result[1] = d[1];
  if (center) v.result[scale ? 2 : 1] = d[2];
}

const RegisterOp<BatchNorm> r1;
const RegisterOp<BatchNormGrad> r2;
const RegisterOp<LayerNorm> r3;
const RegisterOp<LayerNormGrad> r4;

template <class Norm>
std::vector<Tensor> normalize(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              double epsilon) {
  auto op = std::make_shared<Norm>();
  op->scale = gamma.defined();
  op->center = beta.defined();
  op->epsilon = epsilon;
  std::vector<Tensor> in = {x};
  if (gamma.defined()) in.push_back(gamma);
  if (beta.defined()) in.push_back(beta);
  return apply_op(op, in);
}

}  // namespace

namespace ops {

BatchNormResult batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                           double epsilon) {
  const auto out = normalize<BatchNorm>(x, gamma, beta, epsilon);
  return {out[0], out[1], out[2]};
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon) {
  return normalize<LayerNorm>(x, gamma, beta, epsilon)[0];
}

}  // namespace ops
}  // namespace lamella
