#include "workers/control_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "rules/diagnostic.h"
#include "workers/printable.h"

namespace fettle {
namespace {

constexpr std::array<std::pair<std::string_view, ControlCommand>, 4> kCommands{{
    {"status", ControlCommand::kStatus},
    {"reload", ControlCommand::kReload},
    {"drain", ControlCommand::kDrain},
    {"takeover", ControlCommand::kTakeover},
}};

std::unexpected<Error> refused(std::string_view found, std::string_view expected) {
  return fail(ErrorCode::kUsage, fmt::format("request: found {}, expected {}", found, expected));
}

}  // namespace

std::string_view control_command_name(ControlCommand command) {
  return std::ranges::find(kCommands, command, [](const auto& row) { return row.second; })->first;
}

Result<ControlCommand> parse_control_request(std::string_view line) {
  constexpr std::string_view kOneOf = "one of status, reload, drain, takeover";
  if (line.size() > kLongestRequest) {
    return refused(
        fmt::format("a line of more than {} bytes, \"{}\"", kLongestRequest, printable(line)),
        kOneOf);
  }
  const size_t begin = std::min(line.find_first_not_of(' '), line.size());
  const std::string_view words = line.substr(begin, line.find_last_not_of(' ') + 1 - begin);
  if (words.empty()) return refused("an empty line", kOneOf);
  for (const auto& [name, command] : kCommands) {
    if (words == name) return command;
    if (words.starts_with(fmt::format("{} ", name))) {
      return refused(fmt::format("\"{}\"", printable(words)), fmt::format("\"{}\" alone", name));
    }
  }
  std::array<std::string_view, kCommands.size()> names;
  std::ranges::transform(kCommands, names.begin(), [](const auto& row) { return row.first; });
  const std::string_view nearest = nearest_word(words, {names.begin(), names.end()});
  return refused(fmt::format("\"{}\"", printable(words)),
                 nearest.empty() ? std::string(kOneOf)
                                 : fmt::format("{}; did you mean \"{}\"?", kOneOf, nearest));
}

}  // namespace fettle
