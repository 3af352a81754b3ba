// One packet's way through a rule set, as `fettle explain` shows it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/packet.h"
#include "core/side_by_side.h"
#include "rules/compile.h"
#include "rules/stream_trial.h"

namespace fettle {

struct ExplainedStep {
  std::string text;  // as `fettle check` has it
  bool missed = false;
  std::vector<Difference> changed;  // in the packet as the step found it
};
struct ExplainedRule {
  uint32_t rule = 0;
  std::string name;
  std::vector<ExplainedStep> steps;  // those that were come to
};
struct Explanation {
  std::string summary;               // the packet in one line
  std::vector<ExplainedRule> rules;  // those that matched
  std::string verdict;               // "accept", "queue 8"
  std::string decided_by;            // `rule "x"`, `on-miss of rule "x"`, `default`, `malformed`
  bool dropped = false;
  uint64_t delay = 0;              // nanoseconds
  std::vector<Difference> stream;  // what its stream's edits have made of the packet that was left
  uint32_t mark_before = 0, mark_after = 0;
  std::vector<std::byte> before, after;  // `after` means nothing where it is dropped

  bool changed() const { return !dropped && before != after; }
};

// Runs the rules over the IP packet that begins with bytes[0], which it changes. What impairments
// remember from one packet to the next is in `state`, what streams do in `streams`; null: they are
// not edited.
Explanation explain_packet(const LoadedRules& rules, std::span<std::byte> bytes, Metadata metadata,
                           ImpairmentState& state, StreamTrial* streams = nullptr);

// The number counts a capture's packets from 1. Text ends with a newline, JSON too: one object a
// line, byte strings in hex, `after` null for what is dropped.
std::string explanation_text(const Explanation& explanation, uint64_t number,
                             const SideBySide& style);
std::string explanation_json(const Explanation& explanation, uint64_t number, uint64_t time_ns);

}  // namespace fettle
