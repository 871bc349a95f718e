#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "lamella/io.h"

namespace lamella::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxHeader = 100'000'000;

struct TypeName {
  DType dtype;
  const char* name;
};
constexpr TypeName kTypes[] = {{DType::kBool, "BOOL"},   {DType::kUint8, "U8"},
                               {DType::kInt32, "I32"},   {DType::kInt64, "I64"},
                               {DType::kFloat32, "F32"}, {DType::kFloat64, "F64"}};

const char* type_name(DType t) {
  return std::find_if(std::begin(kTypes), std::end(kTypes),
                      [t](const TypeName& n) { return n.dtype == t; })
      ->name;
}

}  // namespace

Archive load_safetensors(const std::string& path) {
  auto bad = [&](const auto&... what) { return IoError(detail::format(path, ": ", what...)); };
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw bad("cannot be opened: ", std::strerror(errno));
  const auto file_size = static_cast<std::uint64_t>(file.tellg());
  file.seekg(0);
  unsigned char length_bytes[8];
  if (file_size < 8 || !file.read(reinterpret_cast<char*>(length_bytes), 8))
    throw bad("not a safetensors file: expected at least 8 bytes, found ", file_size);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | length_bytes[i];
  if (length > kMaxHeader || length + 8 > file_size)
    throw bad("not a safetensors file, or cut short: its header should have ", length,
              " bytes, the file has ", file_size);
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  const Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) throw bad("not a safetensors file: its header is not JSON");

  const std::uint64_t data_size = file_size - 8 - length;
  Archive archive;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      if (!entry.is_object()) throw bad("__metadata__ is not an object");
      for (const auto& [k, v] : entry.items()) {
        if (!v.is_string()) throw bad("metadata '", k, "' is not text");
        archive.metadata[k] = v.get<std::string>();
      }
      continue;
    }
    const bool complete = entry.is_object() && entry.contains("dtype") &&
                          entry["dtype"].is_string() && entry.contains("shape") &&
                          entry["shape"].is_array() && entry.contains("data_offsets") &&
                          entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2;
    if (!complete) throw bad("tensor '", key, "' needs dtype, shape and data_offsets");
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const TypeName& n) { return entry["dtype"] == n.name; });
    if (type == std::end(kTypes))
      throw bad("tensor '", key, "' has dtype ", entry["dtype"].dump(),
                ", expected one of BOOL, U8, I32, I64, F32, F64");
    Shape shape;
    std::uint64_t count = 1;
    if (entry["shape"].size() > kMaxRank)
      throw bad("tensor '", key, "' has more than ", kMaxRank, " axes");
    for (const auto& d : entry["shape"]) {
      if (!d.is_number_unsigned()) throw bad("tensor '", key, "' has a size that is not a number");
      const auto n = d.get<std::uint64_t>();
      if (n > (std::uint64_t{1} << 48) || (n > 0 && count > (std::uint64_t{1} << 48) / n))
        throw bad("tensor '", key, "' is too large");
      count *= n;
      shape.push_back(Dim(static_cast<std::int64_t>(n)));
    }
    for (const auto& d : entry["data_offsets"])
      if (!d.is_number_unsigned())
        throw bad("tensor '", key, "' has an offset that is not a number");
    const auto begin = entry["data_offsets"][0].get<std::uint64_t>();
    const auto end = entry["data_offsets"][1].get<std::uint64_t>();
    const std::uint64_t bytes = count * size_of(type->dtype);
    if (begin > end || end - begin != bytes)
      throw bad("tensor '", key, "' of shape ", shape, " needs ", bytes, " bytes, its offsets say ",
                begin, " to ", end);
    if (end > data_size)
      throw bad("is cut short: tensor '", key, "' ends at byte ", end, ", the file has ", data_size,
                " bytes of data");
    Tensor t = Tensor::empty(shape, type->dtype);
    file.seekg(static_cast<std::streamoff>(8 + length + begin));
    if (bytes > 0 &&
        !file.read(static_cast<char*>(t.mutable_raw()), static_cast<std::streamsize>(bytes)))
      throw bad("tensor '", key, "' could not be read");
    if (type->dtype == DType::kBool) {  // any other byte would not be a valid bool
      auto* p = static_cast<unsigned char*>(t.mutable_raw());
      for (std::uint64_t i = 0; i < bytes; ++i) p[i] = p[i] != 0;
    }
    archive.tensors.emplace_back(key, std::move(t));
  }
  return archive;
}

void save_safetensors(const std::string& path, const Archive& archive) {
  Json header = Json::object();
  if (!archive.metadata.empty()) header["__metadata__"] = archive.metadata;
  std::uint64_t offset = 0;
  for (const auto& [name, t] : archive.tensors) {
    check<IoError>(!header.contains(name), path, ": two tensors are named '", name, "'");
    const std::uint64_t bytes = t.nbytes();
    header[name] = {{"dtype", type_name(t.dtype())},
                    {"shape", t.shape().values()},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  AtomicFile file(path);
  unsigned char length[8];
  for (std::size_t i = 0; i < 8; ++i)
    length[i] = static_cast<unsigned char>(text.size() >> (8 * i) & 0xff);
  file.write(length, 8);
  file.write(text.data(), text.size());
  for (const auto& [name, t] : archive.tensors) file.write(t.raw(), t.nbytes());
  file.commit();
}

}  // namespace lamella::io
