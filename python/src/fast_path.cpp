// Direct paths before functions of lamella.ops that are written in Python: plain tensors of one
// floating type and plain Python numbers go straight to the op. Everything else (other types, other
// arguments, errors) goes to the Python function.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fast_call.h"

namespace lamella::python {
namespace {

constexpr std::size_t kMostArguments = 3;
constexpr std::int64_t kMaxAxis = 64;  // no tensor has as many; the Python function says so
using Arguments = std::array<PyObject*, kMostArguments>;  // null where not given

/// Computes the result if the arguments are plain ones; returns false otherwise.
using Direct = bool (*)(const Arguments& given, Tensor& result);

/// A tensor of the core that holds numbers: functions in Python note more about those of a trace.
const Tensor* core_tensor(PyObject* o) {
  if (o == nullptr || is_torch_tensor(o)) return nullptr;
  const Tensor* t = as_exact_tensor(o);
  return t != nullptr && !t->is_symbolic() ? t : nullptr;
}

const Tensor* floating(PyObject* o) {
  const Tensor* t = core_tensor(o);
  return t != nullptr && is_floating(t->dtype()) ? t : nullptr;
}

bool as_int(PyObject* o, std::int64_t& value) {
  if (o == nullptr || PyLong_CheckExact(o) == 0) return false;
  int overflow = 0;
  value = PyLong_AsLongLongAndOverflow(o, &overflow);
  return overflow == 0 && value > -(1LL << 40) && value < (1LL << 40);
}

bool as_axis(PyObject* o, int& axis) {
  std::int64_t value = 0;
  if (!as_int(o, value) || value < -kMaxAxis || value > kMaxAxis) return false;
  axis = static_cast<int>(value);
  return true;
}

/// None, an integer or a non-empty tuple of integers.
bool as_axes(PyObject* o, ops::Axes& axes) {
  if (o == nullptr || o == Py_None) return true;
  int axis = 0;
  if (as_axis(o, axis)) {
    axes.push_back(axis);
    return true;
  }
  if (PyTuple_CheckExact(o) == 0 || PyTuple_GET_SIZE(o) == 0) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) {
    if (!as_axis(PyTuple_GET_ITEM(o, i), axis)) return false;
    axes.push_back(axis);
  }
  return true;
}

template <Tensor (*op)(const Tensor&, const ops::Axes&, bool)>
bool reduce(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  ops::Axes axes;
  const bool plain = a[2] == nullptr || a[2] == Py_True || a[2] == Py_False;
  if (x == nullptr || !plain || !as_axes(a[1], axes)) return false;
  result = op(*x, axes, a[2] == Py_True);
  return true;
}

template <Tensor (*op)(const Tensor&, int)>
bool along(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  int axis = -1;
  if (x == nullptr || (a[1] != nullptr && !as_axis(a[1], axis))) return false;
  result = op(*x, axis);
  return true;
}

bool expand_dims(const Arguments& a, Tensor& result) {
  return a[1] != nullptr && along<&ops::expand_dims>(a, result);
}

template <Tensor (*op)(const Tensor&, const Tensor&)>
bool binary(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  const Tensor* y = floating(a[1]);
  if (x == nullptr || y == nullptr || x->dtype() != y->dtype()) return false;
  result = op(*x, *y);
  return true;
}

bool reshape_to(const Tensor* x, PyObject* const* sizes, Py_ssize_t rank, Tensor& result) {
  if (x == nullptr) return false;
  Shape shape;
  int infer = -1;
  for (Py_ssize_t i = 0; i < rank; ++i) {
    std::int64_t size = 0;
    if (!as_int(sizes[i], size) || size < -1 || (size == -1 && infer >= 0)) return false;
    if (size == -1) infer = static_cast<int>(i);
    shape.push_back(Dim(size == -1 ? 1 : size));
  }
  result = ops::reshape(*x, shape, infer);
  return true;
}

bool reshape(const Arguments& a, Tensor& result) {
  return a[1] != nullptr && PyTuple_CheckExact(a[1]) != 0 &&
         reshape_to(core_tensor(a[0]), PySequence_Fast_ITEMS(a[1]), PyTuple_GET_SIZE(a[1]), result);
}

/// Tensor.reshape(2, 3): a method that pybind11 defined, and the direct path before it.
PyObject* general_reshape = nullptr;

PyObject* reshape_method(PyObject* self, PyObject* const* sizes, Py_ssize_t rank) {
  try {
    Tensor result;
    if (reshape_to(core_tensor(self), sizes, rank, result)) return new_tensor(std::move(result));
  } catch (...) {  // the general method finds out what is wrong, and says so
  }
  std::vector<PyObject*> args{self};
  args.insert(args.end(), sizes, sizes + rank);
  return PyObject_Vectorcall(general_reshape, args.data(), args.size(), nullptr);
}

bool transpose(const Arguments& a, Tensor& result) {
  const Tensor* x = core_tensor(a[0]);
  if (x == nullptr || (a[1] != nullptr && a[1] != Py_None)) return false;
  result = ops::transpose(*x);
  return true;
}

bool where(const Arguments& a, Tensor& result) {
  const Tensor* condition = core_tensor(a[0]);
  const Tensor* x = floating(a[1]);
  const Tensor* y = floating(a[2]);
  if (condition == nullptr || condition->dtype() != DType::kBool || x == nullptr || y == nullptr ||
      x->dtype() != y->dtype())
    return false;
  result = ops::where(*condition, *x, *y);
  return true;
}

template <Tensor (*op)(std::span<const Tensor>, int)>
bool join(const Arguments& a, Tensor& result) {
  int axis = 0;
  if (a[0] == nullptr || (PyList_CheckExact(a[0]) == 0 && PyTuple_CheckExact(a[0]) == 0) ||
      (a[1] != nullptr && !as_axis(a[1], axis)))
    return false;
  std::vector<Tensor> parts;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(a[0]); ++i) {
    const Tensor* t = floating(PySequence_Fast_GET_ITEM(a[0], i));
    if (t == nullptr || (i > 0 && t->dtype() != parts[0].dtype())) return false;
    parts.push_back(*t);
  }
  if (parts.empty()) return false;
  result = op(parts, axis);
  return true;
}

struct Path {
  std::string_view name;
  Direct direct;
};

constexpr Path kPaths[] = {
    {"sum", &reduce<&ops::sum>},
    {"mean", &reduce<&ops::mean>},
    {"max", &reduce<&ops::max>},
    {"min", &reduce<&ops::min>},
    {"prod", &reduce<&ops::prod>},
    {"var", &reduce<&ops::var>},
    {"logsumexp", &reduce<&ops::logsumexp>},
    {"softmax", &along<&ops::softmax>},
    {"log_softmax", &along<&ops::log_softmax>},
    {"expand_dims", &expand_dims},
    {"matmul", &binary<&ops::matmul>},
    {"add", &binary<&ops::add>},
    {"subtract", &binary<&ops::sub>},
    {"multiply", &binary<&ops::mul>},
    {"divide", &binary<&ops::div>},
    {"maximum", &binary<&ops::maximum>},
    {"minimum", &binary<&ops::minimum>},
    {"reshape", &reshape},
    {"transpose", &transpose},
    {"where", &where},
    {"concatenate", &join<&ops::concat>},
    {"stack", &join<&ops::stack>},
};

struct Function {
  std::string name, doc;
  PyMethodDef definition{};
  std::vector<PyObject*> names;  // of the leading arguments, interned
  PyObject* general = nullptr;
};

/// Sorts the arguments of a call; false where there are others than the direct path knows.
bool sort_arguments(const Function& f, PyObject* const* args, Py_ssize_t n, PyObject* keywords,
                    Arguments& given) {
  const auto known = static_cast<Py_ssize_t>(f.names.size());
  if (n > known) return false;
  for (Py_ssize_t i = 0; i < n; ++i) given[static_cast<std::size_t>(i)] = args[i];
  const Py_ssize_t extra = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t k = 0; k < extra; ++k) {
    std::size_t at = 0;  // names in calls are interned as well
    while (at < f.names.size() && f.names[at] != PyTuple_GET_ITEM(keywords, k)) ++at;
    if (at == f.names.size() || given[at] != nullptr) return false;
    given[at] = args[n + k];
  }
  return true;
}

Function functions[std::size(kPaths)];  // CPython keeps pointers to the definitions

/// A C function for each path, so that none needs an object to be bound to: pickle and help() then
/// take it for a function of its module.
template <std::size_t kPath>
PyObject* call(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  const Function& f = functions[kPath];
  Arguments given{};
  if (sort_arguments(f, args, n, keywords, given)) {
    try {
      Tensor result;
      if (kPaths[kPath].direct(given, result)) return new_tensor(std::move(result));
    } catch (...) {  // the Python function finds out what is wrong, and says so
    }
  }
  return PyObject_Vectorcall(f.general, args, static_cast<std::size_t>(n), keywords);
}

template <std::size_t... kPath>
constexpr std::array<_PyCFunctionFastWithKeywords, sizeof...(kPath)> all_calls(
    std::index_sequence<kPath...>) {
  return {&call<kPath>...};
}
constexpr auto kCalls = all_calls(std::make_index_sequence<std::size(kPaths)>{});

/// The function with its direct path: a built-in function of the same name and signature.
/// `signature` is an inspect.Signature without annotations.
py::object fast_path(const py::object& general, const py::object& signature) {
  const std::string name = py::str(general.attr("__name__"));
  std::size_t path = 0;
  while (path < std::size(kPaths) && kPaths[path].name != name) ++path;
  check<Error>(path < std::size(kPaths), "fast_path: there is none for ", name);
  Function& f = functions[path];
  f = {};
  for (const py::handle argument : signature.attr("parameters")) {
    if (f.names.size() == kMostArguments) break;
    PyObject* interned = py::reinterpret_borrow<py::object>(argument).release().ptr();
    PyUnicode_InternInPlace(&interned);
    f.names.push_back(interned);
  }
  // inspect.signature and help() read the first line of the documentation.
  f.name = name;
  f.doc = name;
  f.doc += py::str(signature).cast<std::string>();
  f.doc += "\n--\n\n";
  f.doc += py::str(general.attr("__doc__")).cast<std::string>();
  f.general = py::object(general).release().ptr();
  f.definition.ml_name = f.name.c_str();
  f.definition.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(kCalls[path]));
  f.definition.ml_flags = METH_FASTCALL | METH_KEYWORDS;
  f.definition.ml_doc = f.doc.c_str();
  const py::object module_name = py::str("lamella.ops");
  return py::reinterpret_steal<py::object>(
      PyCFunction_NewEx(&f.definition, nullptr, module_name.ptr()));
}

}  // namespace

void add_fast_methods(const py::class_<Tensor>& tensor) {
  static PyMethodDef definition{
      "reshape", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&reshape_method)),
      METH_FASTCALL,
      "reshape($self, *sizes)\n--\n\nThe elements in another shape; one size may be -1."};
  general_reshape = py::object(tensor.attr("reshape")).release().ptr();
  tensor.attr("reshape") = py::reinterpret_steal<py::object>(
      PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(tensor.ptr()), &definition));
}

void bind_fast_path(py::module_& m) {
  m.def(
      "has_fast_path",
      [](std::string_view name) {
        return std::any_of(std::begin(kPaths), std::end(kPaths),
                           [&](const Path& p) { return p.name == name; });
      },
      py::arg("name"), "Whether fast_path knows a function of this name.");
  m.def("fast_path", &fast_path, py::arg("function"), py::arg("signature"),
        "The function with a direct path for plain tensors before it.");
}

}  // namespace lamella::python
