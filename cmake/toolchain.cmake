# One interface target carries the warnings; sanitizers and the optimiser apply to everything.
add_library(fettle_warnings INTERFACE)
target_compile_options(fettle_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(fettle_warnings INTERFACE -Wcast-align=strict)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # "text" + std::string(...) is reported at -O3, falsely: https://gcc.gnu.org/PR105651
    target_compile_options(fettle_warnings INTERFACE -Wno-restrict)
  endif()
else()
  # libstdc++'s own stable_sort uses what it deprecates.
  target_compile_options(fettle_warnings INTERFACE -Wno-deprecated-declarations)
endif()

include_directories(${PROJECT_SOURCE_DIR})
add_compile_options(-fno-omit-frame-pointer)

if(SANITIZE)
  # core and rules are built without RTTI, which the check of virtual tables would need everywhere.
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-sanitize=vptr -O1)
  add_link_options(-fsanitize=${SANITIZE})
  # Clang 19 has no macros for it.
  foreach(sanitizer address thread)
    if(SANITIZE MATCHES ${sanitizer})
      string(TOUPPER ${sanitizer} sanitizer)
      add_compile_definitions(FETTLE_SANITIZE_${sanitizer})
    endif()
  endforeach()
endif()

# The fuzz targets see which branches of the libraries an input takes.
if(FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "FUZZ needs clang: found ${CMAKE_CXX_COMPILER_ID}, "
      "expected -DCMAKE_CXX_COMPILER=clang++-19")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# A packet's way goes through many small functions of many files: what is installed, and what measures
# it, is optimised across them when it is linked (fettle_lto). The libraries' objects hold both forms,
# for the tests have no use for it, and link faster without.
add_library(fettle_lto_objects INTERFACE)
add_library(fettle_lto INTERFACE)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT SANITIZE)
  target_compile_options(fettle_lto_objects INTERFACE -flto=auto -ffat-lto-objects)
  target_compile_options(fettle_lto INTERFACE -flto=auto)
  target_link_options(fettle_lto INTERFACE -flto=auto)
endif()

# Headers that most files of a library include, read once. It hides an #include that is missing, so that the
# release build, which has it in the tests alone, stays the judge of these.
function(fettle_precompile target)
  if(PRECOMPILE)
    target_precompile_headers(${target} PRIVATE <fmt/format.h> <algorithm> <array> <chrono> <functional> <map>
      <memory> <optional> <span> <string> <string_view> <vector> ${ARGN})
  endif()
endfunction()
