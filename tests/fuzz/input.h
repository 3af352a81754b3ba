// What the fuzz targets share: bytes of the input in turn, and how an invariant that does not hold
// ends the program.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <source_location>
#include <span>

#include "core/bytes.h"

namespace fettle::fuzz {

// Says which one, where the compiler has made all of a target one function.
[[noreturn]] inline void broken(const std::source_location& where) {
  std::fprintf(stderr, "%s:%u: does not hold\n", where.file_name(), where.line());
  std::abort();
}
inline void check(bool holds, const std::source_location& where = std::source_location::current()) {
  if (!holds) broken(where);
}

// Bytes on the heap and exactly as many, so that a sanitizer sees the first one beyond.
class Exact {
 public:
  Exact() = default;
  explicit Exact(size_t size) : bytes_(new std::byte[size]{}), size_(size) {}
  explicit Exact(std::span<const uint8_t> from) : Exact(from.size()) {
    if (size_ > 0) std::memcpy(bytes_.get(), from.data(), size_);
  }
  std::byte* data() const { return bytes_.get(); }
  size_t size() const { return size_; }
  std::span<std::byte> span() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_ = 0;
};

// Bytes in turn; zeros after the last.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}
  bool empty() const { return left_.empty(); }
  uint8_t byte() { return empty() ? 0 : take(1)[0]; }
  uint32_t word() {
    uint32_t out = 0;
    for (int i = 0; i < 4; ++i) out = out << 8 | byte();
    return out;
  }
  uint32_t below(uint32_t n) { return byte() % n; }
  // Mostly a small one, so that what is made of several of them meets; the ends of the range by
  // single bytes.
  uint32_t number(uint32_t most) {
    const uint8_t first = byte();
    if (first == 0xff) return most;
    if (first == 0xfe) return most - std::min<uint32_t>(most, byte());
    if (first >= 0xf0) return std::min(word(), most);
    return std::min<uint32_t>(first, most);
  }
  // The next ones, as many as there are.
  std::span<const uint8_t> take(size_t count) {
    const auto out = left_.first(std::min(count, left_.size()));
    left_ = left_.subspan(out.size());
    return out;
  }

 private:
  std::span<const uint8_t> left_;
};

}  // namespace fettle::fuzz
