#include "workers/firewall_source.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

namespace fettle {
namespace {

namespace fs = std::filesystem;

// A file of /proc lists the older tables that there are, which iptables-nft does not see.
bool has_legacy_rules(const char* program, const char* usual, const char* names_file) {
  std::ifstream names(names_file);
  const auto legacy = find_tool(program);
  const auto standard = find_tool(usual);
  if (!names || names.peek() == std::ifstream::traits_type::eof() || !legacy || !standard) {
    return false;
  }
  std::error_code ignored;
  return fs::canonical(*legacy, ignored) != fs::canonical(*standard, ignored) ||
         fs::canonical(*standard, ignored).filename() != "xtables-legacy-multi";
}

}  // namespace

std::vector<FirewallSource> firewall_sources() {
  std::vector<FirewallSource> out;
  for (const char* tool : {"iptables", "ip6tables"}) {
    std::string program = fmt::format("{}-save", tool);
    if (find_tool(program)) out.push_back({.words = {std::move(program), "-c"}, .tool = tool});
  }
  for (const char* tool : {"iptables", "ip6tables"}) {
    const std::string program = fmt::format("{}-legacy-save", tool);
    const std::string names =
        fmt::format("/proc/net/{}_names", tool[2] == '6' ? "ip6_tables" : "ip_tables");
    if (has_legacy_rules(program.c_str(), fmt::format("{}-save", tool).c_str(), names.c_str())) {
      out.push_back({.words = {program, "-c"}, .tool = fmt::format("{}-legacy", tool)});
    }
  }
  if (find_tool("nft"))
    out.push_back({.words = {"nft", "-j", "-t", "list", "ruleset"}, .tool = "nft"});
  return out;
}

Result<void> read_firewall(const FirewallSource& source, const ToolOutput& said,
                           std::string_view nft_text, Firewall* firewall) {
  if (!said.good()) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: {}", source.words.front(), said.complaint()));
  }
  if (!source.is_nft()) {
    read_iptables(said.out, source.tool, firewall);
  } else if (!read_nft(said.out, nft_text, firewall)) {
    return fail(ErrorCode::kUnavailable, "nft: it prints no JSON (nft -j list ruleset)");
  }
  return {};
}

}  // namespace fettle
