// What a Program holds; compile.cc makes it, program.cc runs it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rules/classifier.h"
#include "rules/message_frame.h"
#include "rules/program.h"
#include "rules/steps.h"

namespace fettle {

struct Program::Compiled {
  struct RuleSteps {
    uint32_t first = 0;  // of `steps`
    uint32_t count = 0;
    std::optional<Verdict> on_miss;
    uint64_t stream = 0;               // the bit of a rule that edits streams
    Framing framing = Framing::kNone;  // of the messages that it edits whole
  };

  Needs needs;
  Defaults defaults;
  PatternSet patterns;
  Classifier classifier;
  std::vector<RuleSteps> rules;
  std::vector<uint32_t> stream_rules;  // by their bits
  std::vector<CompiledStep> steps;
  StepData data;
  std::vector<std::string> names;
  std::string description;
};

}  // namespace fettle
