// RunStatus as fettle run prints it at its end.
#include <fmt/format.h>

#include "workers/printable.h"
#include "workers/run_status.h"

namespace fettle {
namespace {

std::string details(const QueueCounters& counters) {
  std::string out;
  if (counters.late_verdicts + counters.refused_verdicts + counters.unreadable > 0) {
    out += fmt::format("      verdicts too late {}, refused {}, unreadable messages {}\n",
                       counters.late_verdicts, counters.refused_verdicts, counters.unreadable);
  }
  if (counters.held + counters.not_held > 0) {
    out += fmt::format("      delayed {}, at once for want of room {}\n", counters.held,
                       counters.not_held);
  }
  if (counters.stream_edited + counters.stream_held + counters.to_repeat > 0) {
    out += fmt::format(
        "      TCP segments edited {} (split {}), waited {} (in vain {}), left to be repeated {}\n",
        counters.stream_edited, counters.stream_split, counters.stream_held,
        counters.stream_timed_out, counters.to_repeat);
  }
  if (counters.captured + counters.not_captured > 0) {
    out += fmt::format("      captured {}, not for want of room {}\n", counters.captured,
                       counters.not_captured);
  }
  return out;
}

}  // namespace

std::string summary_table(const RunStatus& status) {
  constexpr auto kRow = "{:>5} {:>12} {:>12} {:>12} {:>12} {:>10} {:>11} {:>12} {:>8}\n";
  std::string out = "\n";
  if (status.shadow) {
    out += "SHADOW: every packet passed as it came; counts are of what the rules would have done\n";
  }
  out += fmt::format(kRow, "queue", "packets", "changed", "accepted", "dropped", "malformed",
                     "queue-full", "socket-full", "restarts");
  for (const QueueReport& queue : status.queues) {
    const QueueCounters& counters = queue.counters;
    out += fmt::format(kRow, queue.queue, counters.packets, counters.changed, counters.accepted,
                       counters.dropped, counters.malformed, counters.queue_full,
                       counters.socket_full, queue.worker.restarts);
    out += details(counters);
  }
  if (status.feed && status.feed->unqueued + status.feed->bypassed > 0) {
    out += fmt::format("      came to no queue: full {}, while fettle did not run {}, or more\n",
                       status.feed->unqueued, status.feed->bypassed);
  }
  if (status.rules.empty()) return out;
  out += fmt::format("\n{:>12} {:>12}  rule (since it was loaded)\n", "hits", "misses");
  for (const RuleReport& rule : status.rules) {
    out += fmt::format("{:>12} {:>12}  {}\n", rule.hits, rule.misses, rule.name);
  }
  return out;
}

}  // namespace fettle
