// Packets dealt to lanes: each once, flows together and in order; and whatever the number of lanes,
// and whichever lane is quicker, the same bytes, drops, counters and log.
#include "workers/replay_lanes.h"

#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/flow_hash.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::PacketBuilder;

constexpr uint32_t kRawIp = 101;
constexpr uint32_t kUnknownLink = 147;

Program compiled(const std::string& text) {
  const Parsed parsed = parse_rules(text, "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
  return program ? std::move(*program) : Program();
}

// 40 flows of 25 packets, both ways in turn; after each turn a record that is no packet (of no
// bytes here) and one that is not IP.
std::vector<ByteVector> traffic() {
  std::vector<ByteVector> out;
  for (uint32_t turn = 0; turn < 25; ++turn) {
    for (uint32_t flow = 0; flow < 40; ++flow) {
      const std::string inside = fmt::format("10.0.0.{}", flow + 1);
      const bool back = turn % 2 == 1;
      PacketBuilder packet(back ? "192.0.2.1" : inside, back ? inside : "192.0.2.1");
      packet.udp(back ? 53 : 4000, back ? 4000 : 53).payload(ByteVector(4, std::byte(turn)));
      out.push_back(packet.build().bytes);
    }
    out.push_back({});
    out.push_back(ByteVector(20, std::byte(turn)));
  }
  return out;
}

class Chunk {
 public:
  explicit Chunk(std::vector<ByteVector> frames) : bytes_(std::move(frames)) {
    for (ByteVector& frame : bytes_) {
      Record record;
      record.raw = frame.empty() ? std::span<std::byte>(none_) : frame;
      if (!frame.empty()) record.frame = frame;
      record.link_type = frame.empty() || frame[0] == std::byte{0x45} ? kRawIp : kUnknownLink;
      chunk.piece.records.push_back(record);
    }
  }
  ReplayChunk chunk;

 private:
  std::vector<ByteVector> bytes_;
  std::byte none_[8] = {};
};

constexpr const char* kRules = R"(
[[rule]]
name = "seen"
match = { dst = "10.0.0.0/28" }
steps = ["log", { set = { ttl = 9 } }]
[[rule]]
name = "one flow"
match = { port = 4000, src = "10.0.0.7" }
steps = ["log", "drop"]
[[rule]]
name = "payload"
match = {}
steps = [{ write = "ff", at = 3 }, { write = "ff", at = 4 }]
)";

struct Seen {
  std::string bytes;
  std::vector<std::string> log;
  std::vector<uint64_t> counted;
  bool operator==(const Seen&) const = default;
};

// `part`: so many records are dealt at a time; 0: all.
Seen replayed(size_t lane_count, bool last_lane_first, size_t part = 0) {
  const Program program = compiled(kRules);
  const Metadata metadata;
  std::vector<std::unique_ptr<ReplayLane>> lanes;
  for (size_t i = 0; i < lane_count; ++i) {
    lanes.push_back(std::make_unique<ReplayLane>(program, metadata, i));
  }
  if (last_lane_first) std::ranges::reverse(lanes);
  Chunk traffic_chunk(traffic());
  ReplayChunk& chunk = traffic_chunk.chunk;
  chunk.begin(lane_count);
  while (chunk.deal_part(program, metadata, part == 0 ? chunk.piece.records.size() : part)) {
    for (auto& lane : lanes) lane->run(chunk);
  }
  chunk.sort_log();

  Seen out;
  for (const Record& record : chunk.piece.records) {
    out.bytes.append(reinterpret_cast<const char*>(record.raw.data()), record.raw.size());
  }
  for (const auto& [number, rule, text] : chunk.log) {
    out.log.push_back(fmt::format("{} {} {}", number, rule, text));
  }
  out.counted = {chunk.packets, chunk.not_ip, 0, 0};
  out.counted.resize(4 + 2 * program.rule_names().size());
  for (const auto& lane : lanes) {
    out.counted[2] += lane->counters().changed;
    out.counted[3] += lane->counters().dropped;
    for (size_t i = 0; i < lane->rules().size(); ++i) {
      out.counted[4 + 2 * i] += lane->rules()[i].hits;
      out.counted[5 + 2 * i] += lane->rules()[i].misses;
    }
  }
  return out;
}

TEST(ReplayLanes, EachPacketIsInOneLaneWithItsFlowAndInOrder) {
  const Program program;
  Chunk traffic_chunk(traffic());
  ReplayChunk& chunk = traffic_chunk.chunk;
  for (const size_t lane_count : {1u, 2u, 7u, 64u}) {
    chunk.deal(program, {}, lane_count);
    EXPECT_EQ(chunk.packets, 25 * 41u);
    EXPECT_EQ(chunk.not_ip, 25u);
    ASSERT_EQ(chunk.items.size(), 25 * 40u);
    std::set<uint32_t> dealt;
    size_t used = 0;
    for (size_t i = 0; i < lane_count; ++i) {
      EXPECT_TRUE(std::ranges::is_sorted(chunk.lanes[i]));
      used += !chunk.lanes[i].empty();
      for (const uint32_t place : chunk.lanes[i]) {
        EXPECT_EQ(flow_hash(chunk.items[place].packet) % lane_count, i);
        EXPECT_TRUE(dealt.insert(place).second);
      }
    }
    EXPECT_EQ(dealt.size(), chunk.items.size());
    EXPECT_GE(used, std::min<size_t>(lane_count, 10));
  }
}

TEST(ReplayLanes, PacketsAreNumberedAmongAllPackets) {
  Chunk traffic_chunk(traffic());
  ReplayChunk& chunk = traffic_chunk.chunk;
  chunk.deal(Program(), {}, 2);
  EXPECT_EQ(chunk.items[39].number, 40u);
  EXPECT_EQ(chunk.items[40].number, 42u);  // 41 is not IP
  EXPECT_EQ(chunk.items[40].record, 42u);  // and record 40 is no packet
}

TEST(ReplayLanes, TheNumberOfLanesAndTheirOrderChangeNothing) {
  const Seen one = replayed(1, false);
  EXPECT_EQ(one.counted, (std::vector<uint64_t>{25 * 41, 25, 25 * 40 - 13, 13,  //
                                                12 * 15, 0, 13, 0, 25 * 40 - 13, 25 * 40 - 13}));
  EXPECT_EQ(one.log.size(), 12 * 15 + 13u);
  for (const size_t lane_count : {2u, 3u, 7u, 64u}) {
    for (const bool last_lane_first : {false, true}) {
      EXPECT_EQ(replayed(lane_count, last_lane_first), one) << lane_count << " lanes";
    }
  }
}

TEST(ReplayLanes, NorDoesTheSizeOfTheParts) {
  const Seen whole = replayed(1, false);
  for (const size_t part : {1u, 2u, 64u, 1049u, 1050u, 1051u}) {
    EXPECT_EQ(replayed(1, false, part), whole) << part;
    EXPECT_EQ(replayed(3, true, part), whole) << part;
  }
}

}  // namespace
}  // namespace fettle
