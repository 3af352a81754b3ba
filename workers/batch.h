// Packets of one batch on their way from the queue's message to their verdict.
#pragma once

#include <cstdint>
#include <span>

#include "core/nfqueue_codec.h"
#include "core/packet.h"
#include "rules/program.h"

namespace fettle {

struct InHand {
  QueuedPacket queued;
  Packet packet;
  Metadata metadata;
  Outcome outcome;
  uint32_t looked = 0;  // what Program::look() said
};

// What has to be done to a packet before a program may run over it, and not by a program without
// such needs.
struct Preparation {
  // seed: of what the rules leave to chance.
  explicit Preparation(const Needs& needs, uint32_t seed = 0)
      : parses(needs.packets), plans(needs.changes), draws_from(seed) {}
  bool parses;
  bool plans;
  uint32_t draws_from;
};

// Reads the packet and what came with it, interface names aside.
void prepare(const Preparation& preparation, InHand& hand) noexcept;
// Runs the program over prepared packets, in this order. It looks at all of them before it applies
// to any, so that memory that the rules need for one comes while the others are looked at.
void apply_all(const Program& program, std::span<InHand* const> hands,
               ProgramState& state) noexcept;

}  // namespace fettle
