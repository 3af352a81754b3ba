// Any text is read as iptables-save's and as nft's, and judged, within bounds; a command names no
// rule that is not there.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "workers/doctor_firewall.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t half = text.find('\0');
  HostFacts facts;
  facts.has_iptables = true;
  read_iptables(text.substr(0, half), "iptables", &facts.firewall);
  if (half != std::string_view::npos) read_nft(text.substr(half + 1), text, &facts.firewall);
  facts.ip_rules = text;
  DoctorPlan plan;
  plan.rules = "r.toml";
  plan.has_queues = true;
  plan.last_queue = 3;
  plan.usable_cpus = {0, 1, 2, 3, 4};
  plan.needs.streams = true;
  plan.marks = {{.value = 1, .mask = 3, .what = "bypass-mark"}};
  for (const FirewallRule& rule : facts.firewall.rules) {
    if (rule.queue && rule.queue->last < rule.queue->first) std::abort();
  }
  judge_queue_rules(facts, plan);
  judge_offload(facts, plan);
  judge_streams(facts, plan);
  judge_marks(facts, plan);
  return 0;
}
