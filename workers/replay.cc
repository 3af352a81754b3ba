// fettle replay: the rules over a capture.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <oneapi/tbb/info.h>
#include <CLI/CLI.hpp>

#include "core/capture.h"
#include "rules/compile.h"
#include "workers/commands.h"
#include "workers/metadata_flags.h"
#include "workers/progress.h"
#include "workers/replay_report.h"
#include "workers/replay_run.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

constexpr unsigned kMostThreads = 64;

struct ReplayFlags {
  std::string rules, input, output;
  MetadataFlags metadata;
  unsigned threads = 0;  // 0: as many as there are CPUs for
  bool json = false;
  bool quiet = false;
};

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

Result<CaptureFiles> open_captures(const Program& program, const ReplayFlags& flags) {
  for (const std::string& name : program.needs().captures) {
    for (const auto& [path, standard] :
         {std::pair(flags.input, STDIN_FILENO), std::pair(flags.output, STDOUT_FILENO)}) {
      const auto other = file_identity(path, standard);
      if (!other || other != file_identity(name, -1)) continue;
      return fail(ErrorCode::kUsage,
                  fmt::format("capture: {} is read or written here as {}; expected another file",
                              name, path));
    }
  }
  return CaptureFiles::open(program.needs().captures);
}

unsigned usable_threads() {
  return std::clamp(static_cast<unsigned>(tbb::info::default_concurrency()), 1u, kMostThreads);
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
  auto captures = open_captures(*program, flags);
  if (!captures) return report(captures.error());

  Progress progress(reader->size(), !flags.quiet);
  ReplaySummary summary;
  const auto done = run_replay({.program = *program,
                                .metadata = flags.metadata.metadata(),
                                .reader = std::move(*reader),
                                .writer = std::move(*writer),
                                .captures = std::move(*captures),
                                .threads = flags.threads ? flags.threads : usable_threads()},
                               progress, &summary);
  progress.erase();
  const std::vector<std::string>& names = program->rule_names();
  Result<void> said;
  if (flags.json && flags.output != "-") {
    said = print_out(replay_json(summary, names));
    if (said) said = flush_out();
  } else if (flags.json) {
    print_error(replay_json(summary, names));
  } else if (!flags.quiet) {
    print_error(replay_table(summary, names));
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
  add_metadata_flags(*command, &flags->metadata);
  command
      ->add_option("--threads", flags->threads,
                   "Threads that share the work; 1 to 64 (default: one for each CPU that this "
                   "process may run on)")
      ->check(CLI::Range(1u, kMostThreads))
      ->option_text("N");
  command->add_flag("--json", flags->json, "Print the summary as JSON to standard output");
  command->add_flag("--quiet", flags->quiet, "No progress bar, no warnings, no table");
  command->footer(
      "Order is kept, and time stamps are but for delays; what is not IP passes unchanged, what "
      "the "
      "rules drop is\nleft out. Needs no "
      "root. A damaged capture is passed on to its end; exit status 65.\n\n"
      "Examples:\n"
      "  fettle replay --rules print-servers.toml in.pcap out.pcap\n"
      "  tcpdump -w - -i eth0 | fettle replay --rules print-servers.toml - - | tcpdump -nr -\n");
  command->callback([flags, exit_code] { *exit_code = replay(*flags); });
}

}  // namespace fettle
