// Specialising a graph, and the machinery that passes share.
#include <algorithm>

#include "graph/passes.h"

namespace lamella {

std::vector<std::int64_t> bind_inputs(const GraphData& graph, std::span<const Shape> shapes) {
  check<ShapeError>(shapes.size() == graph.inputs.size(), "expected ", graph.inputs.size(),
                    " input arrays, got ", shapes.size());
  std::vector<std::int64_t> bindings(static_cast<std::size_t>(graph.symbols), -1);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto& input = graph.inputs[i];
    const Shape& want = input.spec.shape;
    bool fits = want.rank() == shapes[i].rank();
    for (int a = 0; fits && a < want.rank(); ++a) {
      const std::int64_t n = shapes[i][a].value();
      if (want[a].known()) {
        fits = want[a].value() == n;
        continue;
      }
      // Unknown sizes of inputs are plain symbols.
      for (std::size_t s = 0; s < bindings.size(); ++s) {
        if (!(want[a] == Dim::symbol(static_cast<int>(s)))) continue;
        if (bindings[s] < 0) bindings[s] = n;
        check<ShapeError>(bindings[s] == n, "input '", input.name, "': expected ", bindings[s],
                          " rows as in the other inputs, got shape ", shapes[i]);
      }
    }
    check<ShapeError>(fits, "input '", input.name, "': expected shape ", want, ", got ", shapes[i]);
  }
  for (std::int64_t& b : bindings) b = std::max<std::int64_t>(b, 0);
  return bindings;
}

GraphPtr specialize(const GraphData& graph, std::span<const std::int64_t> bindings) {
  auto out = std::make_shared<GraphData>(graph);
  out->scope.clear();
  for (auto& input : out->inputs) input.spec.shape = input.spec.shape.bind(bindings);
  for (Node& node : out->nodes) {
    node.op = bind_op(node.op, bindings);
    if (node.op->kind() == OpKind::kInput || node.op->kind() == OpKind::kVariable) {
      for (Spec& s : node.outputs) s.shape = s.shape.bind(bindings);
      continue;
    }
    std::vector<Spec> in;
    for (ValueRef v : node.inputs) in.push_back(out->spec(v));
    try {
      node.outputs = node.op->infer(in);
    } catch (const ShapeError& e) {
      throw ShapeError(node.scope.empty() ? std::string(e.what()) : node.scope + ": " + e.what());
    }
  }
  return out;
}

std::vector<ValueRef*> roots(GraphData& graph, std::span<ValueRef> extra) {
  std::vector<ValueRef*> out;
  for (auto& o : graph.outputs) out.push_back(&o.value);
  for (auto& a : graph.assigns) out.push_back(&a.value);
  if (graph.loss.valid()) out.push_back(&graph.loss);
  if (graph.learning_rate.valid()) out.push_back(&graph.learning_rate);
  for (ValueRef& v : extra)
    if (v.valid()) out.push_back(&v);
  return out;
}

std::vector<std::vector<int>> count_uses(GraphData& graph, std::span<ValueRef> extra) {
  std::vector<std::vector<int>> uses;
  for (const Node& n : graph.nodes) uses.emplace_back(n.outputs.size(), 0);
  auto use = [&](ValueRef v) {
    ++uses[static_cast<std::size_t>(v.node)][static_cast<std::size_t>(v.index)];
  };
  for (const Node& n : graph.nodes)
    for (ValueRef v : n.inputs) use(v);
  for (ValueRef* r : roots(graph, extra)) use(*r);
  return uses;
}

void rebuild(GraphData& graph, std::span<ValueRef> extra, const Emit& emit) {
  std::vector<Node> old = std::move(graph.nodes);
  graph.nodes.clear();
  graph.nodes.reserve(old.size());
  std::vector<std::vector<ValueRef>> renamed(old.size());
  auto rename = [&](ValueRef v) {
    return renamed[static_cast<std::size_t>(v.node)][static_cast<std::size_t>(v.index)];
  };
  for (std::size_t i = 0; i < old.size(); ++i) {
    Node node = std::move(old[i]);
    for (ValueRef& v : node.inputs) v = rename(v);
    renamed[i] = emit(graph, static_cast<int>(i), std::move(node));
  }
  for (ValueRef* r : roots(graph, extra)) *r = rename(*r);
  for (auto& in : graph.inputs) in.value = in.value.valid() ? rename(in.value) : in.value;
  for (ValueRef& r : graph.reads)
    if (r.valid()) r = rename(r);
}

void optimize(GraphData& graph, std::span<ValueRef> extra) {
  eliminate_dead_code(graph, extra);
  fold_constants(graph, extra);
  simplify(graph, extra);
  merge_duplicates(graph, extra);
  eliminate_dead_code(graph, extra);
  fuse_epilogues(graph, extra);
  fuse_elementwise(graph, extra);
  eliminate_dead_code(graph, extra);
}

}  // namespace lamella
