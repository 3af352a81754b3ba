#include "core/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

// Closes the descriptor where it fails.
Result<SharedMemory> SharedMemory::map(int fd, size_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return fail(ErrorCode::kOs, fmt::format("cannot map {} bytes of shared memory: {}", size,
                                            std::strerror(error)));
  }
  SharedMemory out;
  out.data_ = static_cast<std::byte*>(at);
  out.size_ = size;
  out.fd_ = fd;
  return out;
}

Result<SharedMemory> SharedMemory::create(size_t size, const char* name) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0 ||
      fcntl(fd, F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return fail(ErrorCode::kOs, fmt::format("cannot make {} bytes of shared memory: {}", size,
                                            std::strerror(error)));
  }
  return map(fd, size);
}

Result<SharedMemory> SharedMemory::adopt(int fd) {
  struct stat status {};
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd, &status) != 0 || status.st_size == 0) {
    close(fd);
    return fail(ErrorCode::kData,
                fmt::format("descriptor {}: expected shared memory of a fixed size, which this is "
                            "not",
                            fd));
  }
  return map(fd, static_cast<size_t>(status.st_size));
}

SharedMemory::~SharedMemory() {
  if (data_) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

bool SharedMemory::lock() const { return mlock(data_, size_) == 0; }

}  // namespace fettle
