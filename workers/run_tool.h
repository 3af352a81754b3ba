// Runs a program of the system's (iptables-save, nft, ip) and takes what it says, bounded in time
// and in bytes. Not for the packet path.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

struct ToolOutput {
  int status = -1;  // exit status; -1: it was killed, or did not end in time
  std::string out;
  std::string err;
  bool good() const { return status == 0; }
  // The first line of what it complained of, or what became of it.
  std::string complaint() const;
};

inline constexpr size_t kMostToolOutput = 64 << 20;

// Where a program of this name lies: in the system's own folders alone, whatever PATH says, since
// root runs it. Nothing where there is none.
std::optional<std::string> find_tool(std::string_view name);

// words[0] is a name for find_tool(). Nothing where there is no such program.
std::optional<ToolOutput> run_tool(const std::vector<std::string>& words,
                                   std::string_view input = {},
                                   std::chrono::milliseconds patience = std::chrono::seconds(5));

}  // namespace fettle
