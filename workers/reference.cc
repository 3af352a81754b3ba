// fettle reference: the rule language's reference, as rules/README.md has it.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "rules/reference.h"
#include "workers/commands.h"

namespace fettle {

void add_reference_command(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("reference", "Print the reference of the rule language (Markdown)");
  command->footer("Example:\n  fettle reference | less\n");
  command->callback([exit_code] {
    fmt::print("{}", reference_markdown());
    *exit_code = EX_OK;
  });
}

}  // namespace fettle
