// Loads a model of one input, says what it expects, and predicts rows read from standard input.
//
//   predict model.lamella < rows.txt
//
// rows.txt holds numbers separated by white space; one row has as many as the input asks for.
#include <cstdint>
#include <exception>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "lamella/lamella.h"

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: predict MODEL < ROWS");
    const lamella::Model model = lamella::load(argv[1]);
    if (model.input_specs().size() != 1) throw std::runtime_error("the model has several inputs");
    lamella::Shape shape = model.input_specs()[0].shape;
    std::cerr << "input '" << model.input_names()[0] << "' of shape " << shape << '\n';

    const std::vector<float> values{std::istream_iterator<float>(std::cin), {}};
    std::int64_t row = 1;
    for (int i = 1; i < shape.rank(); ++i) row *= shape[i].value();  // throws for a free size
    const auto count = static_cast<std::int64_t>(values.size());
    if (count == 0 || count % row != 0)
      throw std::runtime_error("expected rows of " + std::to_string(row) + " numbers, got " +
                               std::to_string(count) + " numbers");
    shape[0] = count / row;

    const lamella::Tensor y = lamella::ops::cast(
        model.predict(lamella::Tensor::from(values, shape), 256), lamella::DType::kFloat32);
    const std::int64_t width = y.size() / (count / row);
    for (std::int64_t i = 0; i < y.size(); ++i)
      std::cout << y.data<float>()[i] << ((i + 1) % width == 0 ? '\n' : ' ');
  } catch (const std::exception& error) {
    std::cerr << "predict: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
