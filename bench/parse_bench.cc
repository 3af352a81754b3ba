// Packets and netlink messages from bytes.
#include <benchmark/benchmark.h>

#include "bench/netlink_sample.h"
#include "bench/samples.h"
#include "core/nfqueue_codec.h"

namespace fettle::bench {
namespace {

void parse_packet(benchmark::State& state, Kind kind) {
  Bytes bytes = sample(kind, 64);
  for (auto _ : state) benchmark::DoNotOptimize(parse(bytes));
}
BENCHMARK_CAPTURE(parse_packet, udp_ipv4, Kind::kUdp4);
BENCHMARK_CAPTURE(parse_packet, tcp_ipv4, Kind::kTcp4);
BENCHMARK_CAPTURE(parse_packet, udp_ipv6, Kind::kUdp6);
BENCHMARK_CAPTURE(parse_packet, tcp_ipv6, Kind::kTcp6);

void decode_message(benchmark::State& state) {
  Bytes message = netlink_message(sample(Kind::kUdp4, 64));
  for (auto _ : state) {
    std::span<std::byte> datagram = message;
    benchmark::DoNotOptimize(decode(datagram));
  }
}
BENCHMARK(decode_message);

}  // namespace
}  // namespace fettle::bench
