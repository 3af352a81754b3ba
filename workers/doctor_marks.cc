#include <algorithm>
#include <bit>
#include <charconv>

#include <fmt/format.h>

#include "workers/doctor_firewall.h"
#include "workers/shell_words.h"

namespace fettle {
namespace {

struct ForeignUse {
  MarkUse use;
  std::string who;
};

std::optional<uint32_t> read_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  }
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return number;
}

// "100:	from all fwmark 0x1/0xf lookup 100" (ip-rule(8)).
void read_ip_rules(std::string_view text, std::vector<ForeignUse>* out) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t at = line.find(" fwmark ");
    if (at == std::string_view::npos) continue;
    std::string_view mark = line.substr(at + 8);
    mark = mark.substr(0, mark.find(' '));
    const size_t slash = mark.find('/');
    const auto value = read_number(mark.substr(0, slash));
    const auto mask = slash == std::string_view::npos ? std::optional<uint32_t>(0xffffffff)
                                                      : read_number(mark.substr(slash + 1));
    if (!value || !mask) continue;
    out->push_back({{.value = *value, .mask = *mask},
                    fmt::format("ip rule {}", line.substr(0, line.find(':')))});
  }
}

std::vector<ForeignUse> uses_of(const HostFacts& facts) {
  std::vector<ForeignUse> out;
  for (const FirewallRule& rule : facts.firewall.rules) {
    for (const MarkUse& use : rule.marks) out.push_back({use, describe(rule)});
  }
  read_ip_rules(facts.ip_rules, &out);
  return out;
}

// The same value and mask asked for, or the same bits carried over: that is the mark's own user.
bool belongs_to(const MarkUse& use, const PlannedMark& mark) {
  if (use.moves) return (use.mask & ~mark.mask) == 0;
  return use.value == mark.value && use.mask == mark.mask;
}

// Bits that nobody uses, as many as the mark has; 0 where there are none.
uint32_t free_bits(const std::vector<ForeignUse>& uses, const DoctorPlan& plan, int wanted) {
  uint32_t taken = 0;
  for (const ForeignUse& other : uses) {
    if (other.use.mask != 0xffffffff) taken |= other.use.mask;
    taken |= other.use.value;
  }
  for (const PlannedMark& mark : plan.marks) taken |= mark.mask;
  uint32_t bits = 0;
  for (int bit = 0; bit < 32 && wanted > 0; ++bit) {
    if ((taken >> bit & 1) != 0) continue;
    bits |= uint32_t{1} << bit;
    --wanted;
  }
  return wanted == 0 ? bits : 0;
}

std::string command_to_change(const PlannedMark& mark, const std::string& file, uint32_t bits) {
  if (file.empty() || file == "-" || bits == 0) return "";
  const std::string key = mark.line == 0 ? "bypass-mark" : "mark";
  const std::string line = mark.line == 0 ? "" : fmt::format("{} ", mark.line);
  const std::string edit =
      fmt::format("{}s|\\({} *= *\\)\"[^\"]*\"|\\1\"{:#x}/{:#x}\"|", line, key, bits, bits);
  return fmt::format("sed -i {} {}", shell_word(edit), shell_word(file));
}

const char* verb(const MarkUse& use) {
  return use.moves ? "carries over" : use.sets ? "sets" : "asks for";
}

Finding conflict(const PlannedMark& mark, const ForeignUse& other,
                 const std::vector<ForeignUse>& uses, const DoctorPlan& plan) {
  const std::string ours = mark.line == 0 ? mark.what : fmt::format("rule \"{}\"", mark.what);
  Finding out{Grade::kBad, "marks",
              fmt::format("{} {} mark {:#x}/{:#x}; {} sets {:#x}/{:#x}", other.who, verb(other.use),
                          other.use.value, other.use.mask, ours, mark.value, mark.mask)};
  if (other.use.mask == 0xffffffff) {
    out.why = "It looks at no single bits, so any mark of fettle's is in its way: give it a mask.";
    return out;
  }
  out.why = other.who.starts_with("ip rule")
                ? "Packets that fettle marks may be routed another way."
                : "The two take each other's bits for their own.";
  const int bits = mark.mask == 0xffffffff ? 1 : std::popcount(mark.mask);
  out.fix = command_to_change(mark, plan.rules, free_bits(uses, plan, bits));
  return out;
}

void judge_mark(const PlannedMark& mark, const std::vector<ForeignUse>& uses,
                const DoctorPlan& plan, Findings* out) {
  for (const ForeignUse& other : uses) {
    if ((other.use.mask & mark.mask) == 0 || belongs_to(other.use, mark)) continue;
    out->push_back(conflict(mark, other, uses, plan));
  }
}

// What { bypass = true } needs besides: rules/README.md, Bypass.
void judge_bypass_rules(const PlannedMark& mark, const HostFacts& facts, Findings* out) {
  const bool accepted = std::ranges::any_of(facts.firewall.rules, [&](const FirewallRule& rule) {
    return (rule.accepts || !rule.jumps.empty()) &&
           std::ranges::any_of(rule.marks, [&](const MarkUse& use) {
             return !use.sets && use.value == mark.value && use.mask == mark.mask;
           });
  });
  if (accepted) {
    out->push_back({Grade::kOk, "bypass-rules", "marked connections are let pass"});
    return;
  }
  const std::string bits = fmt::format("{:#x}", mark.mask);
  out->push_back(
      {Grade::kWarn, "bypass-rules",
       fmt::format("no rule lets connections with mark {:#x}/{} pass", mark.value, bits),
       "{ bypass = true } marks flows that the firewall goes on queueing.",
       fmt::format(
           "iptables -t mangle -I FORWARD -m connmark --mark {:#x}/{} -j ACCEPT && iptables "
           "-t mangle -A POSTROUTING -m mark --mark {:#x}/{} -j CONNMARK --save-mark "
           "--nfmask {} --ctmask {}",
           mark.value, bits, mark.value, bits, bits, bits)});
}

}  // namespace

Findings judge_marks(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  const std::vector<ForeignUse> uses = uses_of(facts);
  for (const PlannedMark& mark : plan.marks) judge_mark(mark, uses, plan, &out);
  if (out.empty() && !plan.marks.empty()) {
    out.push_back({Grade::kOk, "marks", "no other rule uses the bits that these rules set"});
  }
  for (const PlannedMark& mark : plan.marks) {
    if (mark.line == 0) judge_bypass_rules(mark, facts, &out);
  }
  return out;
}

}  // namespace fettle
