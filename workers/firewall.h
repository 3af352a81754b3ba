// A firewall's rules as far as queues are concerned: what feeds them, what keeps packets from them,
// who else uses marks. Read from what iptables-save and nft print; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/packet.h"

namespace fettle {

struct QueueTarget {  // -j NFQUEUE, or nft's queue
  uint32_t first = 0;
  uint32_t last = 0;
  bool bypass = false;
  bool fanout = false;  // by CPU; otherwise a range is spread by a hash of the addresses

  bool operator==(const QueueTarget&) const = default;
};

struct MarkUse {  // bits of a packet's or connection's mark
  uint32_t value = 0;
  uint32_t mask = 0xffffffff;
  bool sets = false;   // else: compares
  bool moves = false;  // between packet and connection; value means nothing
};

struct FirewallRule {
  std::string tool;    // iptables, ip6tables, iptables-legacy, ip6tables-legacy, nft
  std::string family;  // of the table: ip, ip6, inet, bridge, netdev
  std::string table;
  std::string chain;
  size_t number = 0;                // in its chain, from 1
  uint64_t handle = 0;              // nft's
  std::vector<std::string> words;   // iptables: what stands behind -A CHAIN
  std::string text;                 // nft: as it writes the rule, where that is known
  std::optional<uint64_t> packets;  // that met all of it, where it counts them

  std::optional<QueueTarget> queue;
  bool computed_queue = false;  // nft: by an expression; `queue` has what it can come to
  std::vector<MarkUse> marks;
  // To these chains.
  std::vector<std::string> jumps;
  std::string protocol;      // "tcp", "udp", ...; "" any
  std::string in, out;       // devices; "" any
  bool accepts = false;      // ACCEPT, or RETURN out of what leads to the queue
  bool established = false;  // looks at packets of known connections
  bool offloads = false;     // FLOWOFFLOAD, or nft's flow add
  bool hardware = false;     // the same, into the network card
  bool translates = false;   // NAT
  bool tracks = false;       // needs connection tracking, NAT included
  bool attaches = false;     // a template: helper, timeout or zone (-j CT, nft's ct ... set)
  bool bridge_port = false;  // -m physdev

  bool is_nft() const { return tool == "nft"; }
  bool ipv4() const { return family != "ip6"; }
  bool ipv6() const { return family != "ip"; }
};

struct FirewallChain {  // one that hangs on a hook
  std::string tool, family, table, name;
  Hook hook = Hook::kNone;
  int priority = 0;
};

struct Flowtable {
  std::string family, table, name;
  bool hardware = false;
};

struct Firewall {
  std::vector<FirewallRule> rules;
  std::vector<FirewallChain> chains;
  std::vector<Flowtable> flowtables;
};

// What iptables-save -c (or ip6tables-save, or a legacy one: `tool`) prints, added to *firewall.
// Lines that are none of its are passed over.
void read_iptables(std::string_view text, std::string_view tool, Firewall* firewall);

// What `nft -j list ruleset` prints, added to *firewall, with the rules' texts from
// `nft -a list ruleset`, which may be "". Tables that iptables-nft keeps there, which
// read_iptables() has read before, are left out. False: it is no such JSON.
bool read_nft(std::string_view json, std::string_view text, Firewall* firewall);

// Where a rule takes its packets: the chains on hooks that lead to it.
std::vector<FirewallChain> hooks_of(const Firewall& firewall, const FirewallRule& rule);

// Rules of the same table that accept packets of known connections before they come to this one.
// Those that ask for a mark are left out: that is how a flow's rest is let pass on purpose. So are
// those for another protocol or device.
std::vector<const FirewallRule*> hiding(const Firewall& firewall, const FirewallRule& rule);

// "iptables mangle FORWARD, rule 3", "nft inet fw forward, handle 7".
std::string describe(const FirewallRule& rule);

// Commands that leave everything else of the rule as it is; "" where that cannot be said (nft
// without its text).
std::string command_to_feed(const FirewallRule& rule, const QueueTarget& target);
std::string command_to_delete(const FirewallRule& rule);

}  // namespace fettle
