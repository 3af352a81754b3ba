#include "core/shared_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace fettle {

Result<SharedMemory> SharedMemory::create(size_t size) {
  void* at =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (at == MAP_FAILED) {
    return fail(ErrorCode::kOs, fmt::format("cannot map {} bytes of shared memory: {}", size,
                                            std::strerror(errno)));
  }
  SharedMemory out;
  out.data_ = static_cast<std::byte*>(at);
  out.size_ = size;
  return out;
}

SharedMemory::~SharedMemory() {
  if (data_) munmap(data_, size_);
}

bool SharedMemory::lock() const { return mlock(data_, size_) == 0; }

}  // namespace fettle
