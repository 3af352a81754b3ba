#include "workers/packet_loop.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "core/counters.h"
#include "core/offload.h"

namespace fettle {
namespace {

// The longest payload (64 KiB) and the attributes beside it, in whole pages.
constexpr size_t kSlotSize = 0x11000;
// One reply's length. Longer ones gain nothing and need large allocations in the kernel.
constexpr size_t kReplyLimit = 256 << 10;
constexpr int kSendAttempts = 100;

uint32_t netfilter_verdict(const Outcome& outcome, bool bypass) {
  switch (outcome.verdict) {
    case Verdict::kAccept:
      return kNfAccept;
    case Verdict::kDrop:
      return kNfDrop;
    case Verdict::kRepeat:
      return kNfRepeat;
    case Verdict::kQueue:
      return queue_verdict(outcome.queue, bypass);
  }
  return kNfAccept;
}

}  // namespace

Result<std::unique_ptr<PacketLoop>> PacketLoop::create(const Heritage& heritage) {
  // Room for the largest packet whatever the copy range is: a successor may meet packets that were
  // queued under a larger range than its own.
  auto slots = SharedMemory::create(kSlotSize * heritage.options.batch);
  if (!slots) return std::unexpected(slots.error());
  slots->lock();  // a page fault less; RLIMIT_MEMLOCK may forbid it
  return std::unique_ptr<PacketLoop>(new PacketLoop(heritage, std::move(*slots)));
}

PacketLoop::PacketLoop(const Heritage& heritage, SharedMemory slots)
    : fd_(heritage.queue_fd),
      program_(heritage.program),
      counters_(&heritage.page->loop),
      parses_(heritage.program->needs().packets),
      plans_(heritage.program->needs().changes),
      names_(heritage.program->needs().interfaces),
      bypass_(heritage.options.settings.fail_open),
      reply_limit_(std::min(heritage.send_buffer / 2, kReplyLimit)),
      slots_(std::move(slots)),
      slot_vectors_(heritage.options.batch),
      headers_(heritage.options.batch),
      replies_(heritage.options.settings.queue, heritage.options.batch),
      log_(heritage.program->rule_names(), heritage.options.settings.queue) {
  for (size_t i = 0; i < headers_.size(); ++i) {
    slot_vectors_[i] = {.iov_base = slots_.data() + i * kSlotSize, .iov_len = kSlotSize};
  }
  state_ = {.counters = &heritage.page->program, .rules = heritage.rules, .log = &log_};
}

PacketLoop::Turn PacketLoop::turn(bool wait) {
  const int received = receive(wait);
  if (received < 0) {
    if (errno == EINTR || errno == EAGAIN || errno == ENOBUFS) return Turn::kIdle;
    broken_errno_ = errno;
    return Turn::kBroken;
  }
  for (int i = 0; i < received; ++i) {
    handle_datagram({slots_.data() + static_cast<size_t>(i) * kSlotSize, headers_[i].msg_len});
  }
  reply();
  tick();
  return broken_errno_ == 0 ? Turn::kPackets : Turn::kBroken;
}

PacketLoop::Turn PacketLoop::take(std::span<std::byte> datagram) {
  handle_datagram(datagram);
  reply();
  return broken_errno_ == 0 ? Turn::kPackets : Turn::kBroken;
}

int PacketLoop::receive(bool wait) {
  for (size_t i = 0; i < headers_.size(); ++i) {
    headers_[i].msg_hdr.msg_iov = &slot_vectors_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
  }
  const int received = recvmmsg(fd_, headers_.data(), static_cast<unsigned>(headers_.size()),
                                wait ? MSG_WAITFORONE : MSG_DONTWAIT, nullptr);
  if (received > 0) bump(counters_->batches);
  return received;
}

void PacketLoop::handle_datagram(std::span<std::byte> datagram) {
  while (!datagram.empty()) {
    const Message message = decode(datagram);
    if (message.kind == MessageKind::kPacket) {
      handle_packet(message.packet);
    } else {
      handle_answer(message);
    }
  }
}

void PacketLoop::handle_packet(const QueuedPacket& queued) {
  if (replies_.bytes() + queued.payload.size() > reply_limit_ ||
      replies_.packets() == replies_.max_packets()) {
    reply();
  }
  bump(counters_->packets);
  Packet packet;
  if (parses_) packet = parse(queued.payload);
  if (plans_) packet.plan = checksum_plan(packet, queued.hook, queued.skb_info, queued.whole);
  Metadata metadata{
      .in = {}, .out = {}, .mark = queued.mark, .hook = queued.hook, .family = queued.family};
  if (names_) {
    metadata.in = interfaces_.name(queued.in_index);
    metadata.out = interfaces_.name(queued.out_index);
  }
  const Outcome outcome = program_->apply(packet, metadata, state_);
  const uint32_t verdict = netfilter_verdict(outcome, bypass_);
  const uint32_t* mark = outcome.mark_changed ? &metadata.mark : nullptr;
  if (outcome.changed && outcome.verdict != Verdict::kDrop) {
    replies_.add_changed(queued.id, verdict, mark, queued.payload);
  } else {
    replies_.add(queued.id, verdict, mark);
  }
}

void PacketLoop::handle_answer(const Message& message) {
  switch (message.kind) {
    case MessageKind::kMalformed:
      bump(counters_->malformed_messages);
      // What cannot be read can still be answered, as long as it says which packet it is.
      if (message.packet.has_id) {
        if (replies_.packets() == replies_.max_packets()) reply();
        replies_.add(message.packet.id, kNfAccept, nullptr);
      }
      break;
    case MessageKind::kAck:
    case MessageKind::kError:
      if (message.sequence != 0) {
        acknowledged_ = message.sequence;
        acknowledged_error_ = message.error;
      } else if (message.error == ENOENT) {
        bump(counters_->stale_verdicts);
      } else if (message.error != 0) {
        bump(counters_->refused_verdicts);
      }
      break;
    case MessageKind::kPacket:
    case MessageKind::kOther:
      break;
  }
}

void PacketLoop::reply() {
  if (replies_.packets() == 0) return;
  const std::span<iovec> list = replies_.gather();
  msghdr header{};
  header.msg_iov = list.data();
  header.msg_iovlen = list.size();
  // The kernel works a reply off before sendmsg returns, so that a failure means that none of its
  // verdicts was given. Want of memory passes; anything else does not, and the process ends: its
  // successor releases what was left without an answer.
  for (int attempt = 0; sendmsg(fd_, &header, 0) < 0; ++attempt) {
    if (errno == EINTR) continue;
    bump(counters_->failed_sends);
    const bool memory = errno == ENOBUFS || errno == ENOMEM || errno == EAGAIN;
    if (!memory || attempt >= kSendAttempts) {
      broken_errno_ = errno;
      break;
    }
    sched_yield();
  }
  replies_.clear();
}

void PacketLoop::tick() {
  log_.flush();
  if (names_) interfaces_.expire();
}

}  // namespace fettle
