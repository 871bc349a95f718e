// Small eager ops without pybind11's general dispatch: for tensors of a few elements that costs
// more than the computation. Anything unusual (other types, keywords, errors) takes the general
// way.
#pragma once

#include "convert.h"

namespace lamella::python {

using UnaryFn = Tensor (*)(const Tensor&);
using BinaryFn = Tensor (*)(const Tensor&, const Tensor&);

/// The C++ object of a Python object that is exactly a Tensor of the core or of lamella.torch; null
/// for anything else.
const Tensor* as_exact_tensor(PyObject* o);

/// Whether an object is a tensor of lamella.torch.
bool is_torch_tensor(PyObject* o);

/// A Python object for a new tensor of the core.
PyObject* new_tensor(Tensor&& t);

/// The value of a plain Python number that a double holds exactly; false for anything else.
bool as_number(PyObject* o, double& value);

/// fast_path(function): a function of lamella.ops with a direct path before it.
void bind_fast_path(py::module_& m);

/// Gives the tensor type direct operators and indexing; call it when all methods are defined.
void add_fast_operators(const py::class_<Tensor>& tensor);

/// Gives the tensor type a direct path before its methods; call it when they are defined.
void add_fast_methods(const py::class_<Tensor>& tensor);

/// Puts a direct path before a function of the module that takes one or two tensors.
void add_fast_path(py::module_& m, const char* name, UnaryFn op);
void add_fast_path(py::module_& m, const char* name, BinaryFn op);

/// torch_face(): registers the tensor class of lamella.torch, whose operands make results of that
/// class, and what its operators and properties need.
void bind_torch_face(py::module_& m);

}  // namespace lamella::python
