# Nothing is downloaded here: what the build needs comes from build-system.requires in pyproject.toml
# (pip installs it) or from the system.

# ---- packages of the Python interpreter: cmeel-eigen, nlohmann-json and pybind11 from PyPI put their
# headers below site-packages.
if(LAMELLA_BUILD_PYTHON)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
else()
  find_package(Python 3.10 QUIET COMPONENTS Interpreter)
endif()
if(Python_Interpreter_FOUND)
  execute_process(
    COMMAND
      ${Python_EXECUTABLE} -c
      "import os, sys
names = ('cmeel.prefix', 'nlohmann_json', 'pybind11')
paths = (os.path.join(p, n) for p in sys.path for n in names)
print(';'.join(p.replace(os.sep, '/') for p in paths if os.path.isdir(p)), end='')"
    OUTPUT_VARIABLE LAMELLA_PYTHON_PREFIXES
    RESULT_VARIABLE status)
  if(status EQUAL 0)
    list(APPEND CMAKE_PREFIX_PATH ${LAMELLA_PYTHON_PREFIXES})
  endif()
endif()

# ---- Eigen. Searched without a version: Eigen 5's version file refuses requests for 3.x.
find_package(Eigen3 CONFIG QUIET)
if(NOT Eigen3_FOUND)
  message(
    FATAL_ERROR
      "lamella: Eigen not found. Install it (pip install cmeel-eigen, or your system's package) or "
      "point CMAKE_PREFIX_PATH at it.")
elseif(Eigen3_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "lamella: expected Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
endif()
message(STATUS "lamella: Eigen ${Eigen3_VERSION} (${Eigen3_DIR})")

# ---- JSON, private to io/. The PyPI package has the headers only, no CMake package.
add_library(lamella_json INTERFACE)
find_package(nlohmann_json 3.10 CONFIG QUIET)
if(nlohmann_json_FOUND)
  target_link_libraries(lamella_json INTERFACE nlohmann_json::nlohmann_json)
else()
  find_path(LAMELLA_JSON_INCLUDE_DIR nlohmann/json.hpp)
  if(NOT LAMELLA_JSON_INCLUDE_DIR)
    message(
      FATAL_ERROR
        "lamella: nlohmann/json.hpp not found. Install it (pip install nlohmann-json, or your system's "
        "package) or set LAMELLA_JSON_INCLUDE_DIR.")
  endif()
  target_include_directories(lamella_json SYSTEM INTERFACE ${LAMELLA_JSON_INCLUDE_DIR})
endif()

# ---- threads
find_package(Threads REQUIRED)
if(LAMELLA_WITH_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(WARNING "lamella: this compiler has no OpenMP; lamella uses its own threads")
    set(LAMELLA_WITH_OPENMP OFF)
  endif()
endif()
