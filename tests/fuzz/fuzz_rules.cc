// Arbitrary text as a rule file: it is refused with a message that can be shown, or compiled, and
// the program runs over a packet made of the same bytes. The file's own tests are run, too.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "rules/compile.h"
#include "rules/packet_tests.h"
#include "rules/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A table's file would be opened where the fuzzer runs.
  if (text.find("file") != std::string_view::npos) return 0;
  const Parsed parsed = parse_rules(text, "fuzz.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  const std::string rendered = render(diagnostics, parsed.sources);
  if (!program) {
    if (rendered.empty()) std::abort();
    return 0;
  }
  for (const PacketTest& test : parsed.tests) {
    const auto failure = run_test(*program, test, false);
    if (failure && failure->details.empty()) std::abort();
  }
  const std::unique_ptr<std::byte[]> bytes(new std::byte[size]);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, bytes.get());
  Packet packet = parse({bytes.get(), size});
  Metadata metadata;
  ProgramCounters counters;
  std::vector<RuleCounters> rules(program->rule_names().size());
  std::vector<std::atomic<uint64_t>> clocks(program->needs().clocks);
  ProgramState state{
      .counters = &counters, .rules = rules, .log = nullptr, .impairments = {.clocks = clocks}};
  program->apply(packet, metadata, state);
  if (counters.packets != 1 || program->describe().empty()) std::abort();
  return 0;
}
