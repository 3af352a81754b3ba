#include "rules/push_down.h"

#include <algorithm>

#include <fmt/format.h>

#include "rules/check.h"

namespace fettle {
namespace {

// What of a packet a rule looks at or writes.
using Parts = uint32_t;
enum Part : Parts {
  kTtl = 1,
  kDscp = 2,
  kEcn = 4,
  kSrc = 8,
  kDst = 16,
  kSrcPort = 32,
  kDstPort = 64,
  kWindow = 128,
  kFlowLabel = 256,
  kMarked = 512,
  kOptions = 1024,  // TCP's
  kFlags = 2048,
  kPayload = 4096,
  kLength = 8192,
  kElse = 16384,  // other bytes of headers
  kAll = 32767,
};

Parts part_of(Field field) {
  constexpr Parts kParts[] = {kTtl,     kDscp,    kEcn,    kSrc,      kDst,
                              kSrcPort, kDstPort, kWindow, kFlowLabel};
  return kParts[static_cast<size_t>(field)];
}

Parts parts_of(Key key) {
  switch (key) {
    case Key::kSrc:
      return kSrc;
    case Key::kDst:
      return kDst;
    case Key::kSrcPort:
      return kSrcPort;
    case Key::kDstPort:
      return kDstPort;
    case Key::kPort:
      return kSrcPort | kDstPort;
    case Key::kMark:
      return kMarked;
    case Key::kTtl:
      return kTtl;
    case Key::kDscp:
      return kDscp;
    case Key::kLength:
      return kLength;
    case Key::kTcpFlags:
      return kFlags;
    case Key::kPayload:
      return kPayload;
    case Key::kBytes:
    case Key::kFilter:
      return kAll;
    case Key::kFamily:
    case Key::kProtocol:
    case Key::kHook:
    case Key::kIn:
    case Key::kOut:
    case Key::kFragment:
    case Key::kIcmpType:
    case Key::kProbability:
      break;  // nothing writes what these ask for
  }
  return 0;
}

Parts looked_at(const Match& match) {
  Parts out = 0;
  for (const Condition& condition : match.all_of) {
    for (const Operand& operand : condition.any_of) {
      const auto* bytes = std::get_if<BytesMatch>(&operand);
      out |= bytes && bytes->from == Origin::kPayload ? Parts{kPayload} : parts_of(condition.key);
    }
  }
  for (const Match& none : match.none_of) out |= looked_at(none);
  return out;
}

struct StepEffect {
  Parts reads = 0, writes = 0;
  bool ends = false;  // packets go on without the rules behind it
};

StepEffect effect_of(const TranslateStep& step) {
  if (step.from == Origin::kPayload) return {kPayload, kPayload | (step.anywhere ? kLength : 0u)};
  if (step.from == Origin::kNetwork && (step.at == 12 || step.at == 8)) return {kSrc, kSrc};
  if (step.from == Origin::kNetwork && (step.at == 16 || step.at == 24)) return {kDst, kDst};
  return {kAll, kAll};
}

StepEffect effect_of(const SetStep& step) {
  StepEffect out;
  for (const SetStep::Assignment& part : step.assignments) out.writes |= part_of(part.field);
  return out;
}

StepEffect effect_of(const Step& step) {
  if (const auto* verdict = std::get_if<VerdictStep>(&step.what))
    return {0, 0, verdict->verdict != Verdict::kDrop};
  if (const auto* set = std::get_if<SetStep>(&step.what)) return effect_of(*set);
  if (const auto* translate = std::get_if<TranslateStep>(&step.what)) return effect_of(*translate);
  if (std::holds_alternative<MarkStep>(step.what) || std::holds_alternative<BypassStep>(step.what))
    return {0, kMarked};
  if (std::holds_alternative<ClampMssStep>(step.what)) return {kFlags | kOptions, kOptions};
  if (const auto* write = std::get_if<WriteStep>(&step.what))
    return {0, write->from == Origin::kPayload ? Parts{kPayload} : Parts{kAll}};
  if (std::holds_alternative<LogStep>(step.what) || std::holds_alternative<CaptureStep>(step.what))
    return {kAll, 0};  // as the packet is there
  if (std::holds_alternative<DelayStep>(step.what) || std::holds_alternative<LoseStep>(step.what) ||
      std::holds_alternative<ReorderStep>(step.what))
    return {};
  if (std::holds_alternative<RateStep>(step.what)) return {kLength, 0};
  if (std::holds_alternative<StripStep>(step.what)) return {kAll, kAll};
  // Of payloads that change their length.
  return {kPayload | kLength, kPayload | kLength};
}

bool decides(const Rule& rule) {
  return rule.on_miss || std::ranges::any_of(rule.steps, [](const Step& step) {
           return std::holds_alternative<VerdictStep>(step.what);
         });
}

// ---- Matches that no packet meets both of ------------------------------------------------------

bool meet(const Operand& a, const Operand& b) {
  if (const auto* range = std::get_if<Range>(&a)) {
    const auto& other = std::get<Range>(b);
    return range->low <= other.high && other.low <= range->high;
  }
  if (const auto* prefix = std::get_if<Prefix>(&a)) {
    const auto& other = std::get<Prefix>(b);
    return prefix->length <= other.length ? prefix->contains(other.address)
                                          : other.contains(prefix->address);
  }
  if (const auto* name = std::get_if<InterfacePattern>(&a)) {
    const auto& other = std::get<InterfacePattern>(b);
    for (size_t i = 0; i < name->name.size(); ++i) {
      const int both = name->mask[i] & other.mask[i];
      if ((name->name[i] & both) != (other.name[i] & both)) return false;
    }
  }
  return true;
}

bool meet(const Condition& a, const Condition& b) {
  return std::ranges::any_of(a.any_of, [&](const Operand& one) {
    return std::ranges::any_of(b.any_of, [&](const Operand& other) { return meet(one, other); });
  });
}

bool is_comparable(Key key) {
  return key == Key::kSrc || key == Key::kDst || key == Key::kSrcPort || key == Key::kDstPort ||
         key == Key::kHook || key == Key::kIn || key == Key::kOut;
}

}  // namespace

PushOrder::PushOrder(const RuleSet& set) : set_(set) {
  for (const Rule& rule : set.rules) {
    effects_.push_back(effect_of(rule));
    written_ |= effects_.back().writes;
  }
}

PushOrder::Effect PushOrder::effect_of(const Rule& rule) {
  Effect out;
  out.reads = looked_at(rule.match);
  out.ends = rule.on_miss == Verdict::kAccept;
  out.decides = fettle::decides(rule);
  for (const Step& step : rule.steps) {
    const StepEffect its = fettle::effect_of(step);
    out.reads |= its.reads;
    out.writes |= its.writes;
    out.ends |= its.ends;
  }
  const Scope scope = scope_of(rule.match);
  out.ipv4 = scope.ipv4;
  out.ipv6 = scope.ipv6;
  for (size_t i = 0; i < out.protocols.size(); ++i) out.protocols[i] = scope.protocols[i];
  return out;
}

bool PushOrder::apart(uint32_t rule, uint32_t later) const {
  const Effect &one = effects_[rule], &other = effects_[later];
  if (!(one.ipv4 && other.ipv4) && !(one.ipv6 && other.ipv6)) return true;
  if ((one.protocols & other.protocols).none()) return true;
  for (const Condition& mine : set_.rules[rule].match.all_of) {
    if (!is_comparable(mine.key) || (parts_of(mine.key) & written_) != 0) continue;
    for (const Condition& its : set_.rules[later].match.all_of)
      if (its.key == mine.key && !meet(mine, its)) return true;
  }
  return false;
}

std::string PushOrder::conflict(uint32_t rule, uint32_t later) const {
  const Effect &before = effects_[rule], &behind = effects_[later];
  const bool overwrites = (before.writes & (behind.reads | behind.writes)) != 0;
  const bool shows = (behind.writes & before.reads) != 0;
  if (!before.ends && !behind.decides && !overwrites && !shows) return "";
  if (apart(rule, later)) return "";
  const std::string& name = set_.rules[rule].name;
  if (before.ends) return fmt::format("\"{}\" before it may end a packet's way", name);
  if (behind.decides) return fmt::format("it may end the way of packets of \"{}\"", name);
  if (overwrites) return fmt::format("it works on what \"{}\" has written", name);
  return fmt::format("\"{}\" before it looks at what it writes", name);
}

}  // namespace fettle
