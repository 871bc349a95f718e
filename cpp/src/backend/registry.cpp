// Chooses the kernels for this machine and loads them: one shared module per instruction set, in
// the folder lamella_backends beside the library. LAMELLA_ISA forces one; LAMELLA_BACKEND_PATH
// names another folder.
#include "backend/registry.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "lamella/error.h"

#if defined(__x86_64__) || defined(__i386__)
#define LAMELLA_X86 1
#include <cpuid.h>
#endif

#if defined(LAMELLA_STATIC_BACKEND) || \
    (defined(LAMELLA_HAS_STATIC_BACKEND) && LAMELLA_HAS_STATIC_BACKEND)
#define LAMELLA_LINKED_BACKEND 1
extern "C" const lamella::kernels::KernelTable* lamella_backend();
#elif defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace lamella::kernels {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLevels[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};

#if defined(LAMELLA_X86)
/// Register state that the operating system saves (XCR0); 0 where it saves none.
std::uint64_t saved_state() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return 0;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<std::uint64_t>(high) << 32 | low;
}

/// Levels of the x86-64 psABI: how many of kLevels this machine has.
int x86_levels() {
  unsigned a = 0, b = 0, c1 = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c1, &d) == 0) return 0;
  unsigned b7 = 0, c7 = 0;
  __get_cpuid_count(7, 0, &a, &b7, &c7, &d);
  unsigned c_ext = 0;
  __get_cpuid(0x80000001u, &a, &b, &c_ext, &d);
  const auto has = [](unsigned have, unsigned want) { return (have & want) == want; };

  constexpr unsigned kLahf = 1u << 0;
  constexpr unsigned kLzcnt = 1u << 5;
  if (!has(c1, bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT) ||
      !has(c_ext, kLahf)) {
    return 0;
  }
  const std::uint64_t saved = saved_state();
  constexpr std::uint64_t kYmm = 0x6;   // SSE and AVX registers
  constexpr std::uint64_t kZmm = 0xe6;  // those, and the three parts of AVX-512's
  if (!has(c1, bit_AVX | bit_F16C | bit_FMA | bit_MOVBE | bit_OSXSAVE) ||
      !has(b7, bit_AVX2 | bit_BMI | bit_BMI2) || !has(c_ext, kLzcnt) || (saved & kYmm) != kYmm) {
    return 1;
  }
  if (!has(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL) ||
      (saved & kZmm) != kZmm) {
    return 2;
  }
  return 3;
}
#endif

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

/// What LAMELLA_ISA asks for; empty for the best.
std::string requested_isa() {
  const char* text = std::getenv("LAMELLA_ISA");
  if (text == nullptr) return {};
  const std::string_view name = text;
  if (name.empty() || name == "native") return {};
  if (name == "baseline") return kLevels[0];
  for (const std::string_view level : kLevels) {
    if (name == level || name == level.substr(7)) return std::string(level);
  }
  throw Error(detail::format(
      "LAMELLA_ISA: expected x86-64-v2, x86-64-v3, x86-64-v4, baseline or native, got '", name,
      "'"));
}

const KernelTable& checked(const KernelTable* table, const std::string& where) {
  check(table != nullptr && table->abi_version == kAbiVersion, where,
        ": the kernels were built for another version of lamella (expected interface ", kAbiVersion,
        ", got ", table == nullptr ? 0u : table->abi_version, ")");
  return *table;
}

#if defined(LAMELLA_LINKED_BACKEND)

const KernelTable& load() {
  const KernelTable& linked = checked(lamella_backend(), "lamella");
  const std::string isa = linked.isa;
  const std::string wanted = requested_isa();
  check(wanted.empty() || wanted == isa, "LAMELLA_ISA=", wanted,
        ": this build has only the kernels for ", isa, " linked in");
  const std::vector<std::string> supported = supported_isas();
  check(isa == "native" || std::find(supported.begin(), supported.end(), isa) != supported.end(),
        "lamella: the kernels linked in need ", isa, ", this machine has ", join(supported));
  return linked;
}

#else

#if defined(_WIN32)
constexpr const char* kSuffix = ".dll";
#else
constexpr const char* kSuffix = ".so";
#endif

fs::path module_path(const fs::path& folder, const std::string& isa) {
  return folder / ("lamella_cpu_" + isa + kSuffix);
}

/// The file that this code was loaded from.
fs::path own_file() {
#if defined(_WIN32)
  HMODULE self = nullptr;
  GetModuleHandleExW(
      GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
      reinterpret_cast<LPCWSTR>(&own_file), &self);
  wchar_t name[MAX_PATH];
  const DWORD n = GetModuleFileNameW(self, name, MAX_PATH);
  return fs::path(std::wstring(name, n));
#else
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_file), &info) == 0 || info.dli_fname == nullptr) {
    return {};
  }
  std::error_code error;
  fs::path file = fs::absolute(info.dli_fname, error);
  // linked statically into a program that was started by name alone
  if (!fs::exists(file, error)) file = fs::read_symlink("/proc/self/exe", error);
  return file;
#endif
}

/// The folder of the modules: named by the environment, else beside the library.
fs::path module_folder() {
  if (const char* path = std::getenv("LAMELLA_BACKEND_PATH"); path != nullptr && *path != '\0') {
    return path;
  }
  const fs::path file = own_file();
  std::error_code error;
  const fs::path beside = file.parent_path() / "lamella_backends";
  if (fs::is_directory(beside, error)) return beside;
  const fs::path real = fs::canonical(file, error).parent_path() / "lamella_backends";
  if (!error && fs::is_directory(real, error)) return real;
#if defined(LAMELLA_BACKEND_DIR)
  if (fs::is_directory(LAMELLA_BACKEND_DIR, error)) return LAMELLA_BACKEND_DIR;
#endif
  return beside;
}

std::vector<std::string> present(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const char* isa : {kLevels[0], kLevels[1], kLevels[2], "native"}) {
    if (fs::exists(module_path(folder, isa), error)) names.push_back(isa);
  }
  return names;
}

const KernelTable& open(const fs::path& file) {
  // The module stays loaded for the life of the process.
#if defined(_WIN32)
  const HMODULE handle = LoadLibraryW(file.c_str());
  check(handle != nullptr, "lamella: cannot load ", file.string(), " (error ", GetLastError(), ")");
  const auto entry = reinterpret_cast<LamellaBackendFn>(
      reinterpret_cast<void*>(GetProcAddress(handle, "lamella_backend")));
#else
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    throw Error(detail::format("lamella: cannot load ", file.string(), ": ",
                               reason != nullptr ? reason : "unknown reason"));
  }
  const auto entry = reinterpret_cast<LamellaBackendFn>(dlsym(handle, "lamella_backend"));
#endif
  check(entry != nullptr, "lamella: ", file.string(), " is not a module of kernels");
  return checked(entry(), file.string());
}

const KernelTable& load() {
  const std::string wanted = requested_isa();
  const std::vector<std::string> supported = supported_isas();
  const fs::path folder = module_folder();
  if (!wanted.empty()) {
    check(std::find(supported.begin(), supported.end(), wanted) != supported.end(),
          "LAMELLA_ISA=", wanted, ": this machine has ", join(supported));
    const fs::path file = module_path(folder, wanted);
    std::error_code error;
    check(fs::exists(file, error), "LAMELLA_ISA=", wanted, ": expected the module ", file.string(),
          ", found ", join(present(folder)));
    return open(file);
  }
  const std::vector<std::string> found = present(folder);
  for (auto isa = supported.rbegin(); isa != supported.rend(); ++isa) {
    if (std::find(found.begin(), found.end(), *isa) != found.end()) {
      return open(module_path(folder, *isa));
    }
  }
  throw Error(detail::format("lamella: no kernels for this machine in ", folder.string(),
                             ": it has ", join(supported), ", modules found: ", join(found),
                             ". Is the installation complete?"));
}

#endif

}  // namespace

std::vector<std::string> supported_isas() {
#if defined(LAMELLA_X86)
  return {kLevels, kLevels + x86_levels()};
#else
  return {"native"};
#endif
}

std::vector<std::string> available_isas() {
#if defined(LAMELLA_LINKED_BACKEND)
  return {lamella_backend()->isa};
#else
  return present(module_folder());
#endif
}

const KernelTable& table() {
  static const KernelTable& chosen = load();  // a throw leaves the next call to try again
  return chosen;
}

BackendInfo backend_info() {
  const KernelTable& t = table();
  return {t.isa, supported_isas(), available_isas(), t.compiler, t.vector_bytes};
}

}  // namespace lamella::kernels
