// fettle reload: has the running supervisor read its rules again, and says what came of it.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/commands.h"
#include "workers/control_client.h"
#include "workers/printable.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

Result<int> reload(const ControlFlags& flags) {
  const auto answer = ask(ControlCommand::kReload, flags);
  if (!answer) return std::unexpected(answer.error());
  const std::string message = printable_lines(answer->message);
  if (!flags.json && answer->exit != 0) {
    return fail(static_cast<ErrorCode>(answer->exit), message);
  }
  const auto printed = print_out((flags.json ? answer->json : message) + "\n");
  const auto flushed = printed ? flush_out() : printed;
  if (!flushed) return std::unexpected(flushed.error());
  return answer->exit;
}

}  // namespace

void add_reload_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ControlFlags>();
  flags->seconds = 60;
  CLI::App* command =
      app.add_subcommand("reload", "Have a running fettle read its rules again, and wait for it");
  add_control_flags(*command, flags.get());
  command->footer(
      "Ends when all workers run the new rules, with 0, or when the file was refused: then the "
      "rules "
      "in\n"
      "force stay, the reason is shown, and the exit status is that of 'fettle check' (65, 66). "
      "SIGHUP does\n"
      "the same, unanswered.\n\n"
      "Example:\n"
      "  fettle check print-servers.toml && fettle reload\n");
  command->callback([flags, exit_code] {
    const auto status = reload(*flags);
    *exit_code = status ? *status : report(status.error());
  });
}

}  // namespace fettle
