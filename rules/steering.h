// Which packets a rule set can matter to, said by what a firewall's rules can ask: what
// `fettle steer` has queued, so that the rest never leaves the kernel.
//
// What is said is too much at times and never too little. A packet that no filter of its hook
// matches is one that the rules leave as it is; where they edit TCP streams, it belongs to none of
// these either. Keys that a firewall does not have, or that mean something else for a super-packet
// than for its segments (IP length, PSH and FIN, bytes of the payload), are left out or loosened.
//
// Rules that the firewall itself can carry out need no queue at all: push_down.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "rules/push_down.h"
#include "rules/rule.h"

namespace fettle {

enum class SteeringTool : uint8_t { kNft, kIptables };  // whose rules

struct SteeringFilter {
  // all_of alone, a key once, of: family, protocol, src, dst, src-port, dst-port, port, in, out,
  // mark, ttl, dscp, length (from so many on), tcp-flags (of SYN, RST, ACK and URG), filter (of
  // addresses, protocols and ports), which not every firewall can ask.
  Match match;
  std::vector<std::string> rules;  // that want it, by name
  bool must_change = false;        // one of them does: it must not pass unchanged
};

struct SteeringPoint {
  Hook hook = Hook::kForward;
  // Before connection tracking and NAT (raw): the streams that they see are the edited ones.
  bool early = false;
  std::string device;  // "around" connection tracking: packets from it, or to it, alone; else ""
  std::vector<PushedRule> pushed;  // what packets meet ahead of the filters
  std::vector<SteeringFilter> filters;
};

struct SteeringPlan {
  std::vector<SteeringPoint> points;
  bool streams = false;       // both directions of a connection have to come to one queue
  bool keeps_flow = false;    // so have all packets of a flow: rates, delays
  bool drops_unseen = false;  // no packet may pass where nobody reads the queue
  std::optional<MaskedValue> bypass_mark;
  std::vector<std::string> idle;  // rules that do nothing to a packet, by name
  // By the rules' numbers, where push-down was wished for: "" for one that the firewall carries
  // out, else why it does not.
  std::vector<std::string> hindrances;
  std::vector<std::string> notes;  // sentences for whoever asked
};

struct SteeringWish {
  std::optional<Hook> hook;  // of rules that name none; else as their steps have it
  std::string around;        // device: what comes from it early, what goes to it behind routing
  RuleWriter push_down;      // of the firewall that is to carry out what it can; else empty
};

// Errors (kData): some steps want packets before routing, others behind it, and no rule says which.
Result<SteeringPlan> plan_steering(const RuleSet& set, const SteeringWish& wish);

// What is left to the queue.
RuleSet without_pushed(RuleSet set, const SteeringPlan& plan);

std::string_view hook_name(Hook hook);

}  // namespace fettle
