// Computes small values that depend on constants only.
#include "autograd/tape.h"
#include "graph/passes.h"
#include "lamella/autograd.h"

namespace lamella {
namespace {
constexpr std::int64_t kMaxFolded =
    1024;  // elements; larger values are cheaper to recompute than to keep
}

void fold_constants(GraphData& graph, std::span<ValueRef> extra) {
  GradMode off(false);
  rebuild(graph, extra, [](GraphData& out, int, Node node) {
    bool fold = (node.op->kind() == OpKind::kCompute || node.op->kind() == OpKind::kView) &&
                node.op->pure();
    for (ValueRef v : node.inputs)
      fold = fold && out.nodes[static_cast<std::size_t>(v.node)].op->kind() == OpKind::kConstant;
    for (const Spec& s : node.outputs) fold = fold && s.shape.size() <= kMaxFolded;
    std::vector<ValueRef> values;
    if (fold) {
      std::vector<Tensor> in;
      for (ValueRef v : node.inputs)
        in.push_back(
            static_cast<const ConstantOp*>(out.nodes[static_cast<std::size_t>(v.node)].op.get())
                ->value);
      for (const Tensor& t : apply_op(node.op, in)) values.push_back(out.add_constant(t));
      return values;
    }
    const int n = static_cast<int>(node.outputs.size());
    out.nodes.push_back(std::move(node));
    for (int k = 0; k < n; ++k) values.push_back({static_cast<int>(out.nodes.size()) - 1, k});
    return values;
  });
}

}  // namespace lamella
