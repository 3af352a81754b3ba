// Packets of one batch on their way from the queue's message to their verdict.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/nfqueue_codec.h"
#include "core/packet.h"
#include "rules/program.h"

namespace fettle {

class PacketShadow;  // packet_shadow.h

// How far a packet has come. Live, it lies in memory that outlives the process, and says to a
// successor what is still to be done.
enum class Stage : uint8_t {
  kEmpty,    // nothing in here can be relied on
  kRead,     // its bytes are what the kernel gave
  kInHand,   // they may be half changed
  kApplied,  // by the rules; where the outcome says `stream`, edit_stream() has not begun
  kDecided,  // verdict and bytes are what they are to be
  kHeld,     // it has gone on to held_packets.h
};

struct InHand {
  QueuedPacket queued;
  Packet packet;
  Metadata metadata;
  Outcome outcome;
  uint32_t looked = 0;  // what Program::look() said
  Stage stage = Stage::kEmpty;
};

// In memory that another process has written, a flag may be any byte.
inline bool is_set(const bool& flag) noexcept {
  uint8_t byte = 0;
  std::memcpy(&byte, &flag, sizeof byte);
  return byte != 0;
}
inline void normalize(bool& flag) noexcept {
  const uint8_t byte = is_set(flag) ? 1 : 0;
  std::memcpy(&flag, &byte, sizeof byte);
}
void normalize(InHand& hand) noexcept;  // all of its flags

// A process that ends has done all that stands before this, and nothing that stands behind.
inline void enter(InHand& hand, Stage stage) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  hand.stage = stage;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

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
// to any, so that memory that the rules need for one comes while the others are looked at. With a
// shadow it does the same, and the shadow looks on.
void apply_all(const Program& program, std::span<InHand* const> hands, ProgramState& state,
               PacketShadow* shadow = nullptr) noexcept;

}  // namespace fettle
