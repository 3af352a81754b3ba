#include "core/offload.h"

#include "core/checksum.h"

namespace fettle {
namespace {

// What the kernel leaves in the field of a packet whose checksum is left to hardware
// (net/ipv4/udp.c: udp4_hwcsum, net/ipv4/tcp_offload.c, net/sctp/output.c).
bool holds_own_unfinished_sum(const Packet& packet) {
  const int place = checksum_field(packet.protocol);
  if (!packet.has_transport() || packet.fragment || place < 0) return false;
  const std::byte* field = packet.data + packet.transport + place;
  if (packet.is(Protocol::kSctp)) return load<uint32_t>(field) == 0;
  return load<uint16_t>(field) == fold(pseudo_header_sum(packet));
}

}  // namespace

ChecksumPlan checksum_plan(const Packet& packet, Hook hook, uint32_t skb_info, bool whole) {
  if (!whole) return ChecksumPlan::kImmutable;
  const bool not_ready = (skb_info & kSkbCsumNotReady) != 0;
  if ((skb_info & kSkbGso) == 0) {
    if (!not_ready) return ChecksumPlan::kComplete;
    return holds_own_unfinished_sum(packet) ? ChecksumPlan::kFinish : ChecksumPlan::kImmutable;
  }
  if (!packet.has_transport() || packet.fragment) return ChecksumPlan::kImmutable;
  if (packet.is(Protocol::kTcp)) {
    const bool full = hook == Hook::kInput || hook == Hook::kPrerouting;
    return full ? ChecksumPlan::kFinish : ChecksumPlan::kPseudo;
  }
  if (!packet.is(Protocol::kUdp) || !not_ready || !holds_own_unfinished_sum(packet)) {
    return ChecksumPlan::kImmutable;
  }
  if (hook != Hook::kInput) return ChecksumPlan::kPseudo;
  return packet.family == Family::kIpv4 ? ChecksumPlan::kClear : ChecksumPlan::kImmutable;
}

}  // namespace fettle
