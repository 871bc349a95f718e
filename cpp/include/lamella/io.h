// The .lamella file: a safetensors container with the Graphs as JSON in its metadata.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lamella/graph.h"
#include "lamella/optim.h"
#include "lamella/tensor.h"

namespace lamella::io {

/// Named arrays in order, and text by key.
struct Archive {
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a safetensors file. Offsets, sizes and counts are checked against the file; throws IoError
/// that names the file and what is wrong.
LAMELLA_API Archive load_safetensors(const std::string& path);
/// Writes atomically: a temporary file in the same folder, flushed, then renamed.
LAMELLA_API void save_safetensors(const std::string& path, const Archive& archive);

/// A Graph as JSON. Its variables appear by name, in the order of Graph::variables().
LAMELLA_API std::string graph_to_json(const Graph& graph, const std::vector<std::string>& names);
/// Its inverse; `variables` supplies the variable for each name.
LAMELLA_API Graph graph_from_json(const std::string& json,
                                  const std::map<std::string, Variable>& variables);

/// What a .lamella file holds. Tensors: every variable under its name; the optimizer's state as
/// optimizer/iteration, optimizer/learning_rate, optimizer/u_product (Nadam) and
/// optimizer/<index of variable>/<slot>. Metadata: format, format_version, graph.<name>, optimizer,
/// metric_state (names, one a line), and whatever else `metadata` has (Keras's configuration).
struct ModelFile {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, Variable>> variables;
  std::map<std::string, Graph> graphs;  ///< "predict", and "train", "test" when compiled
  std::optional<Optimizer> optimizer;
  std::vector<Variable> metric_state;  ///< zeroed at the start of an epoch
};

inline constexpr const char* kFormatVersion = "1";

/// Variables that only graphs know get names of their own (state/0, ...).
LAMELLA_API void save_model(const std::string& path, const ModelFile& model);
LAMELLA_API ModelFile load_model(const std::string& path);

}  // namespace lamella::io
