# One interface target carries the warnings; sanitizers and the optimiser apply to everything.
add_library(fettle_warnings INTERFACE)
target_compile_options(fettle_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Wcast-align=strict -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(fettle_warnings INTERFACE -Wno-cast-align)
endif()

include_directories(${PROJECT_SOURCE_DIR})
add_compile_options(-fno-omit-frame-pointer)

if(SANITIZE)
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=${SANITIZE})
endif()
