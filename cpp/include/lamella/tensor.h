// Tensor: a value handle to a dense, row-major, contiguous array, or to a value of a traced Graph.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lamella/dtype.h"
#include "lamella/error.h"
#include "lamella/export.h"
#include "lamella/shape.h"

namespace lamella {

namespace detail {
struct TensorImpl;
}

/// Shape and element type.
struct Spec {
  Shape shape;
  DType dtype = DType::kFloat32;
  friend bool operator==(const Spec&, const Spec&) = default;
};

/// Copying a Tensor is cheap: handles share the elements. Elements are never changed behind a
/// handle's back: `mutable_raw` first detaches a shared array.
class LAMELLA_API Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<detail::TensorImpl> impl) : impl_(std::move(impl)) {}

  /// Uninitialised elements, 64-byte aligned.
  static Tensor empty(const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::kFloat32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::kFloat32) {
    return full(shape, 0, dtype);
  }
  static Tensor scalar(double value, DType dtype = DType::kFloat32) {
    return full(Shape{}, value, dtype);
  }
  /// A copy of `values`, which must have as many elements as `shape`.
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return copy_of(values.data(), values.size(), shape, dtype_of<T>);
  }
  static Tensor copy_of(const void* data, std::size_t count, const Shape& shape, DType dtype);
  /// Elements in foreign memory, kept alive by `owner`. `writable` says whether mutable_raw may
  /// write in place; otherwise it copies first.
  static Tensor wrap(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner,
                     bool writable);

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  DType dtype() const;
  Spec spec() const { return {shape(), dtype()}; }
  int rank() const { return shape().rank(); }
  std::int64_t size() const { return shape().size(); }
  std::size_t nbytes() const { return static_cast<std::size_t>(size()) * size_of(dtype()); }

  /// True for a value of a Graph under construction: it has a shape but no elements.
  bool is_symbolic() const;

  const void* raw() const;
  void* mutable_raw();
  template <class T>
  const T* data() const {
    expect_dtype(dtype_of<T>);
    return static_cast<const T*>(raw());
  }
  template <class T>
  T* mutable_data() {
    expect_dtype(dtype_of<T>);
    return static_cast<T*>(mutable_raw());
  }
  /// The only element, as a double.
  double item() const;
  template <class T>
  std::vector<T> to_vector() const {
    const T* p = data<T>();
    return std::vector<T>(p, p + size());
  }
  /// Keeps the elements alive on its own (used to hand them to numpy, DLPack, ...).
  std::shared_ptr<void> share_storage() const;

  // Automatic differentiation (see autograd.h).
  bool requires_grad() const;
  /// Marks a leaf; floats only.
  void set_requires_grad(bool on);
  bool is_leaf() const;
  /// The accumulated gradient of a leaf; undefined before backward().
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  /// The same elements without history.
  Tensor detach() const;

  const std::shared_ptr<detail::TensorImpl>& impl() const { return impl_; }
  friend bool same(const Tensor& a, const Tensor& b) { return a.impl_ == b.impl_; }

 private:
  void expect_dtype(DType want) const;
  std::shared_ptr<detail::TensorImpl> impl_;
};

namespace detail {
struct VariableData;
}

/// A named, mutable array that a Graph may read and assign: a weight, a moving average, a counter.
/// Copies of the handle name the same variable.
class LAMELLA_API Variable {
 public:
  Variable() = default;
  Variable(const Tensor& initial, std::string name, bool trainable = true);
  explicit Variable(std::shared_ptr<detail::VariableData> data) : data_(std::move(data)) {}

  bool defined() const { return data_ != nullptr; }
  const std::string& name() const;
  void set_name(std::string name);
  const Shape& shape() const;
  DType dtype() const;
  bool trainable() const;
  void set_trainable(bool on);

  /// Its present value: a snapshot that later assignments do not change. While a Graph is traced:
  /// the symbolic read, or what was assigned earlier in the same trace.
  Tensor value() const;
  /// Same shape required; dtype is cast. While a Graph is traced the assignment is recorded and
  /// happens at the end of each step.
  void assign(const Tensor& value);
  /// Gradient that backward() accumulated.
  Tensor grad() const;
  void set_grad(const Tensor& grad);

  const std::shared_ptr<detail::VariableData>& data() const { return data_; }
  friend bool same(const Variable& a, const Variable& b) { return a.data_ == b.data_; }

 private:
  std::shared_ptr<detail::VariableData> data_;
};

}  // namespace lamella
