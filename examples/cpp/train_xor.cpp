// Builds a network, trains it on XOR, saves it, and loads it again.
//
//   train_xor [xor.lamella]
//
// Python opens the file as well: keras.saving.load_model("xor.lamella").
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>

#include "lamella/lamella.h"

namespace nn = lamella::nn;
using lamella::Shape;
using lamella::Tensor;

int main(int argc, char** argv) {
  try {
    const std::string path = argc > 1 ? argv[1] : "xor.lamella";
    const Tensor x = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, Shape{4, 2});
    const Tensor y = Tensor::from<float>({0, 1, 1, 0}, Shape{4, 1});

    lamella::set_random_seed(1);
    const nn::Sequential net({2}, {
                                      nn::dense({.units = 16, .activation = "relu"}),
                                      nn::dense({.units = 1, .activation = "sigmoid"}),
                                  });
    lamella::Model model =
        net.compile({.optimizer = lamella::Optimizer("adam", {.learning_rate = 0.05}),
                     .loss = "binary_crossentropy",
                     .metrics = {"accuracy"}});
    const auto logs = model.fit(x, y, {.batch_size = 4, .epochs = 300});
    for (const auto& [name, value] : logs.back()) std::cout << name << " = " << value << '\n';

    model.save(path);
    const Tensor p = lamella::load(path).predict(x);
    for (std::int64_t i = 0; i < 4; ++i)
      std::cout << x.data<float>()[2 * i] << " xor " << x.data<float>()[2 * i + 1] << " = "
                << p.data<float>()[i] << '\n';
  } catch (const std::exception& error) {
    std::cerr << "train_xor: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
