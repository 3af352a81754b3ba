#include "rules/packet_tests.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/resize.h"
#include "core/side_by_side.h"
#include "rules/describe_rules.h"
#include "rules/stream_trial.h"

namespace fettle {
namespace {

struct Found {
  Outcome outcome;
  std::vector<std::byte> bytes;
  uint32_t mark = 0;
  std::vector<std::string> rules;
};

Found apply_to(const Program& program, const PacketTest& test) {
  std::vector<std::byte> room = test.packet;
  room.resize(std::max(test.packet.size(), kLongestPacket));
  Packet packet = parse(std::span(room).first(test.packet.size()));
  packet.capacity = static_cast<uint32_t>(kLongestPacket);
  Metadata metadata = test.metadata;
  metadata.family = packet.family;
  ProgramCounters counters;
  const std::vector<std::string>& names = program.rule_names();
  std::vector<RuleCounters> rules(names.size());
  std::vector<std::atomic<uint64_t>> clocks(program.needs().clocks);
  ProgramState state{
      .counters = &counters, .rules = rules, .log = nullptr, .impairments = {.clocks = clocks}};
  Found found;
  found.outcome = program.apply(packet, metadata, state);
  if (found.outcome.stream) {
    found.bytes = StreamTrial().edit(program, packet, found.outcome, 0);
    if (found.bytes.empty()) found.outcome.verdict = Verdict::kDrop;
  } else {
    found.bytes.assign(packet.data, packet.data + packet.size);
  }
  found.mark = metadata.mark;
  for (size_t i = 0; i < names.size(); ++i) {
    if (rules[i].hits > 0) found.rules.push_back(names[i]);
  }
  return found;
}

std::string verdict_words(Verdict verdict, uint16_t queue) {
  return describe_step({.what = VerdictStep{verdict, queue}, .where = {}});
}

std::string rule_words(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("\"{}\"", fmt::join(names, "\", \""));
}

// Adds a line, and the word to what is wrong, where the two are not the same.
class Comparison {
 public:
  void compare(std::string_view what, const std::string& expected, const std::string& found) {
    if (expected == found) return;
    add(what);
    lines_ += fmt::format("  {:<8} expected {}, found {}\n", what, expected, found);
  }
  void compare_bytes(std::span<const std::byte> expected, std::span<const std::byte> found,
                     bool colour) {
    const std::vector<Difference> all = differences(expected, found);
    if (all.empty()) return;
    add("bytes");
    lines_ += fmt::format("  bytes    expected {}, found {}; the first difference is at {}\n",
                          expected.size(), found.size(), all[0].from);
    lines_ +=
        side_by_side(expected, found, {.left = "expected", .right = "found", .colour = colour});
  }
  const std::string& wrong() const { return wrong_; }
  const std::string& lines() const { return lines_; }

 private:
  void add(std::string_view what) {
    wrong_ += fmt::format("{}{}", wrong_.empty() ? "" : ", ", what);
  }
  std::string wrong_;
  std::string lines_;
};

}  // namespace

std::optional<TestFailure> run_test(const Program& program, const PacketTest& test, bool colour) {
  const Found found = apply_to(program, test);
  const Verdict verdict = found.outcome.verdict;
  Comparison comparison;
  comparison.compare("verdict", verdict_words(test.verdict, test.queue),
                     verdict_words(verdict, found.outcome.queue));
  comparison.compare("mark", fmt::format("{:#x}", test.mark), fmt::format("{:#x}", found.mark));
  if (test.rules) comparison.compare("rules", rule_words(*test.rules), rule_words(found.rules));
  if (test.verdict != Verdict::kDrop && verdict != Verdict::kDrop) {
    comparison.compare_bytes(test.expected, found.bytes, colour);
  }
  if (comparison.wrong().empty()) return std::nullopt;
  return TestFailure{.diagnostic = {.severity = Severity::kError,
                                    .where = test.where,
                                    .width = test.width,
                                    .message = fmt::format("test \"{}\" fails: not as expected: {}",
                                                           test.name, comparison.wrong())},
                     .details = comparison.lines()};
}

}  // namespace fettle
