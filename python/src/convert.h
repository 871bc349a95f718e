// Between Python objects and the library's types.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>
#include <vector>

#include "lamella/lamella.h"

namespace py = pybind11;

namespace lamella::python {

/// The numpy dtype of an element type.
py::dtype to_numpy(DType t);
/// The element type of a numpy dtype; throws DTypeError (float16, complex, objects, strings ...).
DType from_numpy_dtype(const py::dtype& d, const char* what);

/// Shares the array's memory when copy is None and the layout allows it; True copies; False demands
/// sharing.
Tensor from_numpy(const py::array& a, const py::object& copy);
/// An array over the tensor's elements: a read-only view, or a writable copy.
py::array numpy_of(const Tensor& t, bool copy);
/// Hands a fresh result to numpy without copying; writable.
py::array take(Tensor&& t);

/// Tensor, Variable (also lamella.Variable), numpy array, scalar or nested list.
/// Python scalars take `like`'s dtype where they fit (float32, int32, bool without one).
Tensor as_tensor(py::handle x, const Tensor* like = nullptr);
/// Two operands, of which one may be a Python scalar.
std::pair<Tensor, Tensor> operands(py::handle x, py::handle y);

/// Sizes: ints, Dims, None or -1 (at most one, reported in `infer`).
Shape to_shape(py::handle dims, int* infer = nullptr);
/// ints for known sizes, None or Dim for others.
py::tuple shape_tuple(const Shape& s);
py::tuple dims_tuple(const Shape& s);

/// None, an int, or a sequence of ints.
std::vector<int> to_axes(py::handle axis);

/// t[key]: ints, slices, None, Ellipsis, and at most one array or tensor of integers.
Tensor index(const Tensor& t, py::handle key);

/// Rows of an array for training; keeps alive what it points to in `keep`.
RowSource to_source(py::handle array, std::vector<py::object>& keep);

/// Lets Python's signal handlers run, with the GIL or without; a KeyboardInterrupt leaves as
/// py::error_already_set. Returns false: nothing else is to be stopped.
bool poll_signals();

void bind_tensor(py::module_& m);
void bind_ops(py::module_& m);
void bind_graph(py::module_& m);
void bind_train(py::module_& m);
void bind_array_call(py::module_& m);
void bind_io(py::module_& m);
void bind_torch(py::module_& m);

}  // namespace lamella::python
