// fettle drain: has the running supervisor empty its queues and end, and waits for that.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/commands.h"
#include "workers/control_client.h"
#include "workers/printable.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

Result<void> drain(const ControlFlags& flags) {
  const auto answer = ask_and_await_end(ControlCommand::kDrain, flags);
  if (!answer) return std::unexpected(answer.error());
  const std::string message = printable_lines(answer->message);
  if (answer->exit != 0) return fail(static_cast<ErrorCode>(answer->exit), message);
  const auto printed = print_out((flags.json ? answer->json : message) + "\n");
  return printed ? flush_out() : printed;
}

}  // namespace

void add_drain_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ControlFlags>();
  flags->seconds = 120;
  CLI::App* command = app.add_subcommand(
      "drain", "Have a running fettle empty its queues and end, and wait for it");
  add_control_flags(*command, flags.get());
  command->footer(
      "The same as SIGTERM: packets that wait are answered (--drain-time of fettle run bounds it), "
      "and new\n"
      "ones pass unchanged where the queue fails open. Ends when the process has ended. Delete "
      "the\n"
      "firewall's NFQUEUE rules first where they have no --queue-bypass: nobody takes their "
      "packets "
      "after\n"
      "it.\n\n"
      "Example:\n"
      "  fettle drain\n");
  command->callback([flags, exit_code] {
    const auto drained = drain(*flags);
    if (!drained) *exit_code = report(drained.error());
  });
}

}  // namespace fettle
