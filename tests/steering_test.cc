// A packet that steering leaves out is none that a rule would have changed: over random rules and
// packets, the program is held against the filters. What the firewall makes of the filters is
// tests/live/steer_test.sh's.
#include "rules/steering.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "rules/classifier.h"
#include "rules/compile.h"
#include "tests/random_matches.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::Random;
using testing::RandomMatches;

constexpr uint32_t kHooks = 5;
const std::vector<Key> kKeys = {Key::kFamily,   Key::kProtocol, Key::kSrc,         Key::kDst,
                                Key::kSrcPort,  Key::kDstPort,  Key::kPort,        Key::kHook,
                                Key::kIn,       Key::kOut,      Key::kMark,        Key::kTtl,
                                Key::kDscp,     Key::kLength,   Key::kTcpFlags,    Key::kFragment,
                                Key::kIcmpType, Key::kBytes,    Key::kProbability, Key::kFilter};

Step step_of(Random& random) {
  switch (random.below(5)) {
    case 0:
      return {VerdictStep{Verdict::kAccept, 0}, {}};
    case 1:
      return {VerdictStep{Verdict::kDrop, 0}, {}};
    case 2:
      return {MarkStep{1, 1}, {}};
    case 3:
      return {LogStep{}, {}};
    default: {
      ReplaceStep replace;
      replace.pattern.pattern = "abc";
      replace.with = "x";
      return {replace, {}};
    }
  }
}

RuleSet random_set(Random& random) {
  RandomMatches matches(random, kKeys);
  matches.with_named_filters();
  RuleSet set;
  set.files = {"random"};
  for (uint32_t i = 0, count = 1 + random.below(8); i < count; ++i) {
    Rule rule;
    rule.name = "rule " + std::to_string(i);
    rule.match = matches.match(4, 4);
    rule.steps = {step_of(random)};
    set.rules.push_back(std::move(rule));
  }
  return set;
}

bool names_hook(const Rule& rule) {
  return std::ranges::find(rule.match.all_of, Key::kHook, &Condition::key) !=
         rule.match.all_of.end();
}

struct Case {
  RuleSet set;
  Program program;
  SteeringPlan plan;
  Hook place = Hook::kForward;
  std::vector<std::pair<Hook, Classifier>> filters;

  bool queued(ByteVector bytes, const Metadata& metadata) const {
    const Packet packet = parse(bytes);
    return std::ranges::any_of(filters, [&](const auto& point) {
      return point.first == metadata.hook &&
             point.second.walk(packet, metadata, 0) < point.second.size();
    });
  }

  // The first rule that matched and does something, where it is to be met at this hook: a later one
  // may match what it has made of the packet.
  const Rule* met(ByteVector bytes, Metadata metadata) const {
    std::vector<RuleCounters> rules(set.rules.size());
    ProgramCounters counters;
    ProgramState state{&counters, rules};
    Packet packet = parse(bytes);
    packet.capacity = packet.size;
    const Hook hook = metadata.hook;
    program.apply(packet, metadata, state);
    for (size_t i = 0; i < rules.size(); ++i) {
      const Rule& rule = set.rules[i];
      const bool idle = std::ranges::find(plan.idle, rule.name) != plan.idle.end();
      if (rules[i].hits == 0 || idle) continue;
      return names_hook(rule) || hook == place ? &rule : nullptr;
    }
    return nullptr;
  }
};

std::optional<Case> random_case(Random& random) {
  Case out;
  out.set = random_set(random);
  out.place = Hook{static_cast<uint8_t>(random.below(kHooks))};
  std::vector<Diagnostic> diagnostics;
  auto program = compile(out.set, &diagnostics);
  if (!program) return std::nullopt;
  out.program = std::move(*program);
  auto plan = plan_steering(out.set, {.hook = out.place, .around = {}, .push_down = {}});
  EXPECT_TRUE(plan);
  out.plan = std::move(*plan);
  for (const SteeringPoint& point : out.plan.points) {
    std::vector<const Match*> matches;
    for (const SteeringFilter& filter : point.filters) matches.push_back(&filter.match);
    out.filters.emplace_back(point.hook, Classifier(matches));
  }
  return out;
}

Metadata metadata_at(Random& random, Hook hook) {
  Metadata out = testing::random_metadata(random);
  out.hook = hook;
  if (hook == Hook::kPrerouting || hook == Hook::kInput) out.out = {};
  return out;
}

// The super-packet that a segment may be of: longer, and with the flags of its last one.
ByteVector super_packet(ByteVector bytes) {
  const Packet packet = parse(bytes);
  if (!packet.has_transport() || !packet.is(Protocol::kTcp)) return bytes;
  bytes[packet.transport + 13] |= std::byte{0x09};
  bytes.resize(bytes.size() + 100);
  std::byte* length = bytes.data() + (packet.family == Family::kIpv4 ? 2 : 4);
  store_be16(length, static_cast<uint16_t>(load_be16(length) + 100));
  return bytes;
}

// Another segment of the connection, from the other end: only addresses and ports tell.
ByteVector answer(ByteVector bytes) {
  const Packet packet = parse(bytes);
  const size_t size = packet.family == Family::kIpv4 ? 4 : 16;
  std::byte* src = bytes.data() + (packet.src_bytes() - packet.data);
  std::byte* dst = bytes.data() + (packet.dst_bytes() - packet.data);
  std::swap_ranges(src, src + size, dst);
  std::byte* ports = bytes.data() + packet.transport;
  std::swap_ranges(ports, ports + 2, ports + 2);
  bytes[packet.transport + 13] = std::byte{0x10};
  bytes[packet.family == Family::kIpv4 ? 8 : 7] = std::byte{77};
  return bytes;
}

bool replaces(const Rule& rule) {
  return std::holds_alternative<ReplaceStep>(rule.steps.front().what);
}

TEST(Steering, LeavesOutNoPacketThatARuleWouldHaveChanged) {
  Random random(7);
  uint64_t met = 0, left_out = 0, streams = 0;
  for (uint32_t i = 0; i < 3000; ++i) {
    const auto one = random_case(random);
    if (!one) continue;
    for (uint32_t n = 0; n < 60; ++n) {
      const ByteVector bytes = testing::random_packet(random);
      const Metadata metadata =
          metadata_at(random, Hook{static_cast<uint8_t>(random.below(kHooks))});
      const Rule* const rule = one->met(bytes, metadata);
      left_out += !one->queued(bytes, metadata);
      if (rule == nullptr) continue;
      ++met;
      ASSERT_TRUE(one->queued(bytes, metadata)) << "case " << i << ", " << rule->name;
      ASSERT_TRUE(one->queued(super_packet(bytes), metadata)) << "case " << i << ", " << rule->name;
      ByteVector copy = bytes;
      const Packet packet = parse(copy);
      if (!packet.has_transport() || !packet.is(Protocol::kTcp) || !replaces(*rule)) continue;
      ++streams;
      ASSERT_TRUE(one->queued(answer(bytes), metadata_at(random, metadata.hook))) << "case " << i;
      ASSERT_TRUE(one->queued(answer(answer(bytes)), metadata_at(random, metadata.hook)))
          << "case " << i;
    }
  }
  std::printf("%lu packets met rules, %lu of 180000 were left out, %lu were of streams\n", met,
              left_out, streams);
  EXPECT_GT(met, 10'000u);
  EXPECT_GT(left_out, 50'000u);
  EXPECT_GT(streams, 500u);
}

}  // namespace
}  // namespace fettle
