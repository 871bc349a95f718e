// Kernels that move data: strided copy (transpose, slice, concat, pad, flip), gather, scatter-add,
// one-hot, batch feeding.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "backend/cpu/elementwise_loops.h"
#include "backend/cpu/kernel_list.h"
#include "backend/cpu/odometer.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd.h"

namespace lamella::kernels {
inline namespace LAMELLA_ISA_NAMESPACE {
namespace {

using std::int64_t;

/// Copies a row, in place of a call to memcpy where that would cost more than the copy. Rows do not
/// overlap.
inline void copy_row(void* dst, const void* src, int64_t bytes) {
  constexpr int64_t kVector = kVectorBytes;
  auto* d = static_cast<char*>(dst);
  const auto* s = static_cast<const char*>(src);
  const auto piece = [d, s]<std::size_t kBytes>(std::integral_constant<std::size_t, kBytes>,
                                                int64_t at) {
    struct Bytes {
      char b[kBytes];
    } v;
    std::memcpy(&v, s + at, kBytes);
    std::memcpy(d + at, &v, kBytes);
  };
  // two pieces of one size that may overlap cover every length between that size and its double
  const auto both = [&]<std::size_t kBytes>(std::integral_constant<std::size_t, kBytes> size) {
    piece(size, 0);
    piece(size, bytes - static_cast<int64_t>(kBytes));
  };
  if (bytes > 1024) {
    std::memcpy(d, s, static_cast<std::size_t>(bytes));
  } else if (bytes >= kVector) {
    using Whole = std::integral_constant<std::size_t, kVector>;
    for (int64_t i = 0; i + kVector < bytes; i += kVector) piece(Whole{}, i);
    piece(Whole{}, bytes - kVector);
  } else if (bytes >= 32) {
    both(std::integral_constant<std::size_t, 32>{});
  } else if (bytes >= 16) {
    both(std::integral_constant<std::size_t, 16>{});
  } else if (bytes >= 8) {
    both(std::integral_constant<std::size_t, 8>{});
  } else if (bytes >= 4) {
    both(std::integral_constant<std::size_t, 4>{});
  } else {
    for (int64_t i = 0; i < bytes; ++i) d[i] = s[i];
  }
}

// ---------------------------------------------------------------- strided copy

struct CopyPlan {
  int rank = 0;
  int64_t shape[kMaxRank];
  int64_t src[kMaxRank];
  int64_t dst[kMaxRank];
};

/// Drops axes of one element, orders the rest by the destination's stride, merges what is adjacent
/// in both. False where nothing is to be copied.
bool plan_copy(const StridedCopyArgs& args, CopyPlan& p) {
  for (int d = 0; d < args.rank; ++d) {
    if (args.shape[d] == 0) return false;
    if (args.shape[d] == 1) continue;
    int at = p.rank++;
    for (; at > 0 && std::abs(p.dst[at - 1]) < std::abs(args.dst_strides[d]); --at) {
      p.shape[at] = p.shape[at - 1];
      p.src[at] = p.src[at - 1];
      p.dst[at] = p.dst[at - 1];
    }
    p.shape[at] = args.shape[d];
    p.src[at] = args.src_strides[d];
    p.dst[at] = args.dst_strides[d];
  }
  int out = 0;
  for (int d = 1; d < p.rank; ++d) {
    if (p.src[out] == p.src[d] * p.shape[d] && p.dst[out] == p.dst[d] * p.shape[d]) {
      p.shape[out] *= p.shape[d];
      p.src[out] = p.src[d];
      p.dst[out] = p.dst[d];
    } else {
      ++out;
      p.shape[out] = p.shape[d];
      p.src[out] = p.src[d];
      p.dst[out] = p.dst[d];
    }
  }
  p.rank = p.rank == 0 ? 0 : out + 1;
  return true;
}

template <class U>
void copy_run(const U* src, int64_t ss, U* dst, int64_t ds, int64_t n) {
  if (ds == 1) {
    if (ss == 1) {
      copy_row(dst, src, n * static_cast<int64_t>(sizeof(U)));
    } else if (ss == 0) {
      std::fill(dst, dst + n, *src);
    } else if (ss == -1) {
      std::reverse_copy(src - (n - 1), src + 1, dst);
    } else {
      for (int64_t i = 0; i < n; ++i) dst[i] = src[i * ss];
    }
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * ds] = src[i * ss];
  }
}

constexpr int64_t kPlane = 64;  // columns of a transposition done together

/// dst[p * dp + l] = src[l * sl + p] for p in [0, np), l in [0, nl).
template <class U>
void transpose_plane(const U* src, int64_t sl, U* dst, int64_t dp, int64_t np, int64_t nl) {
  int64_t l = 0;
  int64_t p_done = 0;
  if constexpr (sizeof(U) >= 4) {
    using T = std::conditional_t<sizeof(U) == 4, float, double>;
    using V = Vec<T>;
    constexpr int64_t kW = V::kWidth;
    if constexpr (std::is_same_v<typename V::Packet,
                                 typename Eigen::internal::packet_traits<T>::type>) {
      const T* s = reinterpret_cast<const T*>(src);
      T* d = reinterpret_cast<T*>(dst);
      p_done = np / kW * kW;
      for (; l + kW <= nl; l += kW) {
        for (int64_t p = 0; p < p_done; p += kW) {
          Eigen::internal::PacketBlock<typename V::Packet, static_cast<int>(kW)> block;
          for (int64_t k = 0; k < kW; ++k) block.packet[k] = V::load(s + (l + k) * sl + p).v;
          Eigen::internal::ptranspose(block);
          for (int64_t k = 0; k < kW; ++k) V{block.packet[k]}.store(d + (p + k) * dp + l);
        }
        for (int64_t p = p_done; p < np; ++p) {
          for (int64_t k = 0; k < kW; ++k) dst[p * dp + l + k] = src[(l + k) * sl + p];
        }
      }
    }
  }
  for (int64_t p = 0; p < np; ++p) {
    for (int64_t k = l; k < nl; ++k) dst[p * dp + k] = src[k * sl + p];
  }
}

template <class U>
void strided_copy(const CopyPlan& p, const U* src, U* dst, const Exec& exec) {
  if (p.rank == 0) {
    *dst = *src;
    return;
  }
  const int last = p.rank - 1;
  const int64_t inner = p.shape[last];

  // A plane with the source contiguous along one axis and the destination along the other.
  if (p.dst[last] == 1 && p.src[last] != 1) {
    for (int a = last - 1; a >= 0; --a) {
      if (p.src[a] != 1 || p.shape[a] < 4 || inner < 4) continue;
      CopyPlan outer;
      for (int d = 0; d < last; ++d) {
        if (d == a) continue;
        outer.shape[outer.rank] = p.shape[d];
        outer.src[outer.rank] = p.src[d];
        outer.dst[outer.rank] = p.dst[d];
        ++outer.rank;
      }
      const int64_t planes = count(outer.rank, outer.shape);
      const int64_t pieces = (p.shape[a] + kPlane - 1) / kPlane;
      const int64_t* const strides[2] = {outer.src, outer.dst};
      parallel_for(exec, planes * pieces, grain_for(inner * std::min(kPlane, p.shape[a])),
                   [&](int64_t begin, int64_t end) {
                     Odometer<2> at(outer.rank, outer.shape, strides);
                     int64_t plane = begin / pieces;
                     int64_t piece = begin - plane * pieces;
                     at.seek(plane);
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t start = piece * kPlane;
                       transpose_plane(src + at.offset(0) + start, p.src[last],
                                       dst + at.offset(1) + start * p.dst[a], p.dst[a],
                                       std::min(kPlane, p.shape[a] - start), inner);
                       if (++piece == pieces) {
                         piece = 0;
                         at.next();
                       }
                     }
                   });
      return;
    }
  }

  const int64_t rows = count(last, p.shape);
  const int64_t length = std::min<int64_t>(inner, kGrainOps);
  const int64_t pieces = (inner + length - 1) / length;
  const int64_t* const strides[2] = {p.src, p.dst};
  parallel_for(exec, rows * pieces, grain_for(length + 4), [&](int64_t begin, int64_t end) {
    Odometer<2> at(last, p.shape, strides);
    int64_t row = begin / pieces;
    int64_t piece = begin - row * pieces;
    at.seek(row);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = piece * length;
      copy_run(src + at.offset(0) + start * p.src[last], p.src[last],
               dst + at.offset(1) + start * p.dst[last], p.dst[last],
               std::min(length, inner - start));
      if (++piece == pieces) {
        piece = 0;
        at.next();
      }
    }
  });
}

// ---------------------------------------------------------------- indices

/// The row that index value i names among `axis`; out of range is reported. -1: no such row.
inline int64_t resolve(int64_t i, int64_t axis, bool& bad) {
  if (i < 0) i += axis;
  if (i < 0 || i >= axis) {
    bad = true;
    return -1;
  }
  return i;
}

template <class F>
void visit_index(DType t, F&& f) {
  if (t == DType::kInt32) {
    f(TypeTag<std::int32_t>{});
  } else {
    f(TypeTag<std::int64_t>{});
  }
}

}  // namespace

void strided_copy_kernel(const StridedCopyArgs& args, const Exec& exec) {
  CopyPlan plan;
  if (!plan_copy(args, plan)) return;
  switch (args.item_size) {
    case 1:
      return strided_copy(plan, static_cast<const std::uint8_t*>(args.src),
                          static_cast<std::uint8_t*>(args.dst), exec);
    case 4:
      return strided_copy(plan, static_cast<const std::uint32_t*>(args.src),
                          static_cast<std::uint32_t*>(args.dst), exec);
    default:
      return strided_copy(plan, static_cast<const std::uint64_t*>(args.src),
                          static_cast<std::uint64_t*>(args.dst), exec);
  }
}

void gather_kernel(const GatherArgs& args, const Exec& exec) {
  const int64_t row_bytes = args.inner * static_cast<int64_t>(args.item_size);
  if (row_bytes == 0 || args.outer == 0 || args.n_index == 0) return;
  visit_index(args.index_dtype, [&]<class I>(TypeTag<I>) {
    const I* index = static_cast<const I*>(args.index);
    const char* x = static_cast<const char*>(args.x);
    char* y = static_cast<char*>(args.y);
    parallel_for(exec, args.outer * args.n_index, grain_for(row_bytes / 4 + 4),
                 [&](int64_t begin, int64_t end) {
                   bool bad = false;
                   int64_t o = begin / args.n_index;
                   int64_t j = begin - o * args.n_index;
                   for (int64_t i = begin; i < end; ++i) {
                     if (args.axis == 0) {
                       bad = true;
                       std::memset(y + i * row_bytes, 0, static_cast<std::size_t>(row_bytes));
                     } else {
                       const int64_t r = resolve(static_cast<int64_t>(index[j]), args.axis, bad);
                       copy_row(y + i * row_bytes,
                                x + (o * args.axis + std::max<int64_t>(r, 0)) * row_bytes,
                                row_bytes);
                     }
                     if (++j == args.n_index) {
                       j = 0;
                       ++o;
                     }
                   }
                   if (bad) report(exec, Fault::kIndexOutOfRange);
                 });
  });
}

void scatter_add_kernel(const ScatterAddArgs& args, const Exec& exec) {
  const auto typed = [&]<class T, class I>(TypeTag<T>, TypeTag<I>) {
    using V = Vec<T>;
    const I* index = static_cast<const I*>(args.index);
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    const int64_t inner = args.inner;
    // Each chunk owns a range of y's rows and scans all indices, so more chunks than threads can
    // use only cost scans. (A row's sum does not depend on the chunk that it falls into.)
    const int64_t by_size = (args.axis * inner + kGrainOps - 1) / kGrainOps;
    const int64_t most = exec.threads > 1 ? std::min(2 * exec.threads, 16) : 1;
    const int64_t chunks = std::clamp<int64_t>(by_size, 1, most);
    const int64_t rows = (args.axis + chunks - 1) / chunks;
    const int64_t work = (args.axis + args.n_index) * inner / chunks + args.n_index;
    parallel_for(exec, args.outer * chunks, grain_for(work), [&](int64_t begin, int64_t end) {
      bool bad = false;
      for (int64_t c = begin; c < end; ++c) {
        const int64_t o = c / chunks;
        const int64_t lo = std::min((c - o * chunks) * rows, args.axis);
        const int64_t hi = std::min(lo + rows, args.axis);
        T* yo = y + o * args.axis * inner;
        const T* xo = x + o * args.n_index * inner;
        std::fill(yo + lo * inner, yo + hi * inner, T(0));
        for (int64_t j = 0; j < args.n_index; ++j) {
          const int64_t r = resolve(static_cast<int64_t>(index[j]), args.axis, bad);
          if (r < lo || r >= hi) continue;
          T* d = yo + r * inner;
          const T* s = xo + j * inner;
          int64_t i = 0;
          for (; i + V::kWidth <= inner; i += V::kWidth) {
            (V::load(d + i) + V::load(s + i)).store(d + i);
          }
          if (i < inner) {
            (V::load_partial(d + i, inner - i) + V::load_partial(s + i, inner - i))
                .store_partial(d + i, inner - i);
          }
        }
      }
      if (bad) report(exec, Fault::kIndexOutOfRange);
    });
  };
  if (args.inner == 0 || args.outer == 0) return;
  visit_index(args.index_dtype, [&](auto index_tag) {
    switch (args.dtype) {
      case DType::kInt32:
        return typed(TypeTag<std::int32_t>{}, index_tag);
      case DType::kInt64:
        return typed(TypeTag<std::int64_t>{}, index_tag);
      case DType::kFloat32:
        return typed(TypeTag<float>{}, index_tag);
      default:
        return typed(TypeTag<double>{}, index_tag);
    }
  });
}

void one_hot_kernel(const OneHotArgs& args, const Exec& exec) {
  visit_index(args.index_dtype, [&]<class I>(TypeTag<I>) {
    const I* index = static_cast<const I*>(args.index);
    visit_dtype(args.dtype, [&]<class T>(TypeTag<T>) {
      T* y = static_cast<T*>(args.y);
      parallel_for(exec, args.n, grain_for(args.classes + 2), [&](int64_t begin, int64_t end) {
        std::fill(y + begin * args.classes, y + end * args.classes, T(0));
        for (int64_t i = begin; i < end; ++i) {
          const auto c = static_cast<int64_t>(index[i]);
          if (c >= 0 && c < args.classes) {
            y[i * args.classes + c] = T(1);
          } else if (args.strict) {
            report(exec, Fault::kIndexOutOfRange);
          }
        }
      });
    });
  });
}

// How far feeding looks ahead.
constexpr int64_t kRowsAhead = 2;
constexpr int64_t kBytesAhead = 1024;

// Few long rows are cut into this many blocks of columns, many rows into blocks of rows.
constexpr int64_t kFewRows = 64;
constexpr int64_t kLeastItems = 1 << 14;
constexpr int64_t kColumnBlocks = 4;

template <class From, class To>
void feed_row(const char* row, To* out, int64_t n, bool to_bool) {
  if constexpr (std::is_same_v<From, To>) {
    if (!to_bool) return copy_row(out, row, n * static_cast<int64_t>(sizeof(To)));
  }
  if (reinterpret_cast<std::uintptr_t>(row) % alignof(From) == 0) {
    const From* x = reinterpret_cast<const From*>(row);
    if (to_bool) {
      for (int64_t k = 0; k < n; ++k) out[k] = static_cast<To>(x[k] != From(0));
    } else {
      for (int64_t k = 0; k < n; ++k) out[k] = saturate_to<To>(x[k]);
    }
    return;
  }
  for (int64_t k = 0; k < n; ++k) {  // rows of a packed record array
    From x;
    std::memcpy(&x, row + k * static_cast<int64_t>(sizeof(From)), sizeof x);
    out[k] = to_bool ? static_cast<To>(x != From(0)) : saturate_to<To>(x);
  }
}

/// Copies rows of kBytes bytes each; row_at gives their addresses.
template <std::size_t kBytes, class F>
void copy_small_rows(const F& row_at, int64_t n, char* dst) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(dst + i * kBytes, row_at(i), kBytes);
}

void feed_kernel(const FeedArgs& args, const Exec& exec) {
  if (args.row_items == 0) return;
  const auto typed = [&]<class From, class To>(TypeTag<From>, TypeTag<To>, bool to_bool) {
    constexpr auto kItem = static_cast<int64_t>(sizeof(From));
    const char* src = static_cast<const char*>(args.src);
    To* dst = static_cast<To*>(args.dst);
    // Items [k0, k1) of rows [begin, end).
    const auto block = [&](int64_t begin, int64_t end, int64_t k0, int64_t k1) {
      const auto row_at = [&](int64_t i) {
        const int64_t r = args.index != nullptr ? args.index[i] : args.first + i;
        return src + r * args.row_stride_bytes + k0 * kItem;
      };
      const int64_t bytes = (k1 - k0) * kItem;
      const bool whole = k1 - k0 == args.row_items;
      if (whole && args.index == nullptr && bytes == args.row_stride_bytes) {
        feed_row<From>(row_at(begin), dst + begin * args.row_items, (end - begin) * args.row_items,
                       to_bool);
        return;
      }
      if (std::is_same_v<From, To> && !to_bool && whole) {
        const auto from = [&](int64_t i) { return row_at(begin + i); };
        char* to = reinterpret_cast<char*>(dst + begin * args.row_items);
        if (bytes == 4) return copy_small_rows<4>(from, end - begin, to);
        if (bytes == 8) return copy_small_rows<8>(from, end - begin, to);
        if (bytes == 16) return copy_small_rows<16>(from, end - begin, to);
      }
      for (int64_t i = begin; i < end; ++i) {
        // Shuffled rows lie anywhere in memory: the first lines of the rows to come are asked for
        // now, so that the processor waits for them once and not row by row.
        if (args.index != nullptr && i + kRowsAhead < end) {
          const char* ahead = row_at(i + kRowsAhead);
          for (int64_t b = 0; b < std::min(kBytesAhead, bytes); b += 64)
            __builtin_prefetch(ahead + b);
        }
        feed_row<From>(row_at(i), dst + i * args.row_items + k0, k1 - k0, to_bool);
      }
    };
    if (args.n <= kFewRows && args.row_items >= kColumnBlocks * 64 &&
        args.n * args.row_items >= kLeastItems) {
      // Each thread writes the columns that it will read, where threads share the columns of a
      // product's first operand (matmul.cpp).
      const int64_t columns = (args.row_items + kColumnBlocks - 1) / kColumnBlocks;
      parallel_for(exec, args.row_items, columns,
                   [&](int64_t k0, int64_t k1) { block(0, args.n, k0, k1); });
      return;
    }
    parallel_for(exec, args.n, grain_for(args.row_items + 4),
                 [&](int64_t begin, int64_t end) { block(begin, end, 0, args.row_items); });
  };
  const auto byte_for_bool = []<class T>(TypeTag<T>) {
    return TypeTag<std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>>{};
  };
  visit_dtype(args.src_dtype, [&]<class From>(TypeTag<From> from) {
    visit_dtype(args.dst_dtype, [&]<class To>(TypeTag<To> to) {
      // a bool row is copied as it is; other types become bools by comparison with zero
      typed(byte_for_bool(from), byte_for_bool(to),
            std::is_same_v<To, bool> && !std::is_same_v<From, bool>);
    });
  });
}

}  // namespace LAMELLA_ISA_NAMESPACE
}  // namespace lamella::kernels
