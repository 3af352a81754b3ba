// Payload patterns: a rule set's whole way for a packet that is parsed already, by how many
// patterns there are, how long the payload is, and whether the last rule's pattern occurs in it.
#include <benchmark/benchmark.h>

#include <cstring>
#include <optional>
#include <string>

#include "bench/samples.h"
#include "rules/compile.h"
#include "rules/parse.h"

namespace fettle::bench {
namespace {

enum class Keys { kPatternOnly, kOtherPort };

// A rule for each pattern; of `kOtherPort` none but by its port, so that nothing is scanned.
std::optional<Program> program_of(int64_t patterns, Keys keys) {
  std::string text;
  for (int64_t i = 0; i < patterns; ++i) {
    text += std::string("[[rule]]\nmatch = { ") +
            (keys == Keys::kOtherPort ? "dst-port = 5060, " : "") + "payload = 'User-Agent: *Tool" +
            std::to_string(i) + "/[0-9]+' }\nsteps = []\n";
  }
  const Parsed parsed = parse_rules(text, "bench.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  return parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
}

void run(benchmark::State& state, Keys keys, bool occurs) {
  const auto program = program_of(state.range(0), keys);
  if (!program) return state.SkipWithError("the rules do not compile");
  const auto size = static_cast<size_t>(state.range(1));
  Bytes bytes = sample(Kind::kUdp4, size);
  const std::string wanted = "User-Agent: Tool" + std::to_string(state.range(0) - 1) + "/1";
  if (occurs)
    std::memcpy(bytes.data() + bytes.size() - wanted.size(), wanted.data(), wanted.size());
  const Packet fresh = parse(bytes);
  ProgramCounters counters;
  std::vector<RuleCounters> rules(program->rule_names().size());
  ProgramState program_state{.counters = &counters, .rules = rules, .log = nullptr};
  for (auto _ : state) {
    Packet packet = fresh;
    Metadata metadata;
    benchmark::DoNotOptimize(program->apply(packet, metadata, program_state));
  }
  if ((rules.back().hits > 0) != (occurs && keys == Keys::kPatternOnly)) {
    state.SkipWithError("the last rule matches where it should not, or does not where it should");
  }
}

#define PATTERNS(name, keys, occurs)         \
  BENCHMARK_CAPTURE(run, name, keys, occurs) \
      ->ArgNames({"patterns", "payload"})    \
      ->ArgsProduct({{1, 10, 100}, {64, 1400}})
PATTERNS(none_occurs, Keys::kPatternOnly, false);
PATTERNS(last_occurs, Keys::kPatternOnly, true);
PATTERNS(other_port, Keys::kOtherPort, false);

}  // namespace
}  // namespace fettle::bench
