// How many lines about packets a queue's worker writes: at most kLinesPerSecond of each kind, and
// one that says how many were left out.
#pragma once

#include <chrono>
#include <cstdint>

namespace fettle {

class LineLimit {
 public:
  static constexpr uint32_t kLinesPerSecond = 50;

  // False: this one is left out.
  bool take() {
    if (spent()) return leave_out(1);
    ++lines_;
    return true;
  }
  bool spent() const { return lines_ >= kLinesPerSecond; }
  bool leave_out(uint64_t lines) {
    left_out_ += lines;
    return false;
  }
  bool any_left_out() const { return left_out_ > 0; }
  // What was left out in the second that is over; 0 while it is not.
  uint64_t renew(std::chrono::steady_clock::time_point now) {
    if (now - second_ < std::chrono::seconds(1)) return 0;
    const uint64_t out = left_out_;
    left_out_ = 0;
    lines_ = 0;
    second_ = now;
    return out;
  }

 private:
  uint64_t left_out_ = 0;
  uint32_t lines_ = 0;  // in the second that began at second_
  std::chrono::steady_clock::time_point second_{};
};

}  // namespace fettle
