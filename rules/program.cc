#include "rules/program.h"

#include <utility>

#include "core/counters.h"
#include "core/mangle.h"
#include "rules/compiled.h"

namespace fettle {
namespace {

void count_verdict(ProgramCounters& counters, Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept:
      return bump(counters.accepted);
    case Verdict::kDrop:
      return bump(counters.dropped);
    case Verdict::kRepeat:
      return bump(counters.repeated);
    case Verdict::kQueue:
      return bump(counters.requeued);
  }
}

// One packet's way through one rule's steps.
class Run {
 public:
  Run(const Program::Compiled& compiled, Packet& packet, Metadata& metadata, ProgramState& state)
      : compiled_(compiled), packet_(packet), metadata_(metadata), state_(state) {}

  // The verdict that ends the packet's way; nothing where the next rule is to be tried.
  std::optional<Verdict> steps_of(uint32_t rule) noexcept {
    const auto& mine = compiled_.rules[rule];
    bool missed = false;  // an earlier assignment of the same set step
    for (uint32_t i = 0; i < mine.count; ++i) {
      const CompiledStep& step = compiled_.steps[mine.first + i];
      switch (step.kind) {
        case StepKind::kAccept:
        case StepKind::kDrop:
        case StepKind::kRepeat:
          return step.verdict;
        case StepKind::kQueue:
          queue_ = step.queue;
          return step.verdict;
        case StepKind::kLog:
          if (state_.log) state_.log->log(rule, packet_, metadata_);
          continue;
        case StepKind::kMark:
          metadata_.mark = (metadata_.mark & ~step.mask) | step.number;
          continue;
        default:
          break;
      }
      missed |= edit(step) == Edit::kMiss;
      if (step.more || !std::exchange(missed, false)) continue;
      bump(state_.rules[rule].misses);
      if (mine.on_miss) return *mine.on_miss;
    }
    return std::nullopt;
  }
  uint16_t queue() const { return queue_; }

 private:
  Edit edit(const CompiledStep& step) noexcept {
    switch (step.kind) {
      case StepKind::kSet:
        return set_field(step, compiled_.data, packet_);
      case StepKind::kTranslate:
        return translate(step, compiled_.data, packet_);
      case StepKind::kWrite:
        return write_bytes(step, compiled_.data, packet_);
      case StepKind::kClampMss:
        return clamp_mss(packet_, static_cast<uint16_t>(step.number));
      default:
        return Edit::kDone;
    }
  }

  const Program::Compiled& compiled_;
  Packet& packet_;
  Metadata& metadata_;
  ProgramState& state_;
  uint16_t queue_ = 0;
};

}  // namespace

Program::Program() : compiled_(std::make_unique<Compiled>()) {}
Program::Program(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

const Needs& Program::needs() const { return compiled_->needs; }
const std::vector<std::string>& Program::rule_names() const { return compiled_->names; }
std::string Program::describe() const { return compiled_->description; }

uint32_t Program::look(const Packet& packet, const Metadata& metadata) const noexcept {
  if (packet.data != nullptr && packet.malformed()) return 0;
  const uint32_t rule = compiled_->classifier.next_match(packet, metadata, 0);
  if (rule == compiled_->classifier.size()) return rule;
  const auto& mine = compiled_->rules[rule];
  for (uint32_t i = 0; i < mine.count; ++i) {
    const CompiledStep& step = compiled_->steps[mine.first + i];
    if (step.kind == StepKind::kTranslate) prefetch_translation(step, compiled_->data, packet);
  }
  return rule;
}

Outcome Program::apply(Packet& packet, Metadata& metadata, ProgramState& state,
                       uint32_t looked) const noexcept {
  ProgramCounters& counters = *state.counters;
  bump(counters.packets);
  bump(counters.bytes, packet.length);
  Outcome out;
  // In metadata mode there are no bytes, and nothing to find wrong with them.
  if (packet.data != nullptr && packet.malformed()) {
    bump(counters.malformed);
    out.verdict = compiled_->defaults.malformed;
    count_verdict(counters, out.verdict);
    return out;
  }
  const uint32_t mark = metadata.mark;
  const Classifier& classifier = compiled_->classifier;
  Run run(*compiled_, packet, metadata, state);
  std::optional<Verdict> verdict;
  for (uint32_t rule = looked; rule < classifier.size();
       rule = classifier.next_match(packet, metadata, rule + 1)) {
    bump(state.rules[rule].hits);
    verdict = run.steps_of(rule);
    if (verdict) break;
  }
  out.verdict = verdict.value_or(compiled_->defaults.verdict);
  out.queue = run.queue();
  out.changed = packet.changed;
  out.mark_changed = metadata.mark != mark;
  if (out.changed) {
    bump(counters.changed);
    if (out.verdict != Verdict::kDrop) finish(packet);
  }
  count_verdict(counters, out.verdict);
  return out;
}

}  // namespace fettle
