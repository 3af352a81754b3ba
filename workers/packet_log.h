// Where a worker's "log" steps go: kept aside on the packet path, written between batches, as many
// as LineLimit lets.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rules/program.h"
#include "workers/line_limit.h"

namespace fettle {

// " hook forward in lan mark 0x1": what a packet came with.
std::string metadata_words(const Metadata& metadata);

class PacketLog final : public LogSink {
 public:
  static constexpr size_t kPending = 64;
  static constexpr size_t kBytes = 160;  // of a packet: its headers

  PacketLog(const std::vector<std::string>& rule_names, uint16_t queue)
      : rule_names_(rule_names), queue_(queue) {}

  void log(uint32_t rule, const Packet& packet, const Metadata& metadata) noexcept override;
  void flush() {
    if (pending_ > 0 || limit_.any_left_out()) write_pending();
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
  LineLimit limit_;
  std::array<Entry, kPending> entries_;
};

}  // namespace fettle
