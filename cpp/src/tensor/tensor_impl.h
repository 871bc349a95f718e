// What a Tensor and a Variable handle point to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lamella/tensor.h"

namespace lamella {
struct GraphData;
struct TapeNode;
}  // namespace lamella

namespace lamella::detail {

/// A block of memory: from the pool, to which it goes back, or kept alive by `owner`.
struct Storage {
  Storage() = default;
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data = nullptr;
  std::size_t bytes = 0;
  bool writable = true;
  bool pooled = false;
  bool pinned = false;    // others see this memory: assignments in place write into it
  bool borrowed = false;  // a variable's elements, which the variable may move or change later
  std::shared_ptr<void> owner;

  /// Ends a loan: the elements are copied to memory of its own. Needs snapshots_mutex().
  void own();
};

/// From the memory pool, 64-byte aligned.
std::shared_ptr<Storage> allocate(std::size_t bytes);

/// Holds the gradient of a leaf; shared by a variable and the tensors it hands out.
struct GradSlot {
  Tensor grad;
  std::vector<std::pair<std::int64_t, std::function<Tensor(const Tensor&)>>> hooks;
};

struct TensorImpl {
  Shape shape;
  DType dtype = DType::kFloat32;
  // eager
  std::shared_ptr<Storage> storage;
  std::size_t offset = 0;  // bytes
  // symbolic
  std::shared_ptr<GraphData> graph;
  int node = -1, index = 0;
  // autograd
  bool requires_grad = false;
  std::shared_ptr<TapeNode> tape;  // producer, null for leaves
  int tape_index = 0;
  std::shared_ptr<GradSlot> slot;  // leaves only
};

/// Tensor over part of a storage.
Tensor make_tensor(std::shared_ptr<Storage> storage, std::size_t offset, const Shape& shape,
                   DType dtype);
/// Same elements (and no history) under another shape of equal size.
Tensor view(const Tensor& t, const Shape& shape);

struct VariableData {
  std::string name;
  Spec spec;
  bool trainable = true;
  std::shared_ptr<Storage> home;  // the block the elements live in
  std::size_t offset = 0;
  std::shared_ptr<GradSlot> slot = std::make_shared<GradSlot>();
  std::weak_ptr<Storage> snapshot;  // borrowed view handed out last; detached before a write
  int busy = 0;                     // > 0 while a running Program may write it

  void* raw() const { return static_cast<char*>(home->data) + offset; }
  std::size_t nbytes() const {
    return static_cast<std::size_t>(spec.shape.size()) * size_of(spec.dtype);
  }
  /// Gives a snapshot that is still alive its own copy; call before writing, holding
  /// snapshots_mutex().
  void detach_snapshot();
  /// Moves the elements to another block.
  void rehome(std::shared_ptr<Storage> block, std::size_t new_offset);
};

/// Guards snapshots, loans and `busy` of all variables: one thread may train while others read.
std::mutex& snapshots_mutex();

/// Counts re-homings; a Program re-binds its addresses when it changed.
std::uint64_t layout_generation();

}  // namespace lamella::detail
