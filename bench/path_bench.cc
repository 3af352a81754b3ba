// Verdicts to bytes, and the whole path in user space: from the kernel's message to the reply. Each
// iteration is one packet.
#include <benchmark/benchmark.h>

#include "bench/netlink_sample.h"
#include "bench/samples.h"
#include "core/offload.h"
#include "core/verdict_batch.h"
#include "rules/compile.h"
#include "rules/parse.h"

namespace fettle::bench {
namespace {

constexpr size_t kBatch = 16;

constexpr const char* kKeepAlive = R"(
[table.print-servers]
"10.20.0.0/24" = "203.0.113.0/24"
[[rule]]
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]
[[rule]]
match = { protocol = "udp", src-port = 1331, dst-port = 7 }
steps = [{ translate = "print-servers", at = 8, reverse = true }]
)";
constexpr const char* kNobody = R"(
[[rule]]
match = { protocol = "udp", dst-port = 9 }
steps = ["drop"]
)";

void verdicts_unchanged(benchmark::State& state) {
  VerdictBatch replies(0, kBatch);
  uint32_t id = 0;
  for (auto _ : state) {
    replies.add(++id, kNfAccept, nullptr);
    if (replies.packets() < kBatch) continue;
    benchmark::DoNotOptimize(replies.gather());
    replies.clear();
  }
}
BENCHMARK(verdicts_unchanged);

void verdicts_changed(benchmark::State& state) {
  Bytes bytes = sample(Kind::kUdp4, 64);
  VerdictBatch replies(0, kBatch);
  uint32_t id = 0;
  for (auto _ : state) {
    replies.add_changed(++id, kNfAccept, nullptr, bytes);
    if (replies.packets() < kBatch) continue;
    benchmark::DoNotOptimize(replies.gather());
    replies.clear();
  }
}
BENCHMARK(verdicts_changed);

// The message is copied first, because a packet is changed where it lies.
void path(benchmark::State& state, const char* rules) {
  const Parsed parsed = parse_rules(rules, "bench.toml");
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  if (!program) return state.SkipWithError("the rules do not compile");
  const Bytes original = netlink_message(sample(Kind::kUdp4, static_cast<size_t>(state.range(0))));
  std::vector<Bytes> slots(kBatch, original);
  ProgramCounters counters;
  std::vector<RuleCounters> rule_counters(program->rule_names().size());
  ProgramState program_state{.counters = &counters, .rules = rule_counters, .log = nullptr};
  VerdictBatch replies(0, kBatch);
  uint32_t id = 0;
  for (auto _ : state) {
    Bytes& slot = slots[replies.packets()];
    std::memcpy(slot.data(), original.data(), original.size());
    std::span<std::byte> datagram = slot;
    const QueuedPacket queued = decode(datagram).packet;
    Packet packet = parse(queued.payload);
    packet.plan = checksum_plan(packet, queued.hook, queued.skb_info, queued.whole);
    Metadata metadata{
        .in = {}, .out = {}, .mark = queued.mark, .hook = queued.hook, .family = queued.family};
    if (program->apply(packet, metadata, program_state).changed) {
      replies.add_changed(++id, kNfAccept, nullptr, queued.payload, {queued.before, 0});
    } else {
      replies.add(++id, kNfAccept, nullptr);
    }
    if (replies.packets() < kBatch) continue;
    benchmark::DoNotOptimize(replies.gather());
    replies.clear();
  }
}
BENCHMARK_CAPTURE(path, accepted, kNobody)->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(path, changed, kKeepAlive)->Arg(64)->Arg(1400);

void copy_message(benchmark::State& state) {
  const Bytes original = netlink_message(sample(Kind::kUdp4, static_cast<size_t>(state.range(0))));
  Bytes slot = original;
  for (auto _ : state) {
    std::memcpy(slot.data(), original.data(), original.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(copy_message)->Arg(64)->Arg(1400);

}  // namespace
}  // namespace fettle::bench
