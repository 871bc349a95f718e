#include "fast_call.h"

#include <deque>
#include <string>
#include <utility>

namespace lamella::python {
namespace {

PyTypeObject* tensor_type = nullptr;

/// The C++ object of a Python object of exactly this type.
const Tensor* as_exact_tensor(PyObject* o) {
  if (Py_TYPE(o) != tensor_type) return nullptr;
  auto* instance = reinterpret_cast<py::detail::instance*>(o);
  return static_cast<const Tensor*>(instance->simple_layout
                                        ? instance->simple_value_holder[0]
                                        : instance->nonsimple.values_and_holders[0]);
}

PyObject* to_python(Tensor&& t) {
  return py::detail::make_caster<Tensor>::cast(std::move(t), py::return_value_policy::move, {})
      .ptr();
}

/// The result, or null when the general way must find out what is wrong: it computes the same
/// again, and turns the error into a Python exception.
template <class F>
PyObject* attempt(F&& compute) {
  try {
    return to_python(compute());
  } catch (...) {
    return nullptr;
  }
}

/// The value of a plain Python number that a double holds exactly.
bool as_number(PyObject* o, double& value) {
  if (PyFloat_CheckExact(o) != 0) {
    value = PyFloat_AS_DOUBLE(o);
    return true;
  }
  if (PyLong_CheckExact(o) == 0) return false;
  int overflow = 0;
  const long long n = PyLong_AsLongLongAndOverflow(o, &overflow);
  value = static_cast<double>(n);
  return overflow == 0 && n > -(1LL << 53) && n < (1LL << 53);
}

/// op(x, y) where both are tensors, or one is a Python number and the other of floating type.
PyObject* attempt_binary(BinaryFn op, PyObject* x, PyObject* y) {
  const Tensor* a = as_exact_tensor(x);
  const Tensor* b = as_exact_tensor(y);
  double number = 0;
  if (a != nullptr && b != nullptr) return attempt([&] { return op(*a, *b); });
  if (a != nullptr && is_floating(a->dtype()) && as_number(y, number))
    return attempt([&] { return op(*a, Tensor::scalar(number, a->dtype())); });
  if (b != nullptr && is_floating(b->dtype()) && as_number(x, number))
    return attempt([&] { return op(Tensor::scalar(number, b->dtype()), *b); });
  return nullptr;
}

/// The number protocol's slot for one operator. Python's own slots for methods cannot be called
/// from here (they look whether they are still in their place), so the methods are.
template <BinaryFn op>
struct BinarySlot {
  static inline PyObject *method = nullptr, *reflected = nullptr;

  static PyObject* call(PyObject* x, PyObject* y) {
    if (PyObject* result = attempt_binary(op, x, y)) return result;
    PyObject* args[] = {x, y};
    if (PyObject_TypeCheck(x, tensor_type) != 0)
      return PyObject_Vectorcall(method, args, 2, nullptr);
    std::swap(args[0], args[1]);
    return PyObject_Vectorcall(reflected, args, 2, nullptr);
  }
  static void install(const py::class_<Tensor>& tensor, binaryfunc& slot, const char* name,
                      const char* reflected_name) {
    method = py::object(tensor.attr(name)).release().ptr();
    reflected = py::object(tensor.attr(reflected_name)).release().ptr();
    slot = &call;
  }
};

PyObject* negative(PyObject* x) {
  static PyObject* method =
      py::object(py::handle(reinterpret_cast<PyObject*>(tensor_type)).attr("__neg__"))
          .release()
          .ptr();
  const Tensor* t = as_exact_tensor(x);
  PyObject* result = t == nullptr ? nullptr : attempt([&] { return ops::neg(*t); });
  return result != nullptr ? result : PyObject_CallOneArg(method, x);
}

/// A function of the module: its definition, its direct path and the general one.
struct Function {
  std::string name, doc;
  PyMethodDef definition{};
  UnaryFn unary = nullptr;
  BinaryFn binary = nullptr;
  PyObject* general = nullptr;
};

PyObject* call_function(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  const auto& f = *static_cast<const Function*>(PyCapsule_GetPointer(self, nullptr));
  if (keywords == nullptr) {
    PyObject* result = nullptr;
    if (n == 1 && f.unary != nullptr) {
      if (const Tensor* t = as_exact_tensor(args[0])) result = attempt([&] { return f.unary(*t); });
    } else if (n == 2 && f.binary != nullptr) {
      result = attempt_binary(f.binary, args[0], args[1]);
    }
    if (result != nullptr) return result;
  }
  return PyObject_Vectorcall(f.general, args, static_cast<std::size_t>(n), keywords);
}

void add(py::module_& m, const char* name, UnaryFn unary, BinaryFn binary) {
  static std::deque<Function> functions;  // CPython keeps pointers to the definitions
  Function& f = functions.emplace_back();
  const py::object general = m.attr(name);
  f.name = name;
  f.doc = py::str(general.attr("__doc__"));
  f.unary = unary;
  f.binary = binary;
  f.general = general.inc_ref().ptr();
  f.definition.ml_name = f.name.c_str();
  f.definition.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&call_function));
  f.definition.ml_flags = METH_FASTCALL | METH_KEYWORDS;
  f.definition.ml_doc = f.doc.c_str();
  const py::capsule self(&f);
  const py::object module_name = m.attr("__name__");
  m.attr(name) = py::reinterpret_steal<py::object>(
      PyCFunction_NewEx(&f.definition, self.ptr(), module_name.ptr()));
}

}  // namespace

void add_fast_operators(const py::class_<Tensor>& tensor) {
  tensor_type = reinterpret_cast<PyTypeObject*>(tensor.ptr());
  PyNumberMethods& numbers = *tensor_type->tp_as_number;
  BinarySlot<&ops::add>::install(tensor, numbers.nb_add, "__add__", "__radd__");
  BinarySlot<&ops::sub>::install(tensor, numbers.nb_subtract, "__sub__", "__rsub__");
  BinarySlot<&ops::mul>::install(tensor, numbers.nb_multiply, "__mul__", "__rmul__");
  BinarySlot<&ops::div>::install(tensor, numbers.nb_true_divide, "__truediv__", "__rtruediv__");
  BinarySlot<&ops::matmul>::install(tensor, numbers.nb_matrix_multiply, "__matmul__",
                                    "__rmatmul__");
  numbers.nb_negative = &negative;
}

void add_fast_path(py::module_& m, const char* name, UnaryFn op) { add(m, name, op, nullptr); }
void add_fast_path(py::module_& m, const char* name, BinaryFn op) { add(m, name, nullptr, op); }

}  // namespace lamella::python
