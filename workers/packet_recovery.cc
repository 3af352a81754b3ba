// The packet loop's part that takes a queue over from a worker that is gone.
//
// The dead may have been anywhere: in recvmmsg (which ends before a signal kills, so that each
// datagram is there with its length or not at all), between two packets, in the middle of one, or
// behind sendmsg (which gives all its verdicts or none). Each packet's Stage says what is left to
// do. One that has its verdict already may get it a second time: the kernel knows it no more, and
// says ENOENT.
#include <algorithm>

#include "core/counters.h"
#include "workers/clock.h"
#include "workers/packet_holding.h"
#include "workers/packet_loop.h"
#include "workers/worker.h"

namespace fettle {
namespace {

// Who dies in it for the third time does so for what it finds there.
constexpr uint32_t kMostRecoveries = 2;

}  // namespace

bool PacketLoop::begin(const Heritage& heritage) {
  if (streams_ && !streams_->attach(heritage.streams)) return false;
  for (Inbox& inbox : inboxes_) inbox.begin();
  if (held_) held_->begin();
  page_->program_number = heritage.program_number;
  page_->recoveries = 0;
  return true;
}

bool PacketLoop::recover(const Heritage& heritage) {
  if (page_->recoveries >= kMostRecoveries) return begin(heritage);
  ++page_->recoveries;
  if (streams_ && !streams_->attach(heritage.streams)) return false;
  const bool same_program =
      std::exchange(page_->program_number, heritage.program_number) == heritage.program_number;
  replies_.keep_apart(true);
  std::vector<HeldPacket*> taken;
  if (held_) held_->adopt(taken);
  std::vector<InHand*> left;
  for (Inbox& inbox : inboxes_) {
    if (inbox.adopt()) gather(inbox, left);
  }
  std::ranges::sort(
      left, [](const InHand* a, const InHand* b) { return id_after(b->queued.id, a->queued.id); });
  for (HeldPacket* packet : taken) resume(packet->hand, same_program);
  for (InHand* hand : left) resume(*hand, same_program);
  bump(counters_->packets, left.size());
  bump(counters_->recovered, left.size());
  for (Inbox& inbox : inboxes_) inbox.set_answered();
  reply();
  for (Inbox& inbox : inboxes_) inbox.begin();
  if (held_) {
    recycle_held();
  } else {
    replies_.keep_apart(false);
  }
  page_->recoveries = 0;
  return true;
}

// What came to be a packet, and what did not.
void PacketLoop::gather(Inbox& inbox, std::vector<InHand*>& left) {
  filling_ = &inbox;
  for (size_t i = inbox.unread(); i < inbox.capacity() && !inbox.full(); ++i) read_again(inbox, i);
  filling_ = &inboxes_.front();
  for (InHand* hand : inbox.held()) {
    if (hand->stage == Stage::kEmpty || (held_ && held_->has(hand->queued.id))) continue;
    left.push_back(hand);
  }
}

void PacketLoop::read_again(Inbox& inbox, size_t datagram) {
  std::span<std::byte> bytes = inbox.datagram(datagram);
  if (bytes.empty()) return;
  const Message message = decode(bytes);
  const auto held = inbox.held();
  // It had become a packet, and the count of such had not been raised.
  const bool known = !held.empty() && held.back()->stage != Stage::kEmpty &&
                     held.back()->queued.id == message.packet.id;
  if (message.kind == MessageKind::kPacket && !known) take_packet(message.packet, bytes.empty());
  inbox.read_up_to(datagram + 1);
}

// One at a time, and in hand from the first look on: should it kill this process, too, the next
// one knows which it was.
void PacketLoop::resume(InHand& hand, bool same_program) {
  switch (hand.stage) {
    case Stage::kEmpty:
    case Stage::kHeld:
      return;
    case Stage::kRead: {
      enter(hand, Stage::kInHand);
      // What take_packet() found, and parsing does not.
      const uint32_t capacity = hand.packet.capacity;
      prepare(preparation_, hand);
      hand.packet.capacity = capacity;
      name_interfaces(hand);
      InHand* const one[] = {&hand};
      tell_time();
      apply_all(*program_, one, states_.front(), shadow());
      break;
    }
    case Stage::kInHand:
      return give_up(hand);
    case Stage::kApplied:
      // What matched is said in the terms of the program that is gone.
      if (hand.outcome.stream && !(same_program && streams_)) return give_up(hand);
      break;
    case Stage::kDecided:
      return answer(hand);
  }
  if (hand.outcome.stream && streams_) {
    take_segment(hand, steady_now());
  } else if (!held_ || !hold(hand, steady_now())) {
    answer(hand);
  }
}

// Its bytes may be half changed: it leaves as the kernel has it, or not at all.
void PacketLoop::give_up(InHand& hand) {
  hand.outcome = {};
  hand.outcome.verdict = on_crash_;
  // A segment that passed as it came would bear sequence numbers that its receiver has not.
  const Needs& needs = program_->needs();
  if (needs.must_change || (needs.drops_orphans && hand.packet.is(Protocol::kTcp))) {
    hand.outcome.verdict = Verdict::kDrop;
  }
  bump(counters_->given_up);
  enter(hand, Stage::kDecided);
  answer(hand);
}

void PacketLoop::release_orphans(uint32_t id, uint32_t verdict) {
  orphans_ = id;
  orphans_verdict_ = verdict;
  // It takes all at or below, of which some are held. In a shadow they have their verdicts.
  if (held_ && !held_->empty() && !shadow()) return;
  orphans_.reset();
  release_up_to(fd_, settings_.queue, id, verdict);
}

}  // namespace fettle
