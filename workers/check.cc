// fettle check: is a rule file right, what does it compile to, and do its tests pass?
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "rules/compile.h"
#include "rules/packet_tests.h"
#include "rules/steering.h"
#include "workers/commands.h"
#include "workers/push_down.h"
#include "workers/standard_streams.h"

namespace fettle {
namespace {

void replace_all(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
  }
}

std::string coloured(std::string text) {
  if (!wants_colour(STDERR_FILENO)) return text;
  replace_all(&text, ": error: ", ": \033[1;31merror:\033[0m ");
  replace_all(&text, ": warning: ", ": \033[1;35mwarning:\033[0m ");
  return text;
}

// Shows each test that fails, and returns how many there are.
size_t run_tests(const LoadedRules& rules) {
  size_t failed = 0;
  for (const PacketTest& test : rules.parsed.tests) {
    const auto failure = run_test(rules.program, test, wants_colour(STDERR_FILENO));
    if (!failure) continue;
    ++failed;
    fmt::print(stderr, "{}\n{}\n", coloured(render(failure->diagnostic, rules.parsed.sources)),
               failure->details);
  }
  return failed;
}

// Which rules `--push-down` would have the firewall carry out.
std::string describe_push_down(const RuleSet& set) {
  if (set.rules.empty()) return "";
  std::string out = "\npush-down  rules that the firewall itself can carry out (--push-down)\n";
  for (const auto& [word, tool] :
       {std::pair("nft", SteeringTool::kNft), std::pair("iptables", SteeringTool::kIptables)}) {
    const auto plan = plan_steering(
        set, {.hook = std::nullopt, .around = {}, .push_down = rule_writer(tool, "fettle")});
    // Where to hook some rules is for --hook to say.
    if (!plan) return "";
    const auto pushed = std::ranges::count(plan->hindrances, "");
    out += fmt::format("      {:8}  {} of {}\n", word, pushed, set.rules.size());
    for (size_t i = 0; i < set.rules.size(); ++i) {
      if (plan->hindrances[i].empty()) continue;
      out +=
          fmt::format("                not \"{}\": {}\n", set.rules[i].name, plan->hindrances[i]);
    }
  }
  return out;
}

int check_file(const std::string& path, bool first) {
  std::string warnings;
  const auto rules = load_rules(path, &warnings);
  if (!rules) {
    const bool rendered = rules.error().code == ErrorCode::kData;
    fmt::print(stderr, "{}{}\n", rendered ? "" : "fettle: ", coloured(rules.error().message));
    return static_cast<int>(rules.error().code);
  }
  if (!warnings.empty()) fmt::print(stderr, "{}\n", coloured(warnings));
  const size_t tests = rules->parsed.tests.size();
  const size_t failed = run_tests(*rules);
  const std::string_view separator = first ? "" : "\n";
  if (failed > 0) {
    fmt::print("{}{}: {} of {} test{} failed\n", separator, path, failed, tests,
               tests == 1 ? "" : "s");
  } else {
    fmt::print("{}{}: right\n{}{}", separator, path, rules->program.describe(),
               describe_push_down(rules->parsed.set));
    if (tests > 0) fmt::print("\n{} test{} passed\n", tests, tests == 1 ? "" : "s");
  }
  std::fflush(stdout);
  return failed > 0 ? EX_DATAERR : EX_OK;
}

int check(const std::vector<std::string>& paths) {
  int status = EX_OK;
  for (const std::string& path : paths) {
    const int its_own = check_file(path, &path == paths.data());
    if (its_own != EX_OK) status = its_own;
  }
  return status;
}

}  // namespace

void add_check_command(CLI::App& app, int* exit_code) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(
      "check", "Say whether a rule file is right and its tests pass, and what it compiles to");
  command->add_option("FILE", *paths, "Rule files; - is standard input")
      ->required()
      ->option_text(" ");
  command->footer(
      "A file that is refused is shown with its place, what was found and what was expected, a "
      "test "
      "of the file that\n"
      "fails with what was expected and found, byte by byte; exit status 65.\n\n"
      "Example:\n"
      "  fettle check print-servers.toml\n");
  command->callback([paths, exit_code] { *exit_code = check(*paths); });
}

}  // namespace fettle
