# What every target of lamella is compiled with, as interface targets.

add_library(lamella_warnings INTERFACE)
target_compile_options(
  lamella_warnings
  INTERFACE $<$<CXX_COMPILER_ID:MSVC>:/W4>
            $<$<NOT:$<CXX_COMPILER_ID:MSVC>>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow>
            # GCC 12 sees overlaps and overflows in std::string's operator+ (GCC bug 105651).
            $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-stringop-overflow>)

add_library(lamella_sanitizers INTERFACE)
if(LAMELLA_SANITIZE)
  target_compile_options(
    lamella_sanitizers INTERFACE -fsanitize=${LAMELLA_SANITIZE} -fno-sanitize-recover=all
                                 -fno-omit-frame-pointer)
  target_link_options(lamella_sanitizers INTERFACE -fsanitize=${LAMELLA_SANITIZE})
endif()

add_library(lamella_options INTERFACE)
target_link_libraries(lamella_options INTERFACE lamella_warnings lamella_sanitizers)

# The oldest processor that the core runs on. Wider instructions belong to the plug-ins only.
add_library(lamella_baseline INTERFACE)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT MSVC)
  target_compile_options(lamella_baseline INTERFACE -march=x86-64-v2)
endif()

if(APPLE)
  set(LAMELLA_ORIGIN "@loader_path")
else()
  set(LAMELLA_ORIGIN "$ORIGIN")
endif()
