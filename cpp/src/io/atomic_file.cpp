#include "io/atomic_file.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#if defined(_WIN32)
#include <io.h>
#include <process.h>
#define LAMELLA_GETPID _getpid
#else
#include <unistd.h>
#define LAMELLA_GETPID getpid
#endif

#include "lamella/error.h"

namespace lamella::io {
namespace {
std::atomic<unsigned> counter{0};
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  temporary_ =
      path_ + "." + std::to_string(LAMELLA_GETPID()) + "." + std::to_string(counter++) + ".tmp";
  file_ = std::fopen(temporary_.c_str(), "wb");
  check<IoError>(file_ != nullptr, path_, ": cannot be written: ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (file_ != nullptr) std::fclose(file_);
  if (!temporary_.empty()) std::remove(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  check<IoError>(bytes == 0 || std::fwrite(data, 1, bytes, file_) == bytes, path_,
                 ": writing failed: ", std::strerror(errno));
}

void AtomicFile::commit() {
  bool ok = std::fflush(file_) == 0;
#if defined(_WIN32)
  ok = ok && _commit(_fileno(file_)) == 0;
#else
  ok = ok && fsync(fileno(file_)) == 0;
#endif
  ok = std::fclose(file_) == 0 && ok;
  file_ = nullptr;
  check<IoError>(ok, path_, ": writing failed: ", std::strerror(errno));
#if defined(_WIN32)
  std::remove(path_.c_str());
#endif
  check<IoError>(std::rename(temporary_.c_str(), path_.c_str()) == 0, path_,
                 ": cannot be replaced: ", std::strerror(errno));
  temporary_.clear();
}

}  // namespace lamella::io
