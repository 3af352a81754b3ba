// fettle replay: the rules over a capture.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "core/capture.h"
#include "core/describe.h"
#include "core/link_layer.h"
#include "rules/compile.h"
#include "workers/commands.h"
#include "workers/json.h"
#include "workers/progress.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

struct ReplayFlags {
  std::string rules, input, output, hook, in, out;
  uint32_t mark = 0;
  bool json = false;
  bool quiet = false;
};

struct Summary {
  uint64_t packets = 0;
  uint64_t not_ip = 0;
  double seconds = 0;
  double per_second() const { return seconds > 0 ? static_cast<double>(packets) / seconds : 0; }
};

class ReplayLog final : public LogSink {
 public:
  ReplayLog(const std::vector<std::string>& names, const Summary& summary)
      : names_(names), summary_(summary) {}
  void log(uint32_t rule, const Packet& packet, const Metadata&) noexcept override {
    print_error(fmt::format("packet {}: rule \"{}\": {}\n", summary_.packets, names_[rule],
                            one_line(packet)));
  }

 private:
  const std::vector<std::string>& names_;
  const Summary& summary_;
};

class Replay {
 public:
  Replay(const Program& program, Metadata metadata, CaptureReader reader, CaptureWriter writer)
      : program_(program),
        metadata_(metadata),
        reader_(std::move(reader)),
        writer_(std::move(writer)),
        rules_(program.rule_names().size()),
        log_(program.rule_names(), summary_) {
    state_ = {.counters = &counters_, .rules = rules_, .log = &log_};
    const bool is_file = reader_.size().has_value();
    reader_.before_read([this, is_file] {
      auto written = write_kept();
      // What a pipe has brought so far goes on before the wait for more.
      return written && !is_file ? writer_.flush() : written;
    });
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  // A capture that is damaged is passed on to its end all the same; the error comes back then.
  Result<void> run(Progress& progress) {
    const auto begin = Clock::now();
    Result<void> outcome;
    for (;;) {
      auto record = reader_.next();
      if (!record) {
        outcome = std::unexpected(record.error());
        break;
      }
      if (!*record) break;
      if (keeps(**record)) {
        if (auto kept = keep((*record)->raw); !kept) return kept;
      }
      if (summary_.packets % kProgressEvery == 0)
        progress.show(reader_.position(), summary_.packets);
    }
    if (auto written = write_kept(); !written) return written;
    if (!outcome && outcome.error().code == ErrorCode::kData) {
      if (auto passed = pass_remainder(); !passed) return passed;
    }
    auto closed = writer_.close();
    summary_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return closed ? outcome : closed;
  }

  const Summary& summary() const { return summary_; }
  const ProgramCounters& counters() const { return counters_; }
  const std::vector<RuleCounters>& rules() const { return rules_; }

 private:
  static constexpr uint64_t kProgressEvery = 4096;

  bool keeps(Record& record) {
    if (record.frame.data() == nullptr) return true;  // no packet
    ++summary_.packets;
    const auto network = network_layer(record.link_type, record.frame);
    if (!network) {
      ++summary_.not_ip;
      return true;
    }
    Packet packet = parse(*network);
    Metadata metadata = metadata_;
    metadata.family = packet.family;
    return program_.apply(packet, metadata, state_).verdict != Verdict::kDrop;
  }

  // Kept records that lie one behind the other in the reader's buffer are written as one piece.
  Result<void> keep(std::span<const std::byte> raw) {
    Result<void> written;
    if (kept_.data() + kept_.size() != raw.data()) written = write_kept();
    kept_ = {kept_.empty() ? raw.data() : kept_.data(), kept_.size() + raw.size()};
    return written;
  }
  Result<void> write_kept() { return writer_.append(std::exchange(kept_, {})); }

  Result<void> pass_remainder() {
    for (;;) {
      const auto rest = reader_.remainder();
      if (!rest) return std::unexpected(rest.error());
      if (rest->empty()) return {};
      if (auto written = writer_.append(*rest); !written) return written;
    }
  }

  const Program& program_;
  Metadata metadata_;
  CaptureReader reader_;
  CaptureWriter writer_;
  std::span<const std::byte> kept_;  // not yet written
  Summary summary_;
  ProgramCounters counters_;
  std::vector<RuleCounters> rules_;
  ReplayLog log_;
  ProgramState state_;
};

std::string table(const Replay& replay, const std::vector<std::string>& names) {
  const Summary& summary = replay.summary();
  const ProgramCounters& counters = replay.counters();
  const std::pair<const char*, uint64_t> rows[] = {{"packets", summary.packets},
                                                   {"not IP", summary.not_ip},
                                                   {"malformed", counters.malformed},
                                                   {"changed", counters.changed},
                                                   {"dropped", counters.dropped}};
  std::string out;
  for (const auto& [name, value] : rows) out += fmt::format("{:<10} {:>12}\n", name, value);
  out += fmt::format("{:<10} {:>12.3f} s, {:.0f} packets/s\n", "time", summary.seconds,
                     summary.per_second());
  if (!names.empty()) out += fmt::format("\n{:>12} {:>12}  rule\n", "hits", "misses");
  for (size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("{:>12} {:>12}  {}\n", replay.rules()[i].hits, replay.rules()[i].misses,
                       names[i]);
  }
  return out;
}

std::string json(const Replay& replay, const std::vector<std::string>& names) {
  const Summary& summary = replay.summary();
  const ProgramCounters& counters = replay.counters();
  std::string rules;
  for (size_t i = 0; i < names.size(); ++i) {
    rules +=
        fmt::format("{}\n    {{\"name\": {}, \"hits\": {}, \"misses\": {}}}", i == 0 ? "" : ",",
                    json_string(names[i]), replay.rules()[i].hits, replay.rules()[i].misses);
  }
  return fmt::format(
      "{{\n  \"packets\": {},\n  \"not_ip\": {},\n  \"malformed\": {},\n  \"changed\": {},\n  "
      "\"dropped\": {},\n"
      "  \"seconds\": {:.6f},\n  \"packets_per_second\": {:.0f},\n  \"rules\": [{}{}]\n}}\n",
      summary.packets, summary.not_ip, counters.malformed, counters.changed, counters.dropped,
      summary.seconds, summary.per_second(), rules, rules.empty() ? "" : "\n  ");
}

// Nothing for what is no file, like a pipe or /dev/null.
std::optional<std::pair<dev_t, ino_t>> file_identity(const std::string& path, int standard) {
  struct stat status {};
  const int failed = path == "-" ? fstat(standard, &status) : stat(path.c_str(), &status);
  if (failed || !S_ISREG(status.st_mode)) return std::nullopt;
  return std::pair(status.st_dev, status.st_ino);
}

// The output is opened empty, and one that is appended to would never end.
Result<void> check_distinct(const std::string& input, const std::string& output) {
  const auto from = file_identity(input, STDIN_FILENO);
  if (!from || from != file_identity(output, STDOUT_FILENO)) return {};
  return fail(ErrorCode::kUsage,
              fmt::format("{} and {} are the same file; expected another one to write to",
                          input == "-" ? "standard input" : input,
                          output == "-" ? "standard output" : output));
}

// What CLI11 is to say about a name that `in` and `out` could never match; empty where it is right.
std::string refuse_interface(const std::string& name) {
  constexpr size_t kLongest = InterfaceName{}.size() - 1;
  if (!name.empty() && name.size() <= kLongest) return {};
  return fmt::format("found \"{}\", expected an interface's name of 1 to {} characters", name,
                     kLongest);
}

Hook hook_named(const std::string& name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Hook::kPostrouting); ++i) {
    if (to_string(Hook{i}) == name) return Hook{i};
  }
  return Hook::kNone;
}

int replay(const ReplayFlags& flags) {
  signal(SIGPIPE, SIG_IGN);
  std::string warnings;
  const auto program = load_program(flags.rules, &warnings);
  if (!program) return report(program.error());
  if (!warnings.empty() && !flags.quiet) print_error(warnings + "\n");
  if (auto distinct = check_distinct(flags.input, flags.output); !distinct)
    return report(distinct.error());
  auto reader = CaptureReader::open(flags.input);
  if (!reader) return report(reader.error());
  auto writer = CaptureWriter::open(flags.output);
  if (!writer) return report(writer.error());

  const Metadata metadata{.in = interface_name(flags.in),
                          .out = interface_name(flags.out),
                          .mark = flags.mark,
                          .hook = hook_named(flags.hook)};
  Progress progress(reader->size(), !flags.quiet);
  Replay run(*program, metadata, std::move(*reader), std::move(*writer));
  const auto done = run.run(progress);
  progress.erase();
  const std::vector<std::string>& names = program->rule_names();
  Result<void> said;
  if (flags.json && flags.output != "-") {
    said = print_out(json(run, names));
    if (said) said = flush_out();
  } else if (flags.json) {
    print_error(json(run, names));
  } else if (!flags.quiet) {
    print_error(table(run, names));
  }
  if (!done) return report(done.error());
  return said ? EX_OK : report(said.error());
}

}  // namespace

void add_replay_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ReplayFlags>();
  CLI::App* command = app.add_subcommand("replay", "Run the rules over a capture");
  command->add_option("--rules", flags->rules, "The rule file (TOML)")
      ->required()
      ->option_text("FILE (required)");
  command->add_option("IN", flags->input, "A pcap or pcapng file; - is standard input")
      ->required()
      ->option_text(" ");
  command->add_option("OUT", flags->output, "The file to write; - is standard output")
      ->required()
      ->option_text(" ");
  command
      ->add_option("--hook", flags->hook,
                   "What `hook` is to match, since a capture has none: prerouting, input, forward, "
                   "output or postrouting")
      ->check(CLI::IsMember({"prerouting", "input", "forward", "output", "postrouting"}))
      ->option_text("HOOK");
  command->add_option("--in", flags->in, "What `in` is to match")
      ->check(refuse_interface)
      ->option_text("INTERFACE");
  command->add_option("--out", flags->out, "What `out` is to match")
      ->check(refuse_interface)
      ->option_text("INTERFACE");
  command->add_option("--mark", flags->mark, "The mark that packets come with")->option_text("N");
  command->add_flag("--json", flags->json, "Print the summary as JSON to standard output");
  command->add_flag("--quiet", flags->quiet, "No progress bar, no warnings, no table");
  command->footer(
      "Order and time stamps are kept, what is not IP passes unchanged, what the rules drop is "
      "left out. Needs no\n"
      "root. A damaged capture is passed on to its end; exit status 65.\n\n"
      "Examples:\n"
      "  fettle replay --rules print-servers.toml in.pcap out.pcap\n"
      "  tcpdump -w - -i eth0 | fettle replay --rules print-servers.toml - - | tcpdump -nr -\n");
  command->callback([flags, exit_code] { *exit_code = replay(*flags); });
}

}  // namespace fettle
