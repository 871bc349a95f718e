// Variables: eager snapshots, and reads and assignments of a traced Graph.
#include <atomic>
#include <cstring>
#include <mutex>

#include "graph/graph_data.h"
#include "lamella/ops.h"
#include "tensor/tensor_impl.h"

namespace lamella {

namespace detail {
namespace {
std::atomic<std::uint64_t> generation{1};
}  // namespace

std::uint64_t layout_generation() { return generation.load(std::memory_order_acquire); }

void Storage::own() {
  if (!borrowed) return;
  auto copy = allocate(bytes);
  std::memcpy(copy->data, data, bytes);
  data = copy->data;
  owner = std::move(copy);
  writable = true;
  borrowed = false;
}

void VariableData::detach_snapshot() {
  if (snapshot.expired()) return;
  if (auto s = snapshot.lock()) s->own();
  snapshot.reset();
}

std::mutex& snapshots_mutex() {
  static auto* mutex = new std::mutex;  // never destroyed, as the pool
  return *mutex;
}

void VariableData::rehome(std::shared_ptr<Storage> block, std::size_t new_offset) {
  std::lock_guard lock(snapshots_mutex());
  detach_snapshot();
  std::memcpy(static_cast<char*>(block->data) + new_offset, raw(), nbytes());
  home = std::move(block);
  offset = new_offset;
  generation.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace detail

using detail::Storage;
using detail::VariableData;

namespace {
VariableData& get(const std::shared_ptr<VariableData>& data) {
  check<StateError>(data != nullptr, "variable: this handle is empty");
  return *data;
}
}  // namespace

Variable::Variable(const Tensor& initial, std::string name, bool trainable)
    : data_(std::make_shared<VariableData>()) {
  data_->name = std::move(name);
  data_->spec = initial.spec();
  data_->trainable = trainable;
  data_->home = detail::allocate(initial.nbytes());
  std::memcpy(data_->home->data, initial.raw(), initial.nbytes());
}

const std::string& Variable::name() const { return get(data_).name; }
void Variable::set_name(std::string name) { get(data_).name = std::move(name); }
const Shape& Variable::shape() const { return get(data_).spec.shape; }
DType Variable::dtype() const { return get(data_).spec.dtype; }
bool Variable::trainable() const { return get(data_).trainable; }
void Variable::set_trainable(bool on) { get(data_).trainable = on; }

Tensor Variable::value() const {
  VariableData& v = get(data_);
  if (const GraphPtr& graph = current_graph()) return symbol(graph, graph->current(*this));
  std::unique_lock lock(detail::snapshots_mutex());
  std::shared_ptr<Storage> s = v.busy > 0 ? nullptr : v.snapshot.lock();
  if (!s) {
    if (v.busy > 0) {  // being trained by another thread: a copy of what is there now
      s = detail::allocate(v.nbytes());
      std::memcpy(s->data, v.raw(), v.nbytes());
    } else {
      s = std::make_shared<Storage>();
      s->data = v.raw();
      s->bytes = v.nbytes();
      s->writable = false;
      s->borrowed = true;
      s->owner = v.home;
      v.snapshot = s;
    }
  }
  lock.unlock();
  Tensor t = detail::make_tensor(std::move(s), 0, v.spec.shape, v.spec.dtype);
  if (v.trainable && is_floating(v.spec.dtype)) {
    t.impl()->requires_grad = true;
    t.impl()->slot = v.slot;
  }
  return t;
}

void Variable::assign(const Tensor& value) {
  VariableData& v = get(data_);
  const bool tracing = current_graph() != nullptr;
  bool fits = value.rank() == v.spec.shape.rank();
  for (int i = 0; fits && i < value.rank(); ++i)
    fits = value.shape()[i] == v.spec.shape[i] || !value.shape()[i].known();
  check<ShapeError>(fits, v.name.empty() ? std::string("variable") : v.name,
                    ": cannot assign a value of shape ", value.shape(), " to a variable of shape ",
                    v.spec.shape);
  const Tensor t = ops::cast(value, v.spec.dtype);
  if (tracing) {
    const GraphPtr graph = current_graph();
    graph->assign(*this, value_in(graph, t));
    return;
  }
  std::lock_guard lock(detail::snapshots_mutex());
  v.detach_snapshot();
  if (v.nbytes() > 0) std::memmove(v.raw(), t.raw(), v.nbytes());
}

Tensor Variable::grad() const { return get(data_).slot->grad; }
void Variable::set_grad(const Tensor& grad) { get(data_).slot->grad = grad; }

}  // namespace lamella
