// Program: a static plan for one set of input shapes. Ordered kernel calls over one preplanned
// memory arena; a run allocates nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "graph/graph_data.h"
#include "graph/passes.h"
#include "lamella/profile.h"
#include "optim/optimizer_impl.h"

namespace lamella {

/// Polled now and then during a run; true asks to stop.
using Poll = std::function<bool()>;

class Program {
 public:
  /// Compiles `graph` for inputs of these shapes. With an optimizer, gradients of the loss with
  /// respect to `trained` (some of the optimizer's variables) are computed and an update is
  /// appended.
  Program(const GraphData& graph, std::span<const Shape> input_shapes,
          std::shared_ptr<OptimizerState> optimizer, std::span<const Variable> trained);

  /// Where input i is to be written before run(); null when the graph does not use it.
  void* input(std::size_t i) const;
  const Spec& input_spec(std::size_t i) const { return graph_->inputs[i].spec; }
  const void* output(std::size_t i) const { return address(graph_->outputs[i].value); }
  const Spec& output_spec(std::size_t i) const { return graph_->spec(graph_->outputs[i].value); }
  std::size_t output_count() const { return graph_->outputs.size(); }

  /// Runs the kernel calls. Throws Error on a fault (an index out of range) and Interrupted when
  /// the poll asks to stop; variables are then unchanged.
  void run(const Poll* poll = nullptr);

  std::size_t arena_bytes() const { return arena_bytes_; }
  std::size_t calls() const { return steps_.size(); }
  const GraphData& graph() const { return *graph_; }

  /// While it lives, the program may write its variables: snapshots that others hold get their own
  /// copies first, and reads from other threads copy.
  class Writing {
   public:
    explicit Writing(const Program& program);
    ~Writing();
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

   private:
    const std::vector<std::shared_ptr<detail::VariableData>>& written_;
  };

  /// One line per kernel call, medians of `repeats` runs; the first line is `feed`, which is called
  /// before each run. Variables do change.
  std::vector<ProfileLine> profile(int repeats, const std::function<void()>& feed);

 private:
  struct Place {
    enum Kind : std::uint8_t { kNone, kArena, kConstant, kVariable, kGradient };
    Kind kind = kNone;
    std::size_t offset = 0;  // into the arena or the gradient block
    int index = -1;          // node of a constant, index of a variable
  };
  struct Step {
    void (*fn)(const void*, const kernels::Exec&);
    std::size_t args;  // offset into args_
    int node;
    bool heavy;  // long enough to look at the clock afterwards
  };
  class Sizer;
  class Emitter;

  void materialize();
  void plan();
  void emit();
  void record(void (*fn)(const void*, const kernels::Exec&), const void* args, std::size_t size,
              int node, bool heavy);
  ValueRef base(ValueRef v) const;
  void* address(ValueRef v) const;
  bool is_read(ValueRef v) const;

  GraphPtr graph_;
  std::shared_ptr<OptimizerState> optimizer_;
  std::vector<ValueRef> gradients_;  // per optimizer variable

  std::vector<std::vector<Place>> places_;  // per node, per output
  std::vector<std::vector<std::size_t>>
      scratch_;  // workspace offsets per node, in order of request
  std::size_t update_scratch_ = 0;
  std::size_t arena_bytes_ = 0;
  std::shared_ptr<detail::Storage> arena_;
  std::shared_ptr<detail::Storage> gradient_block_;

  std::vector<Step> steps_;
  std::size_t update_begin_ = 0;      // steps from here on change variables
  std::vector<ProfileLine> updates_;  // what those are
  std::vector<std::byte> args_;
  std::vector<std::shared_ptr<detail::Storage>> homes_;  // keeps bound variables' memory alive
  std::uint64_t generation_ = 0;
  std::vector<std::shared_ptr<detail::VariableData>> written_;
};

}  // namespace lamella
