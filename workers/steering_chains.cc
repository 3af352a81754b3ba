#include "workers/steering_chains.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "workers/iptables_words.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

constexpr size_t kFew = 4;  // met one after another: to divide them would cost a rule, too
// Of chains that lead to each other: nft's kernel side allows 16 in all (NFT_JUMP_STACK_SIZE),
// gotos included.
constexpr uint32_t kDeepest = 12;

enum End : uint8_t { kSource, kDestination };
using Rules = std::vector<const DividedRule*>;

// ---- Rules that ask for one prefix and one range ----------------------------------------------

struct Part {  // of a match: all together they hold where it does
  Match match;
  DividedRule rule;
};

Condition* find(Key key, Match* match) {
  const auto at = std::ranges::find(match->all_of, key, &Condition::key);
  return at == match->all_of.end() ? nullptr : &*at;
}

void add_prefixes(const Part& part, Key key, Family family, std::vector<Part>* out) {
  const End end = key == Key::kSrc ? kSource : kDestination;
  Part one = part;
  Condition* const condition = find(key, &one.match);
  const std::vector<Operand> operands = condition->any_of;
  for (const Operand& operand : operands) {
    const auto& prefix = std::get<Prefix>(operand);
    if (prefix.address.family != family) continue;
    condition->any_of = {prefix};
    one.rule.addresses[end] = prefix;
    out->push_back(one);
  }
}

// `key` is asked instead of `asked`.
void add_ranges(const Part& part, Key asked, Key key, std::vector<Part>* out) {
  const End end = key == Key::kSrcPort ? kSource : kDestination;
  Part one = part;
  Condition* const condition = find(asked, &one.match);
  const std::vector<Range> ranges = steering_ranges(*condition);
  condition->key = key;
  for (const Range& range : ranges) {
    condition->any_of = {range};
    one.rule.ports[end] = range;
    out->push_back(one);
  }
}

// More than `most` may be left out.
std::vector<Part> parts_of(const Match& match, Family family, size_t most) {
  std::vector<Part> out = {{match, {}}};
  const auto split = [&](Key key, auto add) {
    std::vector<Part> more;
    for (Part& part : out) {
      if (more.size() > most) break;
      if (find(key, &part.match)) {
        add(part, &more);
      } else {
        more.push_back(std::move(part));
      }
    }
    out = std::move(more);
  };
  for (const Key key : {Key::kSrc, Key::kDst})
    split(key, [&](const Part& part, auto* more) { add_prefixes(part, key, family, more); });
  // Of ports one end's: the other's stay a list.
  Match copy = match;
  for (const Key key : {Key::kDstPort, Key::kSrcPort}) {
    if (!find(key, &copy)) continue;
    split(key, [&](const Part& part, auto* more) { add_ranges(part, key, key, more); });
    return out;
  }
  split(Key::kPort, [](const Part& part, auto* more) {
    for (const Key key : {Key::kDstPort, Key::kSrcPort}) add_ranges(part, Key::kPort, key, more);
  });
  return out;
}

void add_rules(const Part& part, Family family, const std::string& target,
               std::vector<DividedRule>* out) {
  constexpr std::string_view kOption = "-p ";
  for (const std::string& words : iptables_rules_of(part.match, family)) {
    DividedRule rule = part.rule;
    rule.text = words + (words.empty() ? "" : " ") + target;
    if (words.starts_with(kOption))
      rule.protocol =
          words.substr(kOption.size(), words.find(' ', kOption.size()) - kOption.size());
    // No port can be asked for without its protocol.
    if (rule.protocol.empty()) rule.ports = {};
    out->push_back(std::move(rule));
  }
}

// ---- Chains -----------------------------------------------------------------------------------

struct By {  // what rules are divided by
  bool ports = false;
  End end = kSource;

  bool operator==(const By&) const = default;
};
constexpr By kAll[] = {
    {false, kSource}, {false, kDestination}, {true, kSource}, {true, kDestination}};

std::optional<std::string> value_of(const DividedRule& rule, By by) {
  if (!by.ports)
    return rule.addresses[by.end] ? std::optional(rule.addresses[by.end]->to_string())
                                  : std::nullopt;
  const auto& ports = rule.ports[by.end];
  return ports ? std::optional(fmt::format("{}-{}", ports->low, ports->high)) : std::nullopt;
}

bool bit_of(const Address& address, uint32_t bit) {
  return (address.bytes[bit / 8] & std::byte{0x80} >> bit % 8) != std::byte{0};
}

Prefix common_prefix(const Rules& rules, End end) {
  Prefix out = *rules.front()->addresses[end];
  for (const DividedRule* rule : rules) {
    const Prefix& other = *rule->addresses[end];
    out.length = std::min(out.length, other.length);
    for (uint8_t bit = 0; bit < out.length; ++bit)
      if (bit_of(out.address, bit) != bit_of(other.address, bit)) out.length = bit;
  }
  out.address = mask_address(out.address, out.length);
  return out;
}

// The lowest port of all where there is no better one. They rise by their lowest.
uint32_t cut_of(const Rules& rules, End end) {
  const auto low = [end](const DividedRule* rule) { return rule->ports[end]->low; };
  const uint32_t lowest = low(rules.front());
  for (size_t i = rules.size() / 2; i < rules.size(); ++i)
    if (low(rules[i]) > lowest) return low(rules[i]);
  for (const DividedRule* rule : rules)
    if (low(rule) > lowest) return low(rule);
  return lowest;
}

// A chain's last rules are those that divide it; what is asked before comes back by jump.
class Writer {
 public:
  Writer(const std::string& chain, const std::string& asked, ChainText* out)
      : chain_(chain), asked_(asked), out_(*out) {}

  void by_protocol(const std::vector<DividedRule>& rules) {
    std::map<std::string_view, Rules> of;
    for (const DividedRule& rule : rules) of[rule.protocol].push_back(&rule);
    for (const auto& [protocol, its] : of) {
      if (its.size() <= kFew) {
        for (const DividedRule* rule : its) add(chain_, asked_ + rule->text);
        continue;
      }
      const std::string own = new_chain();
      protocol_ = protocol.empty() ? "" : fmt::format("-p {} ", protocol);
      add(chain_, fmt::format("{}{}-j {}", asked_, protocol_, own));
      divide(own, its, {std::begin(kAll), std::end(kAll)}, 0);
    }
  }

 private:
  void add(std::string_view chain, std::string_view text) {
    out_.rules += fmt::format("-A {} {}\n", chain, text);
  }

  void add_all(std::string_view chain, const Rules& rules) {
    for (const DividedRule* rule : rules) add(chain, rule->text);
  }

  std::string new_chain() {
    constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
    std::string number;
    uint32_t left = out_.numbered++;
    for (int i = 0; i < 3; ++i, left /= 36) number.insert(number.begin(), kDigits[left % 36]);
    std::string name = fmt::format("{}-{}", chain_, number);
    out_.declared += fmt::format(":{} - [0:0]\n", name);
    return name;
  }

  // What tells the most apart. To ask for an address takes a third of what ports take, and what it
  // leaves together ports tell apart in as few steps more; but prefixes within each other do not.
  static std::optional<By> best_of(const Rules& rules, const std::vector<By>& left) {
    constexpr size_t kDearer = 64;
    std::optional<By> out;
    size_t most = 1;
    for (const By by : left) {
      std::set<std::string> values;
      for (const DividedRule* rule : rules)
        if (const auto value = value_of(*rule, by)) values.insert(*value);
      const size_t worth = values.size() <= 1 ? 0 : values.size() * (by.ports ? 1 : kDearer);
      if (worth <= most) continue;
      most = worth;
      out = by;
    }
    return out;
  }

  void divide(const std::string& chain, Rules rules, std::vector<By> left, uint32_t depth) {
    while (rules.size() > kFew && depth < kDeepest) {
      const auto by = best_of(rules, left);
      if (!by) break;
      std::erase(left, *by);
      Rules its, others;
      for (const DividedRule* rule : rules) (value_of(*rule, *by) ? its : others).push_back(rule);
      const std::string own = new_chain();
      add(chain, fmt::format("{}-j {}", around(its, *by), own));
      by->ports ? by_ports(own, its, by->end, left, depth + 1)
                : by_addresses(own, its, by->end, left, depth + 1);
      rules = std::move(others);
    }
    add_all(chain, rules);
  }

  // What all of the rules ask for.
  std::string around(const Rules& rules, By by) const {
    if (!by.ports) {
      const Prefix prefix = common_prefix(rules, by.end);
      return prefix.length == 0 ? "" : asking(by.end, prefix);
    }
    Range range = *rules.front()->ports[by.end];
    for (const DividedRule* rule : rules) {
      range.low = std::min(range.low, rule->ports[by.end]->low);
      range.high = std::max(range.high, rule->ports[by.end]->high);
    }
    return asking(by.end, range);
  }

  // As divide(), for rules that all ask for the same: what is not that passes at once.
  void divide_within(const std::string& chain, Rules rules, const std::string& asked,
                     const std::vector<By>& left, uint32_t depth) {
    if (rules.size() <= kFew || depth >= kDeepest) return add_all(chain, rules);
    const std::string own = new_chain();
    add(chain, fmt::format("{}-j {}", asked, own));
    divide(own, std::move(rules), left, depth + 1);
  }

  // The smaller half is gone to, so that chains are no deeper than the logarithm of their number.
  void by_addresses(const std::string& chain, Rules rules, End end, const std::vector<By>& left,
                    uint32_t depth) {
    while (rules.size() > kFew && depth < kDeepest) {
      const Prefix common = common_prefix(rules, end);
      Rules halves[2], both;
      for (const DividedRule* rule : rules) {
        const Prefix& its = *rule->addresses[end];
        if (its.length == common.length) {
          both.push_back(rule);
        } else {
          halves[bit_of(its.address, common.length) ? 1 : 0].push_back(rule);
        }
      }
      divide_within(chain, std::move(both), asking(end, common), left, depth);
      const size_t smaller = halves[0].size() <= halves[1].size() ? 0 : 1;
      if (!halves[smaller].empty()) {
        const std::string own = new_chain();
        const Prefix half = common_prefix(halves[smaller], end);
        const auto length = static_cast<uint8_t>(common.length + 1);
        add(chain,
            fmt::format("{}-g {}", asking(end, {mask_address(half.address, length), length}), own));
        by_addresses(own, std::move(halves[smaller]), end, left, depth + 1);
      }
      rules = std::move(halves[1 - smaller]);
    }
    add_all(chain, rules);
  }

  // What lies on both sides of the cut is met before it.
  void by_ports(const std::string& chain, Rules rules, End end, const std::vector<By>& left,
                uint32_t depth) {
    std::ranges::stable_sort(rules, {},
                             [end](const DividedRule* rule) { return rule->ports[end]->low; });
    while (rules.size() > kFew && depth < kDeepest) {
      const uint32_t cut = cut_of(rules, end);
      if (cut == rules.front()->ports[end]->low)
        return divide(chain, std::move(rules), left, depth);
      Rules below, above, both;
      for (const DividedRule* rule : rules) {
        const Range& its = *rule->ports[end];
        (its.low >= cut ? above : its.high < cut ? below : both).push_back(rule);
      }
      divide(chain, std::move(both), left, depth);
      if (!below.empty()) {
        const std::string own = new_chain();
        add(chain, fmt::format("{}-g {}", asking(end, Range{0, cut - 1}), own));
        by_ports(own, std::move(below), end, left, depth + 1);
      }
      rules = std::move(above);
    }
    add_all(chain, rules);
  }

  static std::string asking(End end, const Prefix& prefix) {
    return fmt::format("-{} {} ", end == kSource ? 's' : 'd', prefix.to_string());
  }

  // multiport reads the ports alone, and takes no range of one. The matches of one protocol want
  // its whole header, and drop what ends before.
  std::string asking(End end, const Range& ports) const {
    std::string list = fmt::format("{}", ports.low);
    if (ports.high > ports.low) list += fmt::format(":{}", ports.high);
    return fmt::format("{}-m multiport --{}ports {} ", protocol_, end == kSource ? 's' : 'd', list);
  }

  const std::string &chain_, &asked_;
  ChainText& out_;
  std::string protocol_;  // "-p udp "
};

}  // namespace

std::vector<DividedRule> divided_rules_of(const Match& match, Family family,
                                          const std::string& target, size_t most) {
  std::vector<DividedRule> out;
  const std::vector<Part> parts = parts_of(match, family, most);
  for (const Part& part : parts)
    if (parts.size() <= most && out.size() <= most) add_rules(part, family, target, &out);
  if (parts.size() <= most && out.size() <= most) return out;
  out.clear();
  add_rules({match, {}}, family, target, &out);
  return out;
}

void add_in_chains(const std::vector<DividedRule>& rules, const std::string& chain,
                   const std::string& asked, ChainText* out) {
  Writer(chain, asked, out).by_protocol(rules);
}

}  // namespace fettle
