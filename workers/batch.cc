#include "workers/batch.h"

#include <new>

#include "core/offload.h"
#include "workers/packet_shadow.h"

namespace fettle {

void normalize(InHand& hand) noexcept {
  for (bool* flag :
       {&hand.queued.whole, &hand.queued.has_id, &hand.packet.fragment, &hand.packet.later_fragment,
        &hand.packet.changed, &hand.packet.resized, &hand.outcome.changed, &hand.outcome.stream,
        &hand.outcome.mark_changed, &hand.outcome.lost}) {
    normalize(*flag);
  }
}

void prepare(const Preparation& preparation, InHand& hand) noexcept {
  const QueuedPacket& queued = hand.queued;
  hand.packet = preparation.parses ? parse(queued.payload) : Packet{};
  if (preparation.plans) {
    hand.packet.plan = checksum_plan(hand.packet, queued.hook, queued.skb_info, queued.whole);
  }
  hand.metadata = {.in = {},
                   .out = {},
                   .mark = queued.mark,
                   .hook = queued.hook,
                   .family = queued.family,
                   .draw = preparation.draws_from + queued.id};
}

void apply_all(const Program& program, std::span<InHand* const> hands, ProgramState& state,
               PacketShadow* shadow) noexcept {
  for (InHand* hand : hands) hand->looked = program.look(hand->packet, hand->metadata);
  for (InHand* hand : hands) {
    enter(*hand, Stage::kInHand);
    if (shadow) {
      shadow->apply(*hand, state);
    } else {
      // Made in its place, not copied there: see Outcome.
      new (&hand->outcome)
          Outcome(program.apply(hand->packet, hand->metadata, state, hand->looked));
    }
    enter(*hand, Stage::kApplied);
  }
}

}  // namespace fettle
