// Packets whose verdicts are given later. They stay in the kernel's queue; what has to be known of
// them, and their bytes where these are still wanted, is kept here: in memory that outlives the
// process, so that a successor goes on with them. Fixed room, locked when it is made. One thread.
//
// A packet leaves in one of two ways. due() gives it when its time has come, first the one with the
// earliest deadline, of several the one that came first. And who gave it a tag finds it by that, in
// the order in which the packets of the tag came. Either way take() takes it out; its bytes stay
// where they are, for a verdict that is made around them, until recycle().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "workers/batch.h"

namespace fettle {

struct HeldPacket {
  InHand hand;  // its bytes lie here, where it has any; `looked` says nothing any more. Its stage
                // is kHeld, until its owner says otherwise
  uint64_t deadline = 0;  // nanoseconds of the steady clock
  uint64_t tag = 0;

  // HeldPackets' own.
  uint64_t arrival = 0;
  uint32_t heap_place = 0;
  uint32_t previous = 0, next = 0;  // of one bucket of tags
  std::byte* room = nullptr;
  bool large = false;
  bool present = false;
};

class HeldPackets {
 public:
  static constexpr uint64_t kNoTag = 0;
  static constexpr uint64_t kNever = UINT64_MAX;
  // Bytes of a packet that the two kinds of room take.
  static constexpr size_t kSmall = 2048;
  static constexpr size_t kLarge = kMaxReturnedPayload;

  struct Size {
    uint32_t packets = 0;
    uint32_t small = 0;  // rooms for bytes
    uint32_t large = 0;
    bool operator==(const Size&) const = default;
  };
  // Of memory for so many.
  static size_t bytes(const Size& size);
  // The memory, whole pages, zeroed or left by another of the same size, is not touched before
  // begin() or adopt().
  HeldPackets(std::span<std::byte> memory, const Size& size);

  // Empty, whatever there was.
  void begin() noexcept;
  // What a predecessor that is gone has left there, wherever it had mapped it: what has a deadline
  // is held as it was; what was taken, and not recycled, is given to `taken`, and recycled with the
  // next. False: there is nothing that could be understood, and it is empty now.
  bool adopt(std::vector<HeldPacket*>& taken) noexcept;
  bool has(uint32_t id) const noexcept;  // also of what is taken; looks at all
  // All, also what is taken, of memory that another process uses, mapped where that one has it.
  template <typename Visitor>
  void look(Visitor&& visitor) const {
    if (!understood()) return;
    for (uint32_t i = 0; i < size_.packets; ++i) {
      if (is_set(packets_[i].present) && sane(packets_[i])) visitor(packets_[i]);
    }
  }

  // Keeps a copy of `hand`, and of its bytes where `room` > 0: they lie in `room` bytes or more
  // then (at most kLarge count), and may grow to that; Packet::capacity says to how many where it
  // said so before. With room 0 they are gone: the verdict must not need them. Null, and nothing
  // kept, where there is no room: for those of a tag already where they have as much of it as is
  // free, so that one of them never has more than half, and leaves some to the others.
  HeldPacket* hold(const InHand& hand, size_t room, uint64_t deadline, uint64_t tag) noexcept;

  // The next one whose deadline is at or before `now`; null where there is none.
  HeldPacket* due(uint64_t now) noexcept;
  // Of those with a tag, in the order in which they came; null at the end. What was taken has no
  // next.
  HeldPacket* first(uint64_t tag) noexcept;
  HeldPacket* next(const HeldPacket& packet) noexcept;

  // Another deadline, earlier or later.
  void postpone(HeldPacket& packet, uint64_t deadline) noexcept;
  // Takes it out. It and its bytes stay as they are until recycle().
  void take(HeldPacket& packet) noexcept;
  // Gives back the room of what was taken: after its verdicts were sent.
  void recycle() noexcept;

  bool empty() const { return heap_used_ == 0; }
  uint32_t count() const { return heap_used_; }
  uint32_t capacity() const { return size_.packets; }
  uint64_t next_deadline() const;  // kNever: nothing is held

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Header {
    uint64_t magic;
    const std::byte* rooms;  // as its last user had it mapped
    Size size;
    uint64_t arrivals;
  };
  bool understood() const noexcept;
  bool sane(const HeldPacket& packet) const;
  void relocate(HeldPacket& packet, const std::byte* old_rooms) const;
  void enter_again(std::span<HeldPacket* const> in_order);
  uint32_t place_of(const HeldPacket& packet) const;
  bool before(uint32_t one, uint32_t other) const;
  void put(uint32_t heap_place, uint32_t slot);
  void rise(uint32_t heap_place);
  void sink(uint32_t heap_place);
  size_t bucket_of(uint64_t tag) const;
  bool has_its_share(uint64_t tag, size_t size) const;
  void link(HeldPacket& packet);
  void unlink(HeldPacket& packet);
  uint32_t with_tag(uint32_t slot, uint64_t tag) const;
  std::byte* take_room(size_t size, bool* large);
  void move_in(HeldPacket& held, size_t bytes, size_t room);

  struct Bucket {
    uint32_t first = kNone, last = kNone;
    uint32_t packets = 0, large = 0;
  };

  Size size_;
  Header* header_;
  HeldPacket* packets_;
  std::byte* rooms_;
  std::vector<uint32_t> free_;
  std::vector<std::byte*> small_, large_;  // free rooms
  std::vector<uint32_t> taken_;
  std::vector<uint32_t> heap_;  // by deadline, then by arrival
  uint32_t heap_used_ = 0;
  std::vector<Bucket> buckets_;
};

}  // namespace fettle
