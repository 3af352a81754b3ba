// Where a worker's "log" steps go: kept aside on the packet path, written between batches, at most
// kLinesPerSecond of them; what was left out is counted and said.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "rules/program.h"

namespace fettle {

class PacketLog final : public LogSink {
 public:
  static constexpr size_t kPending = 64;
  static constexpr size_t kBytes = 160;  // of a packet: its headers
  static constexpr uint32_t kLinesPerSecond = 50;

  PacketLog(const std::vector<std::string>& rule_names, uint16_t queue)
      : rule_names_(rule_names), queue_(queue) {}

  void log(uint32_t rule, const Packet& packet, const Metadata& metadata) noexcept override;
  void flush() {
    if (pending_ > 0 || skipped_ > 0) write_pending();
  }

 private:
  struct Entry {
    uint32_t rule = 0;
    uint32_t size = 0;
    Metadata metadata;
    std::array<std::byte, kBytes> bytes;
  };
  void write_pending();

  const std::vector<std::string>& rule_names_;
  uint16_t queue_;
  size_t pending_ = 0;
  uint64_t skipped_ = 0;
  uint32_t lines_ = 0;  // in the second that began at second_
  std::chrono::steady_clock::time_point second_{};
  std::array<Entry, kPending> entries_;
};

}  // namespace fettle
