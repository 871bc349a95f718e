# The version has one source, pyproject.toml. scikit-build-core hands it over; a plain CMake build
# reads the file.
function(lamella_read_version out)
  if(DEFINED SKBUILD_PROJECT_VERSION)
    set(version ${SKBUILD_PROJECT_VERSION})
  else()
    file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/pyproject.toml line REGEX "^version = \"" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" version "${line}")
    if(NOT version)
      message(FATAL_ERROR "lamella: found no version = \"X.Y.Z\" in pyproject.toml")
    endif()
    set_property(
      DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/pyproject.toml)
  endif()
  set(${out} ${version} PARENT_SCOPE)
endfunction()
