// Rules in a firewall's words, to be carried out by it (rules/push_down.h). Pure.
//
// A rule has chains of its own at each point: one that asks what its match says, where one rule of
// the firewall cannot, and one that does the steps, one after another, so that a step that does not
// apply leaves the next ones to be done. What is written is what the kernel does exactly: where it
// would do more or less (xt_TCPMSS adds an option; nft writes no checksum for what it does not
// know), the rule stays with the queue.
//
// Headers that contradict each other (a UDP length beyond the packet) make a packet malformed for
// fettle, which leaves it as it is; a firewall looks only at what it is asked for.
#pragma once

#include <string>

#include "rules/push_down.h"
#include "rules/steering.h"

namespace fettle {

// `name`: SteeringTarget::name.
RuleWriter rule_writer(SteeringTool tool, std::string name);
RuleWriter nft_rule_writer(std::string table);
RuleWriter iptables_rule_writer(std::string name);

// Keys of the match that no firewall has, or has with another meaning; "": none.
std::string strange_key(const Match& match);
// Of a step that the firewall does not have: "step: replace".
std::string strange_step(const Step& step);
// Whether only packets of TCP and UDP match, whose payload a firewall finds.
bool is_tcp_or_udp(const Match& match);
// Whether a key of none_of looks at the transport header: no later fragment matches the rule then.
bool excludes_by_transport(const Match& match);

}  // namespace fettle
