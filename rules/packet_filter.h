// pcap-filter expressions, as tcpdump and Wireshark's capture filters have them: compiled by
// libpcap when rules are read, run over a packet from its IP header on (link type RAW), so that one
// expression sees IPv4 and IPv6.
//
// Source: pcap-filter(7) and pcap(3) of libpcap 1.10; the machine is that of BPF (McCanne and
// Jacobson, 1993).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/packet.h"

namespace fettle {

// Instructions of the BPF machine (struct bpf_insn), eight bytes each.
using FilterProgram = std::vector<uint64_t>;
inline constexpr uint32_t kInstructionWords = 2;  // of 32 bits

// Nothing where libpcap refuses it, or where it asks for what no queued packet has: *why is what
// was found and what was expected. Words of the link layer are refused, which libpcap takes for
// never true or reads out of the IP header, and so are names of hosts, for which it would ask the
// network. One thread at a time compiles; others wait.
std::optional<FilterProgram> compile_filter(const std::string& expression, std::string* why);

// Bytes from the IP header on that suffice to run it; nothing where they have no bound.
std::optional<uint32_t> filter_depth(const FilterProgram& program);

// Whether a super-packet passes where each of its segments does, and the other way round: it asks
// for addresses, protocols and ports alone, not for lengths or bytes at places.
bool asks_segments_alike(const std::string& expression);

// Whether the packet, as far as it is here, passes. A load behind its end fails the packet, also
// where the expression negates. `words` are the program's instructions in order.
bool passes_filter(const uint32_t* words, const Packet& packet) noexcept;

}  // namespace fettle
