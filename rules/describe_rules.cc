#include "rules/describe_rules.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "rules/vocabulary.h"

namespace fettle {
namespace {

std::string hex(const std::vector<std::byte>& bytes) {
  constexpr size_t kMost = 16;
  std::string out;
  for (size_t i = 0; i < bytes.size() && i < kMost; ++i) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return bytes.size() > kMost ? fmt::format("{}... ({} bytes)", out, bytes.size()) : out;
}

std::string place(Origin from, uint32_t at) {
  return fmt::format("{}+{}", word_of(WordGroup::kOrigin, static_cast<int>(from)), at);
}

std::string range_text(const Range& range, std::optional<WordGroup> names = std::nullopt) {
  if (range.low != range.high) return fmt::format("{}-{}", range.low, range.high);
  if (names) {
    const std::string_view word = word_of(*names, static_cast<int>(range.low));
    if (!word.empty()) return std::string(word);
  }
  return fmt::format("{}", range.low);
}

// In the largest unit that leaves no fraction.
std::string rate_text(uint64_t rate) {
  constexpr std::pair<uint64_t, std::string_view> kUnits[] = {
      {1'000'000'000, "gbit"}, {1'000'000, "mbit"}, {1000, "kbit"}};
  for (const auto& [unit, name] : kUnits) {
    if (rate % unit == 0) return fmt::format("{}{}", rate / unit, name);
  }
  return fmt::format("{}bit", rate);
}

std::string flags_text(uint32_t flags) {
  if (flags == 0) return "none";
  std::string out;
  for (const Word& word : words()) {
    if (word.group != WordGroup::kTcpFlag || word.number == 0 || word.number == 0xff) continue;
    if (flags & static_cast<uint32_t>(word.number))
      out += fmt::format("{}{}", out.empty() ? "" : ",", word.name);
  }
  return out;
}

std::string icmp_text(const IcmpMatch& match) {
  std::string out;
  if (match.icmp) out = fmt::format("icmp {}", range_text(*match.icmp));
  if (match.icmpv6)
    out += fmt::format("{}icmpv6 {}", out.empty() ? "" : " / ", range_text(*match.icmpv6));
  if (match.code.low == match.code.high) out += fmt::format(" code {}", match.code.low);
  return out;
}

std::string interface_text(const InterfacePattern& pattern) {
  return fmt::format("{}{}", pattern.name.data(), pattern.mask.back() == '\0' ? "*" : "");
}

std::optional<WordGroup> names_for(Key key) {
  switch (key) {
    case Key::kProtocol:
      return WordGroup::kProtocol;
    case Key::kHook:
      return WordGroup::kHook;
    default:
      return std::nullopt;
  }
}

std::string operand_text(Key key, const Operand& operand) {
  if (const auto* range = std::get_if<Range>(&operand)) return range_text(*range, names_for(key));
  if (const auto* prefix = std::get_if<Prefix>(&operand)) return prefix->to_string();
  if (const auto* name = std::get_if<InterfacePattern>(&operand)) return interface_text(*name);
  if (const auto* icmp = std::get_if<IcmpMatch>(&operand)) return icmp_text(*icmp);
  if (const auto* family = std::get_if<Family>(&operand)) {
    return *family == Family::kIpv4 ? "ipv4" : "ipv6";
  }
  if (const auto* masked = std::get_if<MaskedValue>(&operand)) {
    if (key == Key::kTcpFlags) {
      return fmt::format("{} of {}", flags_text(masked->value), flags_text(masked->mask));
    }
    return masked->mask == 0xffffffff ? fmt::format("{:#x}", masked->value)
                                      : fmt::format("{:#x}/{:#x}", masked->value, masked->mask);
  }
  if (const auto* kind = std::get_if<FragmentKind>(&operand)) {
    constexpr std::string_view kNames[] = {"yes", "no", "first", "later"};
    return std::string(kNames[static_cast<size_t>(*kind)]);
  }
  if (const auto* pattern = std::get_if<PatternMatch>(&operand)) {
    return fmt::format("'{}'{}", pattern->pattern, pattern->ignore_case ? " in any case" : "");
  }
  if (const auto* filter = std::get_if<FilterMatch>(&operand)) {
    return fmt::format("'{}'", filter->expression);
  }
  if (const auto* chance = std::get_if<ChanceMatch>(&operand)) {
    return fmt::format("{:g}%", chance->percent);
  }
  const auto& bytes = std::get<BytesMatch>(operand);
  const bool all =
      std::ranges::all_of(bytes.mask, [](std::byte b) { return b == std::byte{0xff}; });
  return fmt::format("{} = {}{}", place(bytes.from, bytes.at), hex(bytes.value),
                     all ? "" : fmt::format(" under mask {}", hex(bytes.mask)));
}

std::string match_text(const Match& match) {
  std::string out;
  for (const Condition& condition : match.all_of) {
    std::string values;
    for (const Operand& operand : condition.any_of) {
      values +=
          fmt::format("{}{}", values.empty() ? "" : " or ", operand_text(condition.key, operand));
    }
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name_of(condition.key), values);
  }
  for (const Match& none : match.none_of) {
    out += fmt::format("{}not ({})", out.empty() ? "" : ", ",
                       none.all_of.empty() ? "every packet" : match_text(none));
  }
  return out.empty() ? "every packet" : out;
}

std::string text_of(const VerdictStep& step) {
  constexpr std::string_view kNames[] = {"accept", "drop", "repeat", "queue"};
  const std::string_view name = kNames[static_cast<size_t>(step.verdict)];
  return step.verdict == Verdict::kQueue ? fmt::format("{} {}", name, step.queue)
                                         : std::string(name);
}
std::string text_of(const SetStep& step) {
  constexpr std::string_view kNames[] = {"ttl",      "dscp",     "ecn",    "src",       "dst",
                                         "src-port", "dst-port", "window", "flow-label"};
  std::string out;
  for (const SetStep::Assignment& part : step.assignments) {
    const bool address = part.field == Field::kSrc || part.field == Field::kDst;
    out +=
        fmt::format("{}{} {}", out.empty() ? "set " : ", ", kNames[static_cast<size_t>(part.field)],
                    address ? part.address.to_string() : fmt::format("{}", part.number));
  }
  return out;
}
std::string text_of(const TranslateStep& step) {
  constexpr std::string_view kForms[] = {"", " as text", " with commas"};
  return fmt::format("translate {}{} by {}{}",
                     step.anywhere ? "all addresses in the payload"
                                   : fmt::format("the address at {}", place(step.from, step.at)),
                     kForms[static_cast<size_t>(step.form)], step.table,
                     step.reverse ? ", reversed" : "");
}
std::string text_of(const WriteStep& step) {
  return fmt::format("write {} at {}", hex(step.bytes), place(step.from, step.at));
}
std::string text_of(const ReplaceStep& step) {
  return fmt::format("replace '{}'{} by '{}'", step.pattern.pattern,
                     step.pattern.ignore_case ? " in any case" : "", step.with);
}
std::string text_of(const MarkStep& step) {
  return step.mask == 0xffffffff ? fmt::format("mark {:#x}", step.value)
                                 : fmt::format("mark {:#x}/{:#x}", step.value, step.mask);
}
std::string text_of(const ClampMssStep& step) { return fmt::format("clamp-mss {}", step.mss); }
std::string text_of(const InsertStep& step) {
  return fmt::format("insert {} at {}", hex(step.bytes), place(Origin::kPayload, step.at));
}
std::string text_of(const DeleteStep& step) {
  return fmt::format("delete {} byte{} at {}", step.count, step.count == 1 ? "" : "s",
                     place(Origin::kPayload, step.at));
}
std::string text_of(const StripStep& step) {
  constexpr std::string_view kNames[] = {"tcp-timestamps", "ip-options"};
  if (step.what != StripStep::What::kTrailing) {
    return fmt::format("strip {}", kNames[static_cast<size_t>(step.what)]);
  }
  return fmt::format("strip {} byte{} off the payload's end", step.count,
                     step.count == 1 ? "" : "s");
}
std::string text_of(const LengthFieldStep& step) {
  return fmt::format("length-field of {} byte{} at {}{}{}", step.size, step.size == 1 ? "" : "s",
                     place(Origin::kPayload, step.at), step.little_endian ? ", little-endian" : "",
                     step.unit == 1 ? "" : fmt::format(", in units of {} bytes", step.unit));
}
std::string text_of(const ContentLengthStep&) { return "content-length"; }
std::string text_of(const DnsStep& step) {
  return fmt::format("dns by {}{}", step.table, step.reverse ? ", reversed" : "");
}
std::string text_of(const SipStep& step) {
  return fmt::format("{} by {}{}", step.sdp_only ? "sdp" : "sip", step.table,
                     step.reverse ? ", reversed" : "");
}
std::string text_of(const LogStep&) { return "log"; }
std::string text_of(const BypassStep&) { return "bypass"; }
std::string text_of(const CaptureStep& step) { return fmt::format("capture to {}", step.file); }
std::string text_of(const DelayStep& step) {
  return step.jitter == 0 ? fmt::format("delay {}", time_text(step.delay))
                          : fmt::format("delay {}, {} more or less", time_text(step.delay),
                                        time_text(step.jitter));
}
std::string text_of(const LoseStep& step) { return fmt::format("lose {}%", step.percent); }
std::string text_of(const ReorderStep& step) {
  return fmt::format("reorder {}% by {}", step.percent, time_text(step.by));
}
std::string text_of(const RateStep& step) {
  return fmt::format("rate {}, latency {}", rate_text(step.rate), time_text(step.latency));
}
std::string text_of(const CorruptStep& step) { return fmt::format("corrupt {}%", step.percent); }

std::string_view verdict_text(Verdict verdict) {
  return verdict == Verdict::kDrop ? "drop" : "accept";
}

std::string copy_text(const Needs& needs) {
  if (!needs.packets) return "metadata only: no rule looks into packets";
  if (needs.changes) return "whole packets: rules change them";
  if (needs.whole)
    return "whole packets: IPv6's headers, or the place of what is read, have no bound";
  return fmt::format("the first {} bytes: the rules read IPv4 only and change nothing",
                     needs.depth);
}

std::string index_text(const Classifier& classifier) {
  const MatchIndex::Shape& shape = classifier.index().shape();
  return fmt::format(
      "{} KiB; for its first rule a packet is compared with {} of {} alternatives at most",
      (classifier.memory() + 1023) / 1024, shape.most, shape.boxes);
}

std::string table_text(const Table& table) {
  std::map<std::string, size_t> kinds;
  for (const TableEntry& entry : table.entries) {
    ++kinds[fmt::format("{} /{}", entry.inside.address.family == Family::kIpv4 ? "IPv4" : "IPv6",
                        entry.inside.length)];
  }
  std::string out = fmt::format("table {}: {} entr{}", table.name, table.entries.size(),
                                table.entries.size() == 1 ? "y" : "ies");
  for (const auto& [kind, count] : kinds)
    out += fmt::format("{}{} {}", out.back() == ')' ? "" : ", ", count, kind);
  return out + "\n";
}

}  // namespace

std::string time_text(uint64_t nanoseconds) {
  constexpr std::pair<uint64_t, std::string_view> kUnits[] = {
      {1'000'000'000, "s"}, {1'000'000, "ms"}, {1000, "us"}};
  for (const auto& [unit, name] : kUnits) {
    if (nanoseconds < unit) continue;
    return fmt::format("{}{}", static_cast<double>(nanoseconds) / static_cast<double>(unit), name);
  }
  return fmt::format("{}ns", nanoseconds);
}

std::string describe_step(const Step& step) {
  return std::visit([](const auto& what) { return text_of(what); }, step.what);
}

std::string describe_rules(const RuleSet& set, const Program::Compiled& compiled) {
  std::string out = fmt::format("copied     {}\n", copy_text(compiled.needs));
  out += fmt::format("default    {}; malformed packets: {}\n", verdict_text(set.defaults.verdict),
                     verdict_text(set.defaults.malformed));
  if (const auto& overload = set.defaults.overload) {
    out += fmt::format("overload   {}\n", verdict_text(*overload));
  } else if (compiled.needs.must_change) {
    out += "overload   drop, since a rule must change its packets\n";
  }
  if (const auto& mark = set.defaults.bypass_mark) {
    out += fmt::format("bypass     mark {:#x}/{:#x}\n", mark->value, mark->mask);
  }
  if (!set.rules.empty()) out += fmt::format("index      {}\n", index_text(compiled.classifier));
  if (compiled.patterns.size() > 0) {
    out += fmt::format("patterns   {} in one database, {} KiB with what scans need\n",
                       compiled.patterns.size(), (compiled.patterns.memory() + 1023) / 1024);
  }
  for (const Table& table : set.tables) out += table_text(table);
  out += fmt::format("{} rule{}\n", set.rules.size(), set.rules.size() == 1 ? "" : "s");
  for (size_t i = 0; i < set.rules.size(); ++i) {
    const Rule& rule = set.rules[i];
    out += fmt::format("\n{:>4}  {}\n      match  {}\n", i + 1, rule.name, match_text(rule.match));
    std::string_view label = "steps";
    for (const Step& step : rule.steps) {
      out += fmt::format("      {:5}  {}\n", std::exchange(label, ""), describe_step(step));
    }
    if (rule.steps.empty()) out += "      steps  none: it counts\n";
    if (rule.on_miss) out += fmt::format("      miss   {}\n", verdict_text(*rule.on_miss));
    if (rule.must_change) out += "      must   change its packets, or drop them\n";
  }
  return out;
}

}  // namespace fettle
