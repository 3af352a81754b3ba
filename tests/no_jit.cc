// For Valgrind, before libpcre2-8: patterns are interpreted, since what PCRE2 compiles at run time
// reads whole vectors at the ends of texts and jumps by their parts, which Valgrind takes for
// uninitialised bytes.
#include <cstdint>

extern "C" int pcre2_jit_compile_8(void*, uint32_t) { return 0; }
