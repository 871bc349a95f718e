// Drops nodes that nothing needs.
#include "graph/passes.h"

namespace lamella {

void eliminate_dead_code(GraphData& graph, std::span<ValueRef> extra) {
  std::vector<char> live(graph.nodes.size(), 0);
  for (ValueRef* r : roots(graph, extra)) live[static_cast<std::size_t>(r->node)] = 1;
  for (std::size_t i = graph.nodes.size(); i-- > 0;)
    if (live[i])
      for (ValueRef v : graph.nodes[i].inputs) live[static_cast<std::size_t>(v.node)] = 1;
  rebuild(graph, extra, [&](GraphData& out, int i, Node node) -> std::vector<ValueRef> {
    std::vector<ValueRef> values(node.outputs.size());
    if (!live[static_cast<std::size_t>(i)]) return values;
    out.nodes.push_back(std::move(node));
    const int at = static_cast<int>(out.nodes.size()) - 1;
    for (std::size_t k = 0; k < values.size(); ++k) values[k] = {at, static_cast<int>(k)};
    return values;
  });
}

}  // namespace lamella
