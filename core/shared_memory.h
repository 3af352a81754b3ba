// Memory that processes share through a descriptor (memfd_create(2)): with children by fork, with
// anybody else by handing the descriptor over. Zeroed when it is made, page aligned, of one size
// for ever (F_SEAL_SHRINK and F_SEAL_GROW: nobody who has it can make a reader's access fail).
// Populated at once, so that no page fault comes later.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "core/result.h"

namespace fettle {

class SharedMemory {
 public:
  // `name` is what /proc/PID/fd and /proc/PID/maps call it.
  static Result<SharedMemory> create(size_t size, const char* name = "fettle");
  // Takes the descriptor over, also where it fails: of memory that create() has made somewhere,
  // whole. Refused: what is no memory, and what could still be made shorter.
  static Result<SharedMemory> adopt(int fd);
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        fd_(std::exchange(other.fd_, -1)) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~SharedMemory();

  // Keeps the pages in memory; false where the limit (RLIMIT_MEMLOCK) forbids it.
  bool lock() const;
  std::byte* data() const { return data_; }
  // What was placed at the beginning, as one object or the first of an array.
  template <typename T>
  T* as() const {
    return static_cast<T*>(static_cast<void*>(data_));
  }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }
  int fd() const { return fd_; }

 private:
  static Result<SharedMemory> map(int fd, size_t size);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace fettle
