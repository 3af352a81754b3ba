// The packet loop's part for rule sets that edit TCP streams.
#include "core/counters.h"
#include "workers/packet_holding.h"
#include "workers/packet_loop.h"

namespace fettle {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
// What an edit may add to a segment that waits.
constexpr size_t kSlack = 512;
constexpr uint64_t kLongestBehind = 200 * kMillisecond;  // in an overload without an end

uint32_t milliseconds(uint64_t now) { return static_cast<uint32_t>(now / kMillisecond); }

}  // namespace

// A segment, as it comes.
void PacketLoop::take_segment(InHand& hand, uint64_t now) {
  if (shadow()) answer(hand);
  enter(hand, Stage::kInHand);
  const StreamStage::Fate fate =
      streams_->offer(hand, interfaces_, milliseconds(now), StreamStage::Offer::kFirst);
  const uint64_t tag = streams_->tag();
  const uint64_t back = streams_->tag_back();
  const bool advanced = streams_->advanced(), advanced_back = streams_->advanced_back();
  if (fate == StreamStage::Fate::kGoes) {
    let_go(hand, now);
  } else {
    keep_back(hand, now);
  }
  if (advanced) offer_again(tag, now);
  if (advanced_back) offer_again(back, now);
}

void PacketLoop::keep_back(InHand& hand, uint64_t now) {
  const uint64_t deadline = now + streams_->wait() * kMillisecond;
  if (held_->hold(hand, hand.queued.payload.size() + kSlack, deadline, streams_->tag())) {
    enter(hand, Stage::kEmpty);  // its other self has the verdict to come
    bump(counters_->stream_held);
    if (!shadow()) replies_.keep_apart(true);
    return;
  }
  if (shadow()) return end_wait_at_once(hand, now);
  bump(counters_->not_held);
  hand.outcome.verdict = Verdict::kDrop;  // the sender repeats it
  let_go(hand, now);
}

// Of a segment in a shadow, whose sender did not have to wait for those before it, as live it would
// have had to.
void PacketLoop::end_wait_at_once(InHand& hand, uint64_t now) {
  const uint64_t tag = streams_->tag();
  streams_->offer(hand, interfaces_, milliseconds(now), StreamStage::Offer::kOver);
  const bool advanced = streams_->advanced();
  let_go(hand, now);
  if (advanced) offer_again(tag, now);
}

void PacketLoop::let_go(InHand& hand, uint64_t now) {
  enter(hand, Stage::kDecided);
  if (streams_->timed_out()) bump(counters_->stream_timed_out);
  if (streams_->untracked()) bump(counters_->stream_untracked);
  ProgramCounters& counters = *states_.front().counters;
  if (streams_->newly_changed()) bump(counters.changed);
  count_verdict(counters, hand.outcome.verdict);
  if (hand.outcome.verdict == Verdict::kDrop) {
    bump(counters_->stream_dropped);
  } else if (streams_->replaced()) {
    bump(counters_->stream_edited);
    if (streams_->split()) bump(counters_->stream_split);
  }
  if (shadow()) note_edit(hand);
  if (!hold(hand, now) && !shadow()) answer(hand);
}

// Of a segment in a shadow, which has its verdict. One whose numbers alone would be shifted, as all
// are behind an edit, is counted and no more.
void PacketLoop::note_edit(const InHand& hand) {
  if (hand.outcome.verdict == Verdict::kDrop) {
    shadow()->edit(hand, {});
  } else if (streams_->replaced()) {
    shadow()->edit(hand, streams_->piece());
  }
}

// Those of a direction, in the order in which they came; one that goes may bring others on.
void PacketLoop::offer_again(uint64_t tag, uint64_t now) {
  HeldPacket* held = held_->first(tag);
  while (held != nullptr) {
    HeldPacket* const next = held_->next(*held);
    enter(held->hand, Stage::kInHand);
    if (streams_->offer(held->hand, interfaces_, milliseconds(now), StreamStage::Offer::kAgain) ==
        StreamStage::Fate::kWaits) {
      enter(held->hand, Stage::kHeld);
      held_->postpone(*held, now + streams_->wait() * kMillisecond);
      held = next;
      continue;
    }
    const bool advanced = streams_->advanced();
    held_->take(*held);
    let_go(held->hand, now);
    held = advanced ? held_->first(tag) : next;
  }
}

// What a segment waits for may lie among the packets that have come and were not looked at yet, as
// after a while without the CPU.
bool PacketLoop::is_behind(uint64_t now) const {
  return running_ != nullptr || (behind_since_ != 0 && now - behind_since_ < kLongestBehind);
}

// Its time is over.
void PacketLoop::end_wait(HeldPacket& held, uint64_t now) {
  const uint64_t tag = held.tag;
  enter(held.hand, Stage::kInHand);
  streams_->offer(held.hand, interfaces_, milliseconds(now), StreamStage::Offer::kOver);
  const bool advanced = streams_->advanced();
  held_->take(held);
  let_go(held.hand, now);
  if (advanced) offer_again(tag, now);
}

}  // namespace fettle
