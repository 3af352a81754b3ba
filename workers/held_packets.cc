#include "workers/held_packets.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/hash.h"
#include "workers/inbox.h"

namespace fettle {
namespace {

// A verdict and the padding behind its payload are made around the bytes, as in an inbox.
constexpr size_t kBefore = 64;
static_assert(kBefore >= kMaxVerdictHead);
constexpr size_t kAround = kBefore + 64;
static_assert(kAround - kBefore >= Inbox::kBehind);

constexpr size_t stride(size_t bytes) { return (bytes + kAround + 63) & ~size_t{63}; }

}  // namespace

Result<HeldPackets> HeldPackets::create(const Size& size) {
  const size_t bytes = size.small * stride(kSmall) + size.large * stride(kLarge);
  SharedMemory rooms;
  if (bytes > 0) {
    auto made = SharedMemory::create(bytes);
    if (!made) return std::unexpected(made.error());
    rooms = std::move(*made);
    rooms.lock();  // a page fault less; RLIMIT_MEMLOCK may forbid it
  }
  return HeldPackets(size, std::move(rooms));
}

HeldPackets::HeldPackets(const Size& size, SharedMemory rooms)
    : rooms_(std::move(rooms)),
      packets_(size.packets),
      heap_(size.packets),
      buckets_(std::bit_ceil(size_t{size.packets} + 1)) {
  free_.reserve(size.packets);
  taken_.reserve(size.packets);
  for (uint32_t i = size.packets; i > 0; --i) free_.push_back(i - 1);
  std::byte* at = rooms_.data();
  const auto fill = [&at](std::vector<std::byte*>& list, uint32_t count, size_t bytes) {
    list.reserve(count);
    for (uint32_t i = 0; i < count; ++i, at += stride(bytes)) list.push_back(at + kBefore);
  };
  fill(small_, size.small, kSmall);
  fill(large_, size.large, kLarge);
}

HeldPacket* HeldPackets::hold(const InHand& hand, size_t room, uint64_t deadline,
                              uint64_t tag) noexcept {
  if (free_.empty()) return nullptr;
  const size_t bytes = hand.packet.resized ? hand.packet.size : hand.queued.payload.size();
  std::byte* at = nullptr;
  bool large = false;
  if (room > 0 && bytes > 0) {
    at = take_room(std::max(bytes, std::min(room, kLarge)), &large);
    if (!at) return nullptr;
  }
  HeldPacket& held = packets_[free_.back()];
  free_.pop_back();
  held = {.hand = hand, .deadline = deadline, .tag = tag, .arrival = arrivals_++};
  held.room = at;
  held.large = large;
  move_in(held, bytes, large ? kLarge : kSmall);
  put(heap_used_++, place_of(held));
  rise(held.heap_place);
  if (tag != kNoTag) link(held);
  return &held;
}

// Where small rooms are all taken, a large one does as well.
std::byte* HeldPackets::take_room(size_t size, bool* large) {
  *large = size > kSmall || small_.empty();
  std::vector<std::byte*>& list = *large ? large_ : small_;
  if (list.empty() || size > kLarge) return nullptr;
  std::byte* const room = list.back();
  list.pop_back();
  return room;
}

void HeldPackets::move_in(HeldPacket& held, size_t bytes, size_t room) {
  InHand& hand = held.hand;
  if (!held.room) {
    hand.queued.payload = {};
    hand.queued.before = 0;
    hand.packet.data = nullptr;
    hand.packet.size = hand.packet.capacity = 0;
    return;
  }
  const std::byte* from = hand.packet.resized ? hand.packet.data : hand.queued.payload.data();
  std::copy_n(from, bytes, held.room);
  hand.queued.payload = {held.room, bytes};
  hand.queued.before = kBefore;
  if (hand.packet.data != nullptr) hand.packet.data = held.room;
  if (hand.packet.capacity > 0) hand.packet.capacity = static_cast<uint32_t>(room);
}

HeldPacket* HeldPackets::due(uint64_t now) noexcept {
  if (next_deadline() > now || empty()) return nullptr;
  return &packets_[heap_[0]];
}

uint64_t HeldPackets::next_deadline() const {
  return empty() ? kNever : packets_[heap_[0]].deadline;
}

void HeldPackets::postpone(HeldPacket& packet, uint64_t deadline) noexcept {
  packet.deadline = deadline;
  rise(packet.heap_place);
  sink(packet.heap_place);
}

void HeldPackets::take(HeldPacket& packet) noexcept {
  const uint32_t hole = packet.heap_place;
  const uint32_t moved = heap_[--heap_used_];
  if (hole != heap_used_) {
    put(hole, moved);
    rise(hole);
    sink(packets_[moved].heap_place);
  }
  if (packet.tag != kNoTag) unlink(packet);
  taken_.push_back(place_of(packet));
}

void HeldPackets::recycle() noexcept {
  for (const uint32_t slot : taken_) {
    const HeldPacket& packet = packets_[slot];
    if (packet.room) (packet.large ? large_ : small_).push_back(packet.room);
    free_.push_back(slot);
  }
  taken_.clear();
}

// ---- By deadline: a binary heap of slots, each of which knows its place ----

uint32_t HeldPackets::place_of(const HeldPacket& packet) const {
  return static_cast<uint32_t>(&packet - packets_.data());
}

bool HeldPackets::before(uint32_t one, uint32_t other) const {
  const HeldPacket& a = packets_[one];
  const HeldPacket& b = packets_[other];
  return a.deadline != b.deadline ? a.deadline < b.deadline : a.arrival < b.arrival;
}

void HeldPackets::put(uint32_t heap_place, uint32_t slot) {
  heap_[heap_place] = slot;
  packets_[slot].heap_place = heap_place;
}

void HeldPackets::rise(uint32_t heap_place) {
  const uint32_t slot = heap_[heap_place];
  while (heap_place > 0) {
    const uint32_t parent = (heap_place - 1) / 2;
    if (!before(slot, heap_[parent])) break;
    put(heap_place, heap_[parent]);
    heap_place = parent;
  }
  put(heap_place, slot);
}

void HeldPackets::sink(uint32_t heap_place) {
  const uint32_t slot = heap_[heap_place];
  for (;;) {
    uint32_t child = 2 * heap_place + 1;
    if (child >= heap_used_) break;
    if (child + 1 < heap_used_ && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], slot)) break;
    put(heap_place, heap_[child]);
    heap_place = child;
  }
  put(heap_place, slot);
}

// ---- By tag: buckets, in each the packets of all its tags in the order in which they came ----

size_t HeldPackets::bucket_of(uint64_t tag) const {
  return static_cast<size_t>(mix(tag)) & (buckets_.size() - 1);
}

void HeldPackets::link(HeldPacket& packet) {
  Bucket& bucket = buckets_[bucket_of(packet.tag)];
  const uint32_t slot = place_of(packet);
  packet.next = kNone;
  packet.previous = std::exchange(bucket.last, slot);
  (packet.previous == kNone ? bucket.first : packets_[packet.previous].next) = slot;
}

void HeldPackets::unlink(HeldPacket& packet) {
  Bucket& bucket = buckets_[bucket_of(packet.tag)];
  (packet.previous == kNone ? bucket.first : packets_[packet.previous].next) = packet.next;
  (packet.next == kNone ? bucket.last : packets_[packet.next].previous) = packet.previous;
  packet.next = packet.previous = kNone;
}

uint32_t HeldPackets::with_tag(uint32_t slot, uint64_t tag) const {
  while (slot != kNone && packets_[slot].tag != tag) slot = packets_[slot].next;
  return slot;
}

HeldPacket* HeldPackets::first(uint64_t tag) noexcept {
  const uint32_t slot = with_tag(buckets_[bucket_of(tag)].first, tag);
  return slot == kNone ? nullptr : &packets_[slot];
}

HeldPacket* HeldPackets::next(const HeldPacket& packet) noexcept {
  const uint32_t slot = with_tag(packet.next, packet.tag);
  return slot == kNone ? nullptr : &packets_[slot];
}

}  // namespace fettle
