#include "workers/stream_stage.h"

#include <algorithm>
#include <cstring>

#include "core/offload.h"
#include "core/resize.h"

namespace fettle {
namespace {

// Without an outgoing interface the packet is for this machine, or its route is not yet known.
constexpr uint32_t kLeastMtu = 1500;
// A segment beyond a hole, or without room for its edits: the sender fills the hole, the receiver
// acknowledges, within a round trip or two, or the segment is repeated.
constexpr uint32_t kRepetition = 500;
constexpr uint32_t kPartWait = 40;
constexpr uint32_t kMostInOnePiece = 65535;

}  // namespace

StreamTable::Size stream_table_size(uint32_t connections) {
  return {.connections = connections,
          .edits = std::max(connections / 4, 1024u),
          .chunks = std::max(connections / 2, 4096u),
          .handshakes = connections};
}

StreamStage::StreamStage(const Program& program, bool fail_open, uint32_t wait, bool shadow)
    : program_(program), area_(kLongestPacket + stream::kMaxTail), shadow_(shadow) {
  StreamLimits& limits = output_.limits;
  // What a full queue lets pass unedited is acknowledged all the same.
  limits.trust_acknowledgements = fail_open;
  limits.part_wait = wait > 0 ? std::min(wait, kPartWait) : StreamLimits::kNever;
  limits.tail_wait = wait;
  limits.tail_wait_more = wait > 0 ? std::max(wait, limits.tail_wait_more) : 0;
  limits.pieces = 1;
  if (!shadow) return;
  // As in a capture (replay_streams.h), but that what waits here has gone on meanwhile.
  limits.recorded = limits.passed_on = limits.trust_acknowledgements = true;
  limits.part_wait = StreamLimits::kNever;
  limits.pieces = StreamLimits::kMaxPieces;
  limits.packet = kMostInOnePiece;
}

uint32_t StreamStage::wait() const {
  return output_.reason == StreamReason::kTail ? output_.wait : kRepetition;
}

void StreamStage::set_limits(const InHand& hand, Interfaces& interfaces) {
  const QueuedPacket& queued = hand.queued;
  const uint32_t known = interfaces.mtu(queued.out_index);
  const uint32_t mtu = known > 0 ? known : std::max(kLeastMtu, interfaces.mtu(queued.in_index));
  const bool gso = (queued.skb_info & kSkbGso) != 0;
  const bool local = queued.hook == Hook::kInput;
  // A super-packet's is made anew for its segments: what a queue before this one left there.
  output_.limits.verify = (queued.skb_info & kSkbCsumNotVerified) != 0 && !gso;
  if (shadow_) return;
  output_.limits.packet = gso || local ? static_cast<uint32_t>(kMaxReturnedPayload) : mtu;
  // The kernel does not say it: no more than the way takes, and less than two of them make.
  const uint32_t header = hand.packet.payload;
  const uint32_t most = std::min(mtu, hand.packet.size - 1);
  output_.limits.gso_size = gso && most > header ? most - header : 0;
}

StreamStage::Fate StreamStage::offer(InHand& hand, Interfaces& interfaces, uint32_t now,
                                     Offer offer) noexcept {
  const bool last = offer == Offer::kOver;
  newly_changed_ = false;
  set_limits(hand, interfaces);
  output_.area = area_;
  output_.shift = hand.queued.shift;
  output_.fresh = offer == Offer::kFirst;
  const uint64_t timeouts = table_.counters().timeouts;
  const uint64_t full = table_.counters().full;
  const StreamLimits limits = output_.limits;
  if (last) {
    output_.limits.tail_wait = output_.limits.tail_wait_more = 0;
    if (limits.part_wait != StreamLimits::kNever) output_.limits.part_wait = 0;
  }
  const StreamAction action = edit(hand, now, last);
  output_.limits = limits;
  timed_out_ = table_.counters().timeouts != timeouts;
  untracked_ = table_.counters().full != full;
  Outcome& outcome = hand.outcome;
  const bool was_changed = outcome.changed;
  switch (action) {
    case StreamAction::kHold:
    case StreamAction::kCannot:  // acknowledgements on their way may make room
      if (!last) return Fate::kWaits;
      if (!shadow_) outcome.verdict = Verdict::kDrop;
      break;
    case StreamAction::kPass:
    case StreamAction::kUntracked:
      outcome.changed = hand.packet.changed;
      break;
    case StreamAction::kReplace:
      if (shadow_) {
        outcome.changed = true;
      } else if (!put_back(hand)) {
        outcome.verdict = Verdict::kDrop;
      }
      break;
    case StreamAction::kDrop:
      outcome.verdict = Verdict::kDrop;
      break;
  }
  newly_changed_ = !was_changed && outcome.changed && outcome.verdict != Verdict::kDrop;
  return Fate::kGoes;
}

// In a shadow nobody repeats what would not leave: in the end all is decided, be it that a hole
// before it was not seen, and that there is no room for its edits.
StreamAction StreamStage::edit(InHand& hand, uint32_t now, bool last) noexcept {
  const auto once = [&] {
    return program_.edit_stream(table_, hand.packet, hand.outcome, now, output_);
  };
  if (!shadow_ || !last) return once();
  output_.skip_hole = true;
  StreamAction action = once();
  if (action == StreamAction::kHold) action = once();  // the wait for what follows is over, too
  output_.give_up = action == StreamAction::kCannot;
  if (output_.give_up) action = once();
  output_.skip_hole = output_.give_up = false;
  return action;
}

// The first piece where the packet lay; the sender repeats what is in the others.
bool StreamStage::put_back(InHand& hand) noexcept {
  const std::span<const std::byte> piece = output_.pieces[0];
  Packet& packet = hand.packet;
  if (piece.size() > std::max(packet.capacity, packet.size)) return false;
  std::memcpy(packet.data, piece.data(), piece.size());
  packet.size = packet.length = static_cast<uint32_t>(piece.size());
  packet.resized = packet.changed = hand.outcome.changed = true;
  return true;
}

}  // namespace fettle
