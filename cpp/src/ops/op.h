// What an op is: shape inference, kernel calls, and its vector-Jacobian product written in ops.
// One definition serves eager calls, Graph tracing, Programs and files.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/kernels.h"
#include "lamella/tensor.h"

namespace lamella {

/// Where an op's kernel calls go: run at once (eager), measured, or recorded into a Program.
/// Pointers may be null while a Program is measured, so `lower` must not follow them.
class Lowering {
 public:
  explicit Lowering(const kernels::KernelTable& table) : k(table) {}
  virtual ~Lowering() = default;
  Lowering(const Lowering&) = delete;
  Lowering& operator=(const Lowering&) = delete;

  const kernels::KernelTable& k;

  virtual int inputs() const = 0;
  virtual const Spec& in_spec(int i) const = 0;
  virtual const Spec& out_spec(int i) const = 0;
  virtual const void* in(int i) = 0;
  virtual void* out(int i) = 0;
  /// Whether anything may read output i; an op may leave the others unwritten.
  virtual bool wanted(int /*i*/) const { return true; }
  /// A scratch block for this op only; each call gives another block.
  virtual void* workspace(std::size_t bytes) = 0;

  const Shape& in_shape(int i) const { return in_spec(i).shape; }
  const Shape& out_shape(int i) const { return out_spec(i).shape; }

  template <class Args>
  void call(const kernels::Kernel<Args>& kernel, const Args& args) {
    call_erased(kernel.fn, &args, sizeof(Args), alignof(Args));
  }

 protected:
  virtual void call_erased(void (*fn)(const void*, const kernels::Exec&), const void* args,
                           std::size_t size, std::size_t align) = 0;
};

/// Reads or writes the attributes of an op: files, symbolic sizes, equality.
class AttrVisitor {
 public:
  virtual ~AttrVisitor() = default;
  virtual void attr(const char* key, std::int64_t& value) = 0;
  virtual void attr(const char* key, double& value) = 0;
  virtual void attr(const char* key, bool& value) = 0;
  virtual void attr(const char* key, std::vector<std::int64_t>& value) = 0;
  virtual void attr(const char* key, std::vector<Dim>& value) = 0;
  virtual void attr(const char* key, Tensor& value) = 0;
  /// An enumeration, kept in files by name.
  virtual void choice(const char* key, int& value, std::span<const char* const> names) = 0;

  template <class E>
  void choice_of(const char* key, E& value, std::span<const char* const> names) {
    int v = static_cast<int>(value);
    choice(key, v, names);
    value = static_cast<E>(v);
  }
  void dtype(const char* key, DType& value);
};

/// What a vector-Jacobian product gets and gives.
struct Vjp {
  std::span<const Tensor> in;
  std::span<const Tensor> out;
  std::span<const Tensor> grad;  // upstream, one per output; undefined where no one asked
  std::span<const bool> needs;   // which inputs want a gradient
  std::span<Tensor> result;      // to fill; undefined means zero
};

/// The operands of a node, and which inputs are cut into rows along axis 0.
struct Rows {
  std::span<const Spec> in, out;
  std::span<const bool> cut;

  /// Under numpy's broadcasting, axis 0 of every cut input is axis 0 of the output, and the others
  /// are the same for all rows.
  bool broadcast() const;
  /// Input 0 is cut and the others are not.
  bool only_first() const;
};

enum class OpKind : std::uint8_t { kCompute, kInput, kConstant, kVariable, kView };

class Op {
 public:
  virtual ~Op() = default;
  virtual const char* name() const = 0;
  virtual std::unique_ptr<Op> clone() const = 0;
  virtual OpKind kind() const { return OpKind::kCompute; }
  /// The least and the greatest number of inputs.
  struct Arity {
    std::size_t least, most;
  };
  virtual Arity arity() const { return {1, 1}; }
  /// Output specs from input specs; sizes may be symbolic. Throws ShapeError or DTypeError.
  virtual std::vector<Spec> infer(std::span<const Spec> in) const = 0;
  virtual void lower(Lowering& l) const = 0;
  virtual void vjp(const Vjp& v) const;
  virtual void visit(AttrVisitor&) {}
  /// Whether output 0 may overwrite input i when both have the same size and the input dies here.
  virtual bool may_overwrite(int) const { return false; }
  /// Floating-point operations, for profiles.
  virtual double flops(std::span<const Spec> in, std::span<const Spec> out) const;
  /// Bytes that must be read and written, for profiles.
  virtual double bytes(std::span<const Spec> in, std::span<const Spec> out) const;
  /// Whether row i (along axis 0) of every output depends on row i alone of the inputs that are cut
  /// into rows; every row may use all of the others. A Program may then run on a few rows at a
  /// time.
  virtual bool row_wise(const Rows&) const { return false; }
  /// Reads a random key or has another reason not to be merged with its twin.
  virtual bool pure() const { return true; }
};

using OpPtr = std::shared_ptr<const Op>;

/// Gives name() and clone(). Derived has `static constexpr const char* kName`.
template <class Derived>
class OpBase : public Op {
 public:
  const char* name() const override { return Derived::kName; }
  std::unique_ptr<Op> clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

/// Applies an op: runs it, or adds a node to the Graph when an input (or an output size) is
/// symbolic.
std::vector<Tensor> apply_op(const OpPtr& op, std::span<const Tensor> in);
Tensor apply1(const OpPtr& op, std::initializer_list<Tensor> in);
Tensor apply1(const OpPtr& op, const Tensor& in);
inline std::vector<Tensor> apply_op(const OpPtr& op, std::initializer_list<Tensor> in) {
  return apply_op(op, std::span<const Tensor>(in.begin(), in.size()));
}

/// Replaces symbolic sizes among the attributes; returns the same op when there are none.
OpPtr bind_op(const OpPtr& op, std::span<const std::int64_t> bindings);
/// Whether any attribute holds a symbolic size.
bool has_symbolic_attrs(const Op& op);

/// Ops by name, for reading files.
using OpFactory = std::unique_ptr<Op> (*)();
void register_op(const char* name, OpFactory factory);
std::unique_ptr<Op> create_op(const std::string& name);
template <class T>
struct RegisterOp {
  RegisterOp() {
    register_op(T::kName, [] { return std::unique_ptr<Op>(std::make_unique<T>()); });
  }
};

}  // namespace lamella
