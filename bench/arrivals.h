// What arrived of packet_sender's packets, as packet_sink saw it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "bench/stamp.h"
#include "core/bytes.h"
#include "core/checksum.h"

namespace fettle::bench {

struct ArrivalOptions {
  uint32_t sample = 1;    // only sequence numbers that are multiples of it come
  int64_t skip_ns = 0;    // of the beginning, without latency
  int64_t bucket_ns = 0;  // > 0: latency over time
  bool checksums = false;
};

class Arrivals {
 public:
  explicit Arrivals(ArrivalOptions options) : options_(options) {}

  // An Ethernet frame with a whole stamp. unfinished: its checksum was left to hardware.
  void add(int64_t time_ns, std::span<std::byte> frame, bool unfinished) {
    constexpr size_t kIp = 14, kStamp = kIp + 28;
    if (frame.size() < kStamp + kStampSize) return;
    const std::byte* stamp = frame.data() + kStamp;
    count(load_be32(stamp + kSequenceAt) / options_.sample, load_be16(frame.data() + kIp + 20));
    if (load<uint32_t>(stamp + kAddressAt) != load<uint32_t>(frame.data() + kIp + 12)) ++changed_;
    if (options_.checksums && !unfinished) judge(frame.subspan(kIp));
    if (received_ == 1) first_ns_ = time_ns;
    last_ns_ = time_ns;
    if (time_ns - first_ns_ < options_.skip_ns) return;
    const auto latency = since(load_be32(stamp + kTimeAt), time_ns);
    latencies_.push_back(latency);
    if (options_.bucket_ns > 0) times_.push_back(time_ns);
  }

  // One JSON object.
  void print(unsigned ring_dropped) {
    std::printf(R"({"sample": %u, "received": %ju, "distinct": %ju, "duplicates": %ju, )",
                options_.sample, uintmax_t{received_}, uintmax_t{received_ - duplicates_},
                uintmax_t{duplicates_});
    std::printf(R"("reordered": %ju, "changed": %ju, "bad_checksums": %ju, "ring_dropped": %u, )",
                uintmax_t{reordered_}, uintmax_t{changed_}, uintmax_t{bad_}, ring_dropped);
    std::printf(R"("first_ns": %jd, "last_ns": %jd, "timeline": [)", intmax_t{first_ns_},
                intmax_t{last_ns_});
    print_timeline();
    std::sort(latencies_.begin(), latencies_.end());
    std::printf(R"(], "latency_ns": )");
    print_latency(latencies_);
    std::printf("}\n");
  }

 private:
  // The order is that of each flow, which the source port names: queues overtake each other.
  void count(uint32_t number, uint16_t port) {
    ++received_;
    if (number >= seen_.size()) seen_.resize(std::max<size_t>(seen_.size() * 2, number + 1024));
    if (seen_[number]) ++duplicates_;
    seen_[number] = true;
    if (number < newest_[port]) ++reordered_;
    newest_[port] = std::max(newest_[port], number);
  }

  void judge(std::span<std::byte> ip) {
    const Packet packet = parse(ip);
    if (packet.truncated()) return;
    if (ipv4_checksum_state(packet) == ChecksumState::kBad ||
        transport_checksum_state(packet) == ChecksumState::kBad) {
      ++bad_;
    }
  }

  static void print_latency(std::span<const int64_t> sorted) {
    const auto at = [&](double share) {
      if (sorted.empty()) return intmax_t{0};
      const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size()));
      return intmax_t{sorted[std::min(index, sorted.size() - 1)]};
    };
    std::printf(R"({"samples": %zu, "min": %jd, "p50": %jd, "p90": %jd, "p99": %jd, )",
                sorted.size(), at(0), at(.5), at(.9), at(.99));
    std::printf(R"("p99.9": %jd, "max": %jd})", at(.999), at(1));
  }

  void print_timeline() {
    std::vector<int64_t> bucket;
    for (size_t i = 0; i < times_.size();) {
      const int64_t number = times_[i] / options_.bucket_ns;
      bucket.clear();
      const bool first = i == 0;
      for (; i < times_.size() && times_[i] / options_.bucket_ns <= number; ++i)
        bucket.push_back(latencies_[i]);
      std::sort(bucket.begin(), bucket.end());
      std::printf(R"(%s{"begin_ns": %jd, "latency_ns": )", first ? "" : ", ",
                  intmax_t{number * options_.bucket_ns});
      print_latency(bucket);
      std::printf("}");
    }
  }

  ArrivalOptions options_;
  std::vector<bool> seen_;
  std::vector<int64_t> latencies_, times_;
  uint64_t received_ = 0, duplicates_ = 0, reordered_ = 0, changed_ = 0, bad_ = 0;
  std::vector<uint32_t> newest_ = std::vector<uint32_t>(65536);
  int64_t first_ns_ = 0, last_ns_ = 0;
};

}  // namespace fettle::bench
