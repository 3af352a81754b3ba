#include "workers/replay_report.h"

#include <utility>

#include <fmt/format.h>

#include "workers/json.h"

namespace fettle {

std::string replay_table(const ReplaySummary& summary, const std::vector<std::string>& names) {
  const ProgramCounters& counters = summary.counters;
  const std::pair<const char*, uint64_t> rows[] = {{"packets", summary.packets},
                                                   {"not IP", summary.not_ip},
                                                   {"malformed", counters.malformed},
                                                   {"changed", counters.changed},
                                                   {"dropped", counters.dropped}};
  std::string out;
  for (const auto& [name, value] : rows) out += fmt::format("{:<10} {:>12}\n", name, value);
  out += fmt::format("{:<10} {:>12.3f} s, {:.0f} packets/s\n", "time", summary.seconds,
                     summary.per_second());
  if (!names.empty()) out += fmt::format("\n{:>12} {:>12}  rule\n", "hits", "misses");
  for (size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("{:>12} {:>12}  {}\n", summary.rules[i].hits, summary.rules[i].misses,
                       names[i]);
  }
  return out;
}

std::string replay_json(const ReplaySummary& summary, const std::vector<std::string>& names) {
  const ProgramCounters& counters = summary.counters;
  std::string rules;
  for (size_t i = 0; i < names.size(); ++i) {
    rules +=
        fmt::format("{}\n    {{\"name\": {}, \"hits\": {}, \"misses\": {}}}", i == 0 ? "" : ",",
                    json_string(names[i]), summary.rules[i].hits, summary.rules[i].misses);
  }
  return fmt::format(
      "{{\n  \"packets\": {},\n  \"not_ip\": {},\n  \"malformed\": {},\n  \"changed\": {},\n  "
      "\"dropped\": {},\n"
      "  \"seconds\": {:.6f},\n  \"packets_per_second\": {:.0f},\n  \"rules\": [{}{}]\n}}\n",
      summary.packets, summary.not_ip, counters.malformed, counters.changed, counters.dropped,
      summary.seconds, summary.per_second(), rules, rules.empty() ? "" : "\n  ");
}

}  // namespace fettle
