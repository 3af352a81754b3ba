#include "workers/metadata_flags.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace fettle {
namespace {

// What CLI11 is to say about a name that `in` and `out` could never match; empty where it is right.
std::string refuse_interface(const std::string& name) {
  constexpr size_t kLongest = InterfaceName{}.size() - 1;
  if (!name.empty() && name.size() <= kLongest) return {};
  return fmt::format("found \"{}\", expected an interface's name of 1 to {} characters", name,
                     kLongest);
}

Hook hook_named(const std::string& name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Hook::kPostrouting); ++i) {
    if (to_string(Hook{i}) == name) return Hook{i};
  }
  return Hook::kNone;
}

}  // namespace

Metadata MetadataFlags::metadata() const {
  return {
      .in = interface_name(in), .out = interface_name(out), .mark = mark, .hook = hook_named(hook)};
}

void add_metadata_flags(CLI::App& command, MetadataFlags* flags) {
  command
      .add_option("--hook", flags->hook,
                  "What `hook` is to match, since a capture has none: prerouting, input, forward, "
                  "output or postrouting")
      ->check(CLI::IsMember({"prerouting", "input", "forward", "output", "postrouting"}))
      ->option_text("HOOK");
  command.add_option("--in", flags->in, "What `in` is to match")
      ->check(refuse_interface)
      ->option_text("INTERFACE");
  command.add_option("--out", flags->out, "What `out` is to match")
      ->check(refuse_interface)
      ->option_text("INTERFACE");
  command.add_option("--mark", flags->mark, "The mark that packets come with")->option_text("N");
}

}  // namespace fettle
