#include "workers/steering_chains.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "workers/iptables_words.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

constexpr size_t kFew = 4;  // met one after another: to divide them would cost a rule, too

using Rules = std::vector<const PortRule*>;

// One range of ports a match: together they hold where the match does.
struct PortMatch {
  Match match;
  PortRule::Side side = PortRule::kNone;
  Range ports;
};

void add_ranges(const Match& match, Key asked, Key key, std::vector<PortMatch>* out) {
  Match one = match;
  Condition& condition = *std::ranges::find(one.all_of, asked, &Condition::key);
  const PortRule::Side side = key == Key::kSrcPort ? PortRule::kSource : PortRule::kDestination;
  const std::vector<Range> ranges = steering_ranges(condition);
  condition.key = key;
  for (const Range& range : ranges) {
    condition.any_of = {range};
    out->push_back({one, side, range});
  }
}

std::vector<PortMatch> by_ports(const Match& match) {
  const auto asks = [&](Key key) {
    return std::ranges::find(match.all_of, key, &Condition::key) != match.all_of.end();
  };
  std::vector<PortMatch> out;
  for (const Key key : {Key::kDstPort, Key::kSrcPort}) {
    if (!asks(key)) continue;
    add_ranges(match, key, key, &out);
    return out;
  }
  if (!asks(Key::kPort)) return {{match, PortRule::kNone, {}}};
  for (const Key key : {Key::kDstPort, Key::kSrcPort}) add_ranges(match, Key::kPort, key, &out);
  return out;
}

void add_rules(const PortMatch& of, Family family, const std::string& target,
               std::vector<PortRule>* out) {
  constexpr std::string_view kOption = "-p ";
  for (const std::string& rule : iptables_rules_of(of.match, family)) {
    PortRule one{rule + (rule.empty() ? "" : " ") + target, "", of.side, of.ports};
    if (rule.starts_with(kOption))
      one.protocol = rule.substr(kOption.size(), rule.find(' ', kOption.size()) - kOption.size());
    // No port can be asked for without its protocol.
    if (one.protocol.empty()) one.side = PortRule::kNone;
    out->push_back(std::move(one));
  }
}

class Writer {
 public:
  Writer(const std::string& chain, const std::string& asked, ChainText* out)
      : chain_(chain), asked_(asked), out_(*out) {}

  void by_protocol(const std::vector<PortRule>& rules) {
    std::map<std::string_view, Rules> of;
    for (const PortRule& rule : rules) of[rule.protocol].push_back(&rule);
    for (const auto& [protocol, its] : of) {
      if (protocol.empty() || its.size() <= kFew) {
        for (const PortRule* rule : its) add(chain_, asked_ + rule->text);
        continue;
      }
      const std::string own = new_chain();
      add(chain_, fmt::format("{}-p {} -j {}", asked_, protocol, own));
      by_side(own, protocol, its);
    }
  }

 private:
  void add(std::string_view chain, std::string_view text) {
    out_.rules += fmt::format("-A {} {}\n", chain, text);
  }

  void add_all(std::string_view chain, const Rules& rules) {
    for (const PortRule* rule : rules) add(chain, rule->text);
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

  void by_side(const std::string& chain, std::string_view protocol, const Rules& rules) {
    for (const PortRule::Side side : {PortRule::kNone, PortRule::kSource, PortRule::kDestination}) {
      Rules its;
      std::ranges::copy_if(rules, std::back_inserter(its),
                           [&](const PortRule* rule) { return rule->side == side; });
      if (side == PortRule::kNone || its.size() <= kFew) {
        add_all(chain, its);
        continue;
      }
      std::ranges::stable_sort(its, {}, [](const PortRule* rule) { return rule->ports.low; });
      uint32_t last = 0;
      for (const PortRule* rule : its) last = std::max(last, rule->ports.high);
      const std::string own = new_chain();
      add(chain, asking(protocol, side, {its.front()->ports.low, last}) + " -j " + own);
      halve(own, protocol, its);
    }
  }

  // REQUIRES: they rise by their lowest port. What lies on both sides of the cut is met before it.
  void halve(const std::string& chain, std::string_view protocol, Rules rules) {
    while (rules.size() > kFew) {
      const uint32_t cut = cut_of(rules);
      if (cut == rules.front()->ports.low) break;
      Rules below, above;
      for (const PortRule* rule : rules) {
        if (rule->ports.low >= cut) {
          above.push_back(rule);
        } else if (rule->ports.high < cut) {
          below.push_back(rule);
        } else {
          add(chain, rule->text);
        }
      }
      if (!below.empty()) {
        const std::string own = new_chain();
        add(chain, asking(protocol, rules.front()->side, {0, cut - 1}) + " -g " + own);
        halve(own, protocol, std::move(below));
      }
      rules = std::move(above);
    }
    add_all(chain, rules);
  }

  // The lowest port of them where there is no better one.
  static uint32_t cut_of(const Rules& rules) {
    const uint32_t lowest = rules.front()->ports.low;
    for (size_t i = rules.size() / 2; i < rules.size(); ++i)
      if (rules[i]->ports.low > lowest) return rules[i]->ports.low;
    for (const PortRule* rule : rules)
      if (rule->ports.low > lowest) return rule->ports.low;
    return lowest;
  }

  // multiport reads the ports alone, and takes no range of one. The matches of one protocol want
  // its whole header, and drop what ends before.
  static std::string asking(std::string_view protocol, PortRule::Side side, const Range& ports) {
    std::string list = fmt::format("{}", ports.low);
    if (ports.high > ports.low) list += fmt::format(":{}", ports.high);
    return fmt::format("-p {} -m multiport --{}ports {}", protocol,
                       side == PortRule::kSource ? 's' : 'd', list);
  }

  const std::string &chain_, &asked_;
  ChainText& out_;
};

}  // namespace

std::vector<PortRule> port_rules_of(const Match& match, Family family, const std::string& target,
                                    size_t most) {
  std::vector<PortRule> out;
  std::vector<PortMatch> parts = by_ports(match);
  for (size_t i = 0; i < parts.size() && out.size() <= most; ++i)
    add_rules(parts[i], family, target, &out);
  if (out.size() <= most) return out;
  out.clear();
  add_rules({match, PortRule::kNone, {}}, family, target, &out);
  return out;
}

void add_in_chains(const std::vector<PortRule>& rules, const std::string& chain,
                   const std::string& asked, ChainText* out) {
  Writer(chain, asked, out).by_protocol(rules);
}

}  // namespace fettle
