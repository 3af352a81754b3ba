// fettle explain: what the rules do to each packet of a capture, step by step.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "core/capture.h"
#include "core/link_layer.h"
#include "rules/compile.h"
#include "workers/commands.h"
#include "workers/explanation.h"
#include "workers/metadata_flags.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

struct ExplainFlags {
  std::string rules, input, rule;
  MetadataFlags metadata;
  uint64_t count = UINT64_MAX;
  bool changed = false;
  bool whole = false;
  bool json = false;
};

// Only those packets that it is asked for.
bool is_wanted(const ExplainFlags& flags, const Explanation& explanation) {
  if (flags.changed && !explanation.changed()) return false;
  return flags.rule.empty() || std::ranges::find(explanation.rules, flags.rule,
                                                 &ExplainedRule::name) != explanation.rules.end();
}

class Explainer {
 public:
  Explainer(const ExplainFlags& flags, const LoadedRules& rules)
      : flags_(flags),
        rules_(rules),
        metadata_(flags.metadata.metadata()),
        clocks_(rules.program.needs().clocks) {
    impairments_.clocks = clocks_;
    if (rules.program.needs().streams) streams_ = std::make_unique<StreamTrial>();
    style_.colour = wants_colour(STDOUT_FILENO);
    style_.whole = flags.whole;
  }

  Result<void> run(CaptureReader& reader) {
    CapturePiece piece;
    Result<void> done;
    while (done && wants_more() && !reader.damage()) {
      done = reader.read(&piece);
      if (!done || piece.records.empty()) break;
      for (const Record& record : piece.records) {
        if (auto printed = show(record); !printed) return printed;
      }
      // What a pipe brought is shown before the wait for more.
      if (!reader.size()) done = flush_out();
    }
    const auto flushed = flush_out();
    if (!done) return done;
    return reader.damage() ? std::unexpected(*reader.damage()) : flushed;
  }

 private:
  bool wants_more() const { return shown_ < flags_.count; }

  Result<void> show(const Record& record) {
    if (record.frame.data() == nullptr || !wants_more()) return {};
    ++number_;
    const auto network = network_layer(record.link_type, record.frame);
    if (!network) return show_other(record);
    impairments_.now = record.time_ns;
    metadata_.draw = static_cast<uint32_t>(number_);
    const Explanation explanation =
        explain_packet(rules_, *network, metadata_, impairments_, streams_.get());
    if (!is_wanted(flags_, explanation)) return {};
    ++shown_;
    return print_out(flags_.json ? explanation_json(explanation, number_, record.time_ns)
                                 : explanation_text(explanation, number_, style_));
  }

  Result<void> show_other(const Record& record) {
    if (flags_.changed || !flags_.rule.empty()) return {};
    ++shown_;
    return print_out(
        flags_.json ? fmt::format("{{\"packet\": {}, \"time_ns\": {}, \"summary\": \"not IP\"}}\n",
                                  number_, record.time_ns)
                    : fmt::format("packet {}: not IP: passes unchanged\n\n", number_));
  }

  const ExplainFlags& flags_;
  const LoadedRules& rules_;
  Metadata metadata_;
  std::vector<std::atomic<uint64_t>> clocks_;
  ImpairmentState impairments_;
  std::unique_ptr<StreamTrial> streams_;
  SideBySide style_;
  uint64_t number_ = 0;
  uint64_t shown_ = 0;
};

Result<void> check_rule_name(const std::string& name, const Program& program) {
  const std::vector<std::string>& names = program.rule_names();
  if (name.empty() || std::ranges::find(names, name) != names.end()) return {};
  const std::string_view nearest = nearest_word(name, {names.begin(), names.end()});
  return fail(ErrorCode::kUsage,
              fmt::format("--rule: found \"{}\", expected the name of a rule{}", name,
                          nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

int explain(const ExplainFlags& flags) {
  std::string warnings;
  const auto rules = load_rules(flags.rules, &warnings);
  if (!rules) return report(rules.error());
  if (auto right = check_rule_name(flags.rule, rules->program); !right)
    return report(right.error());
  if (!warnings.empty()) print_error(warnings + "\n");
  auto reader = CaptureReader::open(flags.input);
  if (!reader) return report(reader.error());
  const auto done = Explainer(flags, *rules).run(*reader);
  return done ? EX_OK : report(done.error());
}

}  // namespace

void add_explain_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* command =
      app.add_subcommand("explain", "Show what the rules do to each packet of a capture, and why");
  command->add_option("--rules", flags->rules, "The rule file (TOML)")
      ->required()
      ->option_text("FILE (required)");
  command->add_option("IN", flags->input, "A pcap or pcapng file; - is standard input")
      ->required()
      ->option_text(" ");
  add_metadata_flags(*command, &flags->metadata);
  command->add_option("--rule", flags->rule, "Only packets that the rule of this name matches")
      ->option_text("NAME");
  command->add_flag("--changed", flags->changed, "Only packets that leave changed");
  command->add_option("--count", flags->count, "Packets to show, then end (default: all)")
      ->check(CLI::Range(int64_t{1}, INT64_MAX - 1))
      ->option_text("N");
  command->add_flag("--whole", flags->whole,
                    "All bytes of all packets, not only those near a change");
  command->add_flag("--json", flags->json, "One JSON object a packet and line, bytes in hex");
  command->footer(
      "For each packet: the rules that matched, their steps as they were done or missed with the "
      "bytes that each\n"
      "changed, the verdict and what it came from, and the packet before and after. Bytes that "
      "differ have a star,\n"
      "on a terminal a colour, too (NO_COLOR turns it off).\n\n"
      "Examples:\n"
      "  fettle explain --rules print-servers.toml in.pcap\n"
      "  fettle explain --rules print-servers.toml --rule keep-alive --count 1 in.pcap\n"
      "  fettle explain --rules print-servers.toml --json in.pcap | jq 'select(.changed) | "
      ".after'\n");
  command->callback([flags, exit_code] { *exit_code = explain(*flags); });
}

}  // namespace fettle
