// Which transport checksum the kernel expects in a payload that is given back, by hook, protocol
// and the flags of NFQA_SKB_INFO. The kernel takes the payload as CHECKSUM_NONE but keeps gso_size
// (net/netfilter/nfnetlink_queue.c: nfqnl_mangle; net/ipv4/tcp_offload.c, udp_offload.c).
#pragma once

#include <cstdint>

#include "core/packet.h"

namespace fettle {

// NFQA_SKB_* of linux/netfilter/nfnetlink_queue.h.
inline constexpr uint32_t kSkbCsumNotReady = 1;
inline constexpr uint32_t kSkbGso = 2;
inline constexpr uint32_t kSkbCsumNotVerified = 4;

// | packet             | leaves by a device or not yet known     | input               |
// |                    | (prerouting, forward, output, postrout.)|                     |
// | no GSO, complete   | kComplete                               | kComplete           |
// | no GSO, not ready  | kFinish                                 | kFinish             |
// | TCP GSO            | kPseudo; prerouting kFinish (conntrack  | kFinish             |
// |                    | verifies there)                         |                     |
// | UDP GSO, not ready | kPseudo                                 | IPv4 kClear, IPv6   |
// |                    |                                         | kImmutable          |
// | anything else GSO  | kImmutable                              | kImmutable          |
//
// "Not ready" where the field does not hold the sum of this packet's own pseudo-header means that
// the unfinished checksum is that of an encapsulated packet: kImmutable. A packet that is not all
// here (`whole` false: NFQA_CAP_LEN says so) is kImmutable, since giving it back would cut it.
ChecksumPlan checksum_plan(const Packet& packet, Hook hook, uint32_t skb_info, bool whole);

}  // namespace fettle
