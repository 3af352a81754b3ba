// What it costs to find a packet's rule, by the number of rules; and an address in a table of a
// million. `--benchmark_filter=` picks.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rules/address_table.h"
#include "rules/classifier.h"

namespace fettle {
namespace {

class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  uint32_t between(uint32_t low, uint32_t high) { return low + below(high - low + 1); }
  template <typename T>
  const T& one_of(const std::vector<T>& all) {
    return all[below(static_cast<uint32_t>(all.size()))];
  }

 private:
  std::mt19937 random_;
};

enum class RuleKind { kMixed, kOnePort, kOnePrefix, kPortRanges };

Condition condition(Key key, std::vector<Operand> any) {
  return {.key = key, .any_of = std::move(any), .where = {}};
}

// Sites (a network each), servers in them, and services: what rules of a real network speak of.
class Network {
 public:
  explicit Network(uint32_t seed) : random_(seed) {}

  Address address(bool wide) {
    if (!wide) {
      constexpr std::array<uint32_t, 4> kNets{0x0a000000, 0xac100000, 0xc0a80000, 0xcb007100};
      constexpr std::array<uint32_t, 4> kHosts{1 << 24, 1 << 20, 1 << 16, 256};
      const uint32_t net = random_.below(4);
      return Address::ipv4(kNets[net] + random_.below(kHosts[net]));
    }
    Address out;
    out.family = Family::kIpv6;
    store_be32(out.bytes.data(), 0x20010db8);
    store_be32(out.bytes.data() + 4, random_.below(1 << 16) << 16 | random_.below(16));
    store_be32(out.bytes.data() + 12, random_.below(256));
    return out;
  }
  Prefix prefix(bool wide) {
    const Address inside = address(wide);
    const auto length = static_cast<uint8_t>(
        wide ? random_.one_of<uint8_t>({32, 48, 48, 56, 64, 64, 64, 128, 128})
             : random_.one_of<uint8_t>({16, 20, 22, 24, 24, 24, 28, 30, 32, 32, 32}));
    return {mask_address(inside, length), length};
  }
  Range port() {
    const uint32_t port = random_.below(4) ? random_.below(10'000) : random_.below(65'536);
    return {port, port};
  }
  Range ports() {
    const uint32_t low = random_.below(65'000);
    return {low, std::min(65'535u, low + random_.between(1, 500))};
  }
  Range protocol() {
    const uint32_t number = random_.below(2) ? 6 : 17;
    return {number, number};
  }
  InterfacePattern interface(uint32_t number) {
    InterfacePattern out{.name = interface_name("vlan" + std::to_string(number)), .mask = {}};
    out.mask.fill('\xff');
    return out;
  }
  Random& random() { return random_; }

 private:
  Random random_;
};

Match mixed_rule(Network& net) {
  Random& random = net.random();
  Match out;
  const bool wide = random.below(3) == 0;
  const Key side = random.below(2) ? Key::kSrc : Key::kDst;
  const auto add = [&](Key key, std::vector<Operand> any) {
    out.all_of.push_back(condition(key, std::move(any)));
  };
  switch (random.below(10)) {
    case 0:
    case 1:
      add(Key::kProtocol, {net.protocol()});
      add(Key::kDstPort, {net.port()});
      break;
    case 2:
      add(Key::kProtocol, {net.protocol()});
      add(Key::kDstPort, {net.ports()});
      break;
    case 3:
    case 4:
      add(side, {net.prefix(wide)});
      break;
    case 5:
      add(Key::kIn, {net.interface(random.below(64))});
      add(side, {net.prefix(wide)});
      break;
    case 6:
      add(side, {net.prefix(wide)});
      out.none_of.push_back({.all_of = {condition(Key::kDstPort, {net.ports()})}, .none_of = {}});
      break;
    case 7:
      add(Key::kProtocol, {net.protocol()});
      add(Key::kDstPort, {net.port(), net.port(), net.port(), net.ports()});
      add(Key::kSrc, {net.prefix(wide), net.prefix(wide)});
      break;
    case 8:
      add(Key::kProtocol, {net.protocol()});
      add(Key::kDstPort, {net.port()});
      add(Key::kDst, {net.prefix(wide)});
      break;
    default:
      add(Key::kSrc, {net.prefix(wide)});
      add(Key::kDst, {net.prefix(wide)});
      break;
  }
  return out;
}

Match rule_of(RuleKind kind, Network& net) {
  Match out;
  const Operand prefix = net.prefix(net.random().below(3) == 0);
  const Operand port = net.port(), ports = net.ports();
  switch (kind) {
    case RuleKind::kMixed:
      return mixed_rule(net);
    case RuleKind::kOnePort:
      out.all_of = {condition(Key::kDstPort, {Range{443, 443}}), condition(Key::kDst, {prefix})};
      break;
    case RuleKind::kOnePrefix:
      out.all_of = {condition(Key::kDst, {*Prefix::parse("10.0.0.0/8")}),
                    condition(Key::kDstPort, {port})};
      break;
    case RuleKind::kPortRanges:
      out.all_of = {condition(Key::kDstPort, {ports})};
      break;
  }
  return out;
}

struct Sample {
  std::array<std::byte, 64> bytes{};
  Packet packet;
  Metadata metadata;
};

void make_packet(Sample* out, const Address& src, const Address& dst, uint8_t protocol,
                 uint16_t src_port, uint16_t dst_port) {
  const bool wide = src.family == Family::kIpv6;
  std::byte* const at = out->bytes.data();
  const uint32_t header = wide ? 40 : 20;
  const uint32_t length = header + 20;
  if (wide) {
    store_be32(at, 0x60000000);
    store_be16(at + 4, 20);
    store_u8(at + 6, protocol);
    store_u8(at + 7, 64);
    std::memcpy(at + 8, src.bytes.data(), 16);
    std::memcpy(at + 24, dst.bytes.data(), 16);
  } else {
    store_be32(at, 0x45000000 | length);
    store_u8(at + 8, 64);
    store_u8(at + 9, protocol);
    std::memcpy(at + 12, src.bytes.data(), 4);
    std::memcpy(at + 16, dst.bytes.data(), 4);
  }
  store_be16(at + header, src_port);
  store_be16(at + header + 2, dst_port);
  if (protocol == 6) {
    store_u8(at + header + 12, 0x50);
  } else {
    store_be16(at + header + 4, 20);
  }
  out->packet = parse({at, length});
}

Address address_in(Network& net, const Match& match, Key key, bool wide) {
  for (const Condition& condition : match.all_of) {
    if (condition.key != key) continue;
    const auto& prefix = std::get<Prefix>(net.random().one_of(condition.any_of));
    Address out = prefix.address;
    for (uint32_t bit = prefix.length; bit < out.bits(); ++bit) {
      if (net.random().below(2)) out.bytes[bit / 8] |= std::byte(0x80 >> bit % 8);
    }
    return out;
  }
  return net.address(wide);
}

bool is_wide(const Match& match, bool otherwise) {
  for (const Condition& condition : match.all_of) {
    if (condition.key != Key::kSrc && condition.key != Key::kDst) continue;
    return std::get<Prefix>(condition.any_of[0]).address.family == Family::kIpv6;
  }
  return otherwise;
}

// A packet that lies in the rule, or one of the network that may lie in none.
void draw_packet(Sample* out, Network& net, const Match& match) {
  Random& random = net.random();
  const bool wide = is_wide(match, random.below(3) == 0);
  uint32_t port = random.below(65'536);
  uint32_t protocol = random.below(2) ? 6 : 17;
  out->metadata.in = net.interface(random.below(64)).name;
  for (const Condition& condition : match.all_of) {
    const Operand& operand = random.one_of(condition.any_of);
    if (condition.key == Key::kIn) out->metadata.in = std::get<InterfacePattern>(operand).name;
    const auto* range = std::get_if<Range>(&operand);
    if (condition.key == Key::kDstPort) port = random.between(range->low, range->high);
    if (condition.key == Key::kProtocol) protocol = range->low;
  }
  const Address src = address_in(net, match, Key::kSrc, wide);
  const Address dst = address_in(net, match, Key::kDst, wide);
  make_packet(out, src, dst, static_cast<uint8_t>(protocol),
              static_cast<uint16_t>(random.between(1024, 65'535)), static_cast<uint16_t>(port));
}

constexpr size_t kSamples = 2048;

struct Setting {
  std::vector<Match> rules;
  std::vector<const Match*> pointers;
  std::unique_ptr<Sample[]> samples{new Sample[kSamples]};
  Classifier classifier;

  Setting(RuleKind kind, size_t count) {
    Network net(20261125);
    for (size_t i = 0; i < count; ++i) rules.push_back(rule_of(kind, net));
    for (const Match& match : rules) pointers.push_back(&match);
    classifier = Classifier(pointers);
    // Half of them match: drawn until they do, or do not.
    for (size_t i = 0; i < kSamples; ++i) {
      for (int tries = 0; tries < 1000; ++tries) {
        draw_packet(&samples[i], net, i % 2 ? net.random().one_of(rules) : Match{});
        const Sample& sample = samples[i];
        const bool matches =
            classifier.next_match(sample.packet, sample.metadata, 0) < classifier.size();
        if (matches == (i % 2 == 1)) break;
      }
    }
    for (size_t i = kSamples - 1; i > 0; --i) {
      std::swap(order[i], order[net.random().below(static_cast<uint32_t>(i + 1))]);
    }
  }
  std::array<uint16_t, kSamples> order = [] {
    std::array<uint16_t, kSamples> out{};
    for (size_t i = 0; i < kSamples; ++i) out[i] = static_cast<uint16_t>(i);
    return out;
  }();
};

template <typename Find>
void find_all(benchmark::State& state, RuleKind kind, Find find) {
  const Setting setting(kind, static_cast<size_t>(state.range(0)));
  size_t at = 0, matched = 0, found = 0;
  for (auto _ : state) {
    const Sample& sample = setting.samples[setting.order[at++ % kSamples]];
    found += find(setting.classifier, sample) < setting.classifier.size();
  }
  for (size_t i = 0; i < kSamples; ++i) {
    const Sample& sample = setting.samples[i];
    matched += find(setting.classifier, sample) < setting.classifier.size();
  }
  benchmark::DoNotOptimize(found);
  state.counters["matched"] = static_cast<double>(matched) / kSamples;
  state.counters["KiB"] = static_cast<double>(setting.classifier.memory()) / 1024;
  state.counters["most"] = setting.classifier.index().shape().most;
}

void index(benchmark::State& state, RuleKind kind) {
  find_all(state, kind, [](const Classifier& classifier, const Sample& sample) {
    return classifier.next_match(sample.packet, sample.metadata, 0);
  });
}
void walk(benchmark::State& state, RuleKind kind) {
  find_all(state, kind, [](const Classifier& classifier, const Sample& sample) {
    return classifier.walk(sample.packet, sample.metadata, 0);
  });
}
BENCHMARK_CAPTURE(index, mixed, RuleKind::kMixed)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_CAPTURE(index, one_port, RuleKind::kOnePort)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_CAPTURE(index, one_prefix, RuleKind::kOnePrefix)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_CAPTURE(index, port_ranges, RuleKind::kPortRanges)
    ->RangeMultiplier(10)
    ->Range(10, 100'000);
BENCHMARK_CAPTURE(walk, mixed, RuleKind::kMixed)->RangeMultiplier(10)->Range(10, 10'000);

void build(benchmark::State& state, RuleKind kind) {
  const Setting setting(kind, static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(Classifier(setting.pointers).size());
  state.counters["MiB"] = static_cast<double>(setting.classifier.memory()) / (1 << 20);
}
BENCHMARK_CAPTURE(build, mixed, RuleKind::kMixed)
    ->Arg(10'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build, port_ranges, RuleKind::kPortRanges)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);

// ---- A table of a million addresses -----------------------------------------------------------

constexpr size_t kEntries = 1'000'000;
constexpr size_t kBatch = 16;

std::vector<TableEntry> table_entries(bool wide, bool mixed) {
  std::vector<TableEntry> out;
  Random random(20261126);
  std::vector<bool> used(size_t{1} << 24);
  while (out.size() < kEntries) {
    const uint32_t number = random.below(1 << 24);
    if (used[number]) continue;
    used[number] = true;
    Address address;
    address.family = wide ? Family::kIpv6 : Family::kIpv4;
    store_be32(address.bytes.data(), number << 8);  // so that each keeps its own /24
    if (!mixed) store_u8(address.bytes.data() + (wide ? 15 : 3), 7);
    const auto shortest = static_cast<uint8_t>(24 + random.below(4) * 2);
    const uint8_t whole = wide ? 128 : 32;
    const uint8_t length = mixed && random.below(2) ? shortest : whole;
    out.push_back({.inside = {address, length}, .outside = {address, length}, .where = {}});
  }
  return out;
}

// A host of some entry, or for one lookup of eight any address of the family.
Address address_to_ask(Random& random, const std::vector<TableEntry>& entries, bool wide) {
  const Prefix& within = random.one_of(entries).inside;
  const uint32_t kept = random.below(8) ? within.length : 0;
  Address out = within.address;
  for (uint32_t bit = kept; bit < (wide ? 128 : 32); ++bit) {
    const auto flip = static_cast<std::byte>(random.below(2) << (7 - bit % 8));
    out.bytes[bit / 8] ^= flip;
  }
  return out;
}

void address_table(benchmark::State& state, bool wide, bool mixed, bool prefetch) {
  const std::vector<TableEntry> entries = table_entries(wide, mixed);
  size_t duplicate = 0;
  const auto table = AddressTable::build(entries, false, &duplicate);
  if (!table) return state.SkipWithError("the table has a duplicate");
  Random random(20261127);
  std::vector<Address> asked;
  for (size_t i = 0; i < kEntries; ++i) {
    asked.push_back(address_to_ask(random, entries, wide));
  }
  size_t at = 0, found = 0;
  for (auto _ : state) {
    const Address* const batch = &asked[at];
    at = at + 2 * kBatch <= kEntries ? at + kBatch : 0;
    for (size_t i = 0; prefetch && i < kBatch; ++i) table->prefetch(batch[i]);
    for (size_t i = 0; i < kBatch; ++i) found += table->find(batch[i]).has_value();
  }
  benchmark::DoNotOptimize(found);
  state.counters["bytes_an_entry"] = static_cast<double>(table->memory()) / kEntries;
  state.counters["lookup"] = benchmark::Counter(
      static_cast<double>(kBatch),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(address_table, ipv4_exact, false, false, true);
BENCHMARK_CAPTURE(address_table, ipv4_exact_no_prefetch, false, false, false);
BENCHMARK_CAPTURE(address_table, ipv4_mixed, false, true, true);
BENCHMARK_CAPTURE(address_table, ipv6_exact, true, false, true);
BENCHMARK_CAPTURE(address_table, ipv6_mixed, true, true, true);

}  // namespace
}  // namespace fettle
