// Rules that a firewall carries out ahead of the queue make of each packet what the whole set makes
// of it in its order: over random rules and packets, pushed rules first and then, where the filters
// have a packet queued, the rest, against all of them by the program. What the firewall makes of a
// rule is tests/live/push_down_test.sh's.
#include "rules/push_down.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "rules/classifier.h"
#include "rules/compile.h"
#include "rules/steering.h"
#include "tests/random_matches.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::Random;
using testing::RandomMatches;

const std::vector<Key> kKeys = {
    Key::kFamily, Key::kProtocol, Key::kSrc,  Key::kDst,    Key::kSrcPort,  Key::kDstPort,
    Key::kPort,   Key::kIn,       Key::kMark, Key::kTtl,    Key::kDscp,     Key::kLength,
    Key::kBytes,  Key::kTcpFlags, Key::kOut,  Key::kFilter, Key::kIcmpType, Key::kFragment};

Step set_step(Random& random) {
  constexpr Field kFields[] = {Field::kTtl, Field::kDscp,    Field::kEcn,
                               Field::kDst, Field::kSrcPort, Field::kDstPort,
                               Field::kSrc, Field::kWindow,  Field::kFlowLabel};
  SetStep set;
  for (uint32_t i = 0; i < 1 + random.below(2); ++i) {
    SetStep::Assignment part{kFields[random.below(9)], 0, {}, {}};
    if (part.field == Field::kSrc || part.field == Field::kDst)
      part.address = random.address();
    else
      part.number = random.below(part.field == Field::kEcn ? 4 : 12);
    set.assignments.push_back(part);
  }
  return {set, {}};
}

Step step_of(Random& random) {
  switch (random.below(8)) {
    case 0:
      return {VerdictStep{random.one_in(2) ? Verdict::kAccept : Verdict::kDrop, 0}, {}};
    case 1:
      return {MarkStep{random.below(8), random.below(8)}, {}};
    case 2:
      return {WriteStep{random.one_in(4) ? Origin::kTransport : Origin::kPayload,
                        random.below(12),
                        {std::byte{7}, std::byte(random.below(8))}},
              {}};
    case 3:
      return {ClampMssStep{static_cast<uint16_t>(500 + random.below(1000))}, {}};
    case 4:
      return {InsertStep{random.below(4), {std::byte{1}}}, {}};
    case 5:
      return {DeleteStep{random.below(4), 1}, {}};
    default:
      return set_step(random);
  }
}

RuleSet random_set(Random& random) {
  RandomMatches matches(random, kKeys);
  RuleSet set;
  set.files = {"random"};
  for (uint32_t i = 0, count = 2 + random.below(5); i < count; ++i) {
    Rule rule;
    rule.name = "rule " + std::to_string(i);
    rule.match = matches.match(2, 3);
    for (uint32_t n = 0; n < 1 + random.below(2); ++n) rule.steps.push_back(step_of(random));
    if (random.one_in(6)) rule.on_miss = random.one_in(2) ? Verdict::kAccept : Verdict::kDrop;
    set.rules.push_back(std::move(rule));
  }
  return set;
}

// What a program makes of a packet.
struct Made {
  ByteVector bytes;
  uint32_t mark = 0;
  Verdict verdict = Verdict::kAccept;
  bool ended = false;  // by a rule

  bool operator==(const Made& other) const {
    if (verdict != other.verdict) return false;
    return verdict == Verdict::kDrop || (bytes == other.bytes && mark == other.mark);
  }
};

bool decided(const Rule& rule, const RuleCounters& counted) {
  if (counted.hits > 0 && std::ranges::any_of(rule.steps, [](const Step& step) {
        return std::holds_alternative<VerdictStep>(step.what);
      }))
    return true;
  return counted.misses > 0 && rule.on_miss;
}

Made apply(const RuleSet& set, const Program& program, const Made& came, Metadata metadata) {
  constexpr uint32_t kRoom = 64;
  std::vector<RuleCounters> rules(set.rules.size());
  ProgramCounters counters;
  ProgramState state{&counters, rules};
  Made out = came;
  const size_t size = out.bytes.size();
  out.bytes.resize(size + kRoom);
  Packet packet = parse(std::span(out.bytes).first(size));
  packet.capacity = static_cast<uint32_t>(out.bytes.size());
  metadata.mark = came.mark;
  out.verdict = program.apply(packet, metadata, state).verdict;
  out.mark = metadata.mark;
  out.bytes.resize(std::max<size_t>(packet.size, size));
  if (packet.resized) out.bytes.resize(packet.size);
  for (size_t i = 0; i < rules.size(); ++i) out.ended |= decided(set.rules[i], rules[i]);
  return out;
}

struct Case {
  RuleSet set, pushed, rest;
  Program whole, first, then;
  std::vector<Classifier> filters;

  bool queued(ByteVector bytes, const Metadata& metadata) const {
    const Packet packet = parse(bytes);
    return std::ranges::any_of(filters, [&](const Classifier& filter) {
      return filter.walk(packet, metadata, 0) < filter.size();
    });
  }
};

std::optional<Program> compiled(const RuleSet& set) {
  std::vector<Diagnostic> diagnostics;
  return compile(set, &diagnostics);
}

std::optional<Case> random_case(Random& random) {
  Case out;
  out.set = random_set(random);
  auto whole = compiled(out.set);
  if (!whole) return std::nullopt;
  std::vector<bool> writable;
  for (size_t i = 0; i < out.set.rules.size(); ++i) writable.push_back(!random.one_in(3));
  const RuleWriter writer = [&](const RuleSet& set, uint32_t rule, const SteeringPoint&) {
    using Written = std::expected<PushedRule, std::string>;
    return writable[rule] ? Written(PushedRule{set.rules[rule].name, {}})
                          : Written(std::unexpect, "not this one");
  };
  const auto plan = plan_steering(out.set, {Hook::kForward, {}, writer});
  EXPECT_TRUE(plan);
  out.rest = without_pushed(out.set, *plan);
  out.pushed = out.set;
  std::erase_if(out.pushed.rules, [&](const Rule& rule) {
    return !plan->hindrances[static_cast<size_t>(std::stoi(rule.name.substr(5)))].empty();
  });
  EXPECT_EQ(out.pushed.rules.size() + out.rest.rules.size(), out.set.rules.size());
  out.whole = std::move(*whole);
  out.first = std::move(*compiled(out.pushed));
  out.then = std::move(*compiled(out.rest));
  for (const SteeringPoint& point : plan->points) {
    std::vector<const Match*> matches;
    for (const SteeringFilter& filter : point.filters) matches.push_back(&filter.match);
    out.filters.emplace_back(matches);
  }
  return out;
}

TEST(PushDown, MakesOfAPacketWhatTheWholeSetMakes) {
  Random random(11);
  uint64_t packets = 0, changed = 0, both = 0, saved = 0, behind = 0;
  for (uint32_t i = 0; i < 4000; ++i) {
    const auto one = random_case(random);
    if (!one) continue;
    for (size_t rule = 1; rule < one->set.rules.size(); ++rule)
      behind += !one->rest.rules.empty() && one->rest.rules.front().name == "rule 0" &&
                !one->pushed.rules.empty();
    for (uint32_t n = 0; n < 50; ++n) {
      Metadata metadata = testing::random_metadata(random);
      metadata.hook = Hook::kForward;
      const Made came{.bytes = testing::random_packet(random), .mark = metadata.mark};
      const Made wanted = apply(one->set, one->whole, came, metadata);
      const Made first = apply(one->pushed, one->first, came, metadata);
      Made found = first;
      metadata.mark = first.mark;
      const bool queued = !first.ended && one->queued(first.bytes, metadata);
      if (queued) found = apply(one->rest, one->then, first, metadata);
      ++packets;
      changed += !(wanted == came);
      both += queued && !(first == came) && !(found == first);
      saved += !queued;
      ASSERT_TRUE(found == wanted) << "case " << i << ", packet " << n;
    }
  }
  std::printf("%lu packets, %lu changed, %lu of them by both, %lu not queued\n", packets, changed,
              both, saved);
  EXPECT_GT(packets, 100'000u);
  EXPECT_GT(changed, 20'000u);
  EXPECT_GT(both, 500u);
  EXPECT_GT(saved, 50'000u);
  EXPECT_GT(behind, 500u);
}

}  // namespace
}  // namespace fettle
