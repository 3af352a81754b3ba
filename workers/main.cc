// The table of subcommands.
#include <cstdio>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/commands.h"

namespace fettle {
namespace {

constexpr void (*kCommands[])(CLI::App&, int*) = {
    add_run_command,   add_check_command,     add_replay_command,
    add_sniff_command, add_reference_command,
};

int run_command_line(int argc, char** argv) {
  CLI::App app(
      "fettle mends broken protocols on the fly: it changes the packets of NFQUEUE by rules.");
  app.name("fettle");
  app.set_version_flag("--version", "fettle " FETTLE_VERSION);
  app.require_subcommand(1);
  app.footer(
      "'fettle COMMAND --help' has the flags and an example. Exit codes are those of sysexits(3).");
  int exit_code = EX_OK;
  for (const auto add : kCommands) add(app, &exit_code);
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
