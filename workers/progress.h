// A bar on the terminal while a long file is read; nothing where stderr is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace fettle {

class Progress {
 public:
  // total: bytes of the input, where known.
  Progress(std::optional<uint64_t> total, bool wanted);
  // At most ten times a second.
  void show(uint64_t bytes, uint64_t packets);
  void erase();

 private:
  std::optional<uint64_t> total_;
  bool on_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace fettle
