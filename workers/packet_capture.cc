#include "workers/packet_capture.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

#include "core/raw_capture.h"
#include "workers/clock.h"

namespace fettle {

PacketCapture::PacketCapture(std::span<const int> fds, LoopCounters* counters)
    : counters_(counters) {
  for (const int fd : fds) {
    files_.push_back({.fd = fd, .buffer = std::make_unique<std::byte[]>(kBuffer)});
  }
}

void PacketCapture::capture(uint32_t file, const Packet& packet) noexcept {
  File& mine = files_[file];
  const size_t size = raw_capture::record_size(packet);
  if (mine.fd < 0 || packet.data == nullptr || size > kBuffer - mine.used) {
    std::atomic_ref(counters_->not_captured).fetch_add(1, std::memory_order_relaxed);
    return;
  }
  raw_capture::put_record(mine.buffer.get() + mine.used, wall_now(), packet);
  mine.used += size;
  ++mine.packets;
  waiting_ = true;
}

void PacketCapture::write_due() {
  const uint64_t now = steady_now();
  const bool full =
      std::ranges::any_of(files_, [](const File& file) { return file.used > kBuffer / 2; });
  if (!full && now - since_ < kLongestStay) return;
  since_ = now;
  flush();
}

void PacketCapture::flush() {
  if (!std::exchange(waiting_, false)) return;
  for (File& file : files_) {
    if (file.used > 0) write_file(file);
  }
}

void PacketCapture::write_file(File& file) {
  const auto size = static_cast<ssize_t>(std::exchange(file.used, 0));
  const uint64_t packets = std::exchange(file.packets, 0);
  ssize_t written = 0;
  do {
    written = write(file.fd, file.buffer.get(), static_cast<size_t>(size));
  } while (written < 0 && errno == EINTR);
  uint64_t& counter = written == size ? counters_->captured : counters_->not_captured;
  std::atomic_ref(counter).fetch_add(packets, std::memory_order_relaxed);
  if (written == size) return;
  // What would come behind a record cut short could not be read.
  spdlog::error("a capture ends here: cannot write: {}",
                written < 0 ? std::strerror(errno) : "the file system is full");
  file.fd = -1;
}

}  // namespace fettle
