// The order that sorts along an axis.
#include <numeric>

#include "lamella/ops.h"
#include "ops/common.h"

namespace lamella {
namespace {

/// Over the last axis.
struct Argsort final : OpBase<Argsort> {
  static constexpr const char* kName = "argsort";
  bool descending = false;
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    return {{in[0].shape, DType::kInt32}};
  }
  void lower(Lowering& l) const override {
    const Shape& x = l.in_shape(0);
    l.call(l.k.argsort,
           {l.in_spec(0).dtype, descending, l.in(0), static_cast<std::int32_t*>(l.out(0)),
            product(x, 0, x.rank() - 1), x.back().value()});
  }
  void visit(AttrVisitor& v) override { v.attr("descending", descending); }
  bool row_wise(const Rows& r) const override { return r.in[0].shape.rank() >= 2; }
};

const RegisterOp<Argsort> registered;

}  // namespace

namespace ops {

Tensor argsort(const Tensor& x, int axis, bool descending) {
  const int a = normalize_axis("argsort", axis, x.rank());
  auto op = std::make_shared<Argsort>();
  op->descending = descending;
  if (a == x.rank() - 1) return apply1(op, {x});
  std::vector<int> perm(static_cast<std::size_t>(x.rank()));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[static_cast<std::size_t>(a)], perm.back());  // its own inverse
  return transpose(apply1(op, {transpose(x, perm)}), perm);
}

}  // namespace ops
}  // namespace lamella
