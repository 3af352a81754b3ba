// fettle reference: the rule language's reference, as rules/README.md has it, and what else is made
// of fettle's own words: manual pages, and completions for shells.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "rules/reference.h"
#include "workers/command_line.h"
#include "workers/commands.h"
#include "workers/completions.h"
#include "workers/man_page.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

struct Document {
  std::string_view name;
  std::string (*make)(const CommandLine&);
};

constexpr std::string_view kMarkdown = "markdown";
constexpr Document kDocuments[] = {
    {kMarkdown, [](const CommandLine&) { return reference_markdown(); }},
    {"fettle.1",
     [](const CommandLine& line) {
       return man_page({.name = "fettle", .section = "1", .summary = ""}, commands_markdown(line));
     }},
    {"fettle-rules.5",
     [](const CommandLine&) {
       return man_page({.name = "fettle-rules",
                        .section = "5",
                        .summary = "the language in which fettle is told what to mend"},
                       reference_markdown() + "\n## See also\n\n**fettle**(1)\n");
     }},
    {"bash", bash_completion},
    {"zsh", zsh_completion},
    {"fish", fish_completion},
};

}  // namespace

void add_reference_command(CLI::App& app, int* exit_code) {
  auto as = std::make_shared<std::string>(kMarkdown);
  CLI::App* command =
      app.add_subcommand("reference", "Print the reference of the rule language (Markdown)");
  std::vector<std::string> names;
  for (const Document& document : kDocuments) names.emplace_back(document.name);
  command
      ->add_option("--as", *as,
                   "Print a manual page instead, or what a shell completes command lines by")
      ->option_text(fmt::format("{} ({})", fmt::join(names, "|"), kMarkdown))
      ->check(CLI::IsMember(names));
  command->footer(
      "Examples:\n"
      "  fettle reference | less\n"
      "  fettle reference --as fettle-rules.5 | man -l -\n"
      "  source <(fettle reference --as bash)\n");
  command->callback([as, &app, exit_code] {
    const auto document = std::ranges::find(kDocuments, *as, &Document::name);
    auto printed = print_out(document->make(command_line(app)));
    if (printed) printed = flush_out();
    *exit_code = printed ? EX_OK : report(printed.error());
  });
}

}  // namespace fettle
