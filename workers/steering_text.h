// A steering plan as the rules of a firewall: what nft -f and iptables-restore --noflush take.
// Pure.
//
// All of it lies in a table (nft) or in chains (iptables) of fettle's own. Text that is loaded
// again changes rules alone: no base chain is deleted and no table made anew, which would drop the
// packets of all queues (net/netfilter/core.c: nf_queue_nf_hook_drop).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/packet.h"
#include "rules/steering.h"

namespace fettle {

// How packets are spread over several queues.
enum class SteeringSpread : uint8_t {
  kCpu,      // by the CPU that has them: the cheapest
  kAddress,  // by a hash of both addresses: a connection stays with one queue
  kFlow,     // by a hash of addresses and ports: so it does, and two hosts use all queues
};

struct SteeringTarget {
  uint16_t first = 0, last = 0;  // queues
  SteeringSpread spread = SteeringSpread::kAddress;
  bool bypass = true;           // packets pass while nobody reads the queue
  std::string name = "fettle";  // of the table, and what chains begin with
};

// nft's chain, or iptables', of a point: "forward", "fettle-FORWARD".
std::string nft_chain(const SteeringPoint& point);
std::string iptables_chain(const SteeringPoint& point, std::string_view name);
std::string_view iptables_table(const SteeringPoint& point);  // raw or mangle
std::string_view iptables_hook(Hook hook);                    // "FORWARD"

// Of a condition whose operands are ranges: merged, in rising order.
std::vector<Range> steering_ranges(const Condition& condition);

// A device's name, or what it begins with and the tool's wildcard.
std::string steering_device(const InterfacePattern& pattern, char wildcard);

// "tcp"; its number where it has no name that both tools know without /etc/protocols.
std::string steering_protocol(uint32_t number);

// A comment that says why a filter is there: rules' names, of printable characters, not longer.
std::string steering_comment(const SteeringFilter& filter, size_t longest);

// Commands for nft -f.
std::string nft_text(const SteeringPlan& plan, const SteeringTarget& target);

// Of one family, for iptables-restore or ip6tables-restore; "" where it has no rule. `jumps` says
// which chains' jumps are there already ("mangle FORWARD fettle-FORWARD").
std::string iptables_text(const SteeringPlan& plan, const SteeringTarget& target, Family family,
                          const std::vector<std::string>& jumps = {});

}  // namespace fettle
