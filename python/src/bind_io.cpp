// Files.
#include "convert.h"

namespace lamella::python {

void bind_io(py::module_& m) {
  m.def(
      "save_safetensors",
      [](const std::string& path, const py::dict& tensors,
         const std::map<std::string, std::string>& metadata) {
        io::Archive archive;
        archive.metadata = metadata;
        for (const auto& [key, value] : tensors)
          archive.tensors.emplace_back(key.cast<std::string>(), as_tensor(value));
        py::gil_scoped_release release;
        io::save_safetensors(path, archive);
      },
      py::arg("path"), py::arg("tensors"),
      py::arg("metadata") = std::map<std::string, std::string>{},
      "Writes a safetensors file atomically.");
  m.def(
      "load_safetensors",
      [](const std::string& path) {
        io::Archive archive;
        {
          py::gil_scoped_release release;
          archive = io::load_safetensors(path);
        }
        py::dict tensors;
        for (auto& [key, t] : archive.tensors) tensors[py::str(key)] = take(std::move(t));
        return py::make_tuple(tensors, archive.metadata);
      },
      py::arg("path"), "(tensors by name, metadata by key) of a safetensors file.");
  m.def(
      "save_model",
      [](const std::string& path, const std::vector<std::pair<std::string, Variable>>& variables,
         const std::map<std::string, Graph>& graphs, const Optimizer* optimizer,
         const std::vector<Variable>& metric_state,
         const std::map<std::string, std::string>& metadata) {
        io::ModelFile file;
        file.metadata = metadata;
        file.variables = variables;
        file.graphs = graphs;
        if (optimizer != nullptr) file.optimizer = *optimizer;
        file.metric_state = metric_state;
        py::gil_scoped_release release;
        io::save_model(path, file);
      },
      py::arg("path"), py::arg("variables"), py::arg("graphs"), py::arg("optimizer") = nullptr,
      py::arg("metric_state") = std::vector<Variable>{},
      py::arg("metadata") = std::map<std::string, std::string>{},
      R"(Writes a .lamella file atomically.

Args:
    path: of the file.
    variables: (name, Variable) pairs; each is stored under its name.
    graphs: "predict", and "train" and "test" for a compiled model.
    optimizer: built; its state goes to optimizer/iteration, optimizer/learning_rate,
        optimizer/u_product and optimizer/<index of variable>/<slot>.
    metric_state: Variables that are zeroed at the start of an epoch.
    metadata: further text by key.)");
  m.def(
      "graph_to_json",
      [](const Graph& g) {
        std::vector<std::string> names;
        for (const Variable& v : g.variables()) names.push_back(v.name());
        return io::graph_to_json(g, names);
      },
      py::arg("graph"));
}

}  // namespace lamella::python
