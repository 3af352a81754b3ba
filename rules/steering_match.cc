#include "rules/steering_match.h"

#include <algorithm>
#include <map>
#include <string>

#include <fmt/format.h>

#include "core/ip_numbers.h"
#include "core/stream_segment.h"
#include "rules/check.h"
#include "rules/packet_filter.h"

namespace fettle {
namespace {

// A super-packet has these as each of its segments.
constexpr uint32_t kSteadyFlags = stream::kSyn | stream::kRst | stream::kAck | stream::kUrg;
constexpr uint32_t kTcp = static_cast<uint32_t>(Protocol::kTcp);

// Nothing is left of it: it holds for every packet.
constexpr auto kAnything = std::nullopt;

std::optional<Condition> loosened_flags(const Condition& condition) {
  Condition out{condition.key, {}, condition.where};
  for (const Operand& operand : condition.any_of) {
    auto masked = std::get<MaskedValue>(operand);
    masked.mask &= kSteadyFlags;
    masked.value &= masked.mask;
    if (masked.mask == 0) return kAnything;
    out.any_of.push_back(masked);
  }
  return out;
}

// A segment is no longer than the super-packet that it is of.
std::optional<Condition> loosened_length(const Condition& condition) {
  uint32_t low = 65'535;
  for (const Operand& operand : condition.any_of) low = std::min(low, std::get<Range>(operand).low);
  if (low == 0) return kAnything;
  return Condition{condition.key, {Range{low, 65'535}}, condition.where};
}

std::optional<Condition> loosened_filter(const Condition& condition) {
  const bool alike = std::ranges::all_of(condition.any_of, [](const Operand& operand) {
    return asks_segments_alike(std::get<FilterMatch>(operand).expression);
  });
  return alike ? std::optional(condition) : kAnything;
}

// What a firewall asks instead, if anything.
std::optional<Condition> loosened(const Condition& condition) {
  switch (condition.key) {
    case Key::kFamily:
    case Key::kSrc:
    case Key::kDst:
    case Key::kSrcPort:
    case Key::kDstPort:
    case Key::kPort:
    case Key::kIn:
    case Key::kOut:
    case Key::kMark:
    case Key::kTtl:
    case Key::kDscp:
      return condition;
    case Key::kLength:
      return loosened_length(condition);
    case Key::kTcpFlags:
      return loosened_flags(condition);
    case Key::kFilter:
      return loosened_filter(condition);
    case Key::kProtocol:  // the scope of the match says it, as of ports
    case Key::kIcmpType:
    case Key::kHook:  // the filter's place does
    case Key::kFragment:
    case Key::kBytes:
    case Key::kPayload:
    case Key::kProbability:
      break;
  }
  return kAnything;
}

Condition protocols(const std::vector<bool>& of) {
  Condition out{Key::kProtocol, {}, {}};
  for (uint32_t i = 0; i < 256; ++i) {
    if (!of[i]) continue;
    uint32_t last = i;
    while (last < 255 && of[last + 1]) ++last;
    out.any_of.push_back(Range{i, last});
    i = last;
  }
  return out;
}

// The protocols that the keys of a match leave, where these are not all. Nothing: it never holds.
std::optional<Match> protocols_of(const Match& match) {
  const Scope scope = scope_of(match);
  const bool some = std::ranges::find(scope.protocols, true) != scope.protocols.end();
  if (!some || (!scope.ipv4 && !scope.ipv6)) return std::nullopt;
  Match out;
  if (std::ranges::find(scope.protocols, false) != scope.protocols.end())
    out.all_of.push_back(protocols(scope.protocols));
  return out;
}

bool asks_ports(Key key) {
  return key == Key::kSrcPort || key == Key::kDstPort || key == Key::kPort;
}

bool asks_transport(Key key) {
  return key == Key::kProtocol || key == Key::kTcpFlags || asks_ports(key);
}

bool is_routed(Hook hook) { return hook != Hook::kPrerouting && hook != Hook::kInput; }

// ---- Merging ----------------------------------------------------------------------------------

std::string text_of(const Operand& operand) {
  if (const auto* range = std::get_if<Range>(&operand))
    return fmt::format("{}-{}", range->low, range->high);
  if (const auto* masked = std::get_if<MaskedValue>(&operand))
    return fmt::format("{:x}/{:x}", masked->value, masked->mask);
  if (const auto* prefix = std::get_if<Prefix>(&operand)) return prefix->to_string();
  if (const auto* name = std::get_if<InterfacePattern>(&operand))
    return std::string(name->name.begin(), name->name.end()) +
           std::string(name->mask.begin(), name->mask.end());
  if (const auto* filter = std::get_if<FilterMatch>(&operand)) return filter->expression;
  const auto* family = std::get_if<Family>(&operand);
  return family && *family == Family::kIpv6 ? "6" : "4";
}

std::string text_of(const Condition& condition) {
  std::string out = fmt::format("{}", static_cast<int>(condition.key));
  for (const Operand& operand : condition.any_of) out += "," + text_of(operand);
  return out;
}

// All but the condition on `key`; nothing where it has none, or where a list of its operands would
// say something else.
std::optional<std::string> text_without(const SteeringFilter& filter, Key key) {
  std::string out = filter.must_change ? "!" : "";
  bool has = false;
  for (const Condition& condition : filter.match.all_of) {
    has |= condition.key == key;
    if (condition.key != key) out += ";" + text_of(condition);
  }
  return has ? std::optional(out) : std::nullopt;
}

void add_names(const std::vector<std::string>& from, std::vector<std::string>* to) {
  for (const std::string& name : from)
    if (std::ranges::find(*to, name) == to->end()) to->push_back(name);
}

void add_operands(const Condition& from, Condition* to) {
  std::vector<std::string> known;
  for (const Operand& operand : to->any_of) known.push_back(text_of(operand));
  for (const Operand& operand : from.any_of)
    if (std::ranges::find(known, text_of(operand)) == known.end()) to->any_of.push_back(operand);
}

void merge_on(Key key, std::vector<SteeringFilter>* filters) {
  std::map<std::string, size_t> seen;
  std::vector<SteeringFilter> out;
  const auto of = [key](Match& match) -> Condition& {
    return *std::ranges::find(match.all_of, key, &Condition::key);
  };
  for (SteeringFilter& filter : *filters) {
    const auto text = text_without(filter, key);
    if (!text) {
      out.push_back(std::move(filter));
      continue;
    }
    const auto [at, is_new] = seen.emplace(*text, out.size());
    if (is_new) {
      out.push_back(std::move(filter));
      continue;
    }
    add_operands(of(filter.match), &of(out[at->second].match));
    add_names(filter.rules, &out[at->second].rules);
  }
  *filters = std::move(out);
}

void drop_doublets(std::vector<SteeringFilter>* filters) {
  std::map<std::string, size_t> seen;
  std::vector<SteeringFilter> out;
  for (SteeringFilter& filter : *filters) {
    std::string text = filter.must_change ? "!" : "";
    for (const Condition& condition : filter.match.all_of) text += ";" + text_of(condition);
    const auto [at, is_new] = seen.emplace(text, out.size());
    if (is_new) {
      out.push_back(std::move(filter));
    } else {
      add_names(filter.rules, &out[at->second].rules);
    }
  }
  *filters = std::move(out);
}

}  // namespace

void add_unwalked(std::vector<SteeringFilter>* filters) {
  const auto looks_behind = [](const SteeringFilter& filter) {
    return scope_of(filter.match).ipv6 &&
           std::ranges::any_of(filter.match.all_of, [](const Condition& condition) {
             return asks_transport(condition.key);
           });
  };
  if (std::ranges::none_of(*filters, looks_behind)) return;
  Match match;
  match.all_of.push_back({Key::kFamily, {Family::kIpv6}, {}});
  match.all_of.push_back(
      {Key::kProtocol, {Range{kMobility, kMobility}, Range{kHostIdentity, kShim6}}, {}});
  const bool must = std::ranges::any_of(*filters, &SteeringFilter::must_change);
  filters->push_back({std::move(match), {"behind rare headers"}, must});
}

bool is_tcp_alone(const Match& match) {
  const std::vector<bool> protocols = scope_of(match).protocols;
  return protocols[kTcp] && std::ranges::count(protocols, true) == 1;
}

std::optional<Match> loosened(const Match& match, Hook hook) {
  std::optional<Match> out = protocols_of(match);
  if (!out) return std::nullopt;
  for (const Condition& condition : match.all_of) {
    if (condition.key == Key::kOut && !is_routed(hook)) return std::nullopt;
    // The kernel tells it behind routing, too, and iptables cannot ask for it there.
    if (condition.key == Key::kIn && (hook == Hook::kOutput || hook == Hook::kPostrouting))
      continue;
    if (auto firewalls = loosened(condition)) out->all_of.push_back(std::move(*firewalls));
  }
  return out;
}

std::optional<Match> spelled_out(const Match& match, bool places) {
  std::optional<Match> out = protocols_of(match);
  if (!out) return std::nullopt;
  for (const Condition& condition : match.all_of)
    if ((places || condition.key != Key::kHook) && condition.key != Key::kProtocol)
      out->all_of.push_back(condition);
  for (const Match& none : match.none_of)
    if (auto excluded = spelled_out(none, true)) out->none_of.push_back(std::move(*excluded));
  return out;
}

std::optional<Match> stream_match(const Match& match) {
  if (!scope_of(match).protocols[kTcp]) return std::nullopt;
  Match out;
  out.all_of.push_back({Key::kProtocol, {Range{kTcp, kTcp}}, {}});
  for (const Condition& condition : match.all_of) {
    switch (condition.key) {
      case Key::kFamily:
      case Key::kSrc:
      case Key::kDst:
      case Key::kSrcPort:
      case Key::kDstPort:
      case Key::kPort:
        out.all_of.push_back(condition);
        break;
      default:
        break;
    }
  }
  return out;
}

Match mirrored(const Match& match) {
  Match out = match;
  for (Condition& condition : out.all_of) {
    switch (condition.key) {
      case Key::kSrc:
        condition.key = Key::kDst;
        break;
      case Key::kDst:
        condition.key = Key::kSrc;
        break;
      case Key::kSrcPort:
        condition.key = Key::kDstPort;
        break;
      case Key::kDstPort:
        condition.key = Key::kSrcPort;
        break;
      default:
        break;
    }
  }
  return out;
}

void merge(std::vector<SteeringFilter>* filters) {
  for (SteeringFilter& filter : *filters)
    std::ranges::stable_sort(filter.match.all_of, {}, &Condition::key);
  drop_doublets(filters);
  for (const Key key :
       {Key::kSrc, Key::kDst, Key::kSrcPort, Key::kDstPort, Key::kPort, Key::kProtocol, Key::kIn,
        Key::kOut, Key::kMark, Key::kTtl, Key::kDscp, Key::kTcpFlags}) {
    merge_on(key, filters);
  }
}

}  // namespace fettle
