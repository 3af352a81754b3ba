// Connection tracking checks TCP's sequence numbers where it sees a packet (PREROUTING or OUTPUT,
// priority -200, net/netfilter/nf_conntrack_proto_tcp.c: tcp_in_window), so it has to see the
// edited stream in both directions, or to be told to be liberal. NAT puts addresses back in
// PREROUTING
// (-100) and away in POSTROUTING (100).
#include <algorithm>

#include <fmt/format.h>

#include "workers/doctor_firewall.h"
#include "workers/shell_words.h"

namespace fettle {
namespace {

constexpr int kConntrack = -200;
constexpr int kDestinationNat = -100;

struct Places {
  std::vector<const FirewallRule*> before;   // connection tracking
  std::vector<const FirewallRule*> early;    // behind it, before NAT puts addresses back
  std::vector<const FirewallRule*> behind;   // both
  std::vector<const FirewallRule*> leaving;  // of `behind`: POSTROUTING
};

void place(const FirewallChain& chain, const FirewallRule* rule, Places* places) {
  const bool comes = chain.hook == Hook::kPrerouting || chain.hook == Hook::kOutput;
  if (comes && chain.priority < kConntrack) {
    places->before.push_back(rule);
  } else if (chain.hook == Hook::kPrerouting && chain.priority < kDestinationNat) {
    places->early.push_back(rule);
  } else {
    places->behind.push_back(rule);
    if (chain.hook == Hook::kPostrouting) places->leaving.push_back(rule);
  }
}

bool is_for_tcp(const FirewallRule& rule) {
  return rule.protocol.empty() || rule.protocol == "tcp" || rule.protocol == "6";
}

Places places_of(const HostFacts& facts, const DoctorPlan& plan, bool ipv6) {
  Places places;
  for (const FirewallRule* rule : feeding(facts.firewall, plan)) {
    if (!(ipv6 ? rule->ipv6() : rule->ipv4()) || !is_for_tcp(*rule)) continue;
    for (const FirewallChain& chain : hooks_of(facts.firewall, *rule)) {
      place(chain, rule, &places);
    }
  }
  return places;
}

bool any_rule(const Firewall& firewall, bool ipv6, bool FirewallRule::*what) {
  return std::ranges::any_of(firewall.rules, [&](const FirewallRule& rule) {
    return rule.*what && (ipv6 ? rule.ipv6() : rule.ipv4());
  });
}

// The other direction of a rule's packets: what came from there goes there.
std::string swapped(std::string word) {
  constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
      {"-i", "-o"}, {"-s", "-d"}, {"--sport", "--dport"}, {"--sports", "--dports"}};
  for (const auto& [a, b] : kPairs) {
    if (word == a) return std::string(b);
    if (word == b) return std::string(a);
  }
  return word;
}

// Takes what goes to where the rule's packets come from.
std::string mirrored(const FirewallRule& rule) {
  if (rule.is_nft() || rule.in.empty()) return "";
  std::vector<std::string> words{rule.tool, "-t", "mangle", "-A", "POSTROUTING"};
  for (const std::string& word : rule.words) words.push_back(swapped(word));
  return shell_words(words);
}

std::string moved_to_forward(const FirewallRule& rule) {
  if (rule.is_nft()) return "";
  std::vector<std::string> words{rule.tool, "-t", "mangle", "-A", "FORWARD"};
  words.insert(words.end(), rule.words.begin(), rule.words.end());
  return shell_words(words) + " && " + command_to_delete(rule);
}

// Both directions before connection tracking: it never sees them shifted alike.
Finding one_sided(const FirewallRule& rule, bool nat) {
  if (!rule.in.empty()) {
    return {
        Grade::kBad, "stream-hooks",
        fmt::format("{} takes one direction of TCP streams, and nothing the other", describe(rule)),
        "Acknowledgements come back unshifted, and the connection hangs.", mirrored(rule)};
  }
  return {Grade::kBad, "stream-hooks",
          fmt::format("{} takes both directions of TCP streams before connection tracking",
                      describe(rule)),
          nat ? "Replies still bear the outside address there, and are taken for another "
                "connection's."
              : "Connection tracking sees one direction edited and the other not.",
          rule.is_nft() ? "" : moved_to_forward(rule)};
}

void judge_family(const HostFacts& facts, const DoctorPlan& plan, bool ipv6, Findings* out) {
  const Firewall& firewall = facts.firewall;
  const Places places = places_of(facts, plan, ipv6);
  const bool nat = any_rule(firewall, ipv6, &FirewallRule::translates);
  if (!any_rule(firewall, ipv6, &FirewallRule::tracks)) return;
  if (!places.before.empty() && places.leaving.empty()) {
    out->push_back(one_sided(*places.before.front(), nat));
  }
  if (!places.early.empty() && nat) {
    const FirewallRule& rule = *places.early.front();
    out->push_back(
        {Grade::kBad, "stream-hooks",
         fmt::format("{} takes TCP streams before NAT puts their addresses back", describe(rule)),
         "Replies bear the outside address there, and are taken for another "
         "connection's.",
         moved_to_forward(rule)});
  }
  const bool inside = places.before.empty() && (!places.behind.empty() || !places.early.empty());
  if (inside && facts.be_liberal.value_or(0) == 0) {
    const FirewallRule& rule =
        places.behind.empty() ? *places.early.front() : *places.behind.front();
    out->push_back(
        {Grade::kBad, "stream-hooks",
         fmt::format("{} takes TCP streams behind connection tracking, which is strict",
                     describe(rule)),
         "It sees acknowledgements of bytes that it has not seen sent, calls the packets "
         "INVALID and translates them no more.",
         "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1"});
  }
}

}  // namespace

Findings judge_streams(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  if (!plan.needs.streams || feeding(facts.firewall, plan).empty()) return out;
  judge_family(facts, plan, false, &out);
  judge_family(facts, plan, true, &out);
  if (out.empty()) {
    out.push_back({Grade::kOk, "stream-hooks",
                   "TCP streams are taken where connection tracking agrees with their edits"});
  }
  return out;
}

}  // namespace fettle
