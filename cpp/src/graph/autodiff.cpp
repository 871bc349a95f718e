// Reverse-mode differentiation of a Graph, by the same vector-Jacobian products as the tape's.
#include <memory>

#include "graph/passes.h"
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

}  // namespace lamella
