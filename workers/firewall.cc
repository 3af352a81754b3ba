#include "workers/firewall.h"

#include <algorithm>

#include <fmt/format.h>

#include "workers/shell_words.h"

namespace fettle {
namespace {

constexpr int kDeepestJumps = 16;  // the kernel's own limit for nft

bool same_table(const FirewallRule& a, const FirewallRule& b) {
  return a.tool == b.tool && a.family == b.family && a.table == b.table;
}

bool is_in(const FirewallChain& chain, const FirewallRule& rule) {
  return chain.tool == rule.tool && chain.family == rule.family && chain.table == rule.table &&
         chain.name == rule.chain;
}

// Calls `visit` with the rule and with those that jump to its chain, and so on up.
template <typename Visit>
void climb(const Firewall& firewall, const FirewallRule& rule, int depth,
           std::vector<std::string>* seen, const Visit& visit) {
  if (depth > kDeepestJumps || std::ranges::find(*seen, rule.chain) != seen->end()) return;
  seen->push_back(rule.chain);
  visit(rule);
  for (const FirewallRule& other : firewall.rules) {
    if (std::ranges::count(other.jumps, rule.chain) > 0 && same_table(other, rule)) {
      climb(firewall, other, depth + 1, seen, visit);
    }
  }
}

bool asks_for_a_mark(const FirewallRule& rule) {
  return std::ranges::any_of(rule.marks, [](const MarkUse& use) { return !use.sets; });
}

bool may_meet(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() || a == b;
}

// Some packet may match both.
bool may_meet(const FirewallRule& a, const FirewallRule& b) {
  return may_meet(a.protocol, b.protocol) && may_meet(a.in, b.in) && may_meet(a.out, b.out);
}

std::string iptables(const FirewallRule& rule, std::vector<std::string> words) {
  std::vector<std::string> all{rule.tool, "-t", rule.table};
  all.insert(all.end(), words.begin(), words.end());
  return shell_words(all);
}

std::vector<std::string> words_to_feed(const FirewallRule& rule, const QueueTarget& target) {
  std::vector<std::string> out;
  for (size_t i = 0; i < rule.words.size(); ++i) {
    const std::string& word = rule.words[i];
    if (word == "--queue-num" || word == "--queue-balance") {
      ++i;
    } else if (word != "--queue-bypass" && word != "--queue-cpu-fanout") {
      out.push_back(word);
    }
  }
  const bool one = target.first == target.last;
  out.push_back(one ? "--queue-num" : "--queue-balance");
  out.push_back(one ? fmt::format("{}", target.first)
                    : fmt::format("{}:{}", target.first, target.last));
  if (target.bypass) out.push_back("--queue-bypass");
  if (target.fanout && !one) out.push_back("--queue-cpu-fanout");
  return out;
}

// nft writes the queue statement last, but for a comment.
std::string text_to_feed(const FirewallRule& rule, const QueueTarget& target) {
  const size_t at = rule.text.rfind(" queue ");
  if (at == std::string::npos && !rule.text.starts_with("queue ")) return "";
  const size_t begin = at == std::string::npos ? 0 : at + 1;
  const size_t comment = rule.text.find(" comment \"", begin);
  const bool fanout = target.fanout && target.first != target.last;
  const std::string flags = target.bypass && fanout ? "flags bypass,fanout "
                            : target.bypass         ? "flags bypass "
                            : fanout                ? "flags fanout "
                                                    : "";
  const std::string range = target.first == target.last
                                ? fmt::format("{}", target.first)
                                : fmt::format("{}-{}", target.first, target.last);
  return fmt::format("{}queue {}to {}{}", rule.text.substr(0, begin), flags, range,
                     comment == std::string::npos ? "" : rule.text.substr(comment));
}

}  // namespace

std::vector<FirewallChain> hooks_of(const Firewall& firewall, const FirewallRule& rule) {
  std::vector<FirewallChain> out;
  std::vector<std::string> seen;
  climb(firewall, rule, 0, &seen, [&](const FirewallRule& step) {
    for (const FirewallChain& chain : firewall.chains) {
      if (is_in(chain, step)) out.push_back(chain);
    }
  });
  return out;
}

std::vector<const FirewallRule*> hiding(const Firewall& firewall, const FirewallRule& rule) {
  std::vector<const FirewallRule*> out;
  std::vector<std::string> seen;
  climb(firewall, rule, 0, &seen, [&](const FirewallRule& step) {
    for (const FirewallRule& other : firewall.rules) {
      if (same_table(other, step) && other.chain == step.chain && other.number < step.number &&
          other.accepts && other.established && !asks_for_a_mark(other) && may_meet(other, rule)) {
        out.push_back(&other);
      }
    }
  });
  return out;
}

std::string describe(const FirewallRule& rule) {
  return rule.is_nft()
             ? fmt::format("nft {} {} {}, handle {}", rule.family, rule.table, rule.chain,
                           rule.handle)
             : fmt::format("{} {} {}, rule {}", rule.tool, rule.table, rule.chain, rule.number);
}

std::string command_to_feed(const FirewallRule& rule, const QueueTarget& target) {
  if (!rule.is_nft()) {
    std::vector<std::string> words{"-R", rule.chain, fmt::format("{}", rule.number)};
    for (std::string& word : words_to_feed(rule, target)) words.push_back(std::move(word));
    return iptables(rule, std::move(words));
  }
  const std::string text = text_to_feed(rule, target);
  if (text.empty() || rule.computed_queue) return "";
  // One transaction; at "replace rule" nft 1.0.6 aborts where the text has a set of ranges.
  const std::string chain = fmt::format("{} {} {}", rule.family, rule.table, rule.chain);
  return "nft " + shell_word(fmt::format("add rule {0} handle {1} {2}; delete rule {0} handle {1}",
                                         chain, rule.handle, text));
}

std::string command_to_delete(const FirewallRule& rule) {
  if (!rule.is_nft()) return iptables(rule, {"-D", rule.chain, fmt::format("{}", rule.number)});
  return "nft " + shell_word(fmt::format("delete rule {} {} {} handle {}", rule.family, rule.table,
                                         rule.chain, rule.handle));
}

}  // namespace fettle
