// Each step of the rule language on a packet that is parsed already, checksums kept: a rule with
// this step alone, less what a rule with no step costs (rule/none), is the step.
#include <benchmark/benchmark.h>

#include <string>

#include "bench/samples.h"
#include "rules/compile.h"
#include "rules/parse.h"

namespace fettle::bench {
namespace {

// Takes the line and does nothing with it.
class NullSink final : public LogSink {
 public:
  void log(uint32_t rule, const Packet& packet, const Metadata&) noexcept override {
    benchmark::DoNotOptimize(rule);
    benchmark::DoNotOptimize(packet.size);
  }
};

constexpr const char* kTable = R"(
[table.print-servers]
"10.20.0.0/24" = "203.0.113.0/24"
"203.0.113.0/24" = "10.20.0.0/24"
)";

// Each step changes what it meets, so two of a kind are taken in turn where one would have nothing
// to do the second time.
void rule(benchmark::State& state, const char* steps, const char* other_steps, Kind kind) {
  std::vector<Program> programs;
  for (const char* text : {steps, other_steps}) {
    const std::string rules =
        std::string(kTable) + "[[rule]]\nmatch = {}\nsteps = [" + text + "]\n";
    const Parsed parsed = parse_rules(rules, "bench.toml");
    std::vector<Diagnostic> diagnostics;
    auto program = compile(parsed.set, &diagnostics);
    if (!program) return state.SkipWithError("the rules do not compile");
    programs.push_back(std::move(*program));
  }
  Bytes bytes = sample(kind, 64);
  const Packet fresh = [&] {
    Packet packet = parse(bytes);
    packet.plan = ChecksumPlan::kComplete;
    return packet;
  }();
  ProgramCounters counters;
  RuleCounters rule_counters;
  NullSink sink;
  ProgramState program_state{.counters = &counters, .rules = {&rule_counters, 1}, .log = &sink};
  size_t turn = 0;
  for (auto _ : state) {
    Packet packet = fresh;
    Metadata metadata;
    benchmark::DoNotOptimize(programs[turn ^= 1].apply(packet, metadata, program_state));
  }
  if (rule_counters.misses > 1) state.SkipWithError("the step misses");
}

#define STEP(name, first, second, kind) BENCHMARK_CAPTURE(rule, name, first, second, Kind::kind)
STEP(none, "", "", kUdp4);
STEP(set_ttl, "{ set = { ttl = 9 } }", "{ set = { ttl = 8 } }", kUdp4);
STEP(set_dscp, "{ set = { dscp = 46 } }", "{ set = { dscp = 10 } }", kUdp4);
STEP(set_dscp_ipv6, "{ set = { dscp = 46 } }", "{ set = { dscp = 10 } }", kUdp6);
STEP(set_src, R"({ set = { src = "192.0.2.1" } })", R"({ set = { src = "192.0.2.2" } })", kUdp4);
STEP(set_src_ipv6, R"({ set = { src = "2001:db8::1" } })", R"({ set = { src = "2001:db8::2" } })",
     kUdp6);
STEP(set_dst_port, "{ set = { dst-port = 80 } }", "{ set = { dst-port = 81 } }", kTcp4);
STEP(translate, R"({ translate = "print-servers", at = 4 })",
     R"({ translate = "print-servers", at = 4 })", kUdp4);
STEP(write_4, R"({ write = "01020304", at = 8 })", R"({ write = "05060708", at = 8 })", kUdp4);
STEP(write_16, R"({ write = "000102030405060708090a0b0c0d0e0f", at = 8 })",
     R"({ write = "101112131415161718191a1b1c1d1e1f", at = 8 })", kUdp4);
STEP(mark, "{ mark = 1 }", "{ mark = 2 }", kUdp4);
STEP(log, "\"log\"", "\"log\"", kUdp4);
STEP(accept, "\"accept\"", "\"accept\"", kUdp4);

// A clamped packet has nothing more to clamp: with a fresh copy each time, as rule/none_copied.
void copied(benchmark::State& state, const char* steps) {
  const Parsed parsed =
      parse_rules(std::string("[[rule]]\nmatch = {}\nsteps = [") + steps + "]\n", "bench.toml");
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  if (!program) return state.SkipWithError("the rules do not compile");
  const Bytes original = sample(Kind::kTcp4, 0);
  Bytes bytes = original;
  Packet fresh = parse(bytes);
  fresh.plan = ChecksumPlan::kComplete;
  ProgramCounters counters;
  RuleCounters rule_counters;
  ProgramState program_state{.counters = &counters, .rules = {&rule_counters, 1}, .log = nullptr};
  for (auto _ : state) {
    std::memcpy(bytes.data(), original.data(), original.size());
    Packet packet = fresh;
    Metadata metadata;
    benchmark::DoNotOptimize(program->apply(packet, metadata, program_state));
  }
}
// A step that makes the packet longer or shorter and its reverse in one rule: what they cost is
// what this costs more than rule/none, halved.
void there_and_back(benchmark::State& state, const char* steps) {
  const Parsed parsed =
      parse_rules(std::string("[[rule]]\nmatch = {}\nsteps = [") + steps + "]\n", "bench.toml");
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  if (!program) return state.SkipWithError("the rules do not compile");
  const Bytes original = sample(Kind::kUdp4, static_cast<size_t>(state.range(0)));
  Bytes bytes = original;
  bytes.resize(original.size() + 64);
  Packet fresh = parse({bytes.data(), original.size()});
  fresh.plan = ChecksumPlan::kComplete;
  fresh.capacity = static_cast<uint32_t>(bytes.size());
  ProgramCounters counters;
  RuleCounters rule_counters;
  ProgramState program_state{.counters = &counters, .rules = {&rule_counters, 1}, .log = nullptr};
  for (auto _ : state) {
    Packet packet = fresh;
    Metadata metadata;
    benchmark::DoNotOptimize(program->apply(packet, metadata, program_state));
  }
  if (rule_counters.misses > 0) state.SkipWithError("the step misses");
}
BENCHMARK_CAPTURE(there_and_back, none, "")->Arg(64);
BENCHMARK_CAPTURE(there_and_back, insert_delete,
                  R"({ insert = "01020304", at = 8 }, { delete = 4, at = 8 })")
    ->Arg(64)
    ->Arg(1400);
BENCHMARK_CAPTURE(copied, none, "");
BENCHMARK_CAPTURE(copied, clamp_mss, "{ clamp-mss = 1360 }");

}  // namespace
}  // namespace fettle::bench
