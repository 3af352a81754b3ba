#include "workers/command_line.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

namespace fettle {
namespace {

constexpr std::string_view kName = R"(## Name

fettle - mend broken protocols on the fly

)";

constexpr std::string_view kDescription = R"(## Description

A Linux firewall queues packets to fettle (NFQUEUE). It rewrites their bytes by rules, mends lengths
and checksums, and hands them back with a verdict: `fettle run` does so with a worker process for
each queue, which a supervisor starts again if it dies. The rules stand in a file, whose language is
that of **fettle-rules**(5).

Where the package installed it, `fettle run` is a service: its flags stand in `/etc/default/fettle`,
its rules in `/etc/fettle/rules.toml`. It changes nothing until there are rules, and gets no packet
until the firewall queues some to it. `systemctl restart` keeps the queues, and no packet is lost.

)";

constexpr std::string_view kEnd = R"(## Exit status

Those of **sysexits**(3):

| status | | |
| --- | --- | --- |
| `0` | | What was asked for is done. |
| `64` | | A wrong flag. |
| `65` | | A rule file or a capture that is refused, or a test that fails. |
| `66` | | A file that cannot be read. |
| `69` | | A queue that is taken, or no fettle that answers. |
| `70` | | A fault of fettle's own. |
| `71` | | The system refuses something. |
| `77` | | A capability that is missing. |
| `78` | | Something that `fettle doctor` calls bad. |

## Files

| file | | |
| --- | --- | --- |
| `/etc/fettle/rules.toml` | | The service's rules. |
| `/etc/default/fettle` | | Its flags. |
| `/run/fettle/control` | | The socket over which `status`, `top`, `reload` and `drain` reach it. |
| `/var/lib/fettle/quarantine` | | Packets that workers died of, as captures. |
| `/usr/share/doc/fettle/examples` | | Rules for what NAT breaks. |

## See also

**fettle-rules**(5), **iptables-extensions**(8), **nft**(8), **systemctl**(1), **tcpdump**(8)
)";

// "FILE (required)", "1-16 (1)", " "
void read_option_text(const std::string& text, OptionInfo* info) {
  const size_t open = text.find(" (");
  info->value = text.substr(0, open);
  if (info->value == " ") info->value.clear();
  if (open == std::string::npos || !text.ends_with(')')) return;
  info->fallback = text.substr(open + 2, text.size() - open - 3);
  if (info->fallback == "required") info->fallback.clear();
}

std::vector<std::string> split_words(const std::string& value) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find('|', at), value.size());
    out.push_back(value.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

OptionInfo::Takes what_it_takes(const OptionInfo& info) {
  using Takes = OptionInfo::Takes;
  if (info.value.empty()) return Takes::kNothing;
  if (info.value.find('|') != std::string::npos) return Takes::kWord;
  if (info.value == "DIR") return Takes::kFolder;
  constexpr std::string_view kFiles[] = {"FILE", "PATH", "IN", "OUT"};
  if (std::ranges::find(kFiles, info.value) != std::end(kFiles)) return Takes::kFile;
  return std::ranges::find(info.names, "--user") != info.names.end() ? Takes::kUser : Takes::kOther;
}

OptionInfo option_info(const CLI::Option& option) {
  OptionInfo out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  out.prose = option.get_description();
  out.required = option.get_required();
  if (option.get_items_expected_max() > 0) read_option_text(option.get_option_text(), &out);
  if (out.names.empty()) out.value = option.get_name(true);
  out.takes = what_it_takes(out);
  if (out.takes == OptionInfo::Takes::kWord) out.words = split_words(out.value);
  return out;
}

std::vector<OptionInfo> option_infos(const CLI::App& app) {
  std::vector<OptionInfo> out;
  for (const CLI::Option* option : app.get_options()) out.push_back(option_info(*option));
  return out;
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '*') out += '\\';
    out += c;
  }
  return out;
}

std::string title(const OptionInfo& option) {
  std::string out = fmt::format("{}", fmt::join(option.names, "`, `"));
  if (!out.empty()) out = "`" + out + "`";
  if (option.value.empty()) return out;
  return fmt::format("{}{}*{}*", out, out.empty() ? "" : " ", cell(option.value));
}

std::string note(const OptionInfo& option) {
  if (option.required && !option.names.empty()) return "(required)";
  return option.fallback.empty() ? "" : fmt::format("(default: {})", cell(option.fallback));
}

std::string option_table(const std::vector<OptionInfo>& options) {
  std::string out = "| flag | default | meaning |\n| --- | --- | --- |\n";
  for (const OptionInfo& option : options) {
    out += fmt::format("| {} | {} | {}. |\n", title(option), note(option), cell(option.prose));
  }
  return out + "\n";
}

std::string synopsis(const CommandInfo& command) {
  std::string out = fmt::format("- `fettle {}`", command.name);
  for (const OptionInfo& option : command.options) {
    if (option.required && !option.names.empty()) out += " " + title(option);
  }
  out += " [*flags*]";
  for (const OptionInfo& option : command.options) {
    if (!option.names.empty()) continue;
    out += option.required ? " " + title(option) : " [" + title(option) + "]";
  }
  return out + "\n";
}

// Its lines were broken for a terminal; those that are indented are examples.
std::string footer_markdown(const std::string& footer) {
  std::string out;
  bool example = false;
  for (size_t at = 0; at < footer.size();) {
    const size_t end = std::min(footer.find('\n', at), footer.size());
    const std::string text = footer.substr(at, end - at);
    at = end + 1;
    if (text.starts_with("  ") != example) {
      out += example ? "```\n\n" : "\n```sh\n";
      example = !example;
    }
    out += (example ? text.substr(2) : text) + "\n";
  }
  return out + (example ? "```\n\n" : "\n");
}

}  // namespace

CommandLine command_line(const CLI::App& app) {
  CommandLine out{.prose = app.get_description(), .options = option_infos(app), .commands = {}};
  for (const CLI::App* command : app.get_subcommands({})) {
    out.commands.push_back({.name = command->get_name(),
                            .prose = command->get_description(),
                            .footer = command->get_footer(),
                            .options = option_infos(*command)});
  }
  return out;
}

std::string commands_markdown(const CommandLine& line) {
  std::string out(kName);
  out += "## Synopsis\n\n";
  for (const CommandInfo& command : line.commands) out += synopsis(command);
  out += "\n";
  out += kDescription;
  out += option_table(line.options);
  out += "## Commands\n\n";
  for (const CommandInfo& command : line.commands) {
    out += fmt::format("### fettle {}\n\n{}.\n\n", command.name, command.prose);
    out += option_table(command.options) + footer_markdown(command.footer);
  }
  out += kEnd;
  return out;
}

}  // namespace fettle
