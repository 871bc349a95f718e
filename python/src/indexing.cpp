// tensor[...]: what numpy's basic indexing gives, and one array or tensor of integers.
#include <optional>
#include <span>
#include <vector>

#include "convert.h"

namespace lamella::python {
namespace {

/// A selection of elements while its index is read, axis by axis.
struct Selection {
  const Tensor& t;
  std::vector<Dim> starts, sizes;
  std::vector<std::int64_t> steps;
  Shape result;                                  // after ints are dropped and None axes added
  std::optional<std::pair<int, Tensor>> gather;  // axis in the result so far, index

  explicit Selection(const Tensor& tensor) : t(tensor) {
    const auto rank = static_cast<std::size_t>(t.rank());
    starts.reserve(rank);
    sizes.reserve(rank);
    steps.reserve(rank);
  }
  Dim next_size() const { return t.shape()[static_cast<int>(sizes.size())]; }

  void add(Dim start, Dim size, std::int64_t step) {
    starts.push_back(start);
    sizes.push_back(size);
    steps.push_back(step);
  }
  void whole() {
    const Dim n = next_size();
    add(Dim(0), n, 1);
    result.push_back(n);
  }
  void element(const py::handle i) {
    const Dim n = next_size();
    const auto v = i.cast<std::int64_t>();
    if (n.known() && (v >= n.value() || v < -n.value()))
      throw py::index_error(
          detail::format("index ", v, " is out of range for axis ", sizes.size(), " of size ", n));
    add(v >= 0 ? Dim(v) : n - Dim(-v), Dim(1), 1);
  }
  void slice(const py::handle i) {
    const Dim n = next_size();
    if (n.known()) {
      Py_ssize_t start = 0, stop = 0, step = 0;
      if (PySlice_Unpack(i.ptr(), &start, &stop, &step) < 0) throw py::error_already_set();
      const Py_ssize_t length =
          PySlice_AdjustIndices(static_cast<Py_ssize_t>(n.value()), &start, &stop, step);
      add(Dim(length == 0 ? 0 : start), Dim(length), step);
    } else {
      slice_of_unknown(i, n);
    }
    result.push_back(sizes.back());
  }
  /// Only whole axes, and bounds counted from either end.
  void slice_of_unknown(const py::handle i, Dim n) {
    const py::object start = i.attr("start"), stop = i.attr("stop"), step = i.attr("step");
    const std::int64_t by = step.is_none() ? 1 : step.cast<std::int64_t>();
    if (by == 0) throw py::value_error("slice step cannot be zero");
    check<ShapeError>(by == 1, "slice: a step needs a known size, but this axis has size None");
    const auto bound = [&](const py::object& o, Dim otherwise) {
      if (o.is_none()) return otherwise;
      if (py::isinstance<Dim>(o)) return o.cast<Dim>();
      const auto v = o.cast<std::int64_t>();
      return v >= 0 ? Dim(v) : n - Dim(-v);
    };
    const Dim first = bound(start, Dim(0));
    add(first, bound(stop, n) - first, 1);
  }
  void elements(const py::handle i) {
    if (gather) throw py::index_error("only one index may be an array or a tensor");
    Tensor by = as_tensor(i);
    if (by.dtype() == DType::kBool)
      throw py::index_error("boolean masks give results of unknown size; use where() instead");
    gather.emplace(result.rank(), by);
    whole();
  }
};

bool is_whole_number(const py::handle i) {
  return PyLong_CheckExact(i.ptr()) != 0 ||
         (PyIndex_Check(i.ptr()) != 0 && !PyBool_Check(i.ptr()) && !py::isinstance<Tensor>(i) &&
          !py::isinstance<py::array>(i));
}

}  // namespace

Tensor index(const Tensor& t, const py::handle key) {
  if (PyLong_CheckExact(key.ptr()) != 0 && t.rank() > 0 && t.shape()[0].known()) {
    const auto i = key.cast<std::int64_t>();
    const std::int64_t n = t.shape()[0].value();
    if (i < n && i >= -n) return ops::row(t, i);
  }
  PyObject* one = key.ptr();
  const std::span<PyObject* const> items =
      PyTuple_Check(one) != 0
          ? std::span<PyObject* const>(PySequence_Fast_ITEMS(one),
                                       static_cast<std::size_t>(PyTuple_GET_SIZE(one)))
          : std::span<PyObject* const>(&one, 1);
  int used = 0, ellipsis = 0;
  for (PyObject* const i : items) {
    if (i == Py_Ellipsis)
      ++ellipsis;
    else if (i != Py_None)
      ++used;
  }
  if (ellipsis > 1) throw py::index_error("an index can hold only one ellipsis ('...')");
  if (used > t.rank())
    throw py::index_error(
        detail::format("too many indices for a tensor of rank ", t.rank(), ": got ", used));

  Selection s(t);
  for (const py::handle i : items) {
    if (i.is_none()) {
      s.result.push_back(Dim(1));
    } else if (i.ptr() == Py_Ellipsis) {
      for (int k = t.rank() - used; k > 0; --k) s.whole();
    } else if (PySlice_Check(i.ptr())) {
      s.slice(i);
    } else if (is_whole_number(i)) {
      s.element(i);
    } else {
      s.elements(i);
    }
  }
  while (std::ssize(s.sizes) < t.rank()) s.whole();
  Tensor out = ops::slice_as(t, s.starts, s.sizes, s.steps, s.result);
  return s.gather ? ops::gather(out, s.gather->second, s.gather->first) : out;
}

}  // namespace lamella::python
