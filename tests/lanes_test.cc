#include "workers/lanes.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"
#include "workers/packet_shadow.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::PacketBuilder;

constexpr size_t kThreads = 3;
constexpr uint16_t kFlows = 8;
constexpr size_t kPackets = 64;

// By flow, the numbers of its packets in the order in which they came by.
class OrderLog final : public LogSink {
 public:
  void log(uint32_t, const Packet& packet, const Metadata& metadata) noexcept override {
    const std::scoped_lock lock(mutex_);
    seen[packet.src_port()].push_back(metadata.mark);
  }
  std::map<uint16_t, std::vector<uint32_t>> seen;

 private:
  std::mutex mutex_;
};

class LanesTest : public ::testing::Test {
 protected:
  void start(const std::string& rules) {
    const Parsed parsed = parse_rules(rules, "test.toml");
    std::vector<Diagnostic> diagnostics;
    program_ = compile(parsed.set, &diagnostics);
    ASSERT_TRUE(parsed.ok() && program_);
    const size_t count = program_->rule_names().size();
    rules_.resize(kThreads * count);
    for (size_t i = 0; i < kThreads; ++i) {
      states_.push_back({.counters = &counters_[i],
                         .rules = std::span(rules_).subspan(i * count, count),
                         .log = &log_});
    }
    for (size_t i = 0; i < kPackets; ++i) {
      PacketBuilder builder("10.0.0.1", "10.0.0.2");
      builder.udp(static_cast<uint16_t>(i % kFlows), 1331).payload(testing::filled(64));
      bytes_.push_back(builder.build().bytes);
    }
    hands_.resize(kPackets);
    for (InHand& hand : hands_) order_.push_back(&hand);
  }

  // The same packets anew, numbered by their marks.
  void prepare_batch() {
    const Preparation preparation(program_->needs());
    mangled_ = bytes_;
    for (size_t i = 0; i < kPackets; ++i) {
      hands_[i].queued.payload = mangled_[i];
      hands_[i].queued.mark = ++number_;
      prepare(preparation, hands_[i]);
    }
  }
  uint64_t done_by(size_t thread) const { return counters_[thread].packets; }

  std::optional<Program> program_;
  ProgramCounters counters_[kThreads];
  std::vector<RuleCounters> rules_;
  std::vector<ProgramState> states_;
  OrderLog log_;
  std::vector<ByteVector> bytes_, mangled_;
  std::vector<InHand> hands_;
  std::vector<InHand*> order_;
  uint32_t number_ = 0;
};

constexpr int kAnyCpu[] = {0};

std::string costly_rules() {
  std::string steps = "\"log\"";
  for (int i = 0; i < 200; ++i) {
    steps += i % 2 ? ", { write = \"0102\", at = 10 }" : ", { write = \"0304\", at = 10 }";
  }
  return "[[rule]]\nmatch = { dst-port = 1331 }\nsteps = [" + steps + "]\n";
}

TEST_F(LanesTest, ACostlyProgramIsSharedAndDoesWhatOneThreadWould) {
  start(costly_rules());
  prepare_batch();
  apply_all(*program_, order_, states_.front());
  const std::vector<ByteVector> expected = mangled_;
  log_.seen.clear();

  Lanes lanes(*program_, states_, kAnyCpu, kPackets);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  size_t batches = 1;
  while (done_by(1) + done_by(2) == 0 && std::chrono::steady_clock::now() < end) {
    prepare_batch();
    if (lanes.worth_sharing(kPackets)) {
      lanes.start(order_);
      lanes.wait();
    } else {
      lanes.run_here(order_);
    }
    ++batches;
    ASSERT_EQ(mangled_, expected);
  }
  EXPECT_GT(done_by(1) + done_by(2), 0u) << "no other thread did anything";
  EXPECT_EQ(done_by(0) + done_by(1) + done_by(2), batches * kPackets);
  EXPECT_EQ(rules_[0].hits + rules_[1].hits + rules_[2].hits, batches * kPackets);
  ASSERT_EQ(log_.seen.size(), kFlows);
  for (const auto& [flow, numbers] : log_.seen) {
    EXPECT_TRUE(std::ranges::is_sorted(numbers)) << "flow " << flow;
    EXPECT_EQ(numbers.size(), (batches - 1) * kPackets / kFlows);
  }
}

// Each thread's own looks on; what is done is the same.
TEST_F(LanesTest, ShadowsLookOn) {
  start(costly_rules());
  prepare_batch();
  apply_all(*program_, order_, states_.front());
  const std::vector<ByteVector> expected = mangled_;
  std::vector<PacketShadow> shadows;
  shadows.reserve(kThreads);
  for (size_t i = 0; i < kThreads; ++i) shadows.emplace_back(*program_, 0);
  Lanes lanes(*program_, states_, kAnyCpu, kPackets, shadows);
  for (size_t batches = 2; batches < 10; ++batches) {
    prepare_batch();
    lanes.start(order_);
    lanes.wait();
    ASSERT_EQ(mangled_, expected);
    EXPECT_TRUE(std::ranges::all_of(hands_, [](const InHand& hand) {
      return hand.outcome.changed && hand.stage == Stage::kApplied;
    }));
    EXPECT_EQ(rules_[0].hits + rules_[1].hits + rules_[2].hits, batches * kPackets);
  }
}

TEST_F(LanesTest, WhatCostsNothingIsNotShared) {
  start("[[rule]]\nmatch = { dst-port = 9 }\nsteps = [\"drop\"]\n");
  Lanes lanes(*program_, states_, kAnyCpu, kPackets);
  EXPECT_FALSE(lanes.worth_sharing(kPackets)) << "before anything is known";
  lanes.run_here({});
  EXPECT_FALSE(lanes.worth_sharing(0));
}

}  // namespace
}  // namespace fettle
