// Direct paths before functions of lamella.ops that are written in Python: plain tensors of one
// floating type and plain Python numbers go straight to the op. Everything else (other types, other
// arguments, errors) goes to the Python function.
#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>
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

/// A tuple of known sizes.
bool as_sizes(PyObject* o, Shape& shape) {
  if (o == nullptr || PyTuple_CheckExact(o) == 0) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) {
    std::int64_t size = 0;
    if (!as_int(PyTuple_GET_ITEM(o, i), size) || size < 0) return false;
    shape.push_back(Dim(size));
  }
  return true;
}

/// Two tensors of one floating type.
struct Pair {
  const Tensor *x, *y;
  explicit Pair(const Arguments& a) : x(floating(a[0])), y(floating(a[1])) {}
  explicit operator bool() const {
    return x != nullptr && y != nullptr && x->dtype() == y->dtype();
  }
};

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

/// op(x, y) of two tensors, or of one and a number.
template <Tensor (*op)(const Tensor&, const Tensor&)>
bool binary(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  const Tensor* y = floating(a[1]);
  double number = 0;
  if (x != nullptr && y != nullptr) {
    if (x->dtype() != y->dtype()) return false;
    result = op(*x, *y);
  } else if (x != nullptr && as_number(a[1], number)) {
    result = op(*x, Tensor::scalar(number, x->dtype()));
  } else if (y != nullptr && as_number(a[0], number)) {
    result = op(Tensor::scalar(number, y->dtype()), *y);
  } else {
    return false;
  }
  return true;
}

template <UnaryFn op>
bool unary(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  if (x != nullptr) result = op(*x);
  return x != nullptr;
}

bool clip(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  double low = 0, high = 0;
  if (x == nullptr || !as_number(a[1], low) || !as_number(a[2], high)) return false;
  result = ops::clip(*x, low, high);
  return true;
}

/// Of vectors and matrices.
bool dot(const Arguments& a, Tensor& result) {
  const Pair both(a);
  if (!both) return false;
  const auto [x, y] = both;
  if (x->rank() < 1 || x->rank() > 2 || y->rank() < 1 || y->rank() > 2) return false;
  result = ops::matmul(*x, *y);
  return true;
}

bool outer(const Arguments& a, Tensor& result) {
  const Pair both(a);
  if (!both) return false;
  const auto [x, y] = both;
  result = ops::mul(ops::reshape(*x, {Dim(x->size()), Dim(1)}),
                    ops::reshape(*y, {Dim(1), Dim(y->size())}));
  return true;
}

/// The Euclidean norm of all elements.
bool norm(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  if (x == nullptr || a[1] != nullptr || a[2] != nullptr) return false;
  result = ops::sqrt(ops::sum(ops::square(*x)));
  return true;
}

template <Tensor (*op)(const Tensor&, const ops::Axes&, bool)>
bool position(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  ops::Axes axis;
  int one = 0;
  if (x == nullptr || (a[2] != nullptr && a[2] != Py_False)) return false;
  if (a[1] != nullptr && a[1] != Py_None) {
    if (!as_axis(a[1], one)) return false;
    axis.push_back(one);
  }
  result = op(*x, axis, false);
  return true;
}

bool cumsum(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  int axis = 0;
  if (x == nullptr || a[2] != nullptr || !as_axis(a[1], axis)) return false;
  result = ops::cumsum(*x, axis);
  return true;
}

bool flip(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  ops::Axes axes;
  if (x == nullptr || !as_axes(a[1], axes)) return false;
  if (a[1] == nullptr || a[1] == Py_None) {
    for (int i = 0; i < x->rank(); ++i) axes.push_back(i);
  }
  result = ops::flip(*x, axes);
  return true;
}

/// One element of an axis, or those at a tensor's indices, none of which counts from the end.
bool take(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  if (x == nullptr || a[1] == nullptr) return false;
  int axis = 0;
  const bool flat = a[2] == nullptr || a[2] == Py_None;
  if (!flat && (!as_axis(a[2], axis) || axis < -x->rank() || axis >= x->rank())) return false;
  std::int64_t one = 0;
  const bool first = flat ? x->rank() <= 1 : (axis == 0 || axis == -x->rank());
  if (as_int(a[1], one)) {
    if (!first || x->rank() == 0) return false;
    result = ops::row(*x, one);
    return true;
  }
  const Tensor* index = core_tensor(a[1]);
  if (index == nullptr || index->dtype() != DType::kInt32 || (flat && x->rank() != 1)) return false;
  const auto* i = index->data<std::int32_t>();
  if (std::any_of(i, i + index->size(), [](std::int32_t at) { return at < 0; })) return false;
  result = ops::gather(*x, *index, axis);
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

bool broadcast_to(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  Shape shape;
  if (x == nullptr || !as_sizes(a[1], shape)) return false;
  result = ops::broadcast_to(*x, shape);
  return true;
}

bool squeeze(const Arguments& a, Tensor& result) {
  const Tensor* x = core_tensor(a[0]);
  ops::Axes axes;
  if (x == nullptr || !as_axes(a[1], axes)) return false;
  result = ops::squeeze(*x, axes);
  return true;
}

bool swapaxes(const Arguments& a, Tensor& result) {
  const Tensor* x = core_tensor(a[0]);
  int i = 0, j = 0;
  if (x == nullptr || !as_axis(a[1], i) || !as_axis(a[2], j)) return false;
  const int rank = x->rank();
  if (i < -rank || i >= rank || j < -rank || j >= rank) return false;
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[static_cast<std::size_t>((i + rank) % rank)],
            order[static_cast<std::size_t>((j + rank) % rank)]);
  result = ops::transpose(*x, order);
  return true;
}

bool as_floating_type(PyObject* o, DType& dtype) {
  if (o == nullptr || PyUnicode_CheckExact(o) == 0) return false;
  const bool single = PyUnicode_CompareWithASCIIString(o, "float32") == 0;
  if (!single && PyUnicode_CompareWithASCIIString(o, "float64") != 0) return false;
  dtype = single ? DType::kFloat32 : DType::kFloat64;
  return true;
}

bool cast(const Arguments& a, Tensor& result) {
  const Tensor* x = core_tensor(a[0]);
  DType dtype{};
  if (x == nullptr || !as_floating_type(a[1], dtype) || x->dtype() == dtype) return false;
  result = ops::cast(*x, dtype);
  return true;
}

/// A tensor of one value, like another.
template <int kValue>
bool like(const Arguments& a, Tensor& result) {
  const Tensor* x = floating(a[0]);
  if (x == nullptr || is_tracing() || (a[1] != nullptr && a[1] != Py_None)) return false;
  result = Tensor::full(x->shape(), kValue, x->dtype());
  return true;
}

/// A tensor of one value, of a given type.
template <int kValue>
bool filled(const Arguments& a, Tensor& result) {
  DType dtype{};
  Shape shape;
  if (is_tracing() || !as_sizes(a[0], shape)) return false;
  static PyObject* settings =  // of lamella.config; never given back
      py::object(py::module_::import("lamella._support").attr("_settings")).release().ptr();
  PyObject* name =
      a[1] != nullptr && a[1] != Py_None ? a[1] : PyDict_GetItemString(settings, "floatx");
  if (!as_floating_type(name, dtype)) return false;
  result = Tensor::full(shape, kValue, dtype);
  return true;
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
    {"abs", &unary<&ops::abs>},
    {"arccos", &unary<&ops::acos>},
    {"arcsin", &unary<&ops::asin>},
    {"arctan", &unary<&ops::atan>},
    {"ceil", &unary<&ops::ceil>},
    {"cos", &unary<&ops::cos>},
    {"cosh", &unary<&ops::cosh>},
    {"erf", &unary<&ops::erf>},
    {"exp", &unary<&ops::exp>},
    {"expm1", &unary<&ops::expm1>},
    {"floor", &unary<&ops::floor>},
    {"hard_sigmoid", &unary<&ops::hard_sigmoid>},
    {"hard_silu", &unary<&ops::hard_silu>},
    {"isfinite", &unary<&ops::isfinite>},
    {"isnan", &unary<&ops::isnan>},
    {"log", &unary<&ops::log>},
    {"log1p", &unary<&ops::log1p>},
    {"negative", &unary<&ops::neg>},
    {"reciprocal", &unary<&ops::reciprocal>},
    {"relu", &unary<&ops::relu>},
    {"rsqrt", &unary<&ops::rsqrt>},
    {"selu", &unary<&ops::selu>},
    {"sigmoid", &unary<&ops::sigmoid>},
    {"sign", &unary<&ops::sign>},
    {"silu", &unary<&ops::silu>},
    {"sin", &unary<&ops::sin>},
    {"sinh", &unary<&ops::sinh>},
    {"softplus", &unary<&ops::softplus>},
    {"softsign", &unary<&ops::softsign>},
    {"sqrt", &unary<&ops::sqrt>},
    {"square", &unary<&ops::square>},
    {"tan", &unary<&ops::tan>},
    {"tanh", &unary<&ops::tanh>},
    {"equal", &binary<&ops::equal>},
    {"greater", &binary<&ops::greater>},
    {"greater_equal", &binary<&ops::greater_equal>},
    {"less", &binary<&ops::less>},
    {"less_equal", &binary<&ops::less_equal>},
    {"not_equal", &binary<&ops::not_equal>},
    {"power", &binary<&ops::pow>},
    {"clip", &clip},
    {"dot", &dot},
    {"outer", &outer},
    {"norm", &norm},
    {"argmax", &position<&ops::argmax>},
    {"argmin", &position<&ops::argmin>},
    {"cumsum", &cumsum},
    {"flip", &flip},
    {"take", &take},
    {"broadcast_to", &broadcast_to},
    {"squeeze", &squeeze},
    {"swapaxes", &swapaxes},
    {"cast", &cast},
    {"zeros_like", &like<0>},
    {"ones_like", &like<1>},
    {"zeros", &filled<0>},
    {"ones", &filled<1>},
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
