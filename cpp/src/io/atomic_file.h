// A file that appears under its name complete, or not at all.
#pragma once

#include <cstdio>
#include <string>

namespace lamella::io {

class AtomicFile {
 public:
  /// Opens a temporary file beside `path`; throws IoError.
  explicit AtomicFile(std::string path);
  /// Removes the temporary file unless committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  /// Flushes to the disk and renames.
  void commit();

 private:
  std::string path_, temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace lamella::io
