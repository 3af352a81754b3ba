#include "rules/compile.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "rules/check.h"
#include "rules/compiled.h"
#include "rules/describe_rules.h"
#include "rules/packet_filter.h"
#include "rules/step_compiler.h"

namespace fettle {
namespace {

// A read-only IPv4 set needs no more than the longest IPv4 and TCP headers, and what it looks at
// behind them.
constexpr uint32_t kIpv4Headers = 60 + 60;
constexpr size_t kMostStreamRules = 64;  // bits of Outcome::stream_rules

class Compiler {
 public:
  Compiler(const RuleSet& set, std::vector<Diagnostic>* diagnostics)
      : set_(set),
        diagnostics_(diagnostics),
        out_(std::make_unique<Program::Compiled>()),
        compile_step_(set, diagnostics, out_.get()) {}

  std::unique_ptr<Program::Compiled> run() {
    out_->defaults = set_.defaults;
    out_->needs.overload = set_.defaults.overload;
    std::vector<const Match*> matches;
    for (const Rule& rule : set_.rules) {
      matches.push_back(&rule.match);
      add_rule(rule);
    }
    add_patterns();
    out_->classifier = Classifier(matches, out_->patterns);
    finish_needs();
    std::ranges::sort(out_->needs.queues);
    const auto same = std::ranges::unique(out_->needs.queues);
    out_->needs.queues.erase(same.begin(), same.end());
    out_->description = describe_rules(set_, *out_);
    return std::move(out_);
  }

 private:
  void add_patterns() {
    std::vector<const PatternMatch*> patterns;
    const auto collect = [&](const Match& match) {
      for (const Condition& condition : match.all_of) {
        for (const Operand& operand : condition.any_of) {
          if (const auto* pattern = std::get_if<PatternMatch>(&operand)) {
            patterns.push_back(pattern);
          }
        }
      }
    };
    for (const Rule& rule : set_.rules) {
      collect(rule.match);
      for (const Match& none : rule.match.none_of) collect(none);
      for (const Step& step : rule.steps) {
        if (const auto* replace = std::get_if<ReplaceStep>(&step.what)) {
          patterns.push_back(&replace->pattern);
        }
      }
    }
    auto made = PatternSet::build(patterns, diagnostics_);
    if (!made) return;
    out_->patterns = std::move(*made);
    number_replacements();
  }

  // In the order in which they were compiled, which is the file's.
  void number_replacements() {
    size_t at = 0;
    for (const Rule& rule : set_.rules) {
      for (const Step& step : rule.steps) {
        const auto* replace = std::get_if<ReplaceStep>(&step.what);
        if (!replace) continue;
        while (out_->steps[at].kind != StepKind::kReplace) ++at;
        out_->steps[at++].number = out_->patterns.number_of(replace->pattern);
      }
    }
  }

  static Framing framing_of(std::span<const CompiledStep> steps) {
    for (const CompiledStep& step : steps) {
      if (const Framing framing = fettle::framing_of(step); framing != Framing::kNone)
        return framing;
    }
    return Framing::kNone;
  }

  // A rule whose steps are done to streams has a bit, if it can match TCP at all.
  void add_stream_rule(const Rule& rule, Program::Compiled::RuleSteps* steps) {
    const auto mine = std::span(out_->steps).subspan(steps->first, steps->count);
    const bool tcp = scope_of(rule.match).protocols[static_cast<uint8_t>(Protocol::kTcp)];
    if (!tcp || std::ranges::none_of(mine, &CompiledStep::streamed)) return;
    if (out_->stream_rules.size() == kMostStreamRules) {
      refuse_at(diagnostics_, rule.where, 1,
                fmt::format("\"{}\" is the {}th rule that edits TCP streams, expected {} at most; "
                            "several steps may be in one rule, and several addresses in one table",
                            rule.name, kMostStreamRules + 1, kMostStreamRules));
      return;
    }
    auto& workspaces = out_->data.workspaces;
    if (!workspaces.made() && !workspaces.make()) {
      refuse_at(diagnostics_, rule.where, 1, "no memory is left to search streams");
    }
    steps->framing = framing_of(mine);
    steps->stream = uint64_t{1} << out_->stream_rules.size();
    out_->stream_rules.push_back(static_cast<uint32_t>(out_->rules.size()));
    Needs& needs = out_->needs;
    needs.streams = needs.holds = needs.resizes = true;
    // A segment that passed as it came would bear sequence numbers that its receiver has not.
    needs.drops_orphans = true;
  }

  void add_rule(const Rule& rule) {
    out_->names.push_back(rule.name);
    Program::Compiled::RuleSteps steps{
        .first = static_cast<uint32_t>(out_->steps.size()), .count = 0, .on_miss = rule.on_miss};
    const bool changed_before = std::exchange(out_->needs.changes, false);
    for (const Step& step : rule.steps) {
      compile_step_.add(step);
    }
    steps.count = static_cast<uint32_t>(out_->steps.size()) - steps.first;
    add_stream_rule(rule, &steps);
    add_needs(rule);
    if (rule.must_change) add_must_change(rule, &steps);
    out_->needs.changes |= changed_before;
    out_->rules.push_back(steps);
  }

  // Needs::changes is this rule's alone.
  void add_must_change(const Rule& rule, Program::Compiled::RuleSteps* steps) {
    Needs& needs = out_->needs;
    const auto refuse = [&](std::string_view what) {
      refuse_at(diagnostics_, rule.where, 1,
                fmt::format("\"{}\" has must-change, and {}", rule.name, what));
    };
    if (!needs.changes) refuse("none of its steps changes a packet; expected one that does");
    if (rule.on_miss == Verdict::kAccept) {
      refuse("on-miss = \"accept\", which lets pass what a step missed; expected one of the two");
    }
    if (set_.defaults.overload == Verdict::kAccept) {
      refuse(
          "[defaults] overload = \"accept\", which lets pass what finds the queue full; expected "
          "one of the two");
    }
    steps->on_miss = Verdict::kDrop;
    needs.must_change = needs.drops_orphans = true;
    needs.must_change_streams |= steps->stream;
  }

  // ---- What the kernel has to copy ----

  void add_needs(const Rule& rule) {
    Needs& needs = out_->needs;
    bool reads = needs_conditions(rule.match);
    for (const Match& none : rule.match.none_of) reads |= needs_conditions(none);
    for (const Step& step : rule.steps) {
      const bool verdict = std::holds_alternative<VerdictStep>(step.what);
      const bool mark = std::holds_alternative<MarkStep>(step.what) ||
                        std::holds_alternative<BypassStep>(step.what);
      const bool log = std::holds_alternative<LogStep>(step.what) ||
                       std::holds_alternative<CaptureStep>(step.what);
      const bool rate = std::holds_alternative<RateStep>(step.what);
      const bool blind = std::holds_alternative<DelayStep>(step.what) ||
                         std::holds_alternative<ReorderStep>(step.what) ||
                         std::holds_alternative<LoseStep>(step.what);
      reads |= !verdict && !mark && !blind;
      needs.changes |= !verdict && !mark && !blind && !log && !rate;
    }
    needs.packets |= reads;
    // An IPv6 packet's chain of headers has no bound that a shorter copy could keep to.
    needs.whole |= reads && scope_of(rule.match).ipv6;
  }

  bool needs_conditions(const Match& match) {
    Needs& needs = out_->needs;
    bool reads = false;
    for (const Condition& condition : match.all_of) {
      switch (condition.key) {
        case Key::kFamily:
        case Key::kHook:
        case Key::kMark:
          break;
        case Key::kProbability:
          needs.draws = true;
          break;
        case Key::kIn:
        case Key::kOut:
          needs.interfaces = true;
          break;
        default:
          reads = true;
          break;
      }
      needs.whole |= condition.key == Key::kPayload;
      if (condition.key == Key::kFilter) needs_filters(condition);
      if (condition.key != Key::kBytes) continue;
      for (const Operand& operand : condition.any_of) {
        const auto& bytes = std::get<BytesMatch>(operand);
        const auto end = static_cast<uint32_t>(bytes.at + bytes.value.size());
        needs.whole |=
            bytes.from == Origin::kQuotedNetwork || bytes.from == Origin::kQuotedTransport;
        needs.depth = std::max(needs.depth, kIpv4Headers + end);
      }
    }
    return reads;
  }

  void needs_filters(const Condition& condition) {
    for (const Operand& operand : condition.any_of) {
      const auto depth = filter_depth(std::get<FilterMatch>(operand).program);
      out_->needs.whole |= !depth;
      out_->needs.depth = std::max(out_->needs.depth, depth.value_or(0));
    }
  }

  void finish_needs() {
    Needs& needs = out_->needs;
    if (set_.defaults.malformed != Verdict::kAccept) needs.packets = true;
    // A copy that ends within the headers makes a packet look malformed: only where that makes no
    // difference is a short one enough.
    if (set_.defaults.malformed != set_.defaults.verdict) needs.whole |= needs.packets;
    needs.whole |= needs.changes;
    needs.depth = std::max(needs.depth, kIpv4Headers);
    needs.whole |= needs.depth > 4096;
  }

  const RuleSet& set_;
  std::vector<Diagnostic>* diagnostics_;
  std::unique_ptr<Program::Compiled> out_;
  StepCompiler compile_step_;
};

}  // namespace

std::optional<Program> compile(const RuleSet& set, std::vector<Diagnostic>* diagnostics) {
  const size_t before = diagnostics->size();
  check_rules(set, diagnostics);
  auto compiled = Compiler(set, diagnostics).run();
  const bool refused = std::any_of(
      diagnostics->begin() + static_cast<std::ptrdiff_t>(before), diagnostics->end(),
      [](const Diagnostic& diagnostic) { return diagnostic.severity == Severity::kError; });
  if (refused) return std::nullopt;
  return Program(std::move(compiled));
}

Result<LoadedRules> load_rules(const std::string& path, std::string* warnings) {
  auto parsed = parse_rule_file(path);
  if (!parsed) return std::unexpected(parsed.error());
  std::vector<Diagnostic> diagnostics = parsed->diagnostics;
  auto program = parsed->ok() ? compile(parsed->set, &diagnostics) : std::nullopt;
  std::string rendered = render(diagnostics, parsed->sources);
  if (!program) return fail(ErrorCode::kData, std::move(rendered));
  if (warnings) *warnings = std::move(rendered);
  return LoadedRules{std::move(*parsed), std::move(*program)};
}

Result<Program> load_program(const std::string& path, std::string* warnings) {
  auto loaded = load_rules(path, warnings);
  if (!loaded) return std::unexpected(loaded.error());
  return std::move(loaded->program);
}

}  // namespace fettle
