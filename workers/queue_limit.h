// How many packets the kernel may keep waiting, by what the packet loop sees of the queue.
//
// A long queue takes in bursts. In an overload that lasts it saves nothing: it is full all the
// same, each packet waits its whole length, and what has waited so long has left the caches before
// it is read. So the limit is `burst` until that many packets have been read without the queue once
// running empty, which no burst explains, and the queue is all but full still; then it is
// `overload`, until the queue keeps running empty again. A queue that stands and is not full is no
// overload: TCP keeps as much on the way as its window allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace fettle {

class QueueLimit {
 public:
  // Never changes where overload >= burst.
  QueueLimit(uint32_t burst, uint32_t overload) : burst_(burst), overload_(overload) {}

  // After each receive: `received` > 0 packets of `room` that it could have brought; less than
  // `room` means that the queue was empty then. waiting() tells how many packets wait and is asked
  // once in `burst` packets at most. Returns the new limit where it is to change.
  template <typename Waiting>
  std::optional<uint32_t> after(size_t received, size_t room, Waiting&& waiting) noexcept {
    if (overload_ >= burst_) return std::nullopt;
    const bool emptied = received < room;
    since_empty_ = emptied ? 0 : since_empty_ + received;
    if (lowered_) return rise(emptied);
    if (since_empty_ <= burst_) return std::nullopt;
    since_empty_ = 0;
    if (waiting() < full()) return std::nullopt;
    return lower();
  }

  bool lowered() const { return lowered_; }
  // So many packets are all but as many as may wait.
  uint32_t full() const { return burst_ - burst_ / 8; }

 private:
  std::optional<uint32_t> lower() noexcept;
  std::optional<uint32_t> rise(bool emptied) noexcept;

  uint32_t burst_;
  uint32_t overload_;
  bool lowered_ = false;
  uint64_t since_empty_ = 0;  // packets
  uint32_t calm_ = 0;         // receives that emptied the queue, less those that did not
};

}  // namespace fettle
