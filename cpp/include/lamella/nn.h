// Models for programs without Python: load what Python saved, predict, go on training, save.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lamella/optim.h"
#include "lamella/program.h"
#include "lamella/tensor.h"

namespace lamella {

struct FitOptions {
  std::int64_t batch_size = 32;
  std::int64_t epochs = 1;
  bool shuffle = true;
  /// Decides the order of rows together with the epoch; negative: drawn from the global generator
  /// (set_random_seed), as Python's fit does.
  std::int64_t seed = -1;
  std::int64_t initial_epoch = 0;
  /// After each epoch; true stops.
  std::function<bool(std::int64_t epoch, const std::vector<std::pair<std::string, double>>& logs)>
      on_epoch_end;
};

/// Loss and metrics of an epoch, by name.
using EpochLog = std::vector<std::pair<std::string, double>>;

/// A trained model: predict, and (when it was compiled in Python) evaluate and fit. Copies share one
/// model. predict may be called from many threads at once.
class LAMELLA_API Model {
 public:
  Model() = default;

  Tensor predict(const Tensor& x, std::int64_t batch_size = 0) const;
  std::vector<Tensor> predict(const std::vector<Tensor>& inputs, std::int64_t batch_size = 0) const;
  /// Loss and metrics over all rows.
  EpochLog evaluate(const Tensor& x, const Tensor& y, std::int64_t batch_size = 32);
  std::vector<EpochLog> fit(const Tensor& x, const Tensor& y, const FitOptions& options = {});
  /// Atomically, with optimizer state and random counters.
  void save(const std::string& path) const;

  bool compiled() const;
  std::vector<Variable> variables() const;
  /// By the name it has in the file, "dense/kernel" for instance.
  Variable variable(const std::string& name) const;

 private:
  friend LAMELLA_API Model load(const std::string& path);
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Opens a .lamella file. Throws IoError.
LAMELLA_API Model load(const std::string& path);

}  // namespace lamella
