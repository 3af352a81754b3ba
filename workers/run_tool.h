// Runs a program of the system's (iptables-save, nft, ip) and takes what it says, bounded in time
// and in bytes. Not for the packet path.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/descriptor.h"

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

// One that runs beside its caller, who waits for its end (or kills it) by its pid.
class RunningTool {
 public:
  // words[0] is a name for find_tool(). Nothing where there is no such program.
  static std::optional<RunningTool> start(const std::vector<std::string>& words,
                                          std::string_view input = {});
  pid_t pid() const { return pid_; }  // -1: it could not be started, finish() says why
  // When it has ended, with what waitpid(2) says of it.
  ToolOutput finish(int wait_status) const;

 private:
  pid_t pid_ = -1;
  Descriptor in_, out_, err_;  // files in memory
  std::string failure_;
};

// words[0] is a name for find_tool(). Nothing where there is no such program.
std::optional<ToolOutput> run_tool(const std::vector<std::string>& words,
                                   std::string_view input = {},
                                   std::chrono::milliseconds patience = std::chrono::seconds(5));

}  // namespace fettle
