// Takes bias and activation into the matmul or convolution before them.
#include <memory>

#include "graph/passes.h"
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace lamella {
namespace {

using kernels::Activation;
using kernels::UnaryOp;

/// The product's activation slot, or null for other ops.
template <class F>
bool visit_product(const Op& op, F&& f) {
  if (const auto* m = dynamic_cast<const Matmul*>(&op)) return f(*m), true;
  if (const auto* c = dynamic_cast<const Conv*>(&op)) return f(*c), true;
  if (const auto* t = dynamic_cast<const ConvBackwardData*>(&op)) return f(*t), true;
  return false;
}

bool is_plain_product(const Node& n) {
  bool plain = false;
  visit_product(
      *n.op, [&](const auto& op) { plain = n.inputs.size() == 2 && op.act == Activation::kNone; });
  return plain;
}

bool has_activation(const Node& n) {
  bool any = false;
  visit_product(*n.op, [&](const auto& op) { any = op.act != Activation::kNone; });
  return any;
}

OpPtr with_activation(const Op& op, Activation act, double alpha) {
  OpPtr out;
  visit_product(op, [&](const auto& typed) {
    auto copy = std::make_shared<std::decay_t<decltype(typed)>>(typed);
    copy->act = act;
    copy->act_alpha = alpha;
    out = copy;
  });
  return out;
}

Activation activation_for(UnaryOp op) {
  switch (op) {
    case UnaryOp::kRelu:
      return Activation::kRelu;
    case UnaryOp::kSigmoid:
      return Activation::kSigmoid;
    case UnaryOp::kTanh:
      return Activation::kTanh;
    case UnaryOp::kElu:
      return Activation::kElu;
    case UnaryOp::kLeakyRelu:
      return Activation::kLeakyRelu;
    case UnaryOp::kSilu:
      return Activation::kSilu;
    case UnaryOp::kGelu:
      return Activation::kGelu;
    default:
      return Activation::kNone;
  }
}

/// A row of the output's last size, whatever leading ones it has.
bool is_row(const Shape& bias, const Shape& out) {
  if (bias.rank() == 0 || out.rank() == 0 || !(bias.back() == out.back())) return false;
  return bias.size() == out.back().value();
}

}  // namespace

void fuse_epilogues(GraphData& graph, std::span<ValueRef> extra) {
  const auto uses = count_uses(graph, extra);
  // Uses in terms of the new nodes, carried along while they are emitted.
  std::vector<int> new_uses;
  rebuild(graph, extra, [&](GraphData& out, int old, Node node) {
    auto emit = [&](Node n) {
      const int count = static_cast<int>(n.outputs.size());
      out.nodes.push_back(std::move(n));
      new_uses.resize(out.nodes.size());
      new_uses.back() = uses[static_cast<std::size_t>(old)][0];
      std::vector<ValueRef> values;
      for (int k = 0; k < count; ++k) values.push_back({static_cast<int>(out.nodes.size()) - 1, k});
      return values;
    };
    auto product = [&](ValueRef v) -> const Node* {
      const Node& n = out.nodes[static_cast<std::size_t>(v.node)];
      return new_uses[static_cast<std::size_t>(v.node)] == 1 ? &n : nullptr;
    };
    if (const auto* add = dynamic_cast<const BinaryElementwise*>(node.op.get());
        add != nullptr && add->op == kernels::BinaryOp::kAdd) {
      for (std::size_t i = 0; i < 2; ++i) {
        const Node* p = product(node.inputs[i]);
        const ValueRef bias = node.inputs[1 - i];
        if (p == nullptr || !is_plain_product(*p) || !(p->outputs[0] == node.outputs[0]) ||
            !is_row(out.spec(bias).shape, node.outputs[0].shape))
          continue;
        Node fused = *p;
        fused.inputs.push_back(bias);
        return emit(std::move(fused));
      }
    } else if (const auto* unary = dynamic_cast<const UnaryElementwise*>(node.op.get())) {
      const Activation act = activation_for(unary->op);
      const Node* p = product(node.inputs[0]);
      if (act != Activation::kNone && p != nullptr && !has_activation(*p)) {
        if (OpPtr op = with_activation(*p->op, act, unary->a)) {
          Node fused = *p;
          fused.op = std::move(op);
          fused.outputs = node.outputs;
          return emit(std::move(fused));
        }
      }
    }
    return emit(std::move(node));
  });
  eliminate_dead_code(graph, extra);
}

}  // namespace lamella
