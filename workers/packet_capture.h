// Where a worker's capture steps put packets: in a buffer of a fixed size for each file, written
// between batches when it has been filled by half or for a while. What does not fit meanwhile is
// not captured, and counted. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "rules/program.h"
#include "workers/heritage.h"

namespace fettle {

class PacketCapture final : public CaptureSink {
 public:
  static constexpr size_t kBuffer = 2 << 20;             // 16 packets of 64 KiB, and as much again
  static constexpr uint64_t kLongestStay = 100'000'000;  // nanoseconds in the buffer, under load

  // The files outlive it. Counts in `counters`.
  PacketCapture(std::span<const int> fds, LoopCounters* counters);

  void capture(uint32_t file, const Packet& packet) noexcept override;
  // Between batches: writes what has waited long enough.
  void tick() {
    if (waiting_) write_due();
  }
  // Writes what there is.
  void flush();

 private:
  struct File {
    int fd = -1;  // -1: it took no more
    size_t used = 0;
    uint64_t packets = 0;
    std::unique_ptr<std::byte[]> buffer;
  };
  void write_due();
  void write_file(File& file);

  std::vector<File> files_;
  LoopCounters* counters_;
  bool waiting_ = false;  // some file's buffer is not empty
  uint64_t since_ = 0;    // when that began, or the last write was
};

}  // namespace fettle
