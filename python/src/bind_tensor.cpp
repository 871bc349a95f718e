// Dim, Tensor, Variable and automatic differentiation.
#include <pybind11/operators.h>

#include <algorithm>
#include <cmath>

#include "convert.h"
#include "fast_call.h"

namespace lamella::python {
namespace {

Tensor binary(Tensor (*op)(const Tensor&, const Tensor&), py::handle x, py::handle y) {
  auto [a, b] = operands(x, y);
  return op(a, b);
}

/// The only element as an integer; int64 does not pass through a double.
std::int64_t integer(const Tensor& t) {
  const double v = t.item();
  if (t.dtype() == DType::kInt64) return *t.data<std::int64_t>();
  if (std::isnan(v)) throw py::value_error("cannot convert NaN to an integer");
  // 2^63 is the first double beyond int64.
  if (!(std::abs(v) < 9223372036854775808.0)) {
    PyErr_SetString(PyExc_OverflowError, "the value does not fit into an integer of 64 bits");
    throw py::error_already_set();
  }
  return static_cast<std::int64_t>(v);
}

py::object optional_grad(const Tensor& g) { return g.defined() ? py::cast(g) : py::none(); }

std::string describe(const Tensor& t) {
  if (t.is_symbolic())
    return detail::format("<Tensor shape=", t.shape(), " dtype=", name(t.dtype()), " traced>");
  const py::object array = numpy_of(t, false);
  return detail::format("<Tensor shape=", t.shape(), " dtype=", name(t.dtype()), "\n",
                        py::str(array).cast<std::string>(), ">");
}

void bind_dim(py::module_& m) {
  py::class_<Dim>(m, "Dim", "A size that is not known while a model is traced.")
      .def(py::init<std::int64_t>(), py::arg("value"))
      .def("__repr__", [](Dim d) { return "Dim(" + d.str() + ")"; })
      .def(py::self == py::self)
      .def("__hash__", [](Dim d) { return std::hash<std::int64_t>()(d.raw()); })
      .def(
          "__add__", [](Dim a, Dim b) { return a + b; }, py::is_operator())
      .def(
          "__radd__", [](Dim a, Dim b) { return a + b; }, py::is_operator())
      .def(
          "__sub__", [](Dim a, Dim b) { return a - b; }, py::is_operator())
      .def(
          "__rsub__", [](Dim a, Dim b) { return b - a; }, py::is_operator())
      .def(
          "__mul__", [](Dim a, Dim b) { return a * b; }, py::is_operator())
      .def(
          "__rmul__", [](Dim a, Dim b) { return a * b; }, py::is_operator())
      .def("__floordiv__", [](Dim a, Dim b) { return floor_div(a, b); }, py::is_operator());
  // Lets ints stand on either side of the operators above.
  py::implicitly_convertible<py::int_, Dim>();
}

/// A context manager that switches recording; one entry for each `with` open on the object.
template <bool kEnabled>
struct GradModeContext {
  std::vector<std::unique_ptr<GradMode>> modes;
};

template <bool kEnabled>
void bind_grad_mode(py::module_& m, const char* name, const char* doc) {
  using Context = GradModeContext<kEnabled>;
  py::class_<Context>(m, name, doc)
      .def(py::init<>())
      .def("__enter__", [](Context& c) { c.modes.push_back(std::make_unique<GradMode>(kEnabled)); })
      .def("__exit__", [](Context& c, const py::args&) {
        if (!c.modes.empty()) c.modes.pop_back();
      });
}

}  // namespace

void bind_tensor(py::module_& m) {
  bind_dim(m);

  py::class_<Tensor> tensor(m, "Tensor", py::buffer_protocol(),
                            "A dense array, or a value of a Graph being traced.");
  tensor
      .def_property_readonly(
          "shape", [](const Tensor& t) { return shape_tuple(t.shape()); },
          "Sizes; None where not known while tracing.")
      .def_property_readonly(
          "dims", [](const Tensor& t) { return dims_tuple(t.shape()); },
          "Sizes; Dim objects where not known while tracing.")
      .def_property_readonly("ndim", [](const Tensor& t) { return t.rank(); })
      .def_property_readonly("size",
                             [](const Tensor& t) -> py::object {
                               const Dim n = t.shape().numel();
                               return n.known() ? py::object(py::int_(n.value())) : py::none();
                             })
      .def_property_readonly("dtype", [](const Tensor& t) { return std::string(name(t.dtype())); })
      .def_property_readonly("is_symbolic", &Tensor::is_symbolic)
      .def("numpy", &numpy_of, py::arg("copy") = false,
           "A read-only view of the elements, or a writable copy.")
      .def(
          "item",
          [](const Tensor& t) -> py::object {
            const double v = t.item();
            if (is_floating(t.dtype())) return py::float_(v);
            if (t.dtype() == DType::kBool) return py::bool_(v != 0);
            return py::int_(integer(t));
          },
          "The only element as a Python number.")
      .def("__float__", &Tensor::item)
      .def("__int__", &integer)
      .def("__index__",
           [](const Tensor& t) {
             if (is_floating(t.dtype())) throw py::type_error("a float tensor cannot be an index");
             return integer(t);
           })
      .def("__bool__", [](const Tensor& t) { return t.item() != 0; })
      .def("__len__",
           [](const Tensor& t) {
             if (t.rank() == 0) throw py::type_error("a scalar tensor has no length");
             return static_cast<std::size_t>(t.shape()[0].value());
           })
      .def("__iter__",
           [](const Tensor& t) {
             if (t.rank() == 0) throw py::type_error("a scalar tensor cannot be iterated");
             py::list rows;
             for (std::int64_t i = 0; i < t.shape()[0].value(); ++i) rows.append(ops::row(t, i));
             return py::iter(rows);
           })
      .def("__getitem__", &index)
      .def("__repr__", &describe)
      .def("__hash__", [](const Tensor& t) { return std::hash<const void*>()(t.impl().get()); })
      .def(
          "__array__",
          [](const Tensor& t, const py::object& dtype, const py::object& copy) -> py::object {
            const bool wants_copy = !copy.is_none() && copy.cast<bool>();
            py::object a = numpy_of(t, wants_copy);
            if (!dtype.is_none()) a = a.attr("astype")(dtype, py::arg("copy") = false);
            return a;
          },
          py::arg("dtype") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack__",
           [](const Tensor& t, const py::kwargs& options) {
             return numpy_of(t, false).attr("__dlpack__")(**options);
           })
      .def("__dlpack_device__", [](const Tensor&) { return py::make_tuple(1, 0); })
      .def("reshape",
           [](const Tensor& t, const py::args& dims) {
             int infer = -1;
             const bool nested =
                 dims.size() == 1 && !PyIndex_Check(dims[0].ptr()) && !py::isinstance<Dim>(dims[0]);
             const Shape s = nested ? to_shape(dims[0], &infer) : to_shape(dims, &infer);
             return ops::reshape(t, s, infer);
           })
      .def(
          "astype",
          [](const Tensor& t, const std::string& dtype) {
            return ops::cast(t, parse_dtype(dtype));
          },
          py::arg("dtype"))
      .def_property_readonly("T", [](const Tensor& t) { return ops::transpose(t); })
      .def_property("requires_grad", &Tensor::requires_grad, &Tensor::set_requires_grad)
      .def_property(
          "grad", [](const Tensor& t) { return optional_grad(t.grad()); },
          [](Tensor& t, const std::optional<Tensor>& g) { t.set_grad(g.value_or(Tensor())); })
      .def(
          "backward",
          [](const Tensor& t, const std::optional<Tensor>& gradient, bool retain_graph) {
            py::gil_scoped_release release;
            backward(t, gradient.value_or(Tensor()), retain_graph);
          },
          py::arg("gradient") = py::none(), py::arg("retain_graph") = false,
          "Adds the gradient of this value to the .grad of every leaf it was computed from.")
      .def("detach", &Tensor::detach, "The same elements without history.");
  tensor.def_buffer([](const Tensor& t) {
    std::vector<py::ssize_t> shape, strides;
    py::ssize_t stride = static_cast<py::ssize_t>(size_of(t.dtype()));
    for (Dim d : t.shape()) shape.push_back(static_cast<py::ssize_t>(d.value()));
    strides.resize(shape.size());
    for (std::size_t i = shape.size(); i-- > 0;) {
      strides[i] = stride;
      stride *= shape[i];
    }
    t.share_storage();  // ends a loan, so that the memory stays what it is
    static constexpr const char* kFormats[] = {"?", "B", "i", "q", "f", "d"};
    return py::buffer_info(const_cast<void*>(t.raw()), static_cast<py::ssize_t>(size_of(t.dtype())),
                           kFormats[static_cast<int>(t.dtype())],
                           static_cast<py::ssize_t>(shape.size()), shape, strides, true);
  });

  struct Operator {
    const char *name, *reflected;
    Tensor (*op)(const Tensor&, const Tensor&);
  };
  static constexpr Operator kOperators[] = {
      {"__add__", "__radd__", &ops::add},
      {"__sub__", "__rsub__", &ops::sub},
      {"__mul__", "__rmul__", &ops::mul},
      {"__truediv__", "__rtruediv__", &ops::div},
      {"__floordiv__", "__rfloordiv__", &ops::floor_div},
      {"__mod__", "__rmod__", &ops::mod},
      {"__pow__", "__rpow__", &ops::pow},
      {"__matmul__", "__rmatmul__", &ops::matmul},
      {"__and__", "__rand__", &ops::logical_and},
      {"__or__", "__ror__", &ops::logical_or},
      {"__xor__", "__rxor__", &ops::logical_xor},
      {"__eq__", nullptr, &ops::equal},
      {"__ne__", nullptr, &ops::not_equal},
      {"__lt__", nullptr, &ops::less},
      {"__le__", nullptr, &ops::less_equal},
      {"__gt__", nullptr, &ops::greater},
      {"__ge__", nullptr, &ops::greater_equal},
  };
  for (const Operator& o : kOperators) {
    auto* op = o.op;
    tensor.def(
        o.name, [op](py::object x, py::object y) { return binary(op, x, y); }, py::is_operator());
    if (o.reflected != nullptr)
      tensor.def(
          o.reflected, [op](py::object x, py::object y) { return binary(op, y, x); },
          py::is_operator());
  }
  // numpy arrays on the left let the tensor's reflected operator decide.
  tensor.attr("__array_priority__") = 1000;
  tensor.attr("__array_ufunc__") = py::none();
  tensor.def("__neg__", &ops::neg).def("__abs__", &ops::abs).def("__invert__", &ops::logical_not);
  add_fast_operators(tensor);
  add_fast_methods(tensor);

  m.def("from_numpy", &from_numpy, py::arg("a"), py::arg("copy") = py::none(),
        "A tensor over a numpy array: shared when possible (copy=None), copied (True), or an error "
        "when "
        "it cannot be shared (False).");
  m.def(
      "tensor",
      [](py::object x, const std::optional<std::string>& dtype) {
        Tensor t = as_tensor(x);
        return dtype ? ops::cast(t, parse_dtype(*dtype)) : t;
      },
      py::arg("obj"), py::arg("dtype") = py::none(),
      "A tensor from numbers, nested lists, arrays, tensors or variables.");
  m.def(
      "from_dlpack",
      [](const py::object& x) {
        return from_numpy(py::array(py::module_::import("numpy").attr("from_dlpack")(x)),
                          py::none());
      },
      py::arg("x"), "A tensor that shares the memory of a DLPack object on the CPU.");

  py::class_<Variable>(m, "Variable", py::dynamic_attr(),
                       "A named, mutable array that a Graph may read and assign.")
      .def(py::init([](py::object value, std::string name, bool trainable) {
             return Variable(as_tensor(value), std::move(name), trainable);
           }),
           py::arg("value"), py::arg("name") = "", py::arg("trainable") = true)
      .def_property("name", &Variable::name, &Variable::set_name)
      .def_property_readonly("shape", [](const Variable& v) { return shape_tuple(v.shape()); })
      .def_property_readonly("dtype",
                             [](const Variable& v) { return std::string(name(v.dtype())); })
      .def_property("trainable", &Variable::trainable, &Variable::set_trainable)
      .def_property_readonly(
          "id", [](const Variable& v) { return reinterpret_cast<std::uintptr_t>(v.data().get()); })
      .def("value", &Variable::value,
           "A snapshot; while tracing the symbolic read, or what was assigned before.")
      .def(
          "assign",
          [](Variable& v, py::object value) {
            const Tensor like = Tensor::scalar(0, v.dtype());
            v.assign(as_tensor(value, &like));
          },
          py::arg("value"))
      .def(
          "numpy",
          [](const Variable& v) {
            check<StateError>(!is_tracing(), "variable ", v.name(),
                              ": numpy() cannot be traced; use value()");
            return numpy_of(v.value(), true);
          },
          "A copy of the elements.")
      .def_property(
          "grad", [](const Variable& v) { return optional_grad(v.grad()); },
          [](Variable& v, const std::optional<Tensor>& g) { v.set_grad(g.value_or(Tensor())); })
      .def("__repr__", [](const Variable& v) {
        return detail::format("<Variable ", v.name(), " shape=", v.shape(),
                              " dtype=", name(v.dtype()), ">");
      });

  bind_grad_mode<false>(m, "no_grad", "Context in which eager ops are not recorded.");
  bind_grad_mode<true>(m, "enable_grad", "Context in which eager ops are recorded again.");
  m.def("is_grad_enabled", &grad_enabled);
  m.def(
      "gradients",
      [](const std::vector<Tensor>& roots, const std::vector<Tensor>& inputs,
         const std::optional<std::vector<Tensor>>& root_gradients, bool retain_graph,
         bool create_graph) {
        std::vector<Tensor> g;
        {
          py::gil_scoped_release release;
          const auto given = root_gradients.value_or(std::vector<Tensor>{});
          const bool traced = std::ranges::any_of(roots, &Tensor::is_symbolic);
          g = traced ? traced_gradients(roots, inputs, given)
                     : gradients(roots, inputs, given, retain_graph, create_graph);
        }
        py::list out;
        for (const Tensor& t : g) out.append(optional_grad(t));
        return out;
      },
      py::arg("roots"), py::arg("inputs"), py::arg("root_gradients") = py::none(),
      py::arg("retain_graph") = false, py::arg("create_graph") = false,
      R"(Gradients of the roots with respect to the inputs, without touching .grad.

Args:
    roots: tensors, eager or traced (then the gradients are recorded behind them).
    inputs: tensors; eager ones must require gradients.
    root_gradients: one tensor a root; default: 1 for roots with one element.
    retain_graph: keeps the tape for another walk.
    create_graph: records the walk, so that the results can be differentiated again.

Returns:
    A tensor an input; None where the roots do not depend on it.)");
  m.def(
      "gradcheck",
      [](const py::function& f, const py::args& inputs, double step, double rtol, double atol,
         std::uint64_t seed) {
        std::vector<Tensor> x;
        for (py::handle h : inputs) x.push_back(as_tensor(h));
        auto call = [&](std::span<const Tensor> at) {
          py::tuple args(at.size());
          for (std::size_t i = 0; i < at.size(); ++i) args[i] = at[i];
          py::object y = f(*args);
          if (py::isinstance<py::tuple>(y) || py::isinstance<py::list>(y))
            return y.cast<std::vector<Tensor>>();
          return std::vector<Tensor>{y.cast<Tensor>()};
        };
        const GradCheckResult r = gradcheck(call, x, {step, rtol, atol, seed});
        if (!r.ok) throw Error(r.message);
        return r.max_error;
      },
      py::arg("function"), py::arg("step") = 1e-6, py::arg("rtol") = 1e-5, py::arg("atol") = 1e-7,
      py::arg("seed") = 0,
      R"(Compares gradients with central differences in float64.

Args:
    function: takes float64 tensors, returns a tensor or a tuple of tensors.
    *inputs: float64 tensors or arrays.
    step: of the difference, scaled by max(1, abs(x)).
    rtol, atol: allowed error, rtol * abs(numeric) + atol.
    seed: of the random cotangent.

Returns:
    The largest error as a fraction of the allowed one (<= 1).

Raises:
    ValueError: with the input, the element and both values when they differ.)");
}

}  // namespace lamella::python
