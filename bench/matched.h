// Packets of capture_sender that arrived, told by the number that each carries in IPv4's
// identification or IPv6's flow label, and by the file that says when each was sent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <net/ethernet.h>

#include "core/bytes.h"

namespace fettle::bench {

class Matched {
 public:
  void add(int64_t time_ns, std::span<std::byte> frame) {
    if (frame.size() < 14 + 40 && frame.size() < 14 + 20) return;
    const uint16_t type = load_be16(frame.data() + 12);
    const std::byte* ip = frame.data() + 14;
    if (type == ETHERTYPE_IP) {
      arrivals_.push_back({time_ns, load_be16(ip + 4)});
    } else if (type == ETHERTYPE_IPV6 && load_u8(ip + 24) != 0xff) {  // no neighbour discovery
      arrivals_.push_back({time_ns, load_be16(ip + 2)});
    }
  }

  // False: the file cannot be read. One JSON object.
  bool print(const std::string& path, unsigned ring_dropped) {
    std::vector<int64_t> sent;
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                     [](FILE* f) { return f ? fclose(f) : 0; });
    if (!file) return false;
    int64_t time = 0;
    while (std::fread(&time, sizeof time, 1, file.get()) == 1) sent.push_back(time);
    std::vector<bool> seen(sent.size());
    std::vector<int64_t> latencies;
    size_t duplicates = 0, reordered = 0;
    int64_t newest = 0;
    for (const Arrival& arrival : arrivals_) {
      // The number nearest to what came last: no packet is 32,768 away.
      const int64_t index =
          newest + static_cast<int16_t>(arrival.id - static_cast<uint16_t>(newest));
      if (index < 0 || index >= static_cast<int64_t>(sent.size())) continue;
      const auto at = static_cast<size_t>(index);
      if (seen[at]) ++duplicates;
      seen[at] = true;
      if (index < newest) ++reordered;
      newest = std::max(newest, index);
      latencies.push_back(arrival.time_ns - sent[at]);
    }
    std::sort(latencies.begin(), latencies.end());
    const auto quantile = [&](double share) {
      if (latencies.empty()) return intmax_t{0};
      const auto index = static_cast<size_t>(share * static_cast<double>(latencies.size()));
      return intmax_t{latencies[std::min(index, latencies.size() - 1)]};
    };
    std::printf(R"({"received": %zu, "distinct": %zu, "duplicates": %zu, "reordered": %zu, )",
                latencies.size(), latencies.size() - duplicates, duplicates, reordered);
    std::printf(R"("ring_dropped": %u, "latency_ns": {"samples": %zu, "min": %jd, "p50": %jd, )",
                ring_dropped, latencies.size(), quantile(0), quantile(.5));
    std::printf(R"("p99": %jd, "p99.9": %jd, "max": %jd}})", quantile(.99), quantile(.999),
                quantile(1));
    std::printf("\n");
    return true;
  }

 private:
  struct Arrival {
    int64_t time_ns;
    uint16_t id;
  };
  std::vector<Arrival> arrivals_;
};

}  // namespace fettle::bench
