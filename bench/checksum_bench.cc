// Checksums: whole ones beside those of libnetfilter_queue, and the incremental update.
#include <benchmark/benchmark.h>

#include <arpa/inet.h>
extern "C" {  // these headers do not say so themselves
#include <libnetfilter_queue/libnetfilter_queue_ipv4.h>
#include <libnetfilter_queue/libnetfilter_queue_tcp.h>
#include <libnetfilter_queue/libnetfilter_queue_udp.h>
}
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "bench/samples.h"
#include "core/checksum.h"

namespace fettle::bench {
namespace {

template <typename T>
T* at(Bytes& bytes, size_t offset) {
  void* place = bytes.data() + offset;
  return static_cast<T*>(place);
}

void whole(benchmark::State& state, Kind kind) {
  Bytes bytes = sample(kind, static_cast<size_t>(state.range(0)));
  const Packet packet = parse(bytes);
  for (auto _ : state) benchmark::DoNotOptimize(full_transport_checksum(packet));
}
BENCHMARK_CAPTURE(whole, udp_ipv4, Kind::kUdp4)->Arg(64)->Arg(1400)->Arg(50000);
BENCHMARK_CAPTURE(whole, tcp_ipv4, Kind::kTcp4)->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(whole, udp_ipv6, Kind::kUdp6)->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(whole, tcp_ipv6, Kind::kTcp6)->Arg(64)->Arg(1400);

void whole_libnetfilter_queue(benchmark::State& state, Kind kind) {
  Bytes bytes = sample(kind, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    if (kind == Kind::kUdp4) {
      nfq_udp_compute_checksum_ipv4(at<udphdr>(bytes, 20), at<iphdr>(bytes, 0));
    } else if (kind == Kind::kTcp4) {
      nfq_tcp_compute_checksum_ipv4(at<tcphdr>(bytes, 20), at<iphdr>(bytes, 0));
    } else if (kind == Kind::kUdp6) {
      nfq_udp_compute_checksum_ipv6(at<udphdr>(bytes, 40), at<ip6_hdr>(bytes, 0));
    } else {
      nfq_tcp_compute_checksum_ipv6(at<tcphdr>(bytes, 40), at<ip6_hdr>(bytes, 0));
    }
    benchmark::ClobberMemory();
  }
}
BENCHMARK_CAPTURE(whole_libnetfilter_queue, udp_ipv4, Kind::kUdp4)->Arg(64)->Arg(1400)->Arg(50000);
BENCHMARK_CAPTURE(whole_libnetfilter_queue, tcp_ipv4, Kind::kTcp4)->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(whole_libnetfilter_queue, udp_ipv6, Kind::kUdp6)->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(whole_libnetfilter_queue, tcp_ipv6, Kind::kTcp6)->Arg(64)->Arg(1400);

void ipv4_header(benchmark::State& state) {
  Bytes bytes = sample(Kind::kUdp4, 64);
  for (auto _ : state) benchmark::DoNotOptimize(ipv4_header_checksum({bytes.data(), 20}));
}
BENCHMARK(ipv4_header);

void ipv4_header_libnetfilter_queue(benchmark::State& state) {
  Bytes bytes = sample(Kind::kUdp4, 64);
  for (auto _ : state) {
    nfq_ip_set_checksum(at<iphdr>(bytes, 0));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(ipv4_header_libnetfilter_queue);

void incremental(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  Bytes before(size, std::byte{1}), after(size, std::byte{2});
  uint16_t field = 0x1234;
  for (auto _ : state) {
    field = update(field, before, after, false);
    benchmark::DoNotOptimize(field);
  }
}
BENCHMARK(incremental)->Arg(2)->Arg(4)->Arg(16);

}  // namespace
}  // namespace fettle::bench
