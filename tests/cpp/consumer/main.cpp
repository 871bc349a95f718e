// Loads a model that Python trained and saved, predicts from several threads, trains it for one
// more epoch, and saves it again. tests/python/test_embedding.py compares every result with
// Python's.
//
//   consumer MODEL X SHAPE_OF_X Y SHAPE_OF_Y FOLDER
//
// X and Y are raw float32 files, a shape is written 64,8,8,1. FOLDER receives before.f32
// (predictions), after.f32 (predictions after the epoch) and trained.lamella.
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lamella/lamella.h"

namespace {

lamella::Tensor read(const std::string& path, const std::string& shape_text) {
  std::vector<std::int64_t> dims;
  std::int64_t count = 1;
  std::istringstream text(shape_text);
  for (std::string item; std::getline(text, item, ',');) {
    dims.push_back(std::stoll(item));
    count *= dims.back();
  }
  std::vector<float> values(static_cast<std::size_t>(count));
  const auto bytes = static_cast<std::streamsize>(values.size() * sizeof(float));
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(values.data()), bytes))
    throw std::runtime_error("cannot read " + path);
  return lamella::Tensor::from(values, lamella::Shape(dims));
}

void write(const std::string& path, const lamella::Tensor& tensor) {
  std::ofstream file(path, std::ios::binary);
  const auto bytes = static_cast<std::streamsize>(tensor.nbytes());
  if (!file.write(reinterpret_cast<const char*>(tensor.data<float>()), bytes))
    throw std::runtime_error("cannot write " + path);
}

/// The predictions of one model, asked for by four threads at once; all must be the same.
lamella::Tensor predict_in_parallel(const lamella::Model& model, const lamella::Tensor& x) {
  std::vector<lamella::Tensor> results(4);
  std::vector<std::exception_ptr> errors(results.size());
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      try {
        for (int repeat = 0; repeat < 20; ++repeat) results[t] = model.predict(x);
      } catch (...) {
        errors[t] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  for (const lamella::Tensor& result : results)
    if (result.to_vector<float>() != results[0].to_vector<float>())
      throw std::runtime_error("threads disagree about the predictions");
  return results[0];
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 7) throw std::runtime_error("usage: consumer MODEL X SHAPE Y SHAPE FOLDER");
    lamella::Model model = lamella::load(argv[1]);
    const lamella::Tensor x = read(argv[2], argv[3]);
    const lamella::Tensor y = read(argv[4], argv[5]);
    const std::string folder = argv[6];

    write(folder + "/before.f32", predict_in_parallel(model, x));
    const std::vector<lamella::EpochLog> logs =
        model.fit(x, y, lamella::FitOptions{.batch_size = 32, .epochs = 1, .shuffle = false});
    if (logs.size() != 1) throw std::runtime_error("expected the log of one epoch");
    write(folder + "/after.f32", predict_in_parallel(model, x));
    model.save(folder + "/trained.lamella");
  } catch (const std::exception& error) {
    std::cerr << "consumer: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
