// fettle status: what the running supervisor says of itself.
#include <memory>

#include <CLI/CLI.hpp>

#include "workers/commands.h"
#include "workers/control_client.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

Result<void> print_status(const ControlFlags& flags) {
  const auto answer = ask_status(flags);
  if (!answer) return std::unexpected(answer.error());
  const auto printed =
      print_out(flags.json ? answer->status_json + "\n" : status_table(*answer->status));
  return printed ? flush_out() : printed;
}

}  // namespace

void add_status_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ControlFlags>();
  CLI::App* command = app.add_subcommand("status", "Say what a running fettle does and has lost");
  add_control_flags(*command, flags.get());
  command->footer(
      "Settings are those in force, counts those since the queue was bound (of rules: since they "
      "were\n"
      "loaded). What is lost is listed by place and reason; nothing that is zero is.\n\n"
      "Examples:\n"
      "  fettle status\n"
      "  fettle status --json | jq '.queues[] | {queue, lost: (.loss | add)}'\n");
  command->callback([flags, exit_code] {
    const auto printed = print_status(*flags);
    if (!printed) *exit_code = report(printed.error());
  });
}

}  // namespace fettle
