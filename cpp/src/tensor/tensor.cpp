#include "lamella/tensor.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>

#include "tensor/pool.h"
#include "tensor/tensor_impl.h"

namespace lamella {

using detail::Storage;
using detail::TensorImpl;

std::string_view name(DType t) {
  constexpr std::string_view kNames[kDTypeCount] = {"bool",  "uint8",   "int32",
                                                    "int64", "float32", "float64"};
  return kNames[static_cast<std::size_t>(t)];
}

DType parse_dtype(std::string_view text) {
  for (std::size_t i = 0; i < kDTypeCount; ++i)
    if (name(static_cast<DType>(i)) == text) return static_cast<DType>(i);
  throw DTypeError(detail::format(
      "dtype: expected one of bool, uint8, int32, int64, float32, float64, got '", text, "'"));
}

namespace detail {

std::shared_ptr<Storage> allocate(std::size_t bytes) {
  auto s = std::make_shared<Storage>();
  s->data = pool_take(bytes);
  s->bytes = bytes;
  s->pooled = true;
  return s;
}

Storage::~Storage() {
  if (pooled) pool_give(data, bytes);
}

Tensor make_tensor(std::shared_ptr<Storage> storage, std::size_t offset, const Shape& shape,
                   DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->shape = shape;
  impl->dtype = dtype;
  impl->storage = std::move(storage);
  impl->offset = offset;
  return Tensor(std::move(impl));
}

Tensor view(const Tensor& t, const Shape& shape) {
  return make_tensor(t.impl()->storage, t.impl()->offset, shape, t.dtype());
}

}  // namespace detail

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  return detail::make_tensor(detail::allocate(bytes), 0, shape, dtype);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  Tensor t = empty(shape, dtype);
  void* p = t.impl_->storage->data;
  const std::int64_t n = t.size();
  visit_dtype(dtype, [&]<class T>(TypeTag<T>) {
    std::fill_n(static_cast<T*>(p), n, static_cast<T>(value));
  });
  return t;
}

Tensor Tensor::copy_of(const void* data, std::size_t count, const Shape& shape, DType dtype) {
  check<ShapeError>(static_cast<std::int64_t>(count) == shape.size(), "tensor: expected ",
                    shape.size(), " values for shape ", shape, ", got ", count);
  Tensor t = empty(shape, dtype);
  if (count > 0) std::memcpy(t.impl_->storage->data, data, count * size_of(dtype));
  return t;
}

Tensor Tensor::wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner,
                    bool writable) {
  auto s = std::make_shared<Storage>();
  s->data = data;
  s->bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  s->writable = writable;
  s->owner = std::move(owner);
  return detail::make_tensor(std::move(s), 0, shape, dtype);
}

namespace {
const TensorImpl& get(const std::shared_ptr<TensorImpl>& impl) {
  check<StateError>(impl != nullptr, "tensor: this handle is empty");
  return *impl;
}
}  // namespace

const Shape& Tensor::shape() const { return get(impl_).shape; }
DType Tensor::dtype() const { return get(impl_).dtype; }
bool Tensor::is_symbolic() const { return impl_ != nullptr && impl_->graph != nullptr; }

const void* Tensor::raw() const {
  const TensorImpl& t = get(impl_);
  check<StateError>(
      t.storage != nullptr, "tensor: a traced tensor of shape ", t.shape,
      " has no values yet; code that looks at values (float(), numpy(), if) cannot be "
      "traced: use lamella.ops (where, clip, ...) or compile with run_eagerly=True");
  return static_cast<const char*>(t.storage->data) + t.offset;
}

void* Tensor::mutable_raw() {
  raw();
  TensorImpl& t = *impl_;
  if (impl_.use_count() > 1 || t.storage.use_count() > 1 || !t.storage->writable) {
    Tensor copy = copy_of(raw(), static_cast<std::size_t>(size()), t.shape, t.dtype);
    impl_ = copy.impl_;
  }
  return static_cast<char*>(impl_->storage->data) + impl_->offset;
}

double Tensor::item() const {
  check<ShapeError>(is_symbolic() || size() == 1,
                    "item: expected a tensor with one element, got shape ", shape());
  const void* p = raw();
  return visit_dtype(dtype(), [&]<class T>(TypeTag<T>) -> double {
    return static_cast<double>(*static_cast<const T*>(p));
  });
}

std::shared_ptr<void> Tensor::share_storage() const {
  raw();
  {
    std::lock_guard lock(detail::snapshots_mutex());
    impl_->storage->own();
  }
  return impl_->storage;
}

void Tensor::expect_dtype(DType want) const {
  check<DTypeError>(dtype() == want, "tensor: expected dtype ", lamella::name(want), ", got ",
                    lamella::name(dtype()));
}

bool Tensor::requires_grad() const { return impl_ != nullptr && impl_->requires_grad; }

void Tensor::set_requires_grad(bool on) {
  get(impl_);
  check<DTypeError>(!on || is_floating(dtype()), "requires_grad: expected a float tensor, got ",
                    lamella::name(dtype()));
  check<StateError>(
      impl_->tape == nullptr,
      "requires_grad: only leaves can be changed; this tensor is a result, use detach()");
  impl_->requires_grad = on;
  if (on && !impl_->slot) impl_->slot = std::make_shared<detail::GradSlot>();
}

bool Tensor::is_leaf() const { return get(impl_).tape == nullptr; }
Tensor Tensor::grad() const { return get(impl_).slot ? impl_->slot->grad : Tensor(); }
void Tensor::set_grad(const Tensor& grad) {
  get(impl_);
  if (!impl_->slot) impl_->slot = std::make_shared<detail::GradSlot>();
  impl_->slot->grad = grad;
}

Tensor Tensor::detach() const {
  check<StateError>(!is_symbolic(), "detach: not for traced tensors; use stop_gradient");
  return detail::view(*this, shape());
}

}  // namespace lamella
