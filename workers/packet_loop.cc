#include "workers/packet_loop.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/counters.h"
#include "core/nfqueue.h"
#include "workers/clock.h"
#include "workers/packet_holding.h"

namespace fettle {
namespace {

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
  std::vector<SharedMemory> own;
  const auto memory = [&own](std::span<std::byte> given, size_t wanted) {
    if (given.size() >= wanted) return Result<std::span<std::byte>>(given);
    auto made = SharedMemory::create(wanted);
    if (!made) return Result<std::span<std::byte>>(std::unexpected(made.error()));
    own.push_back(std::move(*made));
    return Result<std::span<std::byte>>(own.back().bytes());
  };
  // By this process, too: what recvmmsg writes to while it is killed must not have to be made
  // first.
  const auto populate = [](std::span<std::byte> bytes) {
    if (!bytes.empty()) madvise(bytes.data(), bytes.size(), MADV_POPULATE_WRITE);
  };
  const auto slots = memory(heritage.slots, slots_size(heritage.options));
  if (!slots) return std::unexpected(slots.error());
  const auto held = memory(heritage.held, held_size(*heritage.program, heritage.options));
  if (!held) return std::unexpected(held.error());
  populate(*slots);
  populate(*held);
  return std::unique_ptr<PacketLoop>(new PacketLoop(heritage, std::move(own), *slots, *held));
}

PacketLoop::PacketLoop(const Heritage& heritage, std::vector<SharedMemory> own,
                       std::span<std::byte> slots, std::span<std::byte> held)
    : fd_(heritage.queue_fd),
      status_fd_(heritage.status_fd),
      program_(heritage.program),
      page_(heritage.page),
      counters_(&heritage.page->loop),
      preparation_(heritage.program->needs(), static_cast<uint32_t>(random_seed())),
      names_(heritage.program->needs().interfaces),
      resizes_(heritage.program->needs().resizes),
      bypass_(heritage.options.settings.fail_open),
      on_crash_(heritage.options.on_crash),
      reply_limit_(std::min(heritage.send_buffer / 2, kReplyLimit)),
      settings_(heritage.options.settings),
      // What is held counts among the kernel's waiting packets, and is no overload.
      overload_length_(heritage.options.overload_length +
                       room_for_held(*heritage.program, heritage.options).packets),
      limit_(settings_.length, overload_length_),
      // Acknowledgements that a dead predecessor did not live to read must not be taken for ours.
      sequence_(static_cast<uint32_t>(getpid()) << 8),
      own_(std::move(own)),
      replies_(heritage.options.settings.queue, heritage.options.batch),
      interfaces_(fd_),
      clocks_(heritage.program->needs().clocks) {
  const size_t threads = heritage.options.cpus.size();
  const size_t size = Inbox::bytes(heritage.options.batch);
  for (size_t i = 0; i < (threads > 1 ? 2 : 1); ++i) {
    inboxes_.emplace_back(slots.subspan(i * size, size), heritage.options.batch);
  }
  filling_ = &inboxes_.front();
  if (program_->needs().holds) {
    held_.emplace(held, room_for_held(*program_, heritage.options));
  }
  if (program_->needs().streams)
    streams_.emplace(*program_, settings_.fail_open, heritage.options.stream_wait,
                     heritage.options.shadow);
  page_->queue_length.store(settings_.length, std::memory_order_relaxed);
  make_states(heritage);
}

void PacketLoop::make_states(const Heritage& heritage) {
  const size_t threads = heritage.options.cpus.size();
  const size_t rules = program_->rule_names().size();
  logs_.reserve(threads);
  captures_.reserve(threads);
  shadows_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) {
    logs_.emplace_back(program_->rule_names(), settings_.queue);
    if (heritage.options.shadow) shadows_.emplace_back(*program_, settings_.queue);
    if (!heritage.captures.empty()) captures_.emplace_back(heritage.captures, counters_);
    states_.push_back({.counters = &heritage.page->program[i],
                       .rules = heritage.rules.subspan(i * rules, rules),
                       .log = &logs_[i],
                       .impairments = {.random = random_seed(), .clocks = clocks_},
                       .captures = captures_.empty() ? nullptr : &captures_.back()});
  }
  if (threads > 1) {
    lanes_ = std::make_unique<Lanes>(*program_, states_, heritage.options.cpus,
                                     heritage.options.batch, shadows_);
  }
}

PacketLoop::Turn PacketLoop::turn(bool wait) {
  const int received = receive(wait && running_ == nullptr);
  if (received < 0) return nothing_received();
  bump(counters_->batches);
  for (size_t i = 0; i < static_cast<size_t>(received); ++i) {
    handle_datagram(filling_->datagram(i));
    filling_->read_up_to(i + 1);
  }
  settle();
  if (held_) release_after(static_cast<size_t>(received));
  reply();
  if (held_) recycle_held();
  steer(static_cast<size_t>(received));
  tick();
  return broken_errno_ == 0 ? Turn::kPackets : Turn::kBroken;
}

int PacketLoop::receive(bool wait) {
  if (wait && held_ && !held_->empty()) return receive_until_due();
  return filling_->receive(fd_, wait);
}

PacketLoop::Turn PacketLoop::nothing_received() {
  const int error = errno;
  bool ran = running_ != nullptr;
  finish_lanes();
  behind_since_ = 0;
  if (held_) ran |= release(steady_now());
  if (!ran) flush_captures();
  for (PacketShadow& shadow : shadows_) shadow.flush();  // another second has room for more
  bump(counters_->idle);
  if (error != EINTR && error != EAGAIN && error != ENOBUFS) broken_errno_ = error;
  if (broken_errno_ != 0) return Turn::kBroken;
  return ran ? Turn::kPackets : Turn::kIdle;
}

PacketLoop::Turn PacketLoop::take(std::span<const std::byte> datagram) {
  finish_lanes();
  handle_datagram(filling_->place(datagram));
  filling_->read_up_to(1);
  settle_here();
  reply();
  return broken_errno_ == 0 ? Turn::kPackets : Turn::kBroken;
}

void PacketLoop::handle_datagram(std::span<std::byte> datagram) {
  while (!datagram.empty()) {
    const Message message = decode(datagram);
    if (message.kind == MessageKind::kPacket) {
      take_packet(message.packet, datagram.empty());
    } else {
      handle_answer(message);
    }
  }
}

void PacketLoop::take_packet(const QueuedPacket& queued, bool last) {
  if (filling_->full()) {
    settle_here();
    reply();
  }
  InHand& hand = filling_->hold(queued);
  prepare(preparation_, hand);
  // A longer packet takes the rest of the slot, where no other message lies.
  if (resizes_ && last && !queued.payload.empty()) {
    hand.packet.capacity = static_cast<uint32_t>(
        std::min(filling_->room_from(queued.payload.data()), kMaxReturnedPayload));
  }
  name_interfaces(hand);
  enter(hand, Stage::kRead);
}

void PacketLoop::name_interfaces(InHand& hand) {
  if (!names_) return;
  hand.metadata.in = interfaces_.name(hand.queued.in_index);
  hand.metadata.out = interfaces_.name(hand.queued.out_index);
}

void PacketLoop::settle() {
  const std::span<InHand* const> hands = filling_->held();
  if (!lanes_ || !lanes_->worth_sharing(hands.size())) return settle_here();
  if (running_) lanes_->wait();
  flush_logs();  // which no lane writes now
  tell_time();
  lanes_->start(hands);
  Inbox* const done = std::exchange(running_, filling_);
  filling_ = running_ == &inboxes_.front() ? &inboxes_.back() : &inboxes_.front();
  if (done) answer_all(*done);
}

void PacketLoop::settle_here() {
  finish_lanes();
  tell_time();
  if (lanes_) {
    lanes_->run_here(filling_->held());
  } else {
    apply_all(*program_, filling_->held(), states_.front(), shadow());
  }
  answer_all(*filling_);
}

void PacketLoop::finish() {
  finish_lanes();
  if (held_) release(HeldPackets::kNever);
  flush_logs();
  flush_captures();
}

void PacketLoop::finish_lanes() {
  if (running_ == nullptr) return;
  lanes_->wait();
  answer_all(*std::exchange(running_, nullptr));
  reply();
  tick();
}

void PacketLoop::answer_all(Inbox& inbox) {
  if (held_) {
    hold_or_answer(inbox.held());
  } else {
    for (const InHand* hand : inbox.held()) answer(*hand);
  }
  bump(counters_->packets, inbox.held().size());
  inbox.set_answered();
}

void PacketLoop::answer(const InHand& hand) {
  const QueuedPacket& queued = hand.queued;
  const std::span<std::byte> payload =
      hand.packet.resized ? std::span(hand.packet.data, hand.packet.size) : queued.payload;
  if (replies_.bytes() + payload.size() > reply_limit_ ||
      replies_.packets() == replies_.max_packets()) {
    reply();
  }
  if (shadow()) return replies_.add(queued.id, kNfAccept, nullptr);
  const Outcome& outcome = hand.outcome;
  const uint32_t verdict = netfilter_verdict(outcome, bypass_);
  const uint32_t* mark = outcome.mark_changed ? &hand.metadata.mark : nullptr;
  if (outcome.changed && outcome.verdict != Verdict::kDrop) {
    // What the kernel said beside the payload has been read.
    replies_.add_changed(queued.id, verdict, mark, payload,
                         {.before = queued.before, .after = Inbox::kBehind});
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
        settle_here();  // verdicts go in the order of ids
        if (replies_.packets() == replies_.max_packets()) reply();
        replies_.add(message.packet.id, kNfAccept, nullptr);
      }
      break;
    case MessageKind::kAck:
    case MessageKind::kError:
      if (message.sequence != 0) {
        acknowledged_ = message.sequence;
        acknowledged_error_ = message.error;
        // A reload is the first to ask the kernel for what its rules need.
        if (message.error != 0 && relax(settings_, message.error)) {
          (void)send_settings(fd_, settings_, ++sequence_);
        }
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

Result<uint32_t> PacketLoop::configure(const QueueSettings& settings) {
  if (auto sent = send_settings(fd_, settings, ++sequence_); !sent) {
    return std::unexpected(sent.error());
  }
  settings_ = settings;
  page_->queue_length.store(settings.length, std::memory_order_relaxed);
  limit_ = QueueLimit(settings.length, overload_length_);
  return sequence_;
}

void PacketLoop::steer(size_t received) {
  if (!steers_) return;
  const auto length = limit_.after(received, filling_->capacity(), [this] { return waiting(); });
  if (!length) return;
  settings_.length = *length;
  page_->queue_length.store(*length, std::memory_order_relaxed);
  if (limit_.lowered()) bump(counters_->overloads);
  // What the kernel would say against it, it would have said when the queue was bound.
  (void)send_settings(fd_, settings_, ++sequence_);
}

void PacketLoop::reply() {
  if (replies_.packets() > 0) send_replies();
  if (broken_errno_ != 0) return;
  for (Inbox& inbox : inboxes_) {
    if (inbox.answered()) inbox.clear();
  }
}

void PacketLoop::send_replies() {
  const std::span<iovec> list = replies_.gather();
  // The kernel works a reply off before writev returns, so that a failure means that none of its
  // verdicts was given. Want of memory passes; anything else does not, and the process ends: its
  // successor answers what was left.
  for (int attempt = 0; writev(fd_, list.data(), static_cast<int>(list.size())) < 0; ++attempt) {
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

// The kernel's own number costs a look into /proc; what the bytes in the socket allow is enough as
// long as it says that the queue is not full.
uint64_t PacketLoop::waiting() const {
  const uint64_t most = receive_backlog(fd_) / kSmallestTrueSize;
  if (most < limit_.full()) return most;
  const auto row = read_queue_status(status_fd_, settings_.queue);
  return row ? row->waiting - std::min(row->waiting, held_ ? held_->count() : 0) : 0;
}

void PacketLoop::flush_logs() {
  for (PacketLog& log : logs_) log.flush();
  for (PacketShadow& shadow : shadows_) shadow.flush();
  for (PacketCapture& capture : captures_) capture.tick();
}

void PacketLoop::flush_captures() {
  for (PacketCapture& capture : captures_) capture.flush();
}

void PacketLoop::tick() {
  if (!running_) flush_logs();
  if (names_ || streams_) interfaces_.expire();
}

}  // namespace fettle
