// Random connections through a stream table. A failure names its seed;
//   FETTLE_STREAM_SEED=N FETTLE_STREAM_CONNECTIONS=1 stream_simulation_test
// repeats it alone, and FETTLE_STREAM_CONNECTIONS=1000000 runs as many.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/stream_simulator.h"

namespace fettle::testing {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

struct Memory {
  explicit Memory(const StreamTable::Size& size) : bytes(StreamTable::bytes(size) + 64) {
    const auto at = reinterpret_cast<uintptr_t>(bytes.data());
    span = std::span(bytes).subspan((64 - at % 64) % 64);
    StreamTable::format(span, size, {1, 2});
  }
  Bytes bytes;
  std::span<std::byte> span;
};

TEST(StreamSimulation, BothEndsReadTheEditedStreams) {
  const uint64_t first = number_from("FETTLE_STREAM_SEED", std::random_device{}());
  const uint64_t count = number_from("FETTLE_STREAM_CONNECTIONS", 500);
  Memory memory({.connections = 1024, .edits = 4096, .chunks = 8192, .handshakes = 64});
  StreamTable table;
  ASSERT_TRUE(table.attach(memory.span));
  uint64_t packets = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t seed = first + i;
    const SimulationOptions options{.number = static_cast<uint32_t>(i % 400),
                                    .hold = seed % 3 != 0,
                                    .shifts = seed % 7 < 3,
                                    .part_wait = seed % 2 == 0 ? StreamLimits::kNever : 100,
                                    .pieces = seed % 5 == 0 ? 1 : StreamOutput::kMaxPieces};
    const SimulationResult result = simulate(table, seed, options);
    packets += result.packets;
    ASSERT_TRUE(result.ok) << "seed " << seed << ": " << result.fault << " after " << result.steps
                           << " steps";
  }
  EXPECT_EQ(table.counters().refused_edits, 0u);
  std::printf(
      "seeds %lu to %lu, %lu packets, %lu edits, %lu split, %lu emptied, %lu early, %lu parts\n",
      first, first + count - 1, packets, table.counters().edits, table.counters().split,
      table.counters().emptied, table.counters().early, table.counters().parts);
}

}  // namespace
}  // namespace fettle::testing
