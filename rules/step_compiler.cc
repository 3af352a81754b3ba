#include "rules/step_compiler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace fettle {

class StepCompiler::Records {
 public:
  Records(const RuleSet& set, std::vector<Diagnostic>* diagnostics, Program::Compiled* out)
      : set_(set), diagnostics_(diagnostics), out_(out) {}

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
    out.first = table_index("translate", step);
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
    if (searches(step)) make_workspaces(where);
  }
  void make_workspaces(Location where) {
    if (out_->data.workspaces.made()) return;
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
  void add_step(const StripStep& step) {
    CompiledStep out;
    out.kind = StepKind::kStrip;
    out.number = std::to_underlying(step.what);
    out.count = step.count;
    out_->steps.push_back(out);
    out_->needs.resizes |= step.what == StripStep::What::kTrailing;
  }
  void add_step(const LengthFieldStep& step) {
    CompiledStep out;
    out.kind = StepKind::kLengthField;
    out.at = step.at;
    out.count = step.size;
    out.number = step.unit;
    out.mask = step.little_endian;
    out_->steps.push_back(out);
  }
  void add_step(const ContentLengthStep&) {
    CompiledStep out;
    out.kind = StepKind::kContentLength;
    out.streamed = true;
    out_->steps.push_back(out);
    out_->needs.resizes = true;
  }
  void add_step(const DnsStep& step) {
    CompiledStep out;
    out.kind = StepKind::kDns;
    out.first = table_index("dns", step);
    out.streamed = true;
    out_->steps.push_back(out);
    out_->needs.resizes = true;
  }
  void add_step(const SipStep& step) {
    CompiledStep out;
    out.kind = step.sdp_only ? StepKind::kSdp : StepKind::kSip;
    out.first = table_index(step.sdp_only ? "sdp" : "sip", step);
    out.streamed = true;
    out_->steps.push_back(out);
    out_->needs.resizes = true;
    make_workspaces(step.table_where);
  }
  void add_step(const LogStep&) {
    CompiledStep out;
    out.kind = StepKind::kLog;
    out_->steps.push_back(out);
  }

  // A table is built once for each direction that is used.
  template <typename Lookup>
  uint32_t table_index(std::string_view name, const Lookup& step) {
    for (const Built& built : built_) {
      if (built.name == step.table && built.reverse == step.reverse) return built.index;
    }
    const auto table = std::ranges::find(set_.tables, step.table, &Table::name);
    if (table == set_.tables.end()) {
      refuse_table(name, step.table, step.table_where);
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

  void refuse_table(std::string_view step, const std::string& name, Location where) {
    std::vector<std::string_view> known;
    for (const Table& table : set_.tables) known.push_back(table.name);
    const std::string_view nearest = nearest_word(name, known);
    refuse(where, name.size() + 2,
           fmt::format("{}: no table is called \"{}\"{}", step, name,
                       nearest.empty() ? fmt::format(", expected [table.{}] in this file", name)
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

 private:
  void refuse(Location where, size_t width, std::string message) {
    refuse_at(diagnostics_, where, width, std::move(message));
  }

  struct Built {
    std::string name;
    bool reverse;
    uint32_t index;
  };

  const RuleSet& set_;
  std::vector<Diagnostic>* diagnostics_;
  Program::Compiled* out_;
  std::vector<Built> built_;
};

StepCompiler::StepCompiler(const RuleSet& set, std::vector<Diagnostic>* diagnostics,
                           Program::Compiled* out)
    : records_(std::make_unique<Records>(set, diagnostics, out)) {}
StepCompiler::~StepCompiler() = default;

void StepCompiler::add(const Step& step) {
  std::visit([&](const auto& what) { records_->add_step(what); }, step.what);
}

void refuse_at(std::vector<Diagnostic>* diagnostics, Location where, size_t width,
               std::string message) {
  diagnostics->push_back({.severity = Severity::kError,
                          .where = where,
                          .width = static_cast<uint32_t>(width),
                          .message = std::move(message)});
}

}  // namespace fettle
