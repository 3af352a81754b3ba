#include "workers/explanation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/describe.h"
#include "core/resize.h"
#include "rules/describe_rules.h"
#include "workers/json.h"

namespace fettle {
namespace {

class Recorder final : public TraceSink {
 public:
  Recorder(const RuleSet& set, std::span<const std::byte> bytes, Explanation* out)
      : set_(set), last_(bytes.begin(), bytes.end()), out_(*out) {}

  void rule(uint32_t rule) noexcept override {
    out_.rules.push_back({.rule = rule, .name = set_.rules[rule].name, .steps = {}});
  }
  void step(const Packet& packet, const Metadata&, bool missed) noexcept override {
    ExplainedRule& rule = out_.rules.back();
    const Step& step = set_.rules[rule.rule].steps[rule.steps.size()];
    std::vector<std::byte> now(packet.data, packet.data + packet.size);
    rule.steps.push_back(
        {.text = describe_step(step), .missed = missed, .changed = differences(last_, now)});
    last_ = std::move(now);
  }

 private:
  const RuleSet& set_;
  std::vector<std::byte> last_;
  Explanation& out_;
};

std::string decided_by(const RuleSet& set, const Explanation& explained) {
  if (explained.rules.empty() || explained.rules.back().steps.empty()) return "default";
  const ExplainedRule& last = explained.rules.back();
  const Rule& rule = set.rules[last.rule];
  if (std::holds_alternative<VerdictStep>(rule.steps[last.steps.size() - 1].what)) {
    return fmt::format("rule \"{}\"", last.name);
  }
  if (!last.steps.back().missed || !rule.on_miss) return "default";
  return fmt::format("on-miss of rule \"{}\"", last.name);
}

// "32-35", "26-27 (2 more bytes)"
std::string range_text(const Difference& range) {
  const uint32_t gone = range.to - range.from;
  const uint32_t come = range.right_to - range.right_from;
  std::string out = fmt::format("{}", range.from);
  if (gone > 1) out += fmt::format("-{}", range.to - 1);
  if (come > gone) out += fmt::format(" (+{})", come - gone);
  if (come < gone) out += fmt::format(" (-{})", gone - come);
  return out;
}

std::string changed_text(const std::vector<Difference>& changed) {
  std::string out;
  if (!changed.empty()) out += "; changed bytes";
  for (size_t i = 0; i < changed.size(); ++i) {
    out += fmt::format("{}{}", i == 0 ? " " : ", ", range_text(changed[i]));
  }
  return out;
}

std::string step_line(const ExplainedStep& step) {
  return fmt::format("    {:<6}  {}{}\n", step.missed ? "missed" : "done", step.text,
                     changed_text(step.changed));
}

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::byte& byte : bytes) out += fmt::format("{:02x}", load_u8(&byte));
  return out;
}

std::string ranges_json(const std::vector<Difference>& changed) {
  std::string out = "[";
  for (const Difference& range : changed) {
    out += fmt::format("{}[{}, {}]", &range == changed.data() ? "" : ", ", range.from, range.to);
  }
  return out + "]";
}

std::string step_json(const ExplainedStep& step) {
  return fmt::format("{{\"step\": {}, \"missed\": {}, \"changed\": {}}}", json_string(step.text),
                     step.missed, ranges_json(step.changed));
}

std::string rule_json(const ExplainedRule& rule) {
  std::string out = fmt::format("{{\"rule\": {}, \"steps\": [", json_string(rule.name));
  for (const ExplainedStep& step : rule.steps) {
    out += fmt::format("{}{}", &step == rule.steps.data() ? "" : ", ", step_json(step));
  }
  return out + "]}";
}

}  // namespace

Explanation explain_packet(const LoadedRules& rules, std::span<std::byte> bytes, Metadata metadata,
                           ImpairmentState& impairments, StreamTrial* streams) {
  std::vector<std::byte> room(std::max(bytes.size(), kLongestPacket));
  std::ranges::copy(bytes, room.begin());
  Packet packet = parse(std::span(room).first(bytes.size()));
  packet.capacity = static_cast<uint32_t>(kLongestPacket);
  metadata.family = packet.family;
  Explanation out;
  out.summary = one_line(packet);
  out.mark_before = metadata.mark;
  out.before.assign(packet.data, packet.data + packet.size);
  ProgramCounters counters;
  std::vector<RuleCounters> rule_counters(rules.program.rule_names().size());
  ProgramState state{
      .counters = &counters, .rules = rule_counters, .log = nullptr, .impairments = impairments};
  const bool malformed = packet.malformed();
  Recorder recorder(rules.parsed.set, out.before, &out);
  const Outcome outcome = rules.program.trace(packet, metadata, state, recorder);
  impairments = state.impairments;
  out.verdict = describe_step({.what = VerdictStep{outcome.verdict, outcome.queue}, .where = {}});
  out.decided_by = malformed      ? "malformed"
                   : outcome.lost ? fmt::format("rule \"{}\"", out.rules.back().name)
                                  : decided_by(rules.parsed.set, out);
  out.dropped = outcome.verdict == Verdict::kDrop;
  out.delay = out.dropped ? 0 : outcome.delay;
  out.mark_after = metadata.mark;
  out.after.assign(packet.data, packet.data + packet.size);
  if (outcome.stream && streams != nullptr) {
    const auto now = static_cast<uint32_t>(impairments.now / 1'000'000);
    std::vector<std::byte> left = streams->edit(rules.program, packet, outcome, now);
    out.stream = differences(out.after, left);
    out.dropped = left.empty();
    out.after = std::move(left);
  }
  return out;
}

std::string explanation_text(const Explanation& explanation, uint64_t number,
                             const SideBySide& style) {
  std::string out = fmt::format("packet {}: {}\n", number, explanation.summary);
  for (const ExplainedRule& rule : explanation.rules) {
    out += fmt::format("  rule \"{}\"\n", rule.name);
    for (const ExplainedStep& step : rule.steps) out += step_line(step);
  }
  if (explanation.rules.empty()) out += "  no rule matches\n";
  if (!explanation.stream.empty()) {
    out += fmt::format("  its stream's edits{}\n", changed_text(explanation.stream));
  }
  out += fmt::format("  {} ({})", explanation.verdict, explanation.decided_by);
  if (explanation.mark_before != explanation.mark_after) {
    out +=
        fmt::format(", mark {:#x} becomes {:#x}", explanation.mark_before, explanation.mark_after);
  }
  if (explanation.delay > 0) out += fmt::format(", delayed {}", time_text(explanation.delay));
  if (!explanation.dropped) out += explanation.changed() ? ", changed" : ", unchanged";
  out += "\n";
  if (explanation.changed() || (style.whole && !explanation.dropped)) {
    out += side_by_side(explanation.before, explanation.after, style);
  }
  return out + "\n";
}

std::string explanation_json(const Explanation& explanation, uint64_t number, uint64_t time_ns) {
  std::string rules;
  for (const ExplainedRule& rule : explanation.rules) {
    rules += fmt::format("{}{}", rules.empty() ? "" : ", ", rule_json(rule));
  }
  return fmt::format(
      "{{\"packet\": {}, \"time_ns\": {}, \"summary\": {}, \"rules\": [{}], \"verdict\": {}, "
      "\"decided_by\": {}, \"mark_before\": {}, \"mark_after\": {}, \"delay_ns\": {}, \"stream\": "
      "{}, \"changed\": {}, \"before\": \"{}\", \"after\": {}}}\n",
      number, time_ns, json_string(explanation.summary), rules, json_string(explanation.verdict),
      json_string(explanation.decided_by), explanation.mark_before, explanation.mark_after,
      explanation.delay, ranges_json(explanation.stream), explanation.changed(),
      hex(explanation.before),
      explanation.dropped ? "null" : fmt::format("\"{}\"", hex(explanation.after)));
}

}  // namespace fettle
