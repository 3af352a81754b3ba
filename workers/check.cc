// fettle check: is a rule file right, and what does it compile to?
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "rules/compile.h"
#include "workers/commands.h"

namespace fettle {
namespace {

void replace_all(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
  }
}

std::string coloured(std::string text) {
  if (!isatty(STDERR_FILENO) || std::getenv("NO_COLOR")) return text;
  replace_all(&text, ": error: ", ": \033[1;31merror:\033[0m ");
  replace_all(&text, ": warning: ", ": \033[1;35mwarning:\033[0m ");
  return text;
}

int check(const std::vector<std::string>& paths) {
  int status = EX_OK;
  for (const std::string& path : paths) {
    std::string warnings;
    const auto program = load_program(path, &warnings);
    if (!program) {
      const bool rendered = program.error().code == ErrorCode::kData;
      fmt::print(stderr, "{}{}\n", rendered ? "" : "fettle: ", coloured(program.error().message));
      status = static_cast<int>(program.error().code);
      continue;
    }
    if (!warnings.empty()) fmt::print(stderr, "{}\n", coloured(warnings));
    fmt::print("{}{}: right\n{}", &path == paths.data() ? "" : "\n", path, program->describe());
    std::fflush(stdout);
  }
  return status;
}

}  // namespace

void add_check_command(CLI::App& app, int* exit_code) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app.add_subcommand("check", "Say whether a rule file is right, and what it compiles to");
  command->add_option("FILE", *paths, "Rule files; - is standard input")
      ->required()
      ->option_text(" ");
  command->footer(
      "A file that is refused is shown with its place, what was found and what was expected; exit "
      "status 65.\n\n"
      "Example:\n"
      "  fettle check print-servers.toml\n");
  command->callback([paths, exit_code] { *exit_code = check(*paths); });
}

}  // namespace fettle
