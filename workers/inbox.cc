#include "workers/inbox.h"

#include <algorithm>
#include <type_traits>

namespace fettle {
namespace {

// Not whole pages: the beginnings of all slots, which are all that most packets touch, would share
// a few sets of the first-level cache.
constexpr size_t kSlotSize = Inbox::kLongest + 5 * 64;
static_assert(kSlotSize >= Inbox::kLongest + Inbox::kBehind);
// Another one for every change of what lies there.
constexpr uint64_t kMagic = 0x66657474'6c650000 + sizeof(InHand);
static_assert(std::is_trivially_copyable_v<InHand>);

constexpr size_t aligned(size_t size) { return (size + 63) & ~size_t{63}; }
constexpr size_t kHeader = 64;
size_t hands_at(size_t batch) { return kHeader + aligned(batch * sizeof(mmsghdr)); }
size_t slots_at(size_t batch) { return hands_at(batch) + aligned(batch * sizeof(InHand)); }

template <typename T>
T* place_at(std::byte* at) {
  return static_cast<T*>(static_cast<void*>(at));
}

}  // namespace

size_t Inbox::bytes(size_t batch) {
  constexpr size_t kPage = 4096;
  return (slots_at(batch) + batch * kSlotSize + kPage - 1) / kPage * kPage;
}

Inbox::Inbox(std::span<std::byte> memory, size_t batch)
    : header_(place_at<Header>(memory.data())),
      headers_(place_at<mmsghdr>(memory.data() + kHeader)),
      hands_(place_at<InHand>(memory.data() + hands_at(batch))),
      slots_(memory.data() + slots_at(batch)),
      vectors_(batch),
      in_order_(batch) {
  static_assert(sizeof(Header) <= kHeader);
  for (size_t i = 0; i < batch; ++i) {
    vectors_[i] = {.iov_base = slots_ + i * kSlotSize, .iov_len = kSlotSize - kBehind};
    in_order_[i] = &hands_[i];
  }
}

// recvmmsg's headers lead to where this process has its memory.
void Inbox::point() noexcept {
  for (size_t i = 0; i < capacity(); ++i) {
    headers_[i].msg_hdr = {};
    headers_[i].msg_hdr.msg_iov = &vectors_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
  }
}

void Inbox::begin() noexcept {
  for (size_t i = 0; i < capacity(); ++i) {
    headers_[i].msg_len = 0;
    hands_[i].stage = Stage::kEmpty;
  }
  *header_ = {.magic = kMagic,
              .slots = slots_,
              .batch = static_cast<uint32_t>(capacity()),
              .read = 0,
              .used = 0};
  point();
}

bool Inbox::adopt() noexcept {
  if (header_->magic != kMagic || header_->batch != capacity() || header_->read > capacity() ||
      header_->used > capacity()) {
    begin();
    return false;
  }
  for (InHand* hand : held()) {
    normalize(*hand);
    if (!relocate(*hand)) hand->stage = Stage::kEmpty;
  }
  header_->slots = slots_;
  for (size_t i = 0; i < capacity(); ++i) {
    headers_[i].msg_len = std::min<unsigned>(headers_[i].msg_len, kSlotSize - kBehind);
  }
  point();
  return true;
}

// From the first slot on; none where it, or what it says of itself, is not inside of one. An
// address may be this process's or its predecessor's: who moves them may be killed at that, too.
std::optional<size_t> Inbox::offset_of(const InHand& hand) const noexcept {
  const size_t size = capacity() * kSlotSize;
  const std::span<std::byte> payload = hand.queued.payload;
  const auto at = reinterpret_cast<uintptr_t>(payload.data());
  size_t offset = at - reinterpret_cast<uintptr_t>(slots_);
  if (offset >= size) offset = at - reinterpret_cast<uintptr_t>(header_->slots);
  const size_t room = kSlotSize - kBehind - offset % kSlotSize;
  if (offset >= size || std::max<size_t>(payload.size(), hand.packet.size) > room ||
      hand.packet.capacity > room || hand.queued.before > offset % kSlotSize) {
    return std::nullopt;
  }
  return offset;
}

// To where this process has it.
bool Inbox::relocate(InHand& hand) const noexcept {
  if (hand.queued.payload.empty()) {
    hand.packet = {};
    return true;
  }
  const auto offset = offset_of(hand);
  if (!offset) return false;
  hand.queued.payload = std::span(slots_ + *offset, hand.queued.payload.size());
  if (hand.packet.data != nullptr) hand.packet.data = slots_ + *offset;
  return true;
}

std::span<const std::byte> Inbox::bytes_of(const InHand& hand) const noexcept {
  if (hand.queued.payload.empty()) return {};
  const auto offset = offset_of(hand);
  if (!offset) return {};
  const size_t size = is_set(hand.packet.resized) ? hand.packet.size : hand.queued.payload.size();
  return {slots_ + *offset, size};
}

size_t Inbox::in_use() const {
  return header_->magic == kMagic ? std::min<size_t>(header_->used, capacity()) : 0;
}

int Inbox::receive(int fd, bool wait) noexcept {
  header_->read = 0;
  return recvmmsg(fd, headers_, static_cast<unsigned>(capacity()),
                  wait ? MSG_WAITFORONE : MSG_DONTWAIT, nullptr);
}

std::span<std::byte> Inbox::datagram(size_t i) noexcept {
  return {slots_ + i * kSlotSize, headers_[i].msg_len};
}

std::span<std::byte> Inbox::place(std::span<const std::byte> datagram) noexcept {
  header_->read = 0;
  std::ranges::copy(datagram, slots_);
  headers_[0].msg_len = static_cast<unsigned>(datagram.size());
  return {slots_, datagram.size()};
}

void Inbox::read_up_to(size_t i) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  header_->read = static_cast<uint32_t>(i);
}

size_t Inbox::room_from(const std::byte* at) const noexcept {
  const auto offset = static_cast<size_t>(at - slots_);
  return kSlotSize - kBehind - offset % kSlotSize;
}

InHand& Inbox::hold(const QueuedPacket& queued) noexcept {
  InHand& hand = hands_[header_->used++];
  hand.queued = queued;
  return hand;
}

// In this order: a datagram whose bytes have been changed must not be read as if they had not.
void Inbox::clear() noexcept {
  for (size_t i = 0; i < header_->read; ++i) headers_[i].msg_len = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  for (InHand* hand : held()) hand->stage = Stage::kEmpty;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  header_->used = 0;
  answered_ = false;
}

}  // namespace fettle
