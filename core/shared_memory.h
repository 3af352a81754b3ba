// Memory that processes forked from one parent share, zeroed, page aligned, never moved. Populated
// at once, so that no page fault comes later.
#pragma once

#include <cstddef>
#include <utility>

#include "core/result.h"

namespace fettle {

class SharedMemory {
 public:
  static Result<SharedMemory> create(size_t size);
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
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

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace fettle
