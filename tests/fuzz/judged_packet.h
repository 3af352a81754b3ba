// What must hold of a packet that was edited, by a judge of checksums that shares no code with the
// edits (tests/packet_judge.h).
#pragma once

#include "core/packet.h"
#include "tests/packet_judge.h"

namespace fettle::fuzz {

bool same_layout(const Packet& a, const Packet& b);

// Where the judge finds what a checksum is made of. Requires !malformed(). Of a fragment, or a
// packet that is not all here, without the transport.
testing::Layout layout_of(const Packet& packet);

// The states of a packet's checksums before it is edited.
class Judged {
 public:
  Judged() = default;  // of none
  explicit Judged(const Packet& packet);
  // From now on the transport's checksum may be wrong: a step has damaged the payload.
  void damage() { damaged_ = true; }
  // `packet` is what was judged, edited and finished. It parses as it says itself; the checksums
  // have kept their states, or are what the plan asks for.
  void check_edited(const Packet& packet) const;
  // The same of a whole packet made of it that has a layout of its own: a piece of a stream.
  void check_piece(const Packet& piece) const;

 private:
  void check_transport(std::span<const std::byte> bytes, const testing::Layout& layout) const;

  testing::State header_ = testing::State::kNone;
  testing::State transport_ = testing::State::kNone;
  bool pseudo_ = false;  // the field holds the sum of the pseudo-header
  ChecksumPlan plan_{};
  bool damaged_ = false;
};

}  // namespace fettle::fuzz
