// What nft's rules and iptables' have in common.
#include "workers/steering_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "rules/match_tests.h"

namespace fettle {

std::vector<Range> steering_ranges(const Condition& condition) {
  std::vector<Range> out;
  for (const Operand& operand : condition.any_of) out.push_back(std::get<Range>(operand));
  return merged(std::move(out));
}

std::string steering_device(const InterfacePattern& pattern, char wildcard) {
  const auto end = std::ranges::find(pattern.mask, '\0');
  const auto size = static_cast<size_t>(end - pattern.mask.begin());
  std::string name = std::string(pattern.name.data(), size).c_str();
  if (end != pattern.mask.end()) name += wildcard;
  return name;
}

std::string steering_protocol(uint32_t number) {
  switch (number) {
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 58:
      return "icmpv6";
    case 132:
      return "sctp";
    case 136:
      return "udplite";
    default:
      return std::to_string(number);
  }
}

std::string steering_comment(const SteeringFilter& filter, size_t longest) {
  std::string out;
  size_t named = 0;
  for (const std::string& name : filter.rules) {
    std::string clean;
    for (const char c : name) clean += c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '?';
    const std::string rest = fmt::format(" and {} more", filter.rules.size() - named - 1);
    if (out.size() + clean.size() + 2 + rest.size() > longest) break;
    out += (named == 0 ? "" : ", ") + clean;
    ++named;
  }
  if (named == 0) return fmt::format("{} rules", filter.rules.size());
  return named == filter.rules.size()
             ? out
             : out + fmt::format(" and {} more", filter.rules.size() - named);
}

}  // namespace fettle
