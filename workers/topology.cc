#include "workers/topology.h"

#include <hwloc.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fettle {
namespace {

bool parse_number(std::string_view text, int* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc{} && end == text.data() + text.size() && *number >= 0;
}

}  // namespace

Result<std::vector<int>> usable_cpus() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) {
    return fail(ErrorCode::kOs, "cannot read the machine's topology");
  }
  const std::unique_ptr<hwloc_topology, void (*)(hwloc_topology_t)> topology(
      raw, hwloc_topology_destroy);
  if (hwloc_topology_load(raw) != 0) {
    return fail(ErrorCode::kOs, "cannot read the machine's topology");
  }
  const std::unique_ptr<hwloc_bitmap_s, void (*)(hwloc_bitmap_t)> allowed(hwloc_bitmap_alloc(),
                                                                          hwloc_bitmap_free);
  if (hwloc_get_cpubind(raw, allowed.get(), HWLOC_CPUBIND_PROCESS) != 0) {
    hwloc_bitmap_copy(allowed.get(), hwloc_topology_get_allowed_cpuset(raw));
  }

  struct Unit {
    unsigned rank;  // among the hardware threads of its core
    unsigned order;
    int cpu;
  };
  std::vector<Unit> units;
  for (hwloc_obj_t unit = nullptr;
       (unit = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_PU, unit)) != nullptr;) {
    if (!hwloc_bitmap_isset(allowed.get(), unit->os_index)) continue;
    units.push_back({unit->sibling_rank, unit->logical_index, static_cast<int>(unit->os_index)});
  }
  if (units.empty()) return fail(ErrorCode::kOs, "this process may run on no CPU");
  std::ranges::sort(units, [](const Unit& a, const Unit& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.order < b.order;
  });
  std::vector<int> cpus;
  for (const Unit& unit : units) cpus.push_back(unit.cpu);
  return cpus;
}

Result<std::vector<int>> parse_cpu_list(std::string_view text, const std::vector<int>& usable) {
  std::vector<int> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t dash = part.find('-');
    int first = 0;
    int last = 0;
    const bool good =
        parse_number(part.substr(0, dash), &first) &&
        parse_number(dash == std::string_view::npos ? part : part.substr(dash + 1), &last);
    if (!good || last < first) {
      return fail(ErrorCode::kUsage,
                  fmt::format("--cpus {}: found \"{}\", expected a CPU number or a range like 2-3",
                              text, part));
    }
    for (int cpu = first; cpu <= last; ++cpu) {
      if (std::ranges::find(usable, cpu) == usable.end()) {
        return fail(ErrorCode::kUsage, fmt::format("--cpus {}: no CPU {} here; usable are {}", text,
                                                   cpu, format_cpu_list(usable)));
      }
      out.push_back(cpu);
    }
  }
  return out;
}

std::string format_cpu_list(const std::vector<int>& cpus) {
  return fmt::format("{}", fmt::join(cpus, ","));
}

}  // namespace fettle
