// Joins elementwise nodes into chains that run tile by tile in cache.
#include "ops/elementwise.h"

#include <algorithm>
#include <array>

#include "graph/passes.h"
#include "ops/broadcast.h"
#include "ops/fused.h"

namespace lamella {
namespace {

using kernels::BinaryOp;
using kernels::FusedAccess;
using kernels::UnaryOp;

bool fusible(const Node& n) {
  if (n.outputs.size() != 1 || !is_floating(n.outputs[0].dtype)) return false;
  if (const auto* u = dynamic_cast<const UnaryElementwise*>(n.op.get()))
    return u->op < UnaryOp::kIsNan;
  if (const auto* b = dynamic_cast<const BinaryElementwise*>(n.op.get()))
    return b->op < BinaryOp::kEqual;
  return false;
}

struct Group {
  std::vector<int> members;  // old node indices
};

/// How an operand of shape `in` is read for an output of shape `out`; rows/cols are set when it is
/// a row or a column. False when neither fits.
bool access_of(const Shape& in, const Shape& out, FusedAccess& access, std::int64_t& rows,
               std::int64_t& cols) {
  if (in.size() == 1) return access = FusedAccess::kScalar, true;
  if (in.size() == out.size()) return access = FusedAccess::kElement, true;
  std::int64_t shape[kMaxRank], strides[kMaxRank];
  const Shape* operands[] = {&in};
  std::int64_t* ptr[] = {strides};
  if (merge_broadcast(out, operands, shape, ptr) != 2) return false;
  if (strides[0] == 0 && strides[1] == 1)
    access = FusedAccess::kRow;
  else if (strides[0] == 1 && strides[1] == 0)
    access = FusedAccess::kColumn;
  else
    return false;
  rows = shape[0];
  cols = shape[1];
  return true;
}

/// Builds the op for a group (members in topological order), or null when it does not fit the
/// kernel.
std::shared_ptr<FusedElementwise> build(const GraphData& g, const Group& group,
                                        std::vector<ValueRef>& inputs) {
  auto op = std::make_shared<FusedElementwise>();
  const Spec& spec = g.nodes[static_cast<std::size_t>(group.members.back())].outputs[0];
  op->rows = 1;
  op->cols = spec.shape.size();
  bool split = false;
  std::vector<std::pair<ValueRef, std::int64_t>> inner;  // values made by the group
  auto position = [](const std::vector<ValueRef>& list, ValueRef v) {
    return static_cast<std::int64_t>(std::find(list.begin(), list.end(), v) - list.begin());
  };
  // Inputs first, since values are numbered after them.
  for (int m : group.members)
    for (ValueRef v : g.nodes[static_cast<std::size_t>(m)].inputs) {
      if (std::find(group.members.begin(), group.members.end(), v.node) != group.members.end())
        continue;
      if (position(inputs, v) < static_cast<std::int64_t>(inputs.size())) continue;
      FusedAccess access;
      std::int64_t rows = 0, cols = 0;
      if (!access_of(g.spec(v).shape, spec.shape, access, rows, cols)) return nullptr;
      if (rows > 0) {
        if (split && (op->rows != rows || op->cols != cols)) return nullptr;
        split = true;
        op->rows = rows;
        op->cols = cols;
      }
      inputs.push_back(v);
      op->access.push_back(static_cast<std::int64_t>(access));
    }
  if (inputs.size() > kernels::kMaxFusedInputs || group.members.size() > kernels::kMaxFused)
    return nullptr;
  auto number = [&](ValueRef v) {
    for (const auto& [value, id] : inner)
      if (value == v) return id;
    return position(inputs, v);
  };
  for (int m : group.members) {
    const Node& n = g.nodes[static_cast<std::size_t>(m)];
    FusedElementwise::Instruction i;
    i.x = number(n.inputs[0]);
    if (const auto* u = dynamic_cast<const UnaryElementwise*>(n.op.get())) {
      i.unary = u->op;
      i.a = u->a;
      i.b = u->b;
    } else {
      i.binary = true;
      i.bin = static_cast<const BinaryElementwise*>(n.op.get())->op;
      i.y = number(n.inputs[1]);
    }
    op->instructions.push_back(i);
    inner.emplace_back(ValueRef{m, 0}, static_cast<std::int64_t>(inputs.size() + inner.size()));
  }
  return op;
}

}  // namespace

void fuse_elementwise(GraphData& graph, std::span<ValueRef> extra) {
  const std::size_t n = graph.nodes.size();
  std::vector<std::vector<int>> consumers(n);
  std::vector<char> is_root(n, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (ValueRef v : graph.nodes[i].inputs)
      consumers[static_cast<std::size_t>(v.node)].push_back(static_cast<int>(i));
  for (ValueRef* r : roots(graph, extra)) is_root[static_cast<std::size_t>(r->node)] = 1;

  // From the end: a node joins the group of its consumers when they all are in one group and it has
  // their shape. Nothing outside the group then depends on it, so the group can run as one.
  std::vector<int> group_of(n, -1);
  std::vector<Group> groups;
  for (std::size_t i = n; i-- > 0;) {
    const Node& node = graph.nodes[i];
    if (!fusible(node)) continue;
    int join = -1;
    if (!is_root[i] && !consumers[i].empty()) {
      join = group_of[static_cast<std::size_t>(consumers[i][0])];
      for (int c : consumers[i])
        if (group_of[static_cast<std::size_t>(c)] != join) join = -1;
    }
    if (join >= 0) {
      Group& g = groups[static_cast<std::size_t>(join)];
      const Spec& spec = graph.nodes[static_cast<std::size_t>(g.members[0])].outputs[0];
      Group larger = g;
      larger.members.push_back(static_cast<int>(i));
      std::sort(larger.members.begin(), larger.members.end());
      std::vector<ValueRef> inputs;
      if (spec == node.outputs[0] && build(graph, larger, inputs)) {
        g = std::move(larger);
        group_of[i] = join;
        continue;
      }
    }
    group_of[i] = static_cast<int>(groups.size());
    groups.push_back({{static_cast<int>(i)}});
  }

  // Old inputs of each group, found before nodes are renumbered.
  std::vector<std::shared_ptr<FusedElementwise>> ops(groups.size());
  std::vector<std::vector<ValueRef>> inputs(groups.size());
  for (std::size_t k = 0; k < groups.size(); ++k)
    if (groups[k].members.size() > 1) ops[k] = build(graph, groups[k], inputs[k]);

  std::vector<std::vector<ValueRef>> renamed(n);
  rebuild(graph, extra, [&](GraphData& out, int old, Node node) {
    std::vector<ValueRef> values;
    const int k = group_of[static_cast<std::size_t>(old)];
    const int count = static_cast<int>(node.outputs.size());
    if (k >= 0 && ops[static_cast<std::size_t>(k)]) {
      if (groups[static_cast<std::size_t>(k)].members.back() != old) {
        values.assign(1, ValueRef{});  // lives inside the chain
        return renamed[static_cast<std::size_t>(old)] = values;
      }
      node.op = ops[static_cast<std::size_t>(k)];
      node.inputs.clear();
      for (ValueRef v : inputs[static_cast<std::size_t>(k)])
        node.inputs.push_back(
            renamed[static_cast<std::size_t>(v.node)][static_cast<std::size_t>(v.index)]);
    }
    out.nodes.push_back(std::move(node));
    for (int i = 0; i < count; ++i) values.push_back({static_cast<int>(out.nodes.size()) - 1, i});
    return renamed[static_cast<std::size_t>(old)] = values;
  });
}

}  // namespace lamella
