// Batches that look like the last one, without pybind11's dispatch: an Executor or a Trainer bound
// to the kinds of arrays that it takes. Whatever else is given (other types, other shapes, errors)
// is left to the caller's general way.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "convert.h"

namespace lamella::python {
namespace {

constexpr Py_ssize_t kMostArrays = 2;                    // x and y
constexpr std::size_t kOwnBytes = std::size_t{1} << 16;  // larger results come from the pool
using Sources = std::array<RowSource, kMostArrays>;

const py::detail::PyArray_Proxy* as_exact_array(PyObject* o) {
  return Py_TYPE(o) == py::detail::npy_api::get().PyArray_Type_
             ? reinterpret_cast<const py::detail::PyArray_Proxy*>(o)
             : nullptr;
}

/// Arrays that differ from the last ones in their elements and the number of rows only.
class Kinds {
 public:
  /// Takes nothing where an array is of a type that is converted first.
  explicit Kinds(const py::sequence& like) {
    try {
      for (const py::handle h : like) add(h.cast<py::array>());
    } catch (const DTypeError&) {
      kinds_.clear();
    }
  }

  /// The rows of C-contiguous arrays of these kinds; false for all others.
  bool sources(PyObject* const* arrays, Py_ssize_t n, Sources& out) const {
    if (n == 0 || n != std::ssize(kinds_) || n > kMostArrays) return false;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      const auto& [dtype, row] = kinds_[i];
      const auto* a = as_exact_array(arrays[i]);
      if (a == nullptr || a->descr != dtype.ptr() || a->nd != row.row_shape.rank() + 1 ||
          (a->flags & kWanted) != kWanted || a->dimensions[0] <= 0)
        return false;
      for (int k = 0; k < row.row_shape.rank(); ++k)
        if (a->dimensions[k + 1] != row.row_shape[k].value()) return false;
      out[i] = row;
      out[i].data = a->data;
      out[i].rows = a->dimensions[0];
      if (out[i].rows != out[0].rows) return false;
    }
    return true;
  }
  std::size_t count() const { return kinds_.size(); }

 private:
  void add(const py::array& a) {
    RowSource s;
    s.dtype = from_numpy_dtype(a.dtype(), "data");
    s.row_stride = a.itemsize();
    for (py::ssize_t i = 1; i < a.ndim(); ++i) {
      s.row_shape.push_back(Dim(a.shape(i)));
      s.row_stride *= a.shape(i);
    }
    kinds_.push_back({a.dtype(), s});
  }

  static constexpr int kWanted = static_cast<int>(py::array::c_style) |
                                 static_cast<int>(py::detail::npy_api::NPY_ARRAY_ALIGNED_);
  std::vector<std::pair<py::dtype, RowSource>> kinds_;
};

/// A new array of numpy's own for few bytes; null on an error.
PyObject* new_array(const Spec& spec) {
  const auto& api = py::detail::npy_api::get();
  std::array<Py_intptr_t, kMaxRank> sizes{};
  for (int i = 0; i < spec.shape.rank(); ++i)
    sizes[static_cast<std::size_t>(i)] = static_cast<Py_intptr_t>(spec.shape[i].value());
  return api.PyArray_NewFromDescr_(api.PyArray_Type_, to_numpy(spec.dtype).release().ptr(),
                                   spec.shape.rank(), sizes.data(), nullptr, nullptr, 0, nullptr);
}

/// What a function is bound to.
struct Bound {
  Kinds kinds;
  py::object runner;  // keeps the next two alive
  Executor* executor = nullptr;
  Trainer* trainer = nullptr;
  std::vector<Variable> reset;
};

PyObject* predict(const Bound& b, std::span<const RowSource> inputs) {
  py::object array;
  Tensor large;
  std::optional<py::gil_scoped_release> release;
  b.executor->run(inputs, [&](std::size_t, const Spec& spec) -> void* {
    void* data = nullptr;
    if (static_cast<std::size_t>(spec.shape.size()) * size_of(spec.dtype) <= kOwnBytes) {
      array = py::reinterpret_steal<py::object>(new_array(spec));
      if (!array) throw py::error_already_set();
      data = py::detail::array_proxy(array.ptr())->data;
    } else {
      large = Tensor::empty(spec.shape, spec.dtype);
      data = large.mutable_raw();
    }
    release.emplace();  // the only output has its place: what follows needs no Python
    return data;
  });
  release.reset();
  return array ? array.release().ptr() : take(std::move(large)).release().ptr();
}

PyObject* train(const Bound& b, std::span<const RowSource> inputs) {
  std::vector<double> values;
  {
    const py::gil_scoped_release release;
    values = b.trainer->step(inputs, poll_signals, b.reset);
  }
  PyObject* list = PyList_New(std::ssize(values));
  for (std::size_t i = 0; list != nullptr && i < values.size(); ++i)
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), PyFloat_FromDouble(values[i]));
  return list;
}

/// The result, or None where the general way must see what is there, or what is wrong.
PyObject* call(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  const auto& b = *static_cast<const Bound*>(PyCapsule_GetPointer(self, nullptr));
  try {
    Sources sources;
    if (b.kinds.sources(args, n, sources)) {
      const std::span<const RowSource> inputs(sources.data(), b.kinds.count());
      return b.executor != nullptr ? predict(b, inputs) : train(b, inputs);
    }
  } catch (py::error_already_set& e) {  // interrupted
    e.restore();
    return nullptr;
  } catch (...) {  // variables are unchanged: the general way meets the same error, and reports it
  }
  Py_RETURN_NONE;
}

PyObject* takes(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  const auto& b = *static_cast<const Bound*>(PyCapsule_GetPointer(self, nullptr));
  Sources sources;
  return PyBool_FromLong(b.kinds.sources(args, n, sources) ? 1 : 0);
}

PyMethodDef kCall{"array_call", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&call)),
                  METH_FASTCALL, "The result for arrays like the last ones, else None."};
PyMethodDef kTakes{"takes", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&takes)),
                   METH_FASTCALL, "True for arrays like the last ones."};

py::tuple array_call(const py::object& runner, const py::sequence& like,
                     std::vector<Variable> reset) {
  auto bound =
      std::make_unique<Bound>(Bound{Kinds(like), runner, nullptr, nullptr, std::move(reset)});
  if (py::isinstance<Executor>(runner))
    bound->executor = runner.cast<Executor*>();
  else
    bound->trainer = runner.cast<Trainer*>();
  const py::capsule self(bound.release(), [](void* p) { delete static_cast<Bound*>(p); });
  const auto function = [&](PyMethodDef& definition) {
    return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&definition, self.ptr(), nullptr));
  };
  return py::make_tuple(function(kCall), function(kTakes));
}

bool same_items(PyObject* container, PyObject* items) {
  if (PyList_Check(container) != 0) {
    const Py_ssize_t n = PyList_GET_SIZE(container);
    if (PyLong_Check(items) != 0) return n == PyLong_AsSsize_t(items);
    return n == PyTuple_GET_SIZE(items) &&
           std::equal(PySequence_Fast_ITEMS(items), PySequence_Fast_ITEMS(items) + n,
                      PySequence_Fast_ITEMS(container));
  }
  if (PyLong_Check(items) != 0) return PyObject_Size(container) == PyLong_AsSsize_t(items);
  if (PyDict_Check(container) == 0 || PyDict_GET_SIZE(container) != PyTuple_GET_SIZE(items))
    return false;
  Py_ssize_t at = 0, i = 0;
  PyObject* value = nullptr;
  while (PyDict_Next(container, &at, nullptr, &value) != 0)
    if (value != PyTuple_GET_ITEM(items, i++)) return false;
  return true;
}

/// A tuple of pairs: a list or dict, and a tuple of what it held or how much that was.
PyObject* all_same(PyObject*, PyObject* watched) {
  bool same = PyTuple_CheckExact(watched) != 0;
  for (Py_ssize_t i = 0; same && i < PyTuple_GET_SIZE(watched); ++i) {
    PyObject* pair = PyTuple_GET_ITEM(watched, i);
    same = same_items(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
  }
  return PyErr_Occurred() != nullptr ? nullptr : PyBool_FromLong(same ? 1 : 0);
}

PyMethodDef kAllSame{
    "all_same", &all_same, METH_O,
    "all_same(watched: tuple) -> bool\n\nTrue if lists and dicts hold the very objects that they "
    "held: pairs (container, tuple of its values or their number)."};

}  // namespace

void bind_array_call(py::module_& m) {
  m.def("array_call", &array_call, py::arg("runner"), py::arg("like"),
        py::arg("reset") = std::vector<Variable>{},
        "(call, takes) of an Executor with one output or a Trainer for arrays like these, given "
        "one by one. call returns the output or the list of logs, after setting the variables of "
        "`reset` to zero; None for other arrays. takes tells them apart.");
  m.attr("all_same") =
      py::reinterpret_steal<py::object>(PyCFunction_NewEx(&kAllSame, nullptr, nullptr));
}

}  // namespace lamella::python
