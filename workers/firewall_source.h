// The programs that know the firewall rules of this network namespace: iptables-save and its kin,
// and nft.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "workers/firewall.h"
#include "workers/run_tool.h"

namespace fettle {

struct FirewallSource {
  std::vector<std::string> words;  // for run_tool()
  std::string tool;                // FirewallRule::tool

  bool is_nft() const { return tool == "nft"; }
};

// Those that are installed and may have something to say, in the order to read them in.
std::vector<FirewallSource> firewall_sources();

// What a source said, added to *firewall; nft_text as read_nft() wants it. An error (kUnavailable)
// where it failed, or printed something else.
Result<void> read_firewall(const FirewallSource& source, const ToolOutput& said,
                           std::string_view nft_text, Firewall* firewall);

}  // namespace fettle
