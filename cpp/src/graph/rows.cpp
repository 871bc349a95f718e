// Whether a graph treats its rows alone, so that it may run on a few rows at a time.
#include <algorithm>
#include <memory>

#include "graph/passes.h"

namespace lamella {
namespace {

/// Whether a size depends on the number of rows, which is symbol 0.
bool depends_on_rows(Dim d, int symbols) {
  if (d.known()) return false;
  std::vector<std::int64_t> bindings(static_cast<std::size_t>(symbols), 97);
  try {
    bindings[0] = 64;
    const Dim few = d.bind(bindings);
    bindings[0] = 192;
    return !(d.bind(bindings) == few);
  } catch (const Error&) {
    return true;  // the other sizes do not fit these numbers: not known
  }
}

}  // namespace

bool row_wise(const GraphData& g) {
  if (g.inputs.empty() || g.outputs.empty() || !g.assigns.empty() || g.symbols < 1) return false;
  const Dim n = Dim::symbol(0);
  auto has_rows = [&](const Shape& s) {
    if (s.rank() == 0 || !(s[0] == n)) return false;
    return std::none_of(s.begin() + 1, s.end(),
                        [&](Dim d) { return depends_on_rows(d, g.symbols); });
  };
  auto has_none = [&](const Shape& s) {
    return std::none_of(s.begin(), s.end(), [&](Dim d) { return depends_on_rows(d, g.symbols); });
  };
  std::vector<bool> cut(g.nodes.size(), false);  // per node: its outputs have rows
  for (std::size_t i = 0; i < g.nodes.size(); ++i) {
    const Node& node = g.nodes[i];
    switch (node.op->kind()) {
      case OpKind::kInput:
        if (!has_rows(node.outputs[0].shape)) return false;
        cut[i] = true;
        continue;
      case OpKind::kConstant:
      case OpKind::kVariable:
        continue;
      case OpKind::kView:
      case OpKind::kCompute:
        break;
    }
    if (!node.op->pure()) return false;
    std::vector<Spec> in;
    const auto in_cut = std::make_unique<bool[]>(node.inputs.size());
    bool any = has_symbolic_attrs(*node.op);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      in.push_back(g.spec(node.inputs[k]));
      in_cut[k] = cut[static_cast<std::size_t>(node.inputs[k].node)];
      any = any || in_cut[k];
    }
    if (!any) {
      for (const Spec& s : node.outputs)
        if (!has_none(s.shape)) return false;
      continue;
    }
    for (const Spec& s : node.outputs)
      if (!has_rows(s.shape)) return false;
    if (!node.op->row_wise({in, node.outputs, {in_cut.get(), node.inputs.size()}})) return false;
    cut[i] = true;
  }
  return std::all_of(g.outputs.begin(), g.outputs.end(), [&](const GraphData::Output& o) {
    return cut[static_cast<std::size_t>(o.value.node)];
  });
}

}  // namespace lamella
