// A chain of elementwise operations as one op; made by a pass, never traced.
#pragma once

#include "ops/op.h"

namespace lamella {

struct FusedElementwise final : OpBase<FusedElementwise> {
  static constexpr const char* kName = "fused_elementwise";
  struct Instruction {
    bool binary = false;
    kernels::UnaryOp unary = kernels::UnaryOp::kCopy;
    kernels::BinaryOp bin = kernels::BinaryOp::kAdd;
    std::int64_t x = 0, y = 0;
    double a = 0, b = 0;
  };
  std::int64_t rows = 1, cols = 0;
  std::vector<std::int64_t> access;  // kernels::FusedAccess per input
  std::vector<Instruction> instructions;

  std::vector<Spec> infer(std::span<const Spec>) const override { return {}; }
  void lower(Lowering& l) const override {
    kernels::FusedArgs args{};
    args.dtype = l.out_spec(0).dtype;
    args.rows = rows;
    args.cols = cols;
    args.n_inputs = l.inputs();
    args.n_instr = static_cast<int>(instructions.size());
    args.n_outputs = 1;
    for (int i = 0; i < l.inputs(); ++i) {
      args.inputs[i] = l.in(i);
      args.access[i] = static_cast<kernels::FusedAccess>(access[static_cast<std::size_t>(i)]);
    }
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      const Instruction& s = instructions[i];
      args.instr[i] = {
          s.binary, s.unary, s.bin, static_cast<std::int16_t>(s.x), static_cast<std::int16_t>(s.y),
          s.a,      s.b};
    }
    args.out_value[0] = static_cast<std::int16_t>(args.n_inputs + args.n_instr - 1);
    args.outputs[0] = l.out(0);
    l.call(l.k.fused, args);
  }
  bool may_overwrite(int i) const override {
    return access[static_cast<std::size_t>(i)] ==
           static_cast<std::int64_t>(kernels::FusedAccess::kElement);
  }
  double flops(std::span<const Spec>, std::span<const Spec> out) const override {
    return static_cast<double>(out[0].shape.size()) * static_cast<double>(instructions.size());
  }
};

}  // namespace lamella
