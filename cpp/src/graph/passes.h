// What happens to a Graph between tracing and planning. Each pass takes a graph whose sizes are all
// known and rewrites it in place; what it computes stays the same.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "graph/graph_data.h"

namespace lamella {

/// Whether each row of the outputs depends on the same row of the inputs alone: then any number of
/// rows may be computed at a time.
bool row_wise(const GraphData& graph);

/// A copy with every unknown size bound to a number. Checks that the operands still fit.
GraphPtr specialize(const GraphData& graph, std::span<const std::int64_t> bindings);

/// The values of the unknown sizes, from actual input shapes. Throws ShapeError naming the input.
std::vector<std::int64_t> bind_inputs(const GraphData& graph, std::span<const Shape> shapes);

/// Appends the gradients of `loss` with respect to `wrt`; an invalid ref where it does not depend.
std::vector<ValueRef> differentiate(const GraphPtr& graph, ValueRef loss,
                                    std::span<const ValueRef> wrt);

/// Appends the gradients and the update that Graph::set_update gave, once sizes are known.
void append_update(const GraphPtr& graph);
/// The same for the sum of roots times their `starts`, which have the roots' shapes.
std::vector<ValueRef> differentiate(const GraphPtr& graph, std::span<const ValueRef> roots,
                                    std::span<const Tensor> starts, std::span<const ValueRef> wrt);

/// Everything that must survive: outputs, assigned values, loss, learning rate and `extra`. A pass
/// updates them through these pointers.
std::vector<ValueRef*> roots(GraphData& graph, std::span<ValueRef> extra);

/// How often each value is used by nodes and roots.
std::vector<std::vector<int>> count_uses(GraphData& graph, std::span<ValueRef> extra);

/// Rebuilds the node list: `emit` is called for each node in order with its inputs already renamed
/// and returns the new value for each of its outputs. Roots are renamed too.
using Emit = std::function<std::vector<ValueRef>(GraphData& out, int old_index, Node node)>;
void rebuild(GraphData& graph, std::span<ValueRef> extra, const Emit& emit);

// One file per pass.
void eliminate_dead_code(GraphData& graph, std::span<ValueRef> extra);
void fold_constants(GraphData& graph, std::span<ValueRef> extra);
void simplify(GraphData& graph, std::span<ValueRef> extra);
void merge_duplicates(GraphData& graph, std::span<ValueRef> extra);
void fuse_epilogues(GraphData& graph, std::span<ValueRef> extra);
void fuse_elementwise(GraphData& graph, std::span<ValueRef> extra);

/// All of them in order. `extra` holds the gradients.
void optimize(GraphData& graph, std::span<ValueRef> extra);

}  // namespace lamella
