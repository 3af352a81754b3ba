#include "rules/program.h"

#include <utility>

#include "core/counters.h"
#include "core/mangle.h"
#include "rules/compiled.h"

namespace fettle {

void count_verdict(ProgramCounters& counters, Verdict verdict) noexcept {
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

namespace {

constexpr uint32_t kNotLooked = ~uint32_t{0};

// A packet that is repeated comes again, and is shifted then.
bool goes_on_as_stream(const Packet& packet, Verdict verdict) {
  return packet.has_transport() && packet.is(Protocol::kTcp) &&
         (verdict == Verdict::kAccept || verdict == Verdict::kQueue);
}

// The packet path's trace: none. Handed on by value, which takes no register.
struct Untraced {
  void rule(uint32_t) const noexcept {}
  void step(const Packet&, const Metadata&, bool) const noexcept {}
};
struct Traced {
  TraceSink& sink;
  void rule(uint32_t rule) const noexcept { sink.rule(rule); }
  void step(const Packet& packet, const Metadata& metadata, bool missed) const noexcept {
    sink.step(packet, metadata, missed);
  }
};

// One packet's way through one rule's steps.
template <typename Trace>
class Run {
 public:
  Run(const Program::Compiled& compiled, Packet& packet, Metadata& metadata, ProgramState& state,
      PatternScan& scan, Trace trace)
      : compiled_(compiled),
        packet_(packet),
        metadata_(metadata),
        state_(state),
        scan_(scan),
        trace_(trace) {}

  // The verdict that ends the packet's way; nothing where the next rule is to be tried.
  std::optional<Verdict> steps_of(uint32_t rule) noexcept {
    const auto& mine = compiled_.rules[rule];
    began_ = packet_.length;
    bool missed = false;  // an earlier assignment of the same set step
    for (uint32_t i = 0; i < mine.count; ++i) {
      const CompiledStep& step = compiled_.steps[mine.first + i];
      switch (step.kind) {
        case StepKind::kAccept:
        case StepKind::kDrop:
        case StepKind::kRepeat:
          trace_.step(packet_, metadata_, false);
          return step.verdict;
        case StepKind::kQueue:
          queue_ = step.queue;
          trace_.step(packet_, metadata_, false);
          return step.verdict;
        case StepKind::kLog:
          if (state_.log) state_.log->log(rule, packet_, metadata_);
          trace_.step(packet_, metadata_, false);
          continue;
        case StepKind::kMark:
          metadata_.mark = (metadata_.mark & ~step.mask) | step.number;
          trace_.step(packet_, metadata_, false);
          continue;
        case StepKind::kCapture:
          if (state_.captures) state_.captures->capture(step.first, packet_);
          trace_.step(packet_, metadata_, false);
          continue;
        case StepKind::kDelay:
        case StepKind::kLose:
        case StepKind::kReorder:
        case StepKind::kRate:
          lost_ = !wait_for(compiled_.data.impairments[step.first]);
          trace_.step(packet_, metadata_, false);
          if (lost_) return Verdict::kDrop;
          continue;
        default:
          break;
      }
      if (step.streamed && packet_.is(Protocol::kTcp) && packet_.has_transport()) {
        stream_rules_ |= mine.stream;
        trace_.step(packet_, metadata_, false);
        continue;
      }
      const Edit done = edit(step);
      missed |= done == Edit::kMiss;
      edited_ |= done == Edit::kDone;
      if (step.more) continue;
      trace_.step(packet_, metadata_, missed);
      if (!std::exchange(missed, false)) continue;
      bump(state_.rules[rule].misses);
      if (mine.on_miss) return *mine.on_miss;
    }
    return std::nullopt;
  }
  uint16_t queue() const { return queue_; }
  uint64_t delay() const { return delay_; }
  bool lost() const { return lost_; }
  // Whether a step has written since this was asked last.
  bool take_edited() noexcept { return std::exchange(edited_, false); }
  uint64_t stream_rules() const { return stream_rules_; }

 private:
  // False: the packet is lost.
  bool wait_for(const Impairment& impairment) noexcept {
    uint64_t delay = 0;
    const bool kept = impair(impairment, packet_, state_.impairments, &delay);
    delay_ += delay;
    return kept;
  }
  Edit edit(const CompiledStep& step) noexcept {
    switch (step.kind) {
      case StepKind::kSet:
        return set_field(step, compiled_.data, packet_);
      case StepKind::kTranslate:
        return searches(step) ? search_payload(step, compiled_.data, packet_)
                              : translate(step, compiled_.data, packet_);
      case StepKind::kReplace:
        if (edited_) scan_.forget();
        if (!scan_.finds(step.number, packet_)) return Edit::kMiss;
        return search_payload(step, compiled_.data, packet_);
      case StepKind::kWrite:
        return write_bytes(step, compiled_.data, packet_);
      case StepKind::kInsert:
        return insert_bytes(step, compiled_.data, packet_);
      case StepKind::kDelete:
        return delete_bytes(step, packet_);
      case StepKind::kCorrupt:
        return corrupt(compiled_.data.impairments[step.first], packet_, state_.impairments);
      case StepKind::kStrip:
        return strip(step, packet_, metadata_.hook);
      case StepKind::kLengthField:
        return mend_length_field(step, packet_, int64_t{packet_.length} - began_);
      case StepKind::kContentLength:
        return mend_content_length(packet_);
      case StepKind::kDns:
        return translate_dns_message(step, compiled_.data, packet_);
      case StepKind::kSip:
      case StepKind::kSdp:
        return translate_sip_message(step, compiled_.data, packet_);
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
  PatternScan& scan_;
  [[no_unique_address]] Trace trace_;
  uint64_t stream_rules_ = 0;
  uint32_t began_ = 0;  // the packet's length before the rule's first step
  uint16_t queue_ = 0;
  bool edited_ = false;
  bool lost_ = false;
  uint64_t delay_ = 0;
};

template <typename Trace>
Outcome run_rules(const Program::Compiled& compiled, Packet& packet, Metadata& metadata,
                  ProgramState& state, uint32_t looked, Trace trace) noexcept {
  ProgramCounters& counters = *state.counters;
  bump(counters.packets);
  bump(counters.bytes, packet.length);
  Outcome out;
  // In metadata mode there are no bytes, and nothing to find wrong with them.
  if (packet.data != nullptr && packet.malformed()) {
    bump(counters.malformed);
    out.verdict = compiled.defaults.malformed;
    count_verdict(counters, out.verdict);
    return out;
  }
  const uint32_t mark = metadata.mark;
  const Classifier& classifier = compiled.classifier;
  std::optional<Verdict> verdict;
  PatternScan scan(compiled.patterns);
  Run run(compiled, packet, metadata, state, scan, trace);
  uint32_t rule = looked;
  if (looked == kNotLooked) rule = classifier.next_match(packet, metadata, 0, &scan);
  for (; rule < classifier.size();
       rule = classifier.next_match(packet, metadata, rule + 1, &scan)) {
    bump(state.rules[rule].hits);
    trace.rule(rule);
    verdict = run.steps_of(rule);
    if (verdict) break;
    if (run.take_edited()) scan.forget();
  }
  out.verdict = verdict.value_or(compiled.defaults.verdict);
  out.queue = run.queue();
  out.delay = run.delay();
  out.lost = run.lost();
  out.changed = packet.changed;
  out.mark_changed = metadata.mark != mark;
  out.stream = compiled.needs.streams && goes_on_as_stream(packet, out.verdict);
  out.stream_rules = run.stream_rules();
  if (out.changed) {
    bump(counters.changed);
    if (out.verdict != Verdict::kDrop && !out.stream) finish(packet);
  }
  if (!out.stream) count_verdict(counters, out.verdict);
  return out;
}

}  // namespace

Program::Program() : compiled_(std::make_unique<Compiled>()) {}
Program::Program(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

const Needs& Program::needs() const { return compiled_->needs; }
const std::vector<std::string>& Program::rule_names() const { return compiled_->names; }
const std::vector<uint32_t>& Program::stream_rules() const { return compiled_->stream_rules; }
std::string Program::describe() const { return compiled_->description; }

uint32_t Program::look(const Packet& packet, const Metadata& metadata) const noexcept {
  if (packet.data != nullptr && packet.malformed()) return 0;
  // What a scan has found is not kept from here to apply(), and to scan twice is no help.
  if (compiled_->patterns.size() > 0) return kNotLooked;
  const uint32_t rule = compiled_->classifier.next_match(packet, metadata, 0);
  if (rule == compiled_->classifier.size()) return rule;
  const auto& mine = compiled_->rules[rule];
  for (uint32_t i = 0; i < mine.count; ++i) {
    const CompiledStep& step = compiled_->steps[mine.first + i];
    if (step.kind == StepKind::kTranslate && !searches(step)) {
      prefetch_translation(step, compiled_->data, packet);
    }
  }
  return rule;
}

bool Program::leaves_alone(uint32_t looked) const noexcept {
  return looked == compiled_->classifier.size();
}

Outcome Program::apply(Packet& packet, Metadata& metadata, ProgramState& state,
                       uint32_t looked) const noexcept {
  return run_rules(*compiled_, packet, metadata, state, looked, Untraced());
}

Outcome Program::trace(Packet& packet, Metadata& metadata, ProgramState& state, TraceSink& sink,
                       uint32_t looked) const noexcept {
  return run_rules(*compiled_, packet, metadata, state, looked, Traced{sink});
}

}  // namespace fettle
