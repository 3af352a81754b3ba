#include "workers/push_down.h"

#include <algorithm>
#include <utility>

#include "rules/check.h"
#include "rules/describe_rules.h"
#include "rules/match_tests.h"
#include "rules/vocabulary.h"

namespace fettle {
namespace {

bool is_strange(const Condition& condition) {
  switch (condition.key) {
    case Key::kHook:  // among exceptions
    case Key::kFragment:
    case Key::kPayload:
    case Key::kFilter:
    case Key::kProbability:
      return true;
    default:
      return std::ranges::any_of(condition.any_of, [](const Operand& operand) {
        const auto* bytes = std::get_if<BytesMatch>(&operand);
        return bytes &&
               (bytes->from == Origin::kQuotedNetwork || bytes->from == Origin::kQuotedTransport);
      });
  }
}

}  // namespace

RuleWriter rule_writer(SteeringTool tool, std::string name) {
  return tool == SteeringTool::kNft ? nft_rule_writer(std::move(name))
                                    : iptables_rule_writer(std::move(name));
}

std::string strange_key(const Match& match) {
  for (const Condition& condition : match.all_of)
    if (is_strange(condition)) return "key: " + std::string(name_of(condition.key));
  for (const Match& none : match.none_of)
    if (std::string strange = strange_key(none); !strange.empty()) return strange;
  return "";
}

std::string strange_step(const Step& step) {
  const std::string text = describe_step(step);
  return "step: " + text.substr(0, text.find(' '));
}

bool is_tcp_or_udp(const Match& match) {
  const std::vector<bool> protocols = scope_of(match).protocols;
  const auto known = static_cast<std::ptrdiff_t>(protocols[static_cast<size_t>(Protocol::kTcp)]) +
                     static_cast<std::ptrdiff_t>(protocols[static_cast<size_t>(Protocol::kUdp)]);
  return std::ranges::count(protocols, true) == known;
}

bool excludes_by_transport(const Match& match) {
  return std::ranges::any_of(match.none_of, [](const Match& none) {
    return std::ranges::any_of(none.all_of, reads_transport);
  });
}

}  // namespace fettle
