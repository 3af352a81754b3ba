// Room for one batch: where datagrams are received, and the packets of them that are in hand. It
// lies in memory that outlives the process, with all that a successor needs to go on where this
// one ends: recvmmsg writes a datagram's length there with the datagram, and each packet says how
// far it has come (Stage). What is in it is good until clear(), after the verdicts were sent.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "workers/batch.h"

namespace fettle {

class Inbox {
 public:
  static constexpr size_t kLongest = 0x11000;  // a payload of 64 KiB and the attributes beside it
  static constexpr size_t kBehind = 4;

  // Of memory for one: whole pages, zeroed or left by another such inbox.
  static size_t bytes(size_t batch);
  // The memory is not touched before begin() or adopt().
  Inbox(std::span<std::byte> memory, size_t batch);

  // Empty, whatever there was.
  void begin() noexcept;
  // What a predecessor that is gone has left there, wherever it had mapped it: packets that got
  // somewhere are held(), and datagram(i) from unread() on are what it did not come to. False:
  // there is nothing that could be understood, and it is empty now.
  bool adopt() noexcept;

  // Up to capacity() datagrams; < 0: errno says why there is none. wait: blocks until there is one
  // (SO_RCVTIMEO bounds it) and brings what is there then.
  int receive(int fd, bool wait) noexcept;
  // The i-th of those received last. kBehind bytes behind it may be written to. Empty beyond them.
  std::span<std::byte> datagram(size_t i) noexcept;
  // A copy of a datagram of at most kLongest bytes, as if it had been received alone.
  std::span<std::byte> place(std::span<const std::byte> datagram) noexcept;
  // Datagrams before this one are packets in hold(), or nothing.
  void read_up_to(size_t i) noexcept;
  size_t unread() const { return header_->read; }

  // The bytes of a packet that lies here, as a predecessor left it or somebody else has it in use;
  // empty where there are none, or it says what cannot be. The memory is read only.
  std::span<const std::byte> bytes_of(const InHand& hand) const noexcept;
  // Of one that another process may have in use: as many as it has, at this moment.
  size_t in_use() const;
  const InHand& hand(size_t i) const { return hands_[i]; }

  // Bytes from there on, which lies in a datagram, that may be used, kBehind bytes aside.
  size_t room_from(const std::byte* at) const noexcept;

  size_t capacity() const { return in_order_.size(); }
  bool full() const { return header_->used == capacity(); }
  // Requires !full(). It is Stage::kEmpty until its owner says otherwise.
  InHand& hold(const QueuedPacket& queued) noexcept;
  // In the order in which they were put in.
  std::span<InHand* const> held() const { return {in_order_.data(), header_->used}; }

  // All that is held has its verdict, which is not sent yet.
  void set_answered() noexcept { answered_ = true; }
  bool answered() const { return answered_; }
  void clear() noexcept;

 private:
  struct Header {
    uint64_t magic;
    const std::byte* slots;  // as its last user had it mapped
    uint32_t batch;
    uint32_t read;
    uint32_t used;
  };
  void point() noexcept;
  std::optional<size_t> offset_of(const InHand& hand) const noexcept;
  bool relocate(InHand& hand) const noexcept;

  Header* header_;
  mmsghdr* headers_;
  InHand* hands_;
  std::byte* slots_;
  bool answered_ = false;
  std::vector<iovec> vectors_;
  std::vector<InHand*> in_order_;  // all of hands_
};

}  // namespace fettle
