// Cross-entropies with Keras's semantics. When the probabilities come straight from a softmax or a
// sigmoid, the loss is computed from the logits, which is stable and cheaper.
#include <limits>

#include "autograd/tape.h"
#include "graph/graph_data.h"
#include "lamella/ops.h"
#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "tensor/tensor_impl.h"

namespace lamella {
namespace {

constexpr double kEpsilon = 1e-7;  // Keras's backend epsilon

/// Inputs logits, target (both (..., classes)); outputs the loss per row, and softmax(logits).
struct SoftmaxCrossEntropy final : OpBase<SoftmaxCrossEntropy> {
  static constexpr const char* kName = "softmax_cross_entropy";
  Arity arity() const override { return {2, 2}; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    Shape rows;
    for (int i = 0; i + 1 < in[0].shape.rank(); ++i) rows.push_back(in[0].shape[i]);
    return {{rows, in[0].dtype}, in[0]};
  }
  void lower(Lowering& l) const override {
    const Shape& z = l.in_shape(0);
    l.call(l.k.softmax_cross_entropy, {l.in_spec(0).dtype, l.in(0), l.in(1), l.out(0), l.out(1),
                                       product(z, 0, z.rank() - 1), z.back().value()});
  }
  void vjp(const Vjp& v) const override {
    using namespace ops;
    const Tensor& t = v.in[1];
    const Tensor& p = v.out[1];
    if (v.grad[0].defined()) {
      const Tensor g = expand_dims(v.grad[0], -1);
      if (v.needs[0]) v.result[0] = mul(sub(mul(p, sum(t, {-1}, true)), t), g);
      if (v.needs[1]) v.result[1] = neg(mul(log_softmax(v.in[0]), g));
    }
    if (v.grad[1].defined() && v.needs[0]) {
      const Tensor d = apply1(std::make_shared<SoftmaxGrad>(), {p, v.grad[1]});
      v.result[0] = v.result[0].defined() ? add(v.result[0], d) : d;
    }
  }
};

const RegisterOp<SoftmaxCrossEntropy> registered;

/// The op and the inputs that made a tensor, from the Graph or from the tape.
struct Producer {
  const Op* op = nullptr;
  Tensor input;
};

Producer producer(const Tensor& t) {
  const auto& impl = *t.impl();
  if (impl.graph) {
    const Node& node = impl.graph->nodes[static_cast<std::size_t>(impl.node)];
    if (node.inputs.size() != 1) return {};
    return {node.op.get(), symbol(impl.graph, node.inputs[0])};
  }
  if (impl.tape && !impl.tape->released && impl.tape->inputs.size() == 1)
    return {impl.tape->op.get(), impl.tape->inputs[0]};
  return {};
}

Tensor softmax_input(const Tensor& probabilities) {
  const Producer p = producer(probabilities);
  const auto* softmax = dynamic_cast<const Softmax*>(p.op);
  return softmax != nullptr && !softmax->log ? p.input : Tensor();
}

Tensor sigmoid_input(const Tensor& probabilities) {
  const Producer p = producer(probabilities);
  const auto* unary = dynamic_cast<const UnaryElementwise*>(p.op);
  return unary != nullptr && unary->op == kernels::UnaryOp::kSigmoid ? p.input : Tensor();
}

Tensor last_axis(const Tensor& t, int axis) {
  if (axis == t.rank() - 1) return t;
  std::vector<int> perm;
  for (int i = 0; i < t.rank(); ++i)
    if (i != axis) perm.push_back(i);
  perm.push_back(axis);
  return ops::transpose(t, perm);
}

void same_shape(const char* op, const Tensor& target, const Tensor& output) {
  bool same = target.rank() == output.rank();
  for (int i = 0; same && i < output.rank(); ++i) {
    const Dim a = target.shape()[i], b = output.shape()[i];
    same = a == b || !a.known() || !b.known();
  }
  check<ShapeError>(same, op, ": target and output must have the same shape, got target ",
                    target.shape(), " and output ", output.shape());
}

Tensor dense_crossentropy(const Tensor& target, const Tensor& output, bool from_logits, int axis) {
  using namespace ops;
  const int a = normalize_axis("categorical_crossentropy", axis, output.rank());
  Tensor logits = from_logits ? output : Tensor();
  if (!from_logits && a == output.rank() - 1) logits = softmax_input(output);
  if (logits.defined())
    return apply_op(std::make_shared<SoftmaxCrossEntropy>(),
                    {last_axis(logits, a), last_axis(cast(target, logits.dtype()), a)})[0];
  Tensor p = div(output, sum(output, {a}, true));
  p = clip(p, kEpsilon, 1 - kEpsilon);
  return neg(sum(mul(cast(target, p.dtype()), log(p)), {a}));
}

Tensor floating(const Tensor& t) {
  return is_floating(t.dtype()) ? t : ops::cast(t, DType::kFloat32);
}

}  // namespace

namespace ops {

Tensor categorical_crossentropy(const Tensor& target, const Tensor& output, bool from_logits,
                                int axis) {
  const Tensor out = floating(output);
  check<ShapeError>(out.rank() >= 1,
                    "categorical_crossentropy: output must have at least one axis");
  same_shape("categorical_crossentropy", target, out);
  return dense_crossentropy(target, out, from_logits, axis);
}

Tensor sparse_categorical_crossentropy(const Tensor& target, const Tensor& output, bool from_logits,
                                       int axis) {
  const Tensor out = floating(output);
  check<ShapeError>(out.rank() >= 1,
                    "sparse_categorical_crossentropy: output must have at least one axis");
  const int a = normalize_axis("sparse_categorical_crossentropy", axis, out.rank());
  Tensor t = target;
  if (t.rank() == out.rank() && t.shape()[a] == Dim(1)) t = squeeze(t, {a});
  bool fits = t.rank() == out.rank() - 1;
  for (int i = 0, o = 0; fits && i < t.rank(); ++i, ++o) {
    if (o == a) ++o;
    const Dim x = t.shape()[i], y = out.shape()[o];
    fits = x == y || !x.known() || !y.known();
  }
  check<ShapeError>(fits, "sparse_categorical_crossentropy: target of shape ", target.shape(),
                    " must hold one class index for each row of output ", out.shape(),
                    "; for one-hot targets use categorical_crossentropy");
  if (is_floating(t.dtype()) || t.dtype() == DType::kBool) t = cast(t, DType::kInt32);
  Tensor hot = one_hot(t, out.shape()[a].value(), out.dtype(), true);
  if (a != out.rank() - 1) {
    // one_hot puts the classes last; bring them to the output's axis.
    std::vector<int> perm;
    for (int i = 0; i < out.rank(); ++i)
      perm.push_back(i == a ? out.rank() - 1 : (i < a ? i : i - 1));
    hot = transpose(hot, perm);
  }
  return dense_crossentropy(hot, out, from_logits, a);
}

Tensor binary_crossentropy(const Tensor& target, const Tensor& output, bool from_logits) {
  const Tensor out = floating(output);
  same_shape("binary_crossentropy", target, out);
  const Tensor logits = from_logits ? out : sigmoid_input(out);
  if (logits.defined()) {
    const Tensor t = cast(target, logits.dtype());
    return sub(softplus(logits), mul(logits, t));
  }
  const Tensor t = cast(target, out.dtype());
  const Tensor p = clip(out, kEpsilon, 1 - kEpsilon);
  const Tensor one = Tensor::scalar(1, out.dtype());
  return neg(add(mul(t, log(p)), mul(sub(one, t), log(sub(one, p)))));
}

}  // namespace ops
}  // namespace lamella
