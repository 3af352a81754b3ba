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

namespace fettle {
namespace {

using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;

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

// The patterns of random rules are literal bytes; \xHH is how they are written.
std::string pattern_of(const ByteVector& bytes) {
  std::string out;
  for (const std::byte byte : bytes) out += fmt::format("\\x{:02x}", std::to_integer<int>(byte));
  return out;
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

// ---- Random rules and packets -----------------------------------------------------------------

class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  // A number below n, mostly a small one, so that rules and packets meet.
  uint32_t number(uint32_t n) {
    if (one_in(8)) return one_in(2) ? n - 1 : 0;
    return below(one_in(3) ? n : std::min(n, 12u));
  }
  std::string interface() {
    return std::vector<std::string>{"eth0", "eth1", "eth10", "lo", "a-long-name-of-1"}[below(5)]
        .substr(0, 15);
  }
  Address address() {
    const bool wide = one_in(2);
    Address out;
    out.family = wide ? Family::kIpv6 : Family::kIpv4;
    store_be32(out.bytes.data(), one_in(16) ? ~0u : 0x0a000000 + number(1 << 16));
    for (size_t i = 4; wide && i < 16; i += 4) {
      store_be32(out.bytes.data() + i, one_in(8) ? ~0u : number(1 << 16));
    }
    return out;
  }

 private:
  std::mt19937 random_;
};

class RandomMatches {
 public:
  RandomMatches(Random& random, std::vector<Key> keys) : random_(random), keys_(std::move(keys)) {}

  Match match(uint32_t most_keys, uint32_t longest) {
    Match out = conditions(most_keys, longest);
    while (random_.one_in(4)) out.none_of.push_back(conditions(2, longest));
    return out;
  }

 private:
  Match conditions(uint32_t most_keys, uint32_t longest) {
    Match out;
    std::vector<Key> left = keys_;
    for (uint32_t i = random_.below(most_keys + 1); i > 0 && !left.empty(); --i) {
      const auto at = left.begin() + random_.below(static_cast<uint32_t>(left.size()));
      Condition condition{.key = *at, .any_of = {}, .where = {}};
      left.erase(at);
      uint32_t size = 1;
      while (size < longest && random_.one_in(2)) ++size;
      if (random_.one_in(20)) size = longest;
      for (; size > 0; --size) condition.any_of.push_back(operand(condition.key));
      out.all_of.push_back(std::move(condition));
    }
    return out;
  }

  Operand range(uint32_t n) {
    const uint32_t low = random_.number(n);
    if (random_.one_in(2)) return Range{low, low};
    return Range{low, std::min(n - 1, low + random_.number(n))};
  }
  Operand masked(uint32_t n) {
    const uint32_t mask = random_.one_in(2) ? ~0u : ~0u << random_.below(32) ^ random_.below(2);
    return MaskedValue{random_.number(n) & mask, mask};
  }
  Operand operand(Key key) {
    switch (key) {
      case Key::kFamily:
        return random_.one_in(2) ? Family::kIpv4 : Family::kIpv6;
      case Key::kProtocol:
        return random_.one_in(4) ? range(256) : one_protocol();
      case Key::kSrc:
      case Key::kDst: {
        const Address address = random_.address();
        uint32_t length = random_.below(address.bits() + 1);
        if (random_.one_in(2)) length = address.bits() - length / 8;
        return Prefix{mask_address(address, length), static_cast<uint8_t>(length)};
      }
      case Key::kSrcPort:
      case Key::kDstPort:
      case Key::kPort:
        return range(65'536);
      case Key::kHook:
        return range(5);
      case Key::kIn:
      case Key::kOut:
        return interface();
      case Key::kMark:
        return masked(~0u);
      case Key::kTtl:
        return range(256);
      case Key::kDscp:
        return range(64);
      case Key::kLength:
        return range(random_.one_in(2) ? 65'536 : 128);
      case Key::kTcpFlags:
        return masked(256);
      case Key::kFragment:
        return FragmentKind{static_cast<uint8_t>(random_.below(4))};
      case Key::kIcmpType:
        return icmp();
      case Key::kBytes:
        return bytes();
      case Key::kPayload:
        return pattern();
      case Key::kFilter:
        return filter();
      case Key::kProbability:
        return ChanceMatch{.percent = 1.0 + random_.below(100), .salt = random_.below(4)};
    }
    return range(1);
  }
  Operand one_protocol() {
    const uint32_t number = std::vector<uint32_t>{1, 6, 17, 58, 132, 136}[random_.below(6)];
    return Range{number, number};
  }
  Operand interface() {
    const std::string name = random_.interface();
    const size_t size = random_.one_in(2) ? 16 : random_.below(static_cast<uint32_t>(name.size()));
    InterfacePattern out{.name = interface_name(name.substr(0, size)), .mask = {}};
    std::fill_n(out.mask.begin(), size, '\xff');
    return out;
  }
  Operand icmp() {
    IcmpMatch out;
    if (!random_.one_in(4)) out.icmp = std::get<Range>(range(16));
    if (!random_.one_in(4)) out.icmpv6 = std::get<Range>(range(256));
    if (random_.one_in(4)) out.code = std::get<Range>(range(8));
    return out;
  }
  Operand bytes() {
    BytesMatch out;
    out.from = Origin{static_cast<uint8_t>(random_.below(5))};
    out.at = random_.below(24);
    out.mask = filled(1 + random_.below(3));
    std::ranges::fill(out.mask, random_.one_in(2) ? std::byte{0xff} : std::byte{0x0f});
    for (const std::byte mask : out.mask) out.value.push_back(std::byte(random_.below(8)) & mask);
    return out;
  }

  Operand pattern() {
    const ByteVector all = filled(42);
    const uint32_t size = 1 + random_.below(3);
    const auto at = all.begin() + random_.below(40);
    PatternMatch out{.pattern = pattern_of({at, at + size}), .ignore_case = false, .where = {}};
    if (random_.one_in(8)) out.pattern += pattern_of({std::byte(random_.below(256))});
    return out;
  }

  Operand filter() {
    FilterMatch out{.expression = fmt::format("ip{}[{}] & 15 = {}", random_.one_in(2) ? "" : "6",
                                              random_.below(60), random_.below(8)),
                    .program = {}};
    std::string why;
    out.program = compile_filter(out.expression, &why).value();
    return out;
  }

  Random& random_;
  std::vector<Key> keys_;
};

ByteVector random_packet(Random& random) {
  Address src = random.address(), dst = random.address();
  while (dst.family != src.family) dst = random.address();
  PacketBuilder builder(src.to_string(), dst.to_string());
  builder.ttl(static_cast<uint8_t>(random.number(256)));
  builder.traffic_class(static_cast<uint8_t>(random.number(64) << 2));
  const auto from = static_cast<uint16_t>(random.number(65'536));
  const auto to = static_cast<uint16_t>(random.number(65'536));
  if (random.one_in(6)) {
    const bool later = random.one_in(2);
    if (src.family == Family::kIpv4) {
      builder.ipv4_fragment(later ? 2 : 0x2000);
    } else {
      builder.extension(testing::fragment_header(later ? 2 : 0, true));
    }
  }
  switch (random.below(6)) {
    case 0:
      builder.tcp(from, to, static_cast<uint8_t>(random.number(256)));
      break;
    case 1:
      builder.icmp(static_cast<uint8_t>(random.number(256)), static_cast<uint8_t>(random.below(3)));
      break;
    case 2:
      builder.sctp(from, to);
      break;
    case 3:
      builder.protocol(random.one_in(2) ? 47 : 253);
      break;
    default:
      builder.udp(from, to);
      break;
  }
  return builder.payload(filled(random.below(40))).build().bytes;
}

Metadata random_metadata(Random& random) {
  Metadata out;
  if (!random.one_in(4)) out.in = interface_name(random.interface());
  if (!random.one_in(4)) out.out = interface_name(random.interface());
  out.mark = random.number(~0u);
  out.draw = random.number(~0u);
  if (!random.one_in(4)) out.hook = Hook{static_cast<uint8_t>(random.below(5))};
  out.family = random.one_in(2) ? Family::kIpv4 : Family::kIpv6;
  return out;
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
