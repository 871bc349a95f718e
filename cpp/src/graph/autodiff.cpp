// Reverse-mode differentiation of a Graph, by the same vector-Jacobian products as the tape's.
#include <memory>

#include "graph/passes.h"
#include "lamella/graph.h"
#include "lamella/ops.h"

namespace lamella {

std::vector<ValueRef> differentiate(const GraphPtr& graph, ValueRef loss,
                                    std::span<const ValueRef> wrt) {
  const Spec& spec = graph->spec(loss);
  const Tensor one = symbol(graph, graph->add_constant(Tensor::full(spec.shape, 1, spec.dtype)));
  return differentiate(graph, {&loss, 1}, {&one, 1}, wrt);
}

std::vector<ValueRef> differentiate(const GraphPtr& graph, std::span<const ValueRef> roots,
                                    std::span<const Tensor> starts, std::span<const ValueRef> wrt) {
  GraphData& g = *graph;
  const std::size_t n = g.nodes.size();
  std::vector<char> depends(n, 0);
  for (ValueRef v : wrt)
    if (v.valid()) depends[static_cast<std::size_t>(v.node)] = 1;
  for (std::size_t i = 0; i < n; ++i)
    for (ValueRef v : g.nodes[i].inputs)
      if (depends[static_cast<std::size_t>(v.node)] && is_floating(g.spec(v).dtype)) depends[i] = 1;

  std::vector<std::vector<Tensor>> adjoint(n);
  auto add_to = [&](ValueRef v, const Tensor& t) {
    auto& slots = adjoint[static_cast<std::size_t>(v.node)];
    if (slots.empty()) slots.resize(g.nodes[static_cast<std::size_t>(v.node)].outputs.size());
    Tensor& slot = slots[static_cast<std::size_t>(v.index)];
    slot = slot.defined() ? ops::add(slot, t) : t;
  };

  push_graph(graph);
  struct Pop {
    ~Pop() { pop_graph(); }
  } pop;
  for (std::size_t i = 0; i < roots.size(); ++i) add_to(roots[i], starts[i]);
  const std::string scope_before = g.scope;
  for (std::size_t i = n; i-- > 0;) {
    if (adjoint[i].empty() || !depends[i]) continue;
    if (g.nodes[i].op->kind() == OpKind::kInput || g.nodes[i].op->kind() == OpKind::kVariable ||
        g.nodes[i].op->kind() == OpKind::kConstant)
      continue;
    // Copies: the vjp appends nodes, which may move the vector.
    const OpPtr op = g.nodes[i].op;
    const std::vector<ValueRef> inputs = g.nodes[i].inputs;
    const std::size_t outputs = g.nodes[i].outputs.size();
    g.scope = g.nodes[i].scope;
    std::vector<Tensor> in, out;
    auto needs = std::make_unique<bool[]>(inputs.size());
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      in.push_back(symbol(graph, inputs[k]));
      needs[k] =
          depends[static_cast<std::size_t>(inputs[k].node)] && is_floating(g.spec(inputs[k]).dtype);
    }
    for (std::size_t k = 0; k < outputs; ++k)
      out.push_back(symbol(graph, {static_cast<int>(i), static_cast<int>(k)}));
    std::vector<Tensor> result(inputs.size());
    op->vjp({in, out, adjoint[i], std::span<const bool>(needs.get(), inputs.size()), result});
    for (std::size_t k = 0; k < inputs.size(); ++k)
      if (needs[k] && result[k].defined()) add_to(inputs[k], result[k]);
  }
  g.scope = scope_before;

  std::vector<ValueRef> grads;
  for (ValueRef v : wrt) {
    const bool any = v.valid() && !adjoint[static_cast<std::size_t>(v.node)].empty();
    const Tensor t =
        any ? adjoint[static_cast<std::size_t>(v.node)][static_cast<std::size_t>(v.index)]
            : Tensor();
    grads.push_back(t.defined() ? value_in(graph, t) : ValueRef{});
  }
  return grads;
}

std::vector<Tensor> traced_gradients(std::span<const Tensor> roots, std::span<const Tensor> inputs,
                                     std::span<const Tensor> root_gradients) {
  const GraphPtr graph = current_graph();
  check<StateError>(graph != nullptr, "gradients: traced tensors need the graph being traced");
  std::vector<ValueRef> from, wrt;
  std::vector<Tensor> starts;
  for (std::size_t i = 0; i < roots.size(); ++i) {
    const Tensor& root = roots[i];
    if (!root.is_symbolic()) continue;  // a constant depends on nothing
    const Tensor given = i < root_gradients.size() ? root_gradients[i] : Tensor();
    if (given.defined()) {
      check<ShapeError>(given.shape() == root.shape(), "gradients: expected a gradient of shape ",
                        root.shape(), ", got ", given.shape());
      starts.push_back(ops::cast(given, root.dtype()));
    } else {
      check<ShapeError>(root.shape().numel() == Dim(1),
                        "gradients: a gradient is needed for a result of shape ", root.shape(),
                        "; only a result with one element has the default gradient 1");
      starts.push_back(Tensor::full(root.shape(), 1, root.dtype()));
    }
    from.push_back(value_in(graph, root));
  }
  for (const Tensor& t : inputs) wrt.push_back(t.is_symbolic() ? value_in(graph, t) : ValueRef{});
  std::vector<Tensor> result;
  for (ValueRef v : differentiate(graph, from, starts, wrt))
    result.push_back(v.valid() ? symbol(graph, v) : Tensor());
  return result;
}

void append_update(const GraphPtr& graph) {
  GraphData& g = *graph;
  const GraphData& u = *g.update;
  check<StateError>(g.loss.valid(), "train: this graph has no loss");
  std::vector<ValueRef> wrt;
  for (int v : g.trained) wrt.push_back(g.reads[static_cast<std::size_t>(v)]);
  const std::vector<ValueRef> gradients = differentiate(graph, g.loss, wrt);
  std::vector<ValueRef> renamed;  // the first output of each node; others follow by index
  auto rename = [&](ValueRef v) {
    const ValueRef r = renamed[static_cast<std::size_t>(v.node)];
    return ValueRef{r.node, r.index + v.index};
  };
  for (const Node& node : u.nodes) {
    if (node.op->kind() == OpKind::kInput) {
      const auto i = static_cast<const InputOp&>(*node.op).index;
      const ValueRef gradient = gradients[static_cast<std::size_t>(i)];
      const Spec& spec = node.outputs[0];
      renamed.push_back(gradient.valid() ? gradient
                                         : g.add_constant(Tensor::full(spec.shape, 0, spec.dtype)));
    } else if (node.op->kind() == OpKind::kVariable) {
      const auto i = static_cast<const VariableOp&>(*node.op).index;
      renamed.push_back(g.current(u.variables[static_cast<std::size_t>(i)]));
    } else {
      std::vector<ValueRef> in;
      for (ValueRef v : node.inputs) in.push_back(rename(v));
      g.scope = "optimizer";
      renamed.push_back(g.add(node.op, std::move(in), node.outputs));
      g.scope.clear();
    }
  }
  for (const auto& a : u.assigns)
    g.assign(u.variables[static_cast<std::size_t>(a.variable)], rename(a.value));
}

}  // namespace lamella
