#include "tests/fuzz/judged_packet.h"

#include "core/checksum.h"
#include "tests/fuzz/input.h"

namespace fettle::fuzz {

using testing::Layout;
using testing::State;

bool same_layout(const Packet& a, const Packet& b) {
  return a.size == b.size && a.length == b.length && a.transport == b.transport &&
         a.payload == b.payload && a.transport_end == b.transport_end && a.family == b.family &&
         a.protocol == b.protocol && a.stop == b.stop && a.fragment == b.fragment &&
         a.later_fragment == b.later_fragment;
}

Layout layout_of(const Packet& packet) {
  Layout out;
  const bool wide = packet.family == Family::kIpv6;
  if (!wide) out.ipv4_header = packet.header;
  if (!packet.has_transport() || packet.fragment || packet.truncated()) return out;
  out.protocol = packet.protocol;
  out.transport = packet.transport;
  out.end = packet.transport_end;
  out.covered = covered_end(packet);
  const uint32_t size = wide ? 16 : 4;
  const uint32_t source = packet.home_address != 0 ? packet.home_address : (wide ? 8 : 12);
  for (uint32_t i = 0; i < size; ++i) {
    out.source.push_back(source + i);
    const bool elided = i < packet.final_elided;
    out.destination.push_back((elided ? 24 : packet.final_destination) + i);
  }
  return out;
}

Judged::Judged(const Packet& packet) : plan_(packet.plan) {
  const Layout layout = layout_of(packet);
  header_ = testing::header_state({packet.data, packet.size}, layout);
  const std::span<const std::byte> bytes(packet.data, packet.size);
  transport_ = testing::transport_state(bytes, layout);
  pseudo_ =
      transport_ != State::kNone && field_value(bytes, layout) == plain_pseudo_sum(bytes, layout);
}

void Judged::check_edited(const Packet& packet) const {
  const Packet after = parse({packet.data, packet.size});
  check(same_layout(packet, after));
  const Layout layout = layout_of(after);
  check(testing::header_state({packet.data, packet.size}, layout) == header_);
  check_transport({packet.data, packet.size}, layout);
}

void Judged::check_piece(const Packet& piece) const {
  check(piece.has_transport() && piece.size == piece.length);
  const Layout layout = layout_of(piece);
  check(testing::header_state({piece.data, piece.size}, layout) == header_);
  check_transport({piece.data, piece.size}, layout);
}

void Judged::check_transport(std::span<const std::byte> bytes, const Layout& layout) const {
  if (damaged_) return;
  const State now = testing::transport_state(bytes, layout);
  if (transport_ == State::kNone) return check(now == State::kNone);
  switch (plan_) {
    case ChecksumPlan::kImmutable:
      return check(false);  // it was edited
    case ChecksumPlan::kFinish:
      return check(now == State::kGood);
    case ChecksumPlan::kPseudo:
      return check(!pseudo_ || field_value(bytes, layout) == plain_pseudo_sum(bytes, layout));
    case ChecksumPlan::kClear:
      return check(now == State::kAbsent);
    case ChecksumPlan::kCapture:
      // It can turn good, or the other way round, by an edit that makes the two the same.
      if (transport_ == State::kPartial || now == State::kPartial) return;
      break;
    case ChecksumPlan::kComplete:
      // Whether a wrong one looks like a partial one is chance.
      if (transport_ == State::kPartial || now == State::kPartial) {
        return check(transport_ != State::kGood && now != State::kGood);
      }
      break;
  }
  // Of ICMP that was all zeros: any words that add up to 0xffff make its 0 good.
  if (transport_ == State::kNil) {
    return check(now != State::kGood || field_value(bytes, layout) == 0);
  }
  check(now == transport_);
}

}  // namespace fettle::fuzz
