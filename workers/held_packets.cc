#include "workers/held_packets.h"

#include <algorithm>
#include <bit>
#include <type_traits>
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

// Another one for every change of what lies there.
constexpr uint64_t kMagic = 0x66657474'6c650100 + sizeof(HeldPacket);
static_assert(std::is_trivially_copyable_v<HeldPacket>);

constexpr size_t kHeader = 64;
size_t rooms_at(size_t packets) {
  return kHeader + ((packets * sizeof(HeldPacket) + 63) & ~size_t{63});
}

template <typename T>
T* place_at(std::byte* at) {
  return static_cast<T*>(static_cast<void*>(at));
}

}  // namespace

size_t HeldPackets::bytes(const Size& size) {
  constexpr size_t kPage = 4096;
  const size_t all =
      rooms_at(size.packets) + size.small * stride(kSmall) + size.large * stride(kLarge);
  return (all + kPage - 1) / kPage * kPage;
}

HeldPackets::HeldPackets(std::span<std::byte> memory, const Size& size)
    : size_(size),
      header_(place_at<Header>(memory.data())),
      packets_(place_at<HeldPacket>(memory.data() + kHeader)),
      rooms_(memory.data() + rooms_at(size.packets)),
      heap_(size.packets),
      buckets_(std::bit_ceil(size_t{size.packets} + 1)) {
  static_assert(sizeof(Header) <= kHeader);
  free_.reserve(size.packets);
  taken_.reserve(size.packets);
  small_.reserve(size.small);
  large_.reserve(size.large);
}

void HeldPackets::begin() noexcept {
  for (uint32_t i = 0; i < size_.packets; ++i) packets_[i].present = false;
  *header_ = {.magic = kMagic, .rooms = rooms_, .size = size_, .arrivals = 0};
  enter_again({});
}

bool HeldPackets::adopt(std::vector<HeldPacket*>& taken) noexcept {
  if (!understood()) {
    begin();
    return false;
  }
  std::vector<HeldPacket*> waiting;
  for (uint32_t i = 0; i < size_.packets; ++i) {
    HeldPacket& packet = packets_[i];
    normalize(packet.present);
    normalize(packet.large);
    if (!packet.present) continue;
    normalize(packet.hand);
    relocate(packet, header_->rooms);
    if (!sane(packet)) packet.present = false;
    if (!packet.present) continue;
    (packet.hand.stage == Stage::kHeld ? waiting : taken).push_back(&packet);
  }
  header_->rooms = rooms_;
  std::ranges::sort(waiting, {}, &HeldPacket::arrival);
  enter_again(waiting);
  for (const HeldPacket* packet : taken) taken_.push_back(place_of(*packet));
  return true;
}

bool HeldPackets::understood() const noexcept {
  return header_->magic == kMagic && header_->size == size_;
}

bool HeldPackets::has(uint32_t id) const noexcept {
  const std::span packets(packets_, size_.packets);
  return std::ranges::any_of(packets, [id](const HeldPacket& packet) {
    return packet.present && packet.hand.queued.id == id;
  });
}

// To where this process has it. Done once or twice, it is the same: who does it may be killed, too.
void HeldPackets::relocate(HeldPacket& packet, const std::byte* old_rooms) const {
  if (packet.room == nullptr) return;
  const size_t size = size_.small * stride(kSmall) + size_.large * stride(kLarge);
  const auto at = reinterpret_cast<uintptr_t>(packet.room);
  if (at - reinterpret_cast<uintptr_t>(rooms_) >= size) {
    packet.room = rooms_ + (at - reinterpret_cast<uintptr_t>(old_rooms)) % size;
  }
  packet.hand.queued.payload = {packet.room, packet.hand.queued.payload.size()};
  if (packet.hand.packet.data != nullptr) packet.hand.packet.data = packet.room;
}

bool HeldPackets::sane(const HeldPacket& packet) const {
  const InHand& hand = packet.hand;
  if (packet.room == nullptr) return hand.queued.payload.empty() && hand.packet.size == 0;
  const bool large = is_set(packet.large);
  const size_t room = large ? kLarge : kSmall;
  const auto offset = static_cast<size_t>(packet.room - rooms_);
  const size_t first_large = size_.small * stride(kSmall);
  const bool placed =
      large ? offset >= first_large + kBefore && (offset - first_large) % stride(kLarge) == kBefore
            : offset < first_large && offset % stride(kSmall) == kBefore;
  return placed && hand.queued.payload.size() <= room && hand.packet.size <= room &&
         hand.packet.capacity <= room && hand.queued.before <= kBefore;
}

// What is not in a process's memory alone is what the packets say; the rest is made from it.
void HeldPackets::enter_again(std::span<HeldPacket* const> in_order) {
  heap_used_ = 0;
  std::ranges::fill(buckets_, Bucket{});
  taken_.clear();
  free_.clear();
  small_.clear();
  large_.clear();
  std::vector<bool> occupied(size_.small + size_.large);
  const auto number_of = [this](const HeldPacket& packet) {
    const auto offset = static_cast<size_t>(packet.room - rooms_);
    const size_t first_large = size_.small * stride(kSmall);
    return packet.large ? size_.small + (offset - first_large) / stride(kLarge)
                        : offset / stride(kSmall);
  };
  for (uint32_t i = size_.packets; i > 0; --i) {
    const HeldPacket& packet = packets_[i - 1];
    if (!packet.present) free_.push_back(i - 1);
    if (packet.present && packet.room) occupied[number_of(packet)] = true;
  }
  std::byte* at = rooms_ + kBefore;
  for (size_t i = 0; i < occupied.size(); ++i) {
    const bool small = i < size_.small;
    if (!occupied[i]) (small ? small_ : large_).push_back(at);
    at += stride(small ? kSmall : kLarge);
  }
  for (HeldPacket* packet : in_order) {
    put(heap_used_++, place_of(*packet));
    rise(packet->heap_place);
    if (packet->tag != kNoTag) link(*packet);
  }
}

HeldPacket* HeldPackets::hold(const InHand& hand, size_t room, uint64_t deadline,
                              uint64_t tag) noexcept {
  if (free_.empty()) return nullptr;
  const size_t bytes = hand.packet.resized ? hand.packet.size : hand.queued.payload.size();
  const size_t size = room > 0 && bytes > 0 ? std::max(bytes, std::min(room, kLarge)) : 0;
  if (tag != kNoTag && has_its_share(tag, size)) return nullptr;
  std::byte* at = nullptr;
  bool large = false;
  if (size > 0) {
    at = take_room(size, &large);
    if (!at) return nullptr;
  }
  HeldPacket& held = packets_[free_.back()];
  free_.pop_back();
  held = {.hand = hand, .deadline = deadline, .tag = tag, .arrival = header_->arrivals++};
  held.room = at;
  held.large = large;
  move_in(held, bytes, large ? kLarge : kSmall);
  enter(held.hand, Stage::kHeld);
  held.present = true;
  put(heap_used_++, place_of(held));
  rise(held.heap_place);
  if (tag != kNoTag) link(held);
  return &held;
}

// The dynamic thresholds of switches' shared buffers (Choudhury and Hahne, 1998).
bool HeldPackets::has_its_share(uint64_t tag, size_t size) const {
  const Bucket& bucket = buckets_[bucket_of(tag)];
  return bucket.packets >= free_.size() || (size > kSmall && bucket.large >= large_.size());
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
    HeldPacket& packet = packets_[slot];
    packet.present = false;
    if (packet.room) (packet.large ? large_ : small_).push_back(packet.room);
    free_.push_back(slot);
  }
  taken_.clear();
}

// ---- By deadline: a binary heap of slots, each of which knows its place ----

uint32_t HeldPackets::place_of(const HeldPacket& packet) const {
  return static_cast<uint32_t>(&packet - packets_);
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
  ++bucket.packets;
  if (packet.room && packet.large) ++bucket.large;
  packet.next = kNone;
  packet.previous = std::exchange(bucket.last, slot);
  (packet.previous == kNone ? bucket.first : packets_[packet.previous].next) = slot;
}

void HeldPackets::unlink(HeldPacket& packet) {
  Bucket& bucket = buckets_[bucket_of(packet.tag)];
  --bucket.packets;
  if (packet.room && packet.large) --bucket.large;
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
