// Asks the processor for the cache line at an address that a packet will need soon; any address
// will do. GCC takes a function that does no more than __builtin_prefetch for one without effect,
// and drops its calls when it optimises across files: the empty statement is an effect.
#pragma once

namespace fettle {

inline void prefetch_line(const void* at) noexcept {
  __builtin_prefetch(at);
  asm volatile("");
}

}  // namespace fettle
