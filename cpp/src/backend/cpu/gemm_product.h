// One matrix product as the kernels pass it on, and how its sums are cut.
#pragma once

#include "backend/cpu/gemm.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {

/// One product: strides of op(a) are explicit, so its transposition is no case of its own.
template <class T>
struct Product {
  std::int64_t m, n, k;
  const T* a;
  std::int64_t a_row, a_step;  // from row to row of op(a), from k to k
  const T* b;
  std::int64_t ldb;
  bool tb;
  T* c;
  std::int64_t ldc;
  bool accumulate;
  Epilogue<T> epilogue;
};

inline std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

/// Elements of k that are summed in registers before they are added to memory: at most kBlockK, in
/// blocks of one size, two at least where threads may take one each (matmul.cpp). They depend on
/// the second operand alone, so that a row's sums do not depend on how many others there are.
inline std::int64_t block_k(std::int64_t k, std::int64_t n) {
  constexpr std::int64_t kLeastShared = 192, kFewColumns = 256;
  std::int64_t blocks = (k + kBlockK - 1) / kBlockK;
  if (blocks == 1 && k >= kLeastShared && n <= kFewColumns) blocks = 2;
  return blocks <= 1 ? k : round_up((k + blocks - 1) / blocks, 16);
}

template <class T>
Epilogue<T> epilogue_from(const Epilogue<T>& e, std::int64_t column) {
  Epilogue<T> shifted = e;
  if (e.bias != nullptr) shifted.bias = e.bias + column * e.bias_step;
  return shifted;
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
