// The extension lamella._core: errors, run-time settings, and one bind_* per part.
#include <memory>

#include "convert.h"

namespace lamella::python {
namespace {

void bind_errors(py::module_& m) {
  // Later registrations are tried first, so bases come first.
  // Keras's users catch ValueError and TypeError, PyTorch's RuntimeError.
  auto also_runtime_error = [](PyObject* base) {
    return py::make_tuple(py::handle(base), py::handle(PyExc_RuntimeError));
  };
  py::register_exception<Error>(m, "Error", also_runtime_error(PyExc_ValueError));
  py::register_exception<ShapeError>(m, "ShapeError", also_runtime_error(PyExc_ValueError));
  py::register_exception<DTypeError>(m, "DTypeError", also_runtime_error(PyExc_TypeError));
  py::register_exception<StateError>(m, "StateError", PyExc_RuntimeError);
  py::register_exception<IoError>(m, "IoError", PyExc_OSError);
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Interrupted&) {
      PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
}

void bind_runtime(py::module_& m) {
  m.def("set_num_threads", &set_num_threads, py::arg("n"),
        "Sets the upper bound on threads of one computation (>= 1).");
  m.def("get_num_threads", &num_threads, "Upper bound on threads of one computation.");
  m.def(
      "set_conv_accuracy",
      [](std::string_view accuracy) { set_conv_accuracy(conv_accuracy_of(accuracy)); },
      py::arg("accuracy"),
      "How float32 convolutions recorded from now on may be computed: \"default\" or \"exact\".");
  m.def(
      "conv_accuracy", [] { return name(conv_accuracy()); },
      "How float32 convolutions may be computed: \"default\" or \"exact\".");
  m.def(
      "build_info",
      [] {
        py::dict d;
        for (const auto& [key, value] : build_info()) d[py::str(key)] = value;
        return d;
      },
      "Version, instruction set in use, those available, compiler, threads, OpenMP.");
  m.def("set_random_seed", &set_random_seed, py::arg("seed"),
        "Seeds the generator that draws the seeds of layers, initializers and shuffling.");
  m.def("next_seed", &next_seed, "The next seed (an int >= 0) from the global generator.");
  struct Seeded {
    std::uint64_t seed;
    std::unique_ptr<SeedScope> scope;
  };
  py::class_<Seeded>(m, "seed_scope",
                     "Context in which this thread draws seeds from a generator of its own.")
      .def(py::init([](std::uint64_t seed) { return Seeded{seed, nullptr}; }), py::arg("seed"))
      .def("__enter__", [](Seeded& s) { s.scope = std::make_unique<SeedScope>(s.seed); })
      .def("__exit__", [](Seeded& s, const py::args&) { s.scope.reset(); });
}

}  // namespace
}  // namespace lamella::python

PYBIND11_MODULE(_core, m) {
  using namespace lamella::python;
  m.doc() = "The C++ core of lamella.";
  m.attr("__version__") = LAMELLA_VERSION;
  bind_errors(m);
  bind_runtime(m);
  bind_tensor(m);
  bind_graph(m);
  bind_ops(m);
  bind_train(m);
  bind_array_call(m);
  bind_io(m);
  bind_torch(m);
}
