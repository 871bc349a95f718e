// Graph and tracing.
#include "convert.h"

namespace lamella::python {
namespace {

/// The graphs that `with` blocks of this thread have opened, innermost last.
thread_local std::vector<std::pair<Graph, std::unique_ptr<Graph::Trace>>> open;

struct Scope {
  Graph graph;
  std::string name, before;
};

}  // namespace

void bind_graph(py::module_& m) {
  py::class_<Scope>(m, "Scope")
      .def("__enter__", [](Scope& s) { s.before = s.graph.set_scope(s.name); })
      .def("__exit__", [](Scope& s, const py::args&) { s.graph.set_scope(s.before); });

  py::class_<Graph>(m, "Graph", "A recorded computation; `with graph:` traces.")
      .def(py::init<>())
      .def("__enter__",
           [](py::object self) {
             const auto& g = self.cast<const Graph&>();
             open.emplace_back(g, std::make_unique<Graph::Trace>(g));
             return self;
           })
      .def("__exit__", [](Graph&, const py::args&) { open.pop_back(); })
      .def(
          "input",
          [](Graph& g, const std::string& name, py::object shape, const std::string& dtype) {
            std::vector<std::int64_t> sizes;
            for (py::handle d : shape) sizes.push_back(d.is_none() ? -1 : d.cast<std::int64_t>());
            return g.input(name, sizes, parse_dtype(dtype));
          },
          py::arg("name"), py::arg("shape"), py::arg("dtype") = "float32",
          "A new input; None for unknown sizes (at axis 0 they are all one: the batch).")
      .def(
          "output",
          [](Graph& g, const std::string& name, py::object value) {
            g.output(name, as_tensor(value));
          },
          py::arg("name"), py::arg("value"))
      .def(
          "set_loss", [](Graph& g, py::object loss) { g.set_loss(as_tensor(loss)); },
          py::arg("loss"))
      .def("constant", &Graph::constant, py::arg("value"),
           "A concrete tensor as a traced one, so that what is computed from it is recorded.")
      .def(
          "set_learning_rate",
          [](Graph& g, py::object value) {
            g.set_learning_rate(ops::cast(as_tensor(value), DType::kFloat32));
          },
          py::arg("value"))
      .def("set_update", &Graph::set_update, py::arg("update"), py::arg("trained"),
           "Makes a traced optimizer rule part of each step: input i of `update` is the gradient\n"
           "with respect to trained[i].")
      .def("loss_depends_on", &Graph::loss_depends_on, py::arg("variables"),
           "For each variable, whether the loss can have a gradient with respect to it.")
      .def(
          "scope", [](const Graph& g, std::string name) { return Scope{g, std::move(name), ""}; },
          py::arg("name"), "Names the nodes recorded inside the `with` block.")
      .def_property_readonly("inputs", &Graph::input_names)
      .def_property_readonly(
          "input_specs",
          [](const Graph& g) {
            py::list out;
            for (const Spec& s : g.input_specs())
              out.append(py::make_tuple(shape_tuple(s.shape), std::string(name(s.dtype))));
            return out;
          })
      .def_property_readonly("outputs", &Graph::output_names)
      .def_property_readonly("variables", &Graph::variables)
      .def_property_readonly("has_loss", &Graph::has_loss)
      .def("__str__", &Graph::str)
      .def("__repr__", [](const Graph& g) {
        return detail::format("<Graph inputs=", g.input_names().size(),
                              " outputs=", g.output_names().size(), ">");
      });
  m.def(
      "current_graph",
      []() -> py::object {
        return open.empty() ? py::object(py::none()) : py::cast(open.back().first);
      },
      "The graph that this thread traces, or None.");
}

}  // namespace lamella::python
