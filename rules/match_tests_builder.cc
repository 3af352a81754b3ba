// The making of MatchTests: a match as words.
#include <algorithm>
#include <bit>
#include <span>

#include "core/bytes.h"
#include "rules/impairment.h"
#include "rules/match_tests.h"
#include "rules/match_words.h"
#include "rules/packet_filter.h"

namespace fettle {
namespace {

struct WideRange {
  Wide low, high;
};

// Cheap tests that most packets fail come first.
int cost(Key key) {
  switch (key) {
    case Key::kProtocol:
      return 0;
    case Key::kDstPort:
      return 1;
    case Key::kSrcPort:
      return 2;
    case Key::kPort:
      return 3;
    case Key::kHook:
      return 4;
    case Key::kFamily:
      return 5;
    case Key::kMark:
      return 6;
    case Key::kBytes:
      return 100;
    case Key::kFilter:
      return 200;
    case Key::kPayload:
      return 1000;
    default:
      return 10;
  }
}

// As merged(), for either width of number.
template <typename Pair>
std::vector<Pair> merge(std::vector<Pair> ranges) {
  std::ranges::sort(ranges, {}, &Pair::low);
  std::vector<Pair> out;
  for (const Pair& range : ranges) {
    // `low - 1` instead of `high + 1`: no range but the first can begin at 0.
    if (!out.empty() && (range.low <= out.back().high || range.low - 1 == out.back().high)) {
      out.back().high = std::max(out.back().high, range.high);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

template <typename T>
void append(std::vector<uint32_t>& words, const T& value) {
  static_assert(sizeof(T) % sizeof(uint32_t) == 0);
  const auto raw = std::bit_cast<std::array<uint32_t, sizeof(T) / sizeof(uint32_t)>>(value);
  words.insert(words.end(), raw.begin(), raw.end());
}

}  // namespace

std::vector<Range> merged(std::vector<Range> ranges) { return merge(std::move(ranges)); }

bool reads_transport(const Condition& condition) {
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
        const auto* bytes = std::get_if<BytesMatch>(&operand);
        return bytes && bytes->from != Origin::kNetwork;
      });
    default:
      return false;
  }
}

void MatchTests::add(const Match& match, const PatternSet& patterns) {
  bool transport = std::ranges::any_of(match.all_of, reads_transport);
  for (const Match& none : match.none_of)
    transport |= std::ranges::any_of(none.all_of, reads_transport);
  starts_.push_back(words_.size());
  words_.push_back(transport);
  words_.push_back(static_cast<uint32_t>(1 + match.none_of.size()));
  add_group(match, patterns);
  for (const Match& none : match.none_of) add_group(none, patterns);
}

void MatchTests::add_group(const Match& match, const PatternSet& patterns) {
  std::vector<const Condition*> ordered;
  for (const Condition& condition : match.all_of) ordered.push_back(&condition);
  std::ranges::stable_sort(ordered, {}, [](const Condition* c) { return cost(c->key); });
  const size_t begin = words_.size();
  words_.push_back(0);
  for (const Condition* condition : ordered) add_test(*condition, patterns);
  words_[begin] = static_cast<uint32_t>(words_.size() - begin - 1);
}

void MatchTests::add_test(const Condition& condition, const PatternSet& patterns) {
  words_.push_back(static_cast<uint32_t>(condition.key));
  const size_t begin = words_.size();
  words_.push_back(0);
  std::vector<Range> ranges;
  for (const Operand& operand : condition.any_of) {
    if (const auto* range = std::get_if<Range>(&operand)) ranges.push_back(*range);
    const auto* pattern = std::get_if<PatternMatch>(&operand);
    const uint32_t number = pattern ? patterns.number_of(*pattern) : PatternSet::kNone;
    if (number != PatternSet::kNone) words_.push_back(number);
  }
  for (const Range& range : merged(std::move(ranges))) append(words_, range);
  if (condition.key == Key::kSrc || condition.key == Key::kDst) add_prefixes(condition);
  for (const Operand& operand : condition.any_of) put(operand);
  words_[begin] = static_cast<uint32_t>(words_.size() - begin - 1);
}

void MatchTests::add_prefixes(const Condition& condition) {
  std::vector<Range> narrow;
  std::vector<WideRange> wide;
  for (const Operand& operand : condition.any_of) {
    const auto* prefix = std::get_if<Prefix>(&operand);
    if (!prefix) continue;
    const uint32_t host_bits = prefix->address.bits() - prefix->length;
    if (prefix->address.family == Family::kIpv4) {
      const uint32_t low = load_be32(prefix->address.bytes.data());
      narrow.push_back({low, low | static_cast<uint32_t>((uint64_t{1} << host_bits) - 1)});
    } else {
      const Wide low = load_wide(prefix->address.bytes.data());
      wide.push_back({low, host_bits == 128 ? ~Wide{0} : low | ((Wide{1} << host_bits) - 1)});
    }
  }
  const std::vector<Range> merged_narrow = merged(std::move(narrow));
  words_.push_back(static_cast<uint32_t>(merged_narrow.size() * kRangeWords));
  for (const Range& range : merged_narrow) append(words_, range);
  for (const WideRange& range : merge(std::move(wide))) append(words_, range);
}

void MatchTests::put(const Operand& operand) {
  if (const auto* value = std::get_if<MaskedValue>(&operand)) append(words_, *value);
  if (const auto* name = std::get_if<InterfacePattern>(&operand)) append(words_, *name);
  if (const auto* kind = std::get_if<FragmentKind>(&operand)) {
    words_.push_back(static_cast<uint32_t>(*kind));
  }
  if (const auto* family = std::get_if<Family>(&operand)) {
    words_.push_back(static_cast<uint32_t>(*family));
  }
  if (const auto* icmp = std::get_if<IcmpMatch>(&operand)) {
    constexpr Range kNever{1, 0};
    for (const Range& range :
         {icmp->icmp.value_or(kNever), icmp->icmpv6.value_or(kNever), icmp->code}) {
      append(words_, range);
    }
  }
  if (const auto* bytes = std::get_if<BytesMatch>(&operand)) put_bytes(*bytes);
  if (const auto* chance = std::get_if<ChanceMatch>(&operand)) {
    words_.push_back(chance_of(chance->percent));
    append(words_, chance->salt);
  }
  if (const auto* filter = std::get_if<FilterMatch>(&operand)) {
    words_.push_back(static_cast<uint32_t>(filter->program.size() * kInstructionWords));
    for (const uint64_t instruction : filter->program) append(words_, instruction);
  }
}

void MatchTests::put_bytes(const BytesMatch& operand) {
  const auto size = static_cast<uint32_t>(operand.value.size());
  words_.insert(words_.end(), {static_cast<uint32_t>(operand.from), operand.at, size});
  const size_t begin = words_.size();
  words_.resize(begin + words_for(2 * size));
  std::byte* const out = std::as_writable_bytes(std::span(words_)).data() + begin * 4;
  std::ranges::copy(operand.value, out);
  std::ranges::copy(operand.mask, out + size);
}

}  // namespace fettle
