// The table of subcommands.
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "rules/diagnostic.h"
#include "workers/commands.h"
#include "workers/version.h"

namespace fettle {
namespace {

constexpr void (*kCommands[])(CLI::App&, int*) = {
    add_run_command,   add_status_command, add_top_command,     add_reload_command,
    add_drain_command, add_check_command,  add_explain_command, add_replay_command,
    add_sniff_command, add_doctor_command, add_steer_command,   add_reference_command,
};

bool is_command(const CLI::App& app, const std::string& word) {
  return std::ranges::any_of(app.get_subcommands({}),
                             [&](const CLI::App* command) { return command->get_name() == word; });
}

Error unknown_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::string_view nearest = nearest_word(word, {names.begin(), names.end()});
  return {
      ErrorCode::kUsage,
      nearest.empty()
          ? fmt::format("unknown command \"{}\", expected one of {}", word, fmt::join(names, ", "))
          : fmt::format("unknown command \"{}\"; did you mean \"{}\"?", word, nearest)};
}

int run_command_line(int argc, char** argv) {
  CLI::App app(
      "fettle mends broken protocols on the fly: it changes the packets of NFQUEUE by rules.");
  app.name("fettle");
  app.get_formatter()->column_width(36);
  app.set_version_flag("--version", fmt::format("fettle {}", version()));
  app.require_subcommand(1);
  app.footer(
      "'fettle COMMAND --help' has the flags and an example. Exit codes are those of "
      "sysexits(3).\n");
  int exit_code = EX_OK;
  for (const auto add : kCommands) add(app, &exit_code);
  if (argc > 1 && argv[1][0] != '-' && !is_command(app, argv[1])) {
    return report(unknown_command(app, argv[1]));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EX_OK : EX_USAGE;
  }
  return exit_code;
}

}  // namespace

int report(const Error& error) {
  std::fflush(stdout);
  const bool rendered = error.message.find(": error: ") != std::string::npos;
  fmt::print(stderr, "{}{}\n", rendered ? "" : "fettle: ", error.message);
  return static_cast<int>(error.code);
}

}  // namespace fettle

int main(int argc, char** argv) { return fettle::run_command_line(argc, argv); }
