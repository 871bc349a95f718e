// Algebra that autodiff leaves behind: products with one, sums with zero, broadcasts that the
// consumer does by itself, views of views.
#include "graph/passes.h"
#include "ops/elementwise.h"

namespace lamella {
namespace {

const Node& producer(const GraphData& g, ValueRef v) {
  return g.nodes[static_cast<std::size_t>(v.node)];
}

bool is_constant(const GraphData& g, ValueRef v, double value) {
  const auto* c = dynamic_cast<const ConstantOp*>(producer(g, v).op.get());
  return c != nullptr && c->value.size() == 1 && c->value.item() == value;
}

bool is(const Node& n, const char* name) { return std::string_view(n.op->name()) == name; }

}  // namespace

void simplify(GraphData& graph, std::span<ValueRef> extra) {
  rebuild(graph, extra, [](GraphData& out, int, Node node) {
    std::vector<ValueRef> values;
    if (const auto* binary = dynamic_cast<const BinaryElementwise*>(node.op.get())) {
      using kernels::BinaryOp;
      // A broadcast operand is as good unexpanded, if the other one has the full shape.
      for (std::size_t i = 0; i < 2; ++i) {
        const Node& p = producer(out, node.inputs[i]);
        if (is(p, "broadcast_to") && out.spec(node.inputs[1 - i]).shape == node.outputs[0].shape)
          node.inputs[i] = p.inputs[0];
      }
      auto keep = [&](std::size_t i) { return out.spec(node.inputs[i]) == node.outputs[0]; };
      const BinaryOp op = binary->op;
      // x * 1, 1 * x, x / 1, x + 0, 0 + x, x - 0 (x + 0 loses the sign of -0, which is harmless)
      if ((op == BinaryOp::kMul || op == BinaryOp::kDiv) && keep(0) &&
          is_constant(out, node.inputs[1], 1))
        return std::vector<ValueRef>{node.inputs[0]};
      if (op == BinaryOp::kMul && keep(1) && is_constant(out, node.inputs[0], 1))
        return std::vector<ValueRef>{node.inputs[1]};
      if ((op == BinaryOp::kAdd || op == BinaryOp::kSub) && keep(0) &&
          is_constant(out, node.inputs[1], 0))
        return std::vector<ValueRef>{node.inputs[0]};
      if (op == BinaryOp::kAdd && keep(1) && is_constant(out, node.inputs[0], 0))
        return std::vector<ValueRef>{node.inputs[1]};
    } else if (is(node, "reshape")) {
      const Node& p = producer(out, node.inputs[0]);
      if (is(p, "reshape")) node.inputs[0] = p.inputs[0];
      if (out.spec(node.inputs[0]) == node.outputs[0]) return std::vector<ValueRef>{node.inputs[0]};
    } else if (is(node, "stop_gradient")) {
      return std::vector<ValueRef>{node.inputs[0]};
    }
    const int n = static_cast<int>(node.outputs.size());
    out.nodes.push_back(std::move(node));
    for (int k = 0; k < n; ++k) values.push_back({static_cast<int>(out.nodes.size()) - 1, k});
    return values;
  });
}

}  // namespace lamella
