// Matches loosened to what a firewall can ask (steering.h).
#pragma once

#include <optional>
#include <vector>

#include "core/packet.h"
#include "rules/rule.h"
#include "rules/steering.h"

namespace fettle {

// What holds wherever `match` does at this hook; nothing: it never does.
std::optional<Match> loosened(const Match& match, Hook hook);
// The match itself with the protocols that its keys leave, where these are not all, and without its
// hook unless `places`. Nothing: it never holds.
std::optional<Match> spelled_out(const Match& match, bool places = false);
// What holds for all segments of a TCP connection, one of which `match` may hold for, from the end
// that sends that one.
std::optional<Match> stream_match(const Match& match);
// For what the other end sends.
Match mirrored(const Match& match);

bool is_tcp_alone(const Match& match);

// Filters that differ in one key are made one, and doublets go.
void merge(std::vector<SteeringFilter>* filters);

// The kernel takes IPv6's Mobility, HIP and Shim6 for a transport's headers, fettle looks behind
// them: where a filter asks for what is there, they come all.
void add_unwalked(std::vector<SteeringFilter>* filters);

}  // namespace fettle
