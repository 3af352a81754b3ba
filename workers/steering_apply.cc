#include "workers/steering_apply.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "workers/run_tool.h"

namespace fettle {
namespace {

constexpr auto kPatience =
    std::chrono::seconds(20);  // another iptables may hold the lock for a while

Result<std::string> run(const std::vector<std::string>& words, std::string_view input = {}) {
  const auto ran = run_tool(words, input, kPatience);
  if (!ran) {
    return fail(
        ErrorCode::kUnavailable,
        fmt::format("found no {} on this machine, expected it in /usr/sbin or the like", words[0]));
  }
  if (!ran->good())
    return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", words[0], ran->complaint()));
  return ran->out;
}

// ---- nft --------------------------------------------------------------------------------------

struct NftChain {
  std::string name;
  bool base = false;  // to delete it would drop what waits in queues
};

// Chains of the table, where there is one.
std::vector<NftChain> nft_chains(std::string_view name) {
  const auto listed =
      run_tool({"nft", "-j", "list", "table", "inet", std::string(name)}, {}, kPatience);
  if (!listed || !listed->good()) return {};
  std::vector<NftChain> out;
  const auto json = nlohmann::json::parse(listed->out, nullptr, false);
  if (json.is_discarded() || !json.contains("nftables")) return {};
  for (const auto& item : json["nftables"]) {
    if (item.contains("chain") && item["chain"].contains("name"))
      out.push_back({item["chain"]["name"], item["chain"].contains("hook")});
  }
  return out;
}

// Takes away what `text` does not have: rules first, by which chains are in use.
std::string leftovers(std::string_view name, std::string_view text) {
  std::string flushes, deletions;
  for (const NftChain& chain : nft_chains(name)) {
    const std::string flush = fmt::format("flush chain inet {} {}\n", name, chain.name);
    if (text.find(flush) != std::string_view::npos) continue;
    flushes += flush;
    if (!chain.base) deletions += fmt::format("delete chain inet {} {}\n", name, chain.name);
  }
  return flushes + deletions;
}

// ---- iptables ---------------------------------------------------------------------------------

struct Chains {
  std::vector<std::string> jumps;                     // "mangle FORWARD fettle-FORWARD"
  std::set<std::pair<std::string, std::string>> own;  // table, chain
};

Chains read_chains(std::string_view saved, std::string_view name) {
  Chains out;
  std::string table;
  const std::string prefix = fmt::format("{}-", name);
  for (size_t at = 0; at < saved.size();) {
    const size_t end = std::min(saved.find('\n', at), saved.size());
    const std::string line(saved.substr(at, end - at));
    at = end + 1;
    if (line.starts_with('*')) table = line.substr(1);
    if (line.starts_with(':' + prefix)) out.own.emplace(table, line.substr(1, line.find(' ') - 1));
    if (!line.starts_with("-A ") || line.starts_with("-A " + prefix)) continue;
    const size_t jump = line.find(" -j " + prefix);
    if (jump == std::string::npos || line.find(' ', 3) != jump)
      continue;  // "-A HOOK -j CHAIN" alone
    out.jumps.push_back(
        fmt::format("{} {} {}", table, line.substr(3, jump - 3), line.substr(jump + 4)));
  }
  return out;
}

Result<Chains> chains_of(std::string_view name, const std::string& tool) {
  auto saved = run({tool + "-save"});
  if (!saved) return std::unexpected(saved.error());
  return read_chains(*saved, name);
}

// The commands of a table in `text`: from behind "*table" to "COMMIT". Nothing: it has none.
std::optional<std::pair<size_t, size_t>> commands_of(std::string_view text,
                                                     const std::string& table) {
  const std::string head = fmt::format("*{}\n", table);
  const size_t begin = text.find(head);
  if (begin == std::string_view::npos) return std::nullopt;
  return std::pair(begin + head.size(), text.find("COMMIT\n", begin));
}

// `text`, and what takes away the jumps and chains that it does not have: jumps first, then rules,
// then chains, none of which is a base chain. A table's old chains go with its new rules, behind
// them, since a chain that others lead to cannot go. Tables that are left alone go first.
std::string with_removal(const Chains& chains, std::string text) {
  std::map<std::string, std::string> tables;
  const auto stays = [&](const std::string& table, const std::string& chain) {
    const auto at = commands_of(text, table);
    return at && std::string_view(text)
                         .substr(at->first, at->second - at->first)
                         .find(fmt::format(":{} ", chain)) != std::string_view::npos;
  };
  for (const std::string& jump : chains.jumps) {
    const size_t first = jump.find(' '), second = jump.find(' ', first + 1);
    const std::string table = jump.substr(0, first), chain = jump.substr(second + 1);
    if (!stays(table, chain))
      tables[table] +=
          fmt::format("-D {} -j {}\n", jump.substr(first + 1, second - first - 1), chain);
  }
  for (const std::string_view step : {"-F", "-X"})
    for (const auto& [table, chain] : chains.own)
      if (!stays(table, chain)) tables[table] += fmt::format("{} {}\n", step, chain);
  std::string alone;
  for (const auto& [table, commands] : tables) {
    if (const auto at = commands_of(text, table)) {
      text.insert(at->second, commands);
    } else {
      alone += fmt::format("*{}\n{}COMMIT\n", table, commands);
    }
  }
  return alone + text;
}

Result<void> restore(const std::string& tool, const std::string& text, bool only_check = false) {
  if (text.empty()) return {};
  std::vector<std::string> words{tool + "-restore", "--noflush", "-w", "10"};
  if (only_check) words.emplace_back("--test");
  const auto done = run(words, text);
  if (!done) return std::unexpected(done.error());
  return {};
}

constexpr std::pair<const char*, Family> kTools[] = {{"iptables", Family::kIpv4},
                                                     {"ip6tables", Family::kIpv6}};

Result<void> enter(const SteeringPlan& plan, const SteeringTarget& target, SteeringTool tool,
                   bool only_check) {
  if (tool == SteeringTool::kNft) {
    const std::string text = nft_text(plan, target);
    std::vector<std::string> words{"nft", "-f", "-"};
    if (only_check) words.emplace_back("--check");
    const auto done = run(words, text + leftovers(target.name, text));
    if (!done) return std::unexpected(done.error());
    return {};
  }
  for (const auto& [name, family] : kTools) {
    const auto chains = chains_of(target.name, name);
    if (!chains) return std::unexpected(chains.error());
    const std::string text = iptables_text(plan, target, family, chains->jumps);
    const auto done = restore(name, with_removal(*chains, text), only_check);
    if (!done) return std::unexpected(done.error());
  }
  return {};
}

}  // namespace

Result<void> apply_steering(const SteeringPlan& plan, const SteeringTarget& target,
                            SteeringTool tool) {
  return enter(plan, target, tool, false);
}

Result<void> check_steering(const SteeringPlan& plan, const SteeringTarget& target,
                            SteeringTool tool) {
  return enter(plan, target, tool, true);
}

Result<void> remove_steering(std::string_view name, SteeringTool tool) {
  if (tool == SteeringTool::kNft) {
    const std::string text = leftovers(name, "");
    if (text.empty()) return {};
    const auto done = run({"nft", "-f", "-"}, text);
    if (!done) return std::unexpected(done.error());
    return {};
  }
  for (const auto& [program, family] : kTools) {
    const auto chains = chains_of(name, program);
    if (!chains) return std::unexpected(chains.error());
    if (const auto done = restore(program, with_removal(*chains, "")); !done) return done;
  }
  return {};
}

}  // namespace fettle
