// What each stage of the packet path costs by itself, in user space. `--benchmark_filter=` picks.
#include <benchmark/benchmark.h>

#include <arpa/inet.h>
extern "C" {  // these headers do not say so themselves
#include <libnetfilter_queue/libnetfilter_queue_ipv4.h>
#include <libnetfilter_queue/libnetfilter_queue_udp.h>
}
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <vector>

#include "core/checksum.h"
#include "core/mangle.h"
#include "core/packet.h"
#include "core/verdict_batch.h"
#include "rules/compile.h"
#include "rules/parse.h"

namespace fettle {
namespace {

// A keep-alive to port 1331: IPv4, UDP, `payload` bytes.
std::vector<std::byte> keep_alive(size_t payload) {
  std::vector<std::byte> bytes(28 + payload);
  store_u8(bytes.data(), 0x45);
  store_be16(bytes.data() + 2, static_cast<uint16_t>(bytes.size()));
  store_u8(bytes.data() + 8, 64);
  store_u8(bytes.data() + 9, 17);
  store_be32(bytes.data() + 12, 0x0a14000b);
  store_be32(bytes.data() + 16, 0xcb007109);
  store<uint16_t>(bytes.data() + 10, ipv4_header_checksum({bytes.data(), 20}));
  store_be16(bytes.data() + 20, 1331);
  store_be16(bytes.data() + 22, 1331);
  store_be16(bytes.data() + 24, static_cast<uint16_t>(8 + payload));
  store_be32(bytes.data() + 32, 0x0a14000b);
  store<uint16_t>(bytes.data() + 26, full_transport_checksum(parse(bytes)));
  return bytes;
}

void parse_udp(benchmark::State& state) {
  auto bytes = keep_alive(64);
  for (auto _ : state) benchmark::DoNotOptimize(parse(bytes));
}
BENCHMARK(parse_udp);

void full_checksum(benchmark::State& state) {
  auto bytes = keep_alive(static_cast<size_t>(state.range(0)));
  const Packet packet = parse(bytes);
  for (auto _ : state) benchmark::DoNotOptimize(full_transport_checksum(packet));
}
BENCHMARK(full_checksum)->Arg(64)->Arg(1400);

void full_checksum_libnetfilter_queue(benchmark::State& state) {
  auto bytes = keep_alive(static_cast<size_t>(state.range(0)));
  void* at = bytes.data();
  auto* ip = static_cast<iphdr*>(at);
  at = bytes.data() + 20;
  auto* udp = static_cast<udphdr*>(at);
  for (auto _ : state) {
    nfq_udp_compute_checksum_ipv4(udp, ip);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(full_checksum_libnetfilter_queue)->Arg(64)->Arg(1400);

void write_four_bytes(benchmark::State& state) {
  auto bytes = keep_alive(64);
  Packet packet = parse(bytes);
  packet.plan = ChecksumPlan::kComplete;
  uint32_t value = 0;
  for (auto _ : state) {
    ++value;
    benchmark::DoNotOptimize(write(packet, 32, std::as_bytes(std::span(&value, 1))));
  }
}
BENCHMARK(write_four_bytes);

constexpr const char* kKeepAliveRules = R"(
[table.print-servers]
"10.20.0.0/24" = "203.0.113.0/24"
[[rule]]
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]
[[rule]]
match = { protocol = "udp", src-port = 1331 }
steps = [{ translate = "print-servers", at = 8, reverse = true }]
)";

// From netlink bytes parsed to verdict bytes made, one packet.
void keep_alive_program(benchmark::State& state) {
  const Parsed parsed = parse_rules(kKeepAliveRules, "bench.toml");
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  if (!program) return state.SkipWithError("the rules do not compile");
  const auto original = keep_alive(64);
  auto bytes = original;
  ProgramCounters counters;
  std::vector<RuleCounters> rules(program->rule_names().size());
  ProgramState program_state{.counters = &counters, .rules = rules, .log = nullptr};
  VerdictBatch replies(0, 1);
  for (auto _ : state) {
    std::memcpy(bytes.data(), original.data(), original.size());
    Packet packet = parse(bytes);
    packet.plan = ChecksumPlan::kComplete;
    Metadata metadata;
    const Outcome outcome = program->apply(packet, metadata, program_state);
    if (outcome.changed) {
      replies.add_changed(1, kNfAccept, nullptr, bytes);
    } else {
      replies.add(1, kNfAccept, nullptr);
    }
    benchmark::DoNotOptimize(replies.gather());
    replies.clear();
  }
}
BENCHMARK(keep_alive_program);

}  // namespace
}  // namespace fettle
