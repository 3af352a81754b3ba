#include "rules/compile.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "rules/check.h"
#include "rules/compiled.h"
#include "rules/describe_rules.h"
#include "rules/packet_filter.h"

namespace fettle {
namespace {

// A read-only IPv4 set needs no more than the longest IPv4 and TCP headers, and what it looks at
// behind them.
constexpr uint32_t kIpv4Headers = 60 + 60;
constexpr size_t kMostStreamRules = 64;  // bits of Outcome::stream_rules

class Compiler {
 public:
  Compiler(const RuleSet& set, std::vector<Diagnostic>* diagnostics)
      : set_(set), diagnostics_(diagnostics), out_(std::make_unique<Program::Compiled>()) {}

  std::unique_ptr<Program::Compiled> run() {
    out_->defaults = set_.defaults;
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

  // A rule whose steps are done to streams has a bit, if it can match TCP at all.
  void add_stream_rule(const Rule& rule, Program::Compiled::RuleSteps* steps) {
    const auto mine = std::span(out_->steps).subspan(steps->first, steps->count);
    const bool tcp = scope_of(rule.match).protocols[static_cast<uint8_t>(Protocol::kTcp)];
    if (!tcp || std::ranges::none_of(mine, &CompiledStep::streamed)) return;
    if (out_->stream_rules.size() == kMostStreamRules) {
      refuse(rule.where, 1,
             fmt::format("\"{}\" is the {}th rule that edits TCP streams, expected {} at most; "
                         "several steps may be in one rule, and several addresses in one table",
                         rule.name, kMostStreamRules + 1, kMostStreamRules));
      return;
    }
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
    for (const Step& step : rule.steps) {
      std::visit([&](const auto& what) { add_step(what); }, step.what);
    }
    steps.count = static_cast<uint32_t>(out_->steps.size()) - steps.first;
    add_stream_rule(rule, &steps);
    out_->rules.push_back(steps);
    add_needs(rule);
  }

  void add_step(const VerdictStep& step) {
    constexpr StepKind kKinds[] = {StepKind::kAccept, StepKind::kDrop, StepKind::kRepeat,
                                   StepKind::kQueue};
    CompiledStep out;
    out.kind = kKinds[std::to_underlying(step.verdict)];
    out.verdict = step.verdict;
    out.queue = step.queue;
    out_->steps.push_back(out);
    if (step.verdict == Verdict::kQueue) out_->needs.queues.push_back(step.queue);
  }
  void add_step(const SetStep& step) {
    for (size_t i = 0; i < step.assignments.size(); ++i) {
      const SetStep::Assignment& part = step.assignments[i];
      CompiledStep out;
      out.kind = StepKind::kSet;
      out.field = part.field;
      out.more = i + 1 < step.assignments.size();
      out.number = part.number;
      out.first = static_cast<uint32_t>(out_->data.addresses.size());
      if (part.field == Field::kSrc || part.field == Field::kDst) {
        out_->data.addresses.push_back(part.address);
      }
      out_->steps.push_back(out);
    }
  }
  void add_step(const TranslateStep& step) {
    CompiledStep out;
    out.kind = StepKind::kTranslate;
    out.from = step.from;
    out.at = step.at;
    out.first = table_index(step);
    out.family = only_family(out.first);
    out.anywhere = step.anywhere;
    out.form = step.form;
    if (step.anywhere && step.form == AddressForm::kBinary) add_beginnings(step, &out);
    out.streamed = step.anywhere;
    out_->needs.resizes |= step.form != AddressForm::kBinary;
    add_searching(out, step.table_where);
  }
  void add_step(const ReplaceStep& step) {
    CompiledStep out;
    out.kind = StepKind::kReplace;
    out.first = static_cast<uint32_t>(out_->data.replacements.size());
    out.streamed = true;
    bool in_pattern = false;
    auto made = Replacement::make(step.pattern, step.with, &in_pattern);
    if (made) {
      out_->data.replacements.push_back(std::move(*made));
    } else if (in_pattern) {
      refuse(step.pattern.where, step.pattern.pattern.size() + 2,
             fmt::format("replace: found pattern '{}', which PCRE2 refuses: {}",
                         step.pattern.pattern, made.error()));
    } else {
      refuse(step.with_where, step.with.size() + 2, fmt::format("with: {}", made.error()));
    }
    out_->needs.resizes = true;
    add_searching(out, step.pattern.where);
  }
  void add_searching(const CompiledStep& step, Location where) {
    out_->steps.push_back(step);
    if (!searches(step) || out_->data.workspaces.made()) return;
    if (!out_->data.workspaces.make()) refuse(where, 1, "no memory is left to search payloads");
  }
  // Searched for in binary, by the families that may be.
  void add_beginnings(const TranslateStep& step, CompiledStep* out) {
    const auto table = std::ranges::find(set_.tables, step.table, &Table::name);
    if (table == set_.tables.end()) return;  // refused
    out->number = static_cast<uint32_t>(out_->data.beginnings.size());
    out_->data.beginnings.push_back(
        {AddressBeginnings(table->entries, step.reverse, Family::kIpv4),
         AddressBeginnings(table->entries, step.reverse, Family::kIpv6)});
  }
  void add_step(const WriteStep& step) {
    CompiledStep out;
    out.kind = StepKind::kWrite;
    out.from = step.from;
    out.at = step.at;
    out.first = static_cast<uint32_t>(out_->data.bytes.size());
    out.count = static_cast<uint32_t>(step.bytes.size());
    out_->data.bytes.insert(out_->data.bytes.end(), step.bytes.begin(), step.bytes.end());
    out_->steps.push_back(out);
  }
  void add_step(const InsertStep& step) {
    add_resize(StepKind::kInsert, step.at, step.bytes.size());
    out_->data.bytes.insert(out_->data.bytes.end(), step.bytes.begin(), step.bytes.end());
  }
  void add_step(const DeleteStep& step) { add_resize(StepKind::kDelete, step.at, step.count); }
  void add_resize(StepKind kind, uint32_t at, size_t count) {
    CompiledStep out;
    out.kind = kind;
    out.at = at;
    out.first = static_cast<uint32_t>(out_->data.bytes.size());
    out.count = static_cast<uint32_t>(count);
    out_->steps.push_back(out);
    out_->needs.resizes = true;
  }
  void add_step(const MarkStep& step) {
    CompiledStep out;
    out.kind = StepKind::kMark;
    out.number = step.value;
    out.mask = step.mask;
    out_->steps.push_back(out);
  }
  void add_step(const ClampMssStep& step) {
    CompiledStep out;
    out.kind = StepKind::kClampMss;
    out.number = step.mss;
    out_->steps.push_back(out);
  }
  void add_step(const LoseStep& step) {
    add_impairment(StepKind::kLose,
                   {.kind = Impairment::Kind::kLose, .chance = chance_of(step.percent)});
  }
  void add_step(const DelayStep& step) {
    add_impairment(StepKind::kDelay,
                   {.kind = Impairment::Kind::kDelay, .delay = step.delay, .jitter = step.jitter});
  }
  void add_step(const ReorderStep& step) {
    add_impairment(
        StepKind::kReorder,
        {.kind = Impairment::Kind::kDelay, .chance = chance_of(step.percent), .delay = step.by});
  }
  void add_step(const RateStep& step) {
    add_impairment(StepKind::kRate, {.kind = Impairment::Kind::kRate,
                                     .clock = out_->needs.clocks++,
                                     .rate = step.rate,
                                     .latency = step.latency});
  }
  void add_step(const CorruptStep& step) {
    add_impairment(StepKind::kCorrupt,
                   {.kind = Impairment::Kind::kCorrupt, .chance = chance_of(step.percent)});
  }
  void add_impairment(StepKind kind, const Impairment& impairment) {
    CompiledStep out;
    out.kind = kind;
    out.first = static_cast<uint32_t>(out_->data.impairments.size());
    out_->data.impairments.push_back(impairment);
    out_->steps.push_back(out);
    out_->needs.impairs = true;
    out_->needs.holds |= kind != StepKind::kLose && kind != StepKind::kCorrupt;
  }
  static uint32_t chance_of(double percent) {
    const double of_2_32 = std::round(percent / 100 * 0x1p32);
    return static_cast<uint32_t>(std::clamp(of_2_32 - 1, 0.0, 0x1p32 - 1));
  }
  void add_step(const BypassStep& step) {
    if (const auto& mark = set_.defaults.bypass_mark) {
      return add_step(MarkStep{.value = mark->value, .mask = mark->mask});
    }
    refuse(
        step.where, 1,
        "bypass: [defaults] has no bypass-mark, expected one that the firewall's rules look for, "
        "like bypass-mark = \"0x1/0x1\"");
  }
  void add_step(const CaptureStep& step) {
    std::vector<std::string>& files = out_->needs.captures;
    const auto known = std::ranges::find(files, step.file);
    CompiledStep out;
    out.kind = StepKind::kCapture;
    out.first = static_cast<uint32_t>(known - files.begin());
    if (known == files.end()) files.push_back(step.file);
    out_->steps.push_back(out);
    out_->needs.whole = true;
  }
  void add_step(const LogStep&) {
    CompiledStep out;
    out.kind = StepKind::kLog;
    out_->steps.push_back(out);
  }

  // A table is built once for each direction that is used.
  uint32_t table_index(const TranslateStep& step) {
    for (const Built& built : built_) {
      if (built.name == step.table && built.reverse == step.reverse) return built.index;
    }
    const auto table = std::ranges::find(set_.tables, step.table, &Table::name);
    if (table == set_.tables.end()) {
      refuse_table(step);
      return 0;
    }
    size_t duplicate = 0;
    auto made = AddressTable::build(table->entries, step.reverse, &duplicate);
    if (!made) {
      refuse_duplicate(*table, duplicate, step.reverse);
      return 0;
    }
    const auto index = static_cast<uint32_t>(out_->data.tables.size());
    out_->data.tables.push_back(std::move(*made));
    built_.push_back({step.table, step.reverse, index});
    return index;
  }

  // The table's family, where it has but one.
  Family only_family(uint32_t table) const {
    if (table >= out_->data.tables.size()) return Family::kNone;  // refused
    const AddressTable& mine = out_->data.tables[table];
    if (mine.has(Family::kIpv4) == mine.has(Family::kIpv6)) return Family::kNone;
    return mine.has(Family::kIpv4) ? Family::kIpv4 : Family::kIpv6;
  }

  void refuse_table(const TranslateStep& step) {
    std::vector<std::string_view> known;
    for (const Table& table : set_.tables) known.push_back(table.name);
    const std::string_view nearest = nearest_word(step.table, known);
    refuse(
        step.table_where, step.table.size() + 2,
        fmt::format("translate: no table is called \"{}\"{}", step.table,
                    nearest.empty() ? fmt::format(", expected [table.{}] in this file", step.table)
                                    : fmt::format("; did you mean \"{}\"?", nearest)));
  }

  void refuse_duplicate(const Table& table, size_t duplicate, bool reverse) {
    const TableEntry& second = table.entries[duplicate];
    const Prefix& prefix = reverse ? second.outside : second.inside;
    const auto first = std::ranges::find_if(table.entries, [&](const TableEntry& entry) {
      return (reverse ? entry.outside : entry.inside) == prefix;
    });
    refuse(second.where, 1,
           fmt::format("table {}: {} stands twice on the {} side, first in {}:{}; {}", table.name,
                       prefix.to_string(), reverse ? "right" : "left",
                       set_.files[first->where.file], first->where.line,
                       reverse ? "a rule looks it up in reverse, expected one answer"
                               : "expected one answer"));
  }

  void refuse(Location where, size_t width, std::string message) {
    diagnostics_->push_back({.severity = Severity::kError,
                             .where = where,
                             .width = static_cast<uint32_t>(width),
                             .message = std::move(message)});
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

  struct Built {
    std::string name;
    bool reverse;
    uint32_t index;
  };

  const RuleSet& set_;
  std::vector<Diagnostic>* diagnostics_;
  std::unique_ptr<Program::Compiled> out_;
  std::vector<Built> built_;
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
