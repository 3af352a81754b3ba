# One interface target carries the warnings; sanitizers and the optimiser apply to everything.
add_library(fettle_warnings INTERFACE)
target_compile_options(fettle_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(fettle_warnings INTERFACE -Wcast-align=strict)
endif()

include_directories(${PROJECT_SOURCE_DIR})
add_compile_options(-fno-omit-frame-pointer)

if(SANITIZE)
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=${SANITIZE})
endif()

# The fuzz targets see which branches of the libraries an input takes.
if(FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "FUZZ needs clang: found ${CMAKE_CXX_COMPILER_ID}, "
      "expected -DCMAKE_CXX_COMPILER=clang++-19")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
