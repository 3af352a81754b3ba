// Room for one batch: where datagrams are received, and the packets of them that are in hand. All
// of it is allocated and locked in memory when it is made.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/shared_memory.h"
#include "workers/batch.h"

namespace fettle {

class Inbox {
 public:
  static constexpr size_t kLongest = 0x11000;  // a payload of 64 KiB and the attributes beside it
  static constexpr size_t kBehind = 4;

  static Result<Inbox> create(size_t batch);

  // Up to capacity() datagrams; < 0: errno says why there is none. wait: blocks until there is one
  // (SO_RCVTIMEO bounds it) and brings what is there then.
  int receive(int fd, bool wait) noexcept;
  // The i-th of those received last. kBehind bytes behind it may be written to.
  std::span<std::byte> datagram(size_t i) noexcept;
  // A copy of a datagram of at most kLongest bytes, as if it had been received alone.
  std::span<std::byte> place(std::span<const std::byte> datagram) noexcept;

  // Bytes from there on, which lies in a datagram, that may be used, kBehind bytes aside.
  size_t room_from(const std::byte* at) const noexcept;

  size_t capacity() const { return headers_.size(); }
  bool full() const { return used_ == hands_.size(); }
  // Requires !full().
  InHand& hold(const QueuedPacket& queued) noexcept;
  // In the order in which they were put in.
  std::span<InHand* const> held() const { return {in_order_.data(), used_}; }
  void clear() noexcept { used_ = 0; }

 private:
  Inbox(SharedMemory slots, size_t batch);

  SharedMemory slots_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> headers_;
  std::vector<InHand> hands_;
  std::vector<InHand*> in_order_;  // all of hands_
  size_t used_ = 0;
};

}  // namespace fettle
