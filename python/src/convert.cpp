#include "convert.h"

#include <algorithm>
#include <array>
#include <string>

namespace lamella::python {

py::dtype to_numpy(DType t) {
  static const auto* all = [] {  // never destroyed: the interpreter may be gone by then
    auto* types = new std::array<py::dtype, kDTypeCount>;
    for (std::size_t i = 0; i < kDTypeCount; ++i)
      (*types)[i] = py::dtype(std::string(name(static_cast<DType>(i))));
    return types;
  }();
  return (*all)[static_cast<std::size_t>(t)];
}

DType from_numpy_dtype(const py::dtype& d, const char* what) {
  const char kind = d.kind();
  const auto size = d.itemsize();
  const bool native = d.byteorder() != '>';
  if (native) {
    if (kind == 'b') return DType::kBool;
    if (kind == 'u' && size == 1) return DType::kUint8;
    if (kind == 'i' && size == 4) return DType::kInt32;
    if (kind == 'i' && size == 8) return DType::kInt64;
    if (kind == 'f' && size == 4) return DType::kFloat32;
    if (kind == 'f' && size == 8) return DType::kFloat64;
  }
  throw DTypeError(detail::format(what,
                                  ": expected an array of bool, uint8, int32, int64, float32 or "
                                  "float64 in native byte order, got dtype ",
                                  py::str(d).cast<std::string>(),
                                  "; convert it with .astype(\"float32\") or similar"));
}

namespace {

bool is_dense(const py::array& a) {
  return (a.flags() & py::array::c_style) != 0 &&
         reinterpret_cast<std::uintptr_t>(a.data()) %
                 static_cast<std::uintptr_t>(std::max<py::ssize_t>(1, a.itemsize())) ==
             0;
}

Shape array_shape(const py::array& a) {
  Shape s;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    s.push_back(Dim(static_cast<std::int64_t>(a.shape(i))));
  return s;
}

/// Drops a Python reference from whatever thread the last tensor dies in.
std::shared_ptr<void> keep_alive(py::object object) {
  return std::shared_ptr<void>(object.release().ptr(), [](void* p) {
    if (Py_IsInitialized() == 0) return;
    py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(p));
  });
}

py::object numpy_module() { return py::module_::import("numpy"); }

}  // namespace

Tensor from_numpy(const py::array& a, const py::object& copy) {
  const DType t = from_numpy_dtype(a.dtype(), "from_numpy");
  const bool must_share = !copy.is_none() && !copy.cast<bool>();
  const bool must_copy = !copy.is_none() && copy.cast<bool>();
  const bool dense = is_dense(a);
  check(!must_share || dense,
        "from_numpy: copy=False, but the array is not C-contiguous and aligned; pass copy=None");
  const Shape shape = array_shape(a);
  if (dense && !must_copy)
    return Tensor::wrap(const_cast<void*>(a.data()), shape, t, keep_alive(a), false);
  const py::array c = py::array::ensure(a, py::array::c_style);
  return Tensor::copy_of(c.data(), static_cast<std::size_t>(c.size()), shape, t);
}

namespace {
py::array array_over(const Tensor& t, bool writable) {
  auto* owner = new std::shared_ptr<void>(t.share_storage());
  py::capsule base(owner, [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
  std::vector<py::ssize_t> shape;
  for (Dim d : t.shape()) shape.push_back(static_cast<py::ssize_t>(d.value()));
  py::array a(to_numpy(t.dtype()), shape, t.raw(), base);
  if (!writable)
    py::detail::array_proxy(a.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return a;
}
}  // namespace

py::array numpy_of(const Tensor& t, bool copy) {
  if (!copy) return array_over(t, false);
  return take(Tensor::copy_of(t.raw(), static_cast<std::size_t>(t.size()), t.shape(), t.dtype()));
}

py::array take(Tensor&& t) { return array_over(t, true); }

namespace {

/// A Python number, by kind; nullopt for anything else.
std::optional<Tensor> scalar(py::handle x, const Tensor* like) {
  PyObject* p = x.ptr();
  const DType other = like != nullptr ? like->dtype() : DType::kBool;
  if (PyBool_Check(p)) {
    return Tensor::scalar(p == Py_True ? 1 : 0, like != nullptr ? other : DType::kBool);
  }
  if (PyLong_Check(p)) {
    const DType t = like == nullptr || other == DType::kBool ? DType::kInt32 : other;
    if (t == DType::kInt64 || t == DType::kInt32) {
      const long long v = PyLong_AsLongLong(p);
      if (v == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
      const std::int64_t wide = v;
      if (t == DType::kInt64 || v > INT32_MAX || v < INT32_MIN)
        return Tensor::copy_of(&wide, 1, Shape{}, DType::kInt64);
    }
    const double v = PyLong_AsDouble(p);
    if (v == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return Tensor::scalar(v, t);
  }
  if (PyFloat_Check(p)) {
    const DType t = like != nullptr && is_floating(other) ? other : DType::kFloat32;
    return Tensor::scalar(PyFloat_AS_DOUBLE(p), t);
  }
  return std::nullopt;
}

}  // namespace

Tensor as_tensor(py::handle x, const Tensor* like) {
  if (py::isinstance<Tensor>(x)) return x.cast<Tensor>();
  if (py::isinstance<Variable>(x)) return x.cast<const Variable&>().value();
  if (auto s = scalar(x, like)) return *s;
  if (py::isinstance<py::array>(x)) {
    // Copied: the caller may change the array while the tape still needs the values.
    return from_numpy(py::reinterpret_borrow<py::array>(x), py::bool_(true));
  }
  // A placeholder of a functional model: an operator leaves it to the placeholder's own.
  if (py::hasattr(x, "_is_placeholder")) throw py::reference_cast_error();
  if (py::hasattr(x, "_core")) {
    const py::object inner = x.attr("_core");
    if (py::isinstance<Variable>(inner)) return inner.cast<const Variable&>().value();
  }
  if (py::isinstance<py::sequence>(x) && !py::isinstance<py::str>(x)) {
    // A list that holds tensors is stacked; numbers go through numpy, with Python's kinds kept
    // narrow.
    bool any = false;
    for (py::handle item : py::reinterpret_borrow<py::sequence>(x))
      any = any || py::isinstance<Tensor>(item) || py::hasattr(item, "_core");
    if (any) {
      std::vector<Tensor> parts;
      for (py::handle item : py::reinterpret_borrow<py::sequence>(x))
        parts.push_back(as_tensor(item, like));
      return ops::stack(parts, 0);
    }
    py::array a = numpy_module().attr("asarray")(x);
    Tensor t = from_numpy(a, py::bool_(true));
    if (t.dtype() == DType::kFloat64) t = ops::cast(t, DType::kFloat32);
    if (t.dtype() == DType::kInt64) {
      const std::int64_t* v = t.data<std::int64_t>();
      const bool narrow = std::all_of(
          v, v + t.size(), [](std::int64_t n) { return n >= INT32_MIN && n <= INT32_MAX; });
      if (narrow) t = ops::cast(t, DType::kInt32);
    }
    return t;
  }
  if (py::hasattr(x, "__array__")) {
    py::array a = numpy_module().attr("asarray")(x);
    return from_numpy(a, py::bool_(true));
  }
  throw DTypeError(detail::format("expected a tensor, variable, array, number or list, got ",
                                  py::str(py::type::handle_of(x)).cast<std::string>()));
}

std::pair<Tensor, Tensor> operands(py::handle x, py::handle y) {
  auto number = [](py::handle h) {
    return PyBool_Check(h.ptr()) || PyLong_Check(h.ptr()) || PyFloat_Check(h.ptr());
  };
  if (number(y)) {
    Tensor a = as_tensor(x);
    Tensor b = as_tensor(y, &a);
    return {a, b};
  }
  Tensor b = as_tensor(y);
  Tensor a = as_tensor(x, &b);
  return {a, b};
}

Shape to_shape(py::handle dims, int* infer) {
  Shape s;
  auto add = [&](py::handle d) {
    const bool plain = PyLong_CheckExact(d.ptr()) != 0;
    if (!plain && py::isinstance<Dim>(d)) {
      s.push_back(d.cast<Dim>());
      return;
    }
    const bool unknown = d.is_none();
    check<DTypeError>(unknown || PyIndex_Check(d.ptr()), "shape: expected integers, got ",
                      py::str(py::type::handle_of(d)).cast<std::string>());
    std::int64_t v = -1;
    if (plain) {
      v = d.cast<std::int64_t>();
    } else if (!unknown) {
      v = py::cast<std::int64_t>(py::reinterpret_steal<py::object>(PyNumber_Index(d.ptr())));
    }
    if (v == -1 && infer != nullptr) {
      check<ShapeError>(*infer < 0, "reshape: only one size may be -1");
      *infer = s.rank();
      s.push_back(Dim(1));
      return;
    }
    s.push_back(Dim(v));
  };
  if (PyIndex_Check(dims.ptr()) || py::isinstance<Dim>(dims)) {
    add(dims);
  } else {
    for (py::handle d : dims) add(d);
  }
  return s;
}

py::tuple shape_tuple(const Shape& s) {
  py::tuple t(static_cast<std::size_t>(s.rank()));
  for (int i = 0; i < s.rank(); ++i)
    t[static_cast<std::size_t>(i)] =
        s[i].known() ? py::object(py::int_(s[i].value())) : py::object(py::none());
  return t;
}

py::tuple dims_tuple(const Shape& s) {
  py::tuple t(static_cast<std::size_t>(s.rank()));
  for (int i = 0; i < s.rank(); ++i)
    t[static_cast<std::size_t>(i)] =
        s[i].known() ? py::object(py::int_(s[i].value())) : py::object(py::cast(s[i]));
  return t;
}

std::vector<int> to_axes(py::handle axis) {
  std::vector<int> axes;
  if (axis.is_none()) return axes;
  if (PyIndex_Check(axis.ptr())) {
    axes.push_back(axis.cast<int>());
  } else {
    for (py::handle a : axis) axes.push_back(a.cast<int>());
  }
  return axes;
}

RowSource to_source(py::handle object, std::vector<py::object>& keep) {
  if (py::isinstance<Tensor>(object)) {
    keep.push_back(py::reinterpret_borrow<py::object>(object));
    return rows_of(object.cast<const Tensor&>());
  }
  py::array a = py::isinstance<py::array>(object)
                    ? py::reinterpret_borrow<py::array>(object)
                    : py::array(numpy_module().attr("asarray")(object));
  const char kind = a.dtype().kind();
  const auto size = a.dtype().itemsize();
  // Types the kernels do not read are widened once.
  const char* widen = nullptr;
  if (kind == 'f' && size == 2) widen = "float32";
  if (kind == 'i' && size < 4) widen = "int32";
  if (kind == 'u' && size == 2) widen = "int32";
  if (kind == 'u' && size > 2) widen = "int64";
  if (widen == nullptr && a.dtype().byteorder() == '>')
    a = py::array(a.attr("astype")(a.dtype().attr("newbyteorder")("=")));
  if (widen != nullptr) a = py::array(a.attr("astype")(widen));
  RowSource s;
  s.dtype = from_numpy_dtype(a.dtype(), "data");
  check<ShapeError>(a.ndim() >= 1, "data: expected at least one axis, got a scalar");
  // Rows must be dense; the stride between rows is free.
  py::ssize_t dense = a.itemsize();
  bool rows_dense = true;
  for (py::ssize_t i = a.ndim() - 1; i >= 1; --i) {
    rows_dense = rows_dense && (a.shape(i) == 1 || a.strides(i) == dense);
    dense *= a.shape(i);
  }
  if (!rows_dense) a = py::array::ensure(a, py::array::c_style);
  s.rows = a.shape(0);
  for (py::ssize_t i = 1; i < a.ndim(); ++i)
    s.row_shape.push_back(Dim(static_cast<std::int64_t>(a.shape(i))));
  s.row_stride = a.ndim() >= 1 ? a.strides(0) : 0;
  s.data = a.data();
  keep.push_back(a);
  return s;
}

}  // namespace lamella::python
