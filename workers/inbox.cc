#include "workers/inbox.h"

#include <algorithm>
#include <utility>

namespace fettle {
namespace {
// Not whole pages: the beginnings of all slots, which are all that most packets touch, would share
// a few sets of the first-level cache.
constexpr size_t kSlotSize = Inbox::kLongest + 5 * 64;
static_assert(kSlotSize >= Inbox::kLongest + Inbox::kBehind);
}  // namespace

Result<Inbox> Inbox::create(size_t batch) {
  // Room for the largest packet whatever the copy range is: a successor may meet packets that were
  // queued under a larger range than its own.
  auto slots = SharedMemory::create(kSlotSize * batch);
  if (!slots) return std::unexpected(slots.error());
  slots->lock();  // a page fault less; RLIMIT_MEMLOCK may forbid it
  return Inbox(std::move(*slots), batch);
}

Inbox::Inbox(SharedMemory slots, size_t batch)
    : slots_(std::move(slots)), vectors_(batch), headers_(batch), hands_(batch), in_order_(batch) {
  for (size_t i = 0; i < batch; ++i) {
    vectors_[i] = {.iov_base = slots_.data() + i * kSlotSize, .iov_len = kSlotSize - kBehind};
    headers_[i].msg_hdr.msg_iov = &vectors_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
    in_order_[i] = &hands_[i];
  }
}

int Inbox::receive(int fd, bool wait) noexcept {
  return recvmmsg(fd, headers_.data(), static_cast<unsigned>(headers_.size()),
                  wait ? MSG_WAITFORONE : MSG_DONTWAIT, nullptr);
}

std::span<std::byte> Inbox::datagram(size_t i) noexcept {
  return {slots_.data() + i * kSlotSize, headers_[i].msg_len};
}

std::span<std::byte> Inbox::place(std::span<const std::byte> datagram) noexcept {
  std::ranges::copy(datagram, slots_.data());
  return {slots_.data(), datagram.size()};
}

size_t Inbox::room_from(const std::byte* at) const noexcept {
  const auto offset = static_cast<size_t>(at - slots_.data());
  return kSlotSize - kBehind - offset % kSlotSize;
}

InHand& Inbox::hold(const QueuedPacket& queued) noexcept {
  InHand& hand = hands_[used_++];
  hand.queued = queued;
  return hand;
}

}  // namespace fettle
