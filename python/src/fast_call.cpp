#include "fast_call.h"

#include <deque>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace lamella::python {
namespace {

PyTypeObject* tensor_type = nullptr;
// lamella.torch's tensor class (a subclass written in Python), its class of shapes, its dtypes, and
// its general functions for operators by name; null until that module is imported.
PyTypeObject *face_type = nullptr, *size_type = nullptr;
PyObject *face_dtypes = nullptr, *face_operators = nullptr;

bool is_face(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  return type == face_type ||
         (type != tensor_type && face_type != nullptr && PyType_IsSubtype(type, face_type) != 0);
}

}  // namespace

const Tensor* as_exact_tensor(PyObject* o) {
  if (Py_TYPE(o) != tensor_type && !is_face(o)) return nullptr;
  auto* instance = reinterpret_cast<py::detail::instance*>(o);
  return static_cast<const Tensor*>(instance->simple_layout
                                        ? instance->simple_value_holder[0]
                                        : instance->nonsimple.values_and_holders[0]);
}

bool is_torch_tensor(PyObject* o) { return is_face(o); }

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

namespace {

using Instance = py::detail::instance;
using Holder = py::class_<Tensor>::holder_type;
static_assert(std::is_same_v<Holder, std::unique_ptr<Tensor>>);

/// As pybind11 makes objects, but not registered by the address of the C++ object: nobody looks for
/// values that way, and it costs as much as a small op.
PyObject* new_object(PyTypeObject* type, Tensor&& t) {
  auto value = std::make_unique<Tensor>(std::move(t));
  PyObject* object = type->tp_alloc(type, 0);  // all zeros
  if (object == nullptr) throw py::error_already_set();
  auto* instance = reinterpret_cast<Instance*>(object);
  instance->owned = true;
  instance->simple_layout = true;
  instance->simple_value_holder[0] = value.get();
  new (&instance->simple_value_holder[1]) Holder(std::move(value));
  instance->simple_holder_constructed = true;
  return object;
}

destructor general_dealloc = nullptr;

/// Frees such an object of the core's own class without looking for bases and attributes.
void dealloc(PyObject* self) {
  auto* instance = reinterpret_cast<Instance*>(self);
  PyTypeObject* type = Py_TYPE(self);
  if (type != tensor_type || !instance->simple_layout || !instance->simple_holder_constructed ||
      instance->simple_instance_registered || instance->has_patients ||
      instance->weakrefs != nullptr) {
    general_dealloc(self);
    return;
  }
  std::launder(reinterpret_cast<Holder*>(&instance->simple_value_holder[1]))->~Holder();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* to_python(Tensor&& t, bool face) {
  return new_object(face ? face_type : tensor_type, std::move(t));
}

/// The result, or null when the general way must find out what is wrong: it computes the same
/// again, and turns the error into a Python exception.
template <class F>
PyObject* attempt(bool face, F&& compute) {
  try {
    return to_python(compute(), face);
  } catch (...) {
    return nullptr;
  }
}

/// op(x, y) where both are tensors, or one is a Python number and the other of floating type.
PyObject* attempt_binary(BinaryFn op, PyObject* x, PyObject* y) {
  const Tensor* a = as_exact_tensor(x);
  const Tensor* b = as_exact_tensor(y);
  double number = 0;
  if (a != nullptr && b != nullptr) {
    const bool face = is_face(x) || is_face(y);
    // PyTorch's promotion is not numpy's; equal float types need none.
    if (face && (a->dtype() != b->dtype() || !is_floating(a->dtype()))) return nullptr;
    return attempt(face, [&] { return op(*a, *b); });
  }
  if (a != nullptr && is_floating(a->dtype()) && as_number(y, number))
    return attempt(is_face(x), [&] { return op(*a, Tensor::scalar(number, a->dtype())); });
  if (b != nullptr && is_floating(b->dtype()) && as_number(x, number))
    return attempt(is_face(y), [&] { return op(Tensor::scalar(number, b->dtype()), *b); });
  return nullptr;
}

/// The number protocol's slot for one operator. Python's own slots for methods cannot be called
/// from here (they look whether they are still in their place), so the methods are.
template <BinaryFn op>
struct BinarySlot {
  static inline PyObject *method = nullptr, *reflected = nullptr;
  static inline const char* name = nullptr;

  static PyObject* call(PyObject* x, PyObject* y) {
    if (PyObject* result = attempt_binary(op, x, y)) return result;
    PyObject* args[] = {x, y};
    if (face_type != nullptr && (is_face(x) || is_face(y)))
      return PyObject_Vectorcall(PyDict_GetItemString(face_operators, name), args, 2, nullptr);
    if (PyObject_TypeCheck(x, tensor_type) != 0)
      return PyObject_Vectorcall(method, args, 2, nullptr);
    std::swap(args[0], args[1]);
    return PyObject_Vectorcall(reflected, args, 2, nullptr);
  }
  static void install(const py::class_<Tensor>& tensor, binaryfunc& slot, const char* method_name,
                      const char* reflected_name) {
    name = method_name;
    method = py::object(tensor.attr(name)).release().ptr();
    reflected = py::object(tensor.attr(reflected_name)).release().ptr();
    slot = &call;
  }
};

/// x ** y of tensors of the core and numbers.
struct PowerSlot {
  static inline PyObject *method = nullptr, *reflected = nullptr;

  static PyObject* call(PyObject* x, PyObject* y, PyObject* modulus) {
    if (modulus == Py_None && !is_face(x) && !is_face(y)) {
      if (PyObject* result = attempt_binary(&ops::pow, x, y)) return result;
    }
    if (PyObject_TypeCheck(x, tensor_type) != 0)
      return PyObject_CallFunctionObjArgs(method, x, y, nullptr);
    return PyObject_CallFunctionObjArgs(reflected, y, x, nullptr);
  }
};

/// x < y and so on; Python has exchanged the operands where only y is a tensor.
struct CompareSlot {
  static constexpr const char* kNames[] = {"__lt__", "__le__", "__eq__",
                                           "__ne__", "__gt__", "__ge__"};  // by Py_LT, ...
  static constexpr BinaryFn kOps[] = {&ops::less,      &ops::less_equal, &ops::equal,
                                      &ops::not_equal, &ops::greater,    &ops::greater_equal};
  static inline PyObject* methods[std::size(kNames)] = {};

  static PyObject* call(PyObject* x, PyObject* y, int op) {
    if (Py_TYPE(x) == tensor_type && !is_face(y)) {
      if (PyObject* result = attempt_binary(kOps[op], x, y)) return result;
    }
    return PyObject_CallFunctionObjArgs(methods[op], x, y, nullptr);
  }
};

struct SubscriptSlot {
  static inline PyObject* method = nullptr;

  static PyObject* call(PyObject* x, PyObject* key) {
    if (Py_TYPE(x) == tensor_type) {
      const Tensor& t = *as_exact_tensor(x);
      if (PyObject* result = attempt(false, [&] { return index(t, key); })) return result;
      PyErr_Clear();  // the general way meets the same error
    }
    return PyObject_CallFunctionObjArgs(method, x, key, nullptr);
  }
};

PyObject* negative(PyObject* x) {
  static PyObject* method =
      py::object(py::handle(reinterpret_cast<PyObject*>(tensor_type)).attr("__neg__"))
          .release()
          .ptr();
  const Tensor* t = as_exact_tensor(x);
  PyObject* result = t == nullptr ? nullptr : attempt(is_face(x), [&] { return ops::neg(*t); });
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
      if (const Tensor* t = as_exact_tensor(args[0]))
        result = attempt(is_face(args[0]), [&] { return f.unary(*t); });
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

PyObject* new_tensor(Tensor&& t) { return to_python(std::move(t), false); }

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
  const auto method = [&](const char* name) {
    return py::object(tensor.attr(name)).release().ptr();
  };
  PowerSlot::method = method("__pow__");
  PowerSlot::reflected = method("__rpow__");
  numbers.nb_power = &PowerSlot::call;
  for (std::size_t i = 0; i < std::size(CompareSlot::kNames); ++i)
    CompareSlot::methods[i] = method(CompareSlot::kNames[i]);
  tensor_type->tp_richcompare = &CompareSlot::call;
  general_dealloc = tensor_type->tp_dealloc;
  tensor_type->tp_dealloc = &dealloc;
  SubscriptSlot::method = method("__getitem__");
  tensor_type->tp_as_mapping->mp_subscript = &SubscriptSlot::call;
}

// ---------------------------------------------------------------- lamella.torch

namespace {

const Tensor* require_tensor(PyObject* o, const char* what) {
  const Tensor* t = as_exact_tensor(o);
  if (t == nullptr)
    PyErr_Format(PyExc_TypeError, "%s: expected a tensor, got %s", what, Py_TYPE(o)->tp_name);
  return t;
}

PyObject* face_shape(PyObject*, PyObject* o) {
  const Tensor* t = require_tensor(o, "shape");
  if (t == nullptr) return nullptr;
  const Shape& s = t->shape();
  PyObject* result = size_type->tp_alloc(size_type, s.rank());
  for (int i = 0; result != nullptr && i < s.rank(); ++i)
    PyTuple_SET_ITEM(result, i, PyLong_FromLongLong(s[i].known() ? s[i].value() : -1));
  return result;
}

PyObject* face_dtype(PyObject*, PyObject* o) {
  const Tensor* t = require_tensor(o, "dtype");
  if (t == nullptr) return nullptr;
  PyObject* d = PyTuple_GetItem(face_dtypes, static_cast<Py_ssize_t>(t->dtype()));
  Py_XINCREF(d);
  return d;
}

/// The same value as an object of lamella.torch.
PyObject* face_wrap(PyObject*, PyObject* o) {
  const Tensor* t = require_tensor(o, "tensor");
  return t == nullptr ? nullptr : to_python(Tensor(*t), true);
}

/// The same value as an object of the core.
PyObject* face_unwrap(PyObject*, PyObject* o) {
  const Tensor* t = require_tensor(o, "tensor");
  return t == nullptr ? nullptr : to_python(Tensor(*t), false);
}

/// (class, tensor): the same value as an object of a subclass.
PyObject* face_new(PyObject*, PyObject* args) {
  PyObject *type = nullptr, *o = nullptr;
  if (PyArg_ParseTuple(args, "O!O", &PyType_Type, &type, &o) == 0) return nullptr;
  const Tensor* t = require_tensor(o, "tensor");
  if (t == nullptr) return nullptr;
  if (PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type) == 0) {
    PyErr_SetString(PyExc_TypeError, "tensor: expected a subclass of Tensor");
    return nullptr;
  }
  return new_object(reinterpret_cast<PyTypeObject*>(type), Tensor(*t));
}

PyMethodDef kFaceFunctions[] = {
    {"face_new", &face_new, METH_VARARGS, "The same value as an object of a subclass."},
    {"face_shape", &face_shape, METH_O, "The shape as lamella.torch has it."},
    {"face_dtype", &face_dtype, METH_O, "The dtype as lamella.torch has it."},
    {"face_wrap", &face_wrap, METH_O, "The same value as a tensor of lamella.torch."},
    {"face_unwrap", &face_unwrap, METH_O, "The same value as a tensor of the core."},
};

/// Gives a class of lamella.torch the operators without Python in between.
void install_face_operators(PyTypeObject* type) {
  const PyNumberMethods& from = *tensor_type->tp_as_number;
  PyNumberMethods& to = *type->tp_as_number;
  to.nb_add = from.nb_add;
  to.nb_subtract = from.nb_subtract;
  to.nb_multiply = from.nb_multiply;
  to.nb_true_divide = from.nb_true_divide;
  to.nb_matrix_multiply = from.nb_matrix_multiply;
  to.nb_negative = from.nb_negative;
}

}  // namespace

void bind_torch_face(py::module_& m) {
  const py::object module_name = m.attr("__name__");
  for (PyMethodDef& f : kFaceFunctions)
    m.attr(f.ml_name) =
        py::reinterpret_steal<py::object>(PyCFunction_NewEx(&f, nullptr, module_name.ptr()));
  m.def(
      "torch_face",
      [](const py::type& tensor, const py::type& size, const py::tuple& dtypes,
         const py::dict& operators) {
        face_type = reinterpret_cast<PyTypeObject*>(tensor.inc_ref().ptr());
        size_type = reinterpret_cast<PyTypeObject*>(size.inc_ref().ptr());
        face_dtypes = dtypes.inc_ref().ptr();
        face_operators = operators.inc_ref().ptr();
        install_face_operators(face_type);
      },
      py::arg("tensor"), py::arg("size"), py::arg("dtypes"), py::arg("operators"),
      "Registers the classes of lamella.torch.");
  m.def(
      "torch_face_subclass",
      [](const py::type& type) {
        install_face_operators(reinterpret_cast<PyTypeObject*>(type.ptr()));
      },
      py::arg("type"), "Gives a subclass of lamella.torch's tensor its fast operators.");
}

void add_fast_path(py::module_& m, const char* name, UnaryFn op) { add(m, name, op, nullptr); }
void add_fast_path(py::module_& m, const char* name, BinaryFn op) { add(m, name, nullptr, op); }

}  // namespace lamella::python
