// The index finds what asking every rule in turn finds, and the tests of a rule hold where the
// plain meaning of its match does: over random rules of all keys and random packets.
#include "rules/classifier.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/hash.h"
#include "rules/packet_filter.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"
#include "tests/random_matches.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;
using testing::pattern_of;
using testing::Random;
using testing::random_metadata;
using testing::random_packet;
using testing::RandomMatches;

// ---- The plain meaning of a match -------------------------------------------------------------

bool in_range(const Operand& operand, uint32_t value) {
  const auto& range = std::get<Range>(operand);
  return value >= range.low && value <= range.high;
}

bool is_masked(const Operand& operand, uint32_t value) {
  const auto& masked = std::get<MaskedValue>(operand);
  return (value & masked.mask) == masked.value;
}

bool is_named(const Operand& operand, const InterfaceName& name) {
  const auto& pattern = std::get<InterfacePattern>(operand);
  if (name[0] == '\0') return false;
  for (size_t i = 0; i < name.size(); ++i) {
    if ((name[i] & pattern.mask[i]) != pattern.name[i]) return false;
  }
  return true;
}

bool is_icmp(const Operand& operand, const Packet& p) {
  if (!p.has_transport() || (!p.is(Protocol::kIcmp) && !p.is(Protocol::kIcmpv6))) return false;
  const auto& match = std::get<IcmpMatch>(operand);
  const auto& types = p.is(Protocol::kIcmp) ? match.icmp : match.icmpv6;
  const uint32_t type = load_u8(p.data + p.transport), code = load_u8(p.data + p.transport + 1);
  return types && type >= types->low && type <= types->high && code >= match.code.low &&
         code <= match.code.high;
}

bool is_fragment(const Operand& operand, const Packet& p) {
  switch (std::get<FragmentKind>(operand)) {
    case FragmentKind::kAny:
      return p.fragment;
    case FragmentKind::kNone:
      return !p.fragment;
    case FragmentKind::kFirst:
      return p.fragment && !p.later_fragment;
    case FragmentKind::kLater:
      return p.later_fragment;
  }
  return false;
}

bool has_bytes(const Operand& operand, const Packet& p) {
  const auto& bytes = std::get<BytesMatch>(operand);
  for (uint32_t i = 0; i < bytes.value.size(); ++i) {
    uint32_t offset = 0;
    if (!resolve(p, bytes.from, bytes.at, &offset) || offset + i >= p.size) return false;
    if ((p.data[offset + i] & bytes.mask[i]) != bytes.value[i]) return false;
  }
  return true;
}

bool has_pattern(const Operand& operand, const Packet& p) {
  uint32_t offset = 0;
  if (!resolve(p, Origin::kPayload, 0, &offset)) return false;
  const std::byte* const end = p.data + std::min(p.size, p.transport_end);
  ByteVector wanted;
  const std::string& text = std::get<PatternMatch>(operand).pattern;
  for (size_t at = 0; at < text.size(); at += 4) {
    wanted.push_back(static_cast<std::byte>(std::stoi(text.substr(at + 2, 2), nullptr, 16)));
  }
  return std::search(p.data + offset, static_cast<std::byte*>(p.data + (end - p.data)),
                     wanted.begin(), wanted.end()) != end;
}

// Of the form that RandomMatches makes: "ip[AT] & 15 = VALUE", or ip6.
bool passes(const Operand& operand, const Packet& p) {
  const std::string& text = std::get<FilterMatch>(operand).expression;
  unsigned at = 0, value = 0;
  const size_t bracket = text.find('[');
  EXPECT_EQ(std::sscanf(text.c_str() + bracket, "[%u] & 15 = %u", &at, &value), 2) << text;
  const Family family = bracket == 2 ? Family::kIpv4 : Family::kIpv6;
  return p.family == family && at < p.size && (load_u8(p.data + at) & 15) == value;
}

bool is_chosen(const ChanceMatch& chance, const Metadata& m) {
  const double number = static_cast<double>(mix(uint64_t{m.draw} + chance.salt) >> 32);
  return number < std::round(chance.percent / 100 * 0x1p32);
}

bool operand_holds(Key key, const Operand& operand, const Packet& p, const Metadata& m) {
  const auto contains = [&](const std::byte* at) {
    return std::get<Prefix>(operand).contains(Address::from_bytes(p.family, at));
  };
  switch (key) {
    case Key::kFamily:
      return std::get<Family>(operand) == (p.data ? p.family : m.family);
    case Key::kProtocol:
      return in_range(operand, p.protocol);
    case Key::kSrc:
      return contains(p.src_bytes());
    case Key::kDst:
      return contains(p.dst_bytes());
    case Key::kSrcPort:
      return p.has_ports() && in_range(operand, p.src_port());
    case Key::kDstPort:
      return p.has_ports() && in_range(operand, p.dst_port());
    case Key::kPort:
      return p.has_ports() && (in_range(operand, p.src_port()) || in_range(operand, p.dst_port()));
    case Key::kHook:
      return m.hook != Hook::kNone && in_range(operand, static_cast<uint32_t>(m.hook));
    case Key::kIn:
      return is_named(operand, m.in);
    case Key::kOut:
      return is_named(operand, m.out);
    case Key::kMark:
      return is_masked(operand, m.mark);
    case Key::kTtl:
      return in_range(operand, p.ttl());
    case Key::kDscp:
      return in_range(operand, p.traffic_class() / 4u);
    case Key::kLength:
      return in_range(operand, p.length);
    case Key::kTcpFlags:
      return p.has_transport() && p.is(Protocol::kTcp) &&
             is_masked(operand, load_u8(p.data + p.transport + 13));
    case Key::kFragment:
      return is_fragment(operand, p);
    case Key::kIcmpType:
      return is_icmp(operand, p);
    case Key::kBytes:
      return has_bytes(operand, p);
    case Key::kPayload:
      return has_pattern(operand, p);
    case Key::kFilter:
      return passes(operand, p);
    case Key::kProbability:
      return is_chosen(std::get<ChanceMatch>(operand), m);
  }
  return false;
}

bool all_hold(const Match& match, const Packet& p, const Metadata& m) {
  return std::ranges::all_of(match.all_of, [&](const Condition& condition) {
    return std::ranges::any_of(condition.any_of, [&](const Operand& operand) {
      return operand_holds(condition.key, operand, p, m);
    });
  });
}

bool needs_transport(const Match& match) {
  return std::ranges::any_of(match.all_of, [](const Condition& condition) {
    switch (condition.key) {
      case Key::kSrcPort:
      case Key::kDstPort:
      case Key::kPort:
      case Key::kTcpFlags:
      case Key::kIcmpType:
      case Key::kPayload:
        return true;
      case Key::kBytes:
        return std::ranges::any_of(condition.any_of, [](const Operand& operand) {
          return std::get<BytesMatch>(operand).from != Origin::kNetwork;
        });
      default:
        return false;
    }
  });
}

bool match_holds(const Match& match, const Packet& p, const Metadata& m) {
  bool transport = needs_transport(match);
  for (const Match& none : match.none_of) transport |= needs_transport(none);
  if (transport && p.later_fragment) return false;
  return all_hold(match, p, m) && std::ranges::none_of(match.none_of, [&](const Match& none) {
           return all_hold(none, p, m);
         });
}

struct Rules {
  std::vector<Match> matches;
  PatternSet patterns;
  Classifier classifier;

  void finish() {
    std::vector<const PatternMatch*> all;
    for (const Match& match : matches) {
      collect(match, all);
      for (const Match& none : match.none_of) collect(none, all);
    }
    std::vector<Diagnostic> diagnostics;
    patterns = PatternSet::build(all, &diagnostics).value();
    std::vector<const Match*> pointers;
    for (const Match& match : matches) pointers.push_back(&match);
    classifier = Classifier(pointers, patterns);
  }

 private:
  static void collect(const Match& match, std::vector<const PatternMatch*>& all) {
    for (const Condition& condition : match.all_of) {
      if (condition.key != Key::kPayload) continue;
      for (const Operand& operand : condition.any_of) {
        all.push_back(&std::get<PatternMatch>(operand));
      }
    }
  }
};

// All matches of a packet, from the first rule on and from a random one; how many there were.
uint32_t compare(const Rules& rules, const Packet& packet, const Metadata& metadata,
                 Random& random) {
  const Classifier& classifier = rules.classifier;
  PatternScan scan(rules.patterns);
  uint32_t found = 0;
  for (uint32_t from = 0; from <= classifier.size(); ++from) {
    const uint32_t expected = classifier.walk(packet, metadata, from, &scan);
    EXPECT_EQ(classifier.next_match(packet, metadata, from, &scan), expected) << "from " << from;
    from = expected;
    found += expected < classifier.size();
    if (found > 20) break;
  }
  const uint32_t from = random.below(classifier.size() + 1);
  EXPECT_EQ(classifier.next_match(packet, metadata, from, &scan),
            classifier.walk(packet, metadata, from, &scan))
      << "from " << from;
  return found;
}

const std::vector<Key> kAllKeys = {
    Key::kFamily,  Key::kProtocol, Key::kSrc,        Key::kDst,      Key::kSrcPort,  Key::kDstPort,
    Key::kPort,    Key::kHook,     Key::kIn,         Key::kOut,      Key::kMark,     Key::kTtl,
    Key::kDscp,    Key::kLength,   Key::kTcpFlags,   Key::kFragment, Key::kIcmpType, Key::kBytes,
    Key::kPayload, Key::kFilter,   Key::kProbability};

struct SetCase {
  const char* name;
  std::vector<Key> keys;
  uint32_t sets, rules, most_keys, longest, packets;
};

class RandomRules : public ::testing::TestWithParam<SetCase> {};

TEST_P(RandomRules, TheIndexFindsWhatTheWalkFinds) {
  const SetCase& given = GetParam();
  uint64_t found = 0;
  for (uint32_t set = 0; set < given.sets && !HasFailure(); ++set) {
    Random random(1000 + set);
    RandomMatches source(random, given.keys);
    Rules rules;
    for (uint32_t i = 0; i < given.rules; ++i) {
      rules.matches.push_back(source.match(given.most_keys, given.longest));
    }
    rules.finish();
    for (uint32_t i = 0; i < given.packets && !HasFailure(); ++i) {
      SCOPED_TRACE(fmt::format("set {}, packet {}", set, i));
      ByteVector bytes = random_packet(random);
      const Packet packet = parse(bytes);
      if (packet.malformed()) continue;
      const Metadata metadata = random_metadata(random);
      found += compare(rules, packet, metadata, random);
      PatternScan scan(rules.patterns);
      for (uint32_t rule = 0; rule < std::min(given.rules, 40u); ++rule) {
        ASSERT_EQ(rules.classifier.walk(packet, metadata, rule, &scan) == rule,
                  match_holds(rules.matches[rule], packet, metadata))
            << "rule " << rule;
      }
    }
  }
  EXPECT_GT(found, given.sets * given.packets / 20);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, RandomRules,
    ::testing::Values(SetCase{"Few", kAllKeys, 300, 6, 3, 3, 40},
                      SetCase{"All", kAllKeys, 60, 300, 4, 3, 40},
                      SetCase{"Many", kAllKeys, 4, 4000, 5, 3, 150},
                      SetCase{"LongLists", kAllKeys, 10, 100, 4, 60, 100},
                      SetCase{"Addresses", {Key::kSrc, Key::kDst}, 20, 800, 2, 2, 150},
                      SetCase{
                          "Ports", {Key::kSrcPort, Key::kDstPort, Key::kPort}, 20, 800, 2, 2, 150},
                      SetCase{"FiveTuple",
                              {Key::kSrc, Key::kDst, Key::kSrcPort, Key::kDstPort, Key::kProtocol},
                              10,
                              2000,
                              5,
                              2,
                              150},
                      SetCase{"Patterns", {Key::kPayload, Key::kProtocol}, 10, 300, 2, 4, 150},
                      SetCase{"Interfaces", {Key::kIn, Key::kOut, Key::kDst}, 20, 300, 2, 3, 150},
                      SetCase{"Headers",
                              {Key::kTtl, Key::kDscp, Key::kLength, Key::kMark, Key::kHook},
                              20,
                              600,
                              4,
                              2,
                              150}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(ClassifierTest, InMetadataModeThereIsNoPacketToLookInto) {
  uint64_t found = 0;
  for (uint32_t set = 0; set < 20; ++set) {
    Random random(set);
    RandomMatches source(random, {Key::kFamily, Key::kHook, Key::kIn, Key::kOut, Key::kMark});
    Rules rules;
    for (uint32_t i = 0; i < 300; ++i) rules.matches.push_back(source.match(4, 3));
    rules.finish();
    for (uint32_t i = 0; i < 200; ++i) {
      found += compare(rules, Packet{}, random_metadata(random), random);
    }
  }
  EXPECT_GT(found, 1000u);
}

// ---- Sets that are hard to cut ----------------------------------------------------------------

Match one(Key key, std::vector<Operand> any_of) {
  Match out;
  out.all_of.push_back({.key = key, .any_of = std::move(any_of), .where = {}});
  return out;
}

struct HardCase {
  const char* name;
  uint32_t rules;
  Match (*rule)(Random& random);
};

class HardRules : public ::testing::TestWithParam<HardCase> {};

TEST_P(HardRules, KeepToTheirMemoryAndStayRight) {
  Random random(1);
  Rules rules;
  for (uint32_t i = 0; i < GetParam().rules; ++i) rules.matches.push_back(GetParam().rule(random));
  rules.finish();
  EXPECT_LT(rules.classifier.memory(), size_t{150} << 20);
  for (uint32_t i = 0; i < 100 && !HasFailure(); ++i) {
    ByteVector bytes = random_packet(random);
    compare(rules, parse(bytes), random_metadata(random), random);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, HardRules,
    ::testing::Values(
        HardCase{"Identical", 10'000,
                 [](Random&) {
                   return one(Key::kDstPort, {Range{53, 53}});
                 }},
        HardCase{"EveryPacket", 10'000, [](Random&) { return Match{}; }},
        HardCase{"OnlyNot", 10'000,
                 [](Random& random) {
                   const uint32_t port = random.below(65'536);
                   return Match{.all_of = {}, .none_of = {one(Key::kDstPort, {Range{port, port}})}};
                 }},
        HardCase{"OverlappingPrefixes", 10'000,
                 [](Random& random) {
                   const uint32_t length = 8 + random.below(25);
                   const Address address = Address::ipv4(0x0a000000 | random.below(1 << 24));
                   return one(Key::kDst, {Prefix{mask_address(address, length),
                                                 static_cast<uint8_t>(length)}});
                 }},
        HardCase{"Ranges", 10'000,
                 [](Random& random) {
                   const uint32_t low = random.below(65'536);
                   return one(Key::kDstPort, {Range{low, low + random.below(65'536 - low)}});
                 }},
        HardCase{"RangesOfBothPorts", 10'000,
                 [](Random& random) {
                   Match out;
                   for (const Key key : {Key::kSrcPort, Key::kDstPort}) {
                     const uint32_t low = random.below(65'536);
                     const Range range{low, low + random.below(65'536 - low)};
                     out.all_of.push_back({.key = key, .any_of = {range}, .where = {}});
                   }
                   return out;
                 }},
        HardCase{"LongLists", 1'000,
                 [](Random& random) {
                   std::vector<Operand> ports;
                   for (uint32_t i = 0; i < 1'000; ++i) {
                     const uint32_t port = random.below(65'536);
                     ports.emplace_back(Range{port, port});
                   }
                   return one(Key::kPort, std::move(ports));
                 }}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(ClassifierTest, NoRulesNoMatch) {
  EXPECT_EQ(Classifier().next_match(Packet{}, Metadata{}, 0), 0u);
  EXPECT_EQ(Classifier(std::vector<const Match*>{}).next_match(Packet{}, Metadata{}, 0), 0u);
}

}  // namespace
}  // namespace fettle
