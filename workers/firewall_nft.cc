// Source: libnftables-json(5).
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "workers/firewall.h"

namespace fettle {
namespace {

using Json = nlohmann::json;

constexpr size_t kDeepest = 32;  // levels of an expression that are looked into

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value && value->is_string() ? value->get<std::string>() : "";
}

uint64_t number_of(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  return value.is_number_integer() ? static_cast<uint64_t>(value.get<int64_t>()) : 0;
}

uint64_t number_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value ? number_of(*value) : 0;
}

// A string, or a list that has it.
bool names(const Json* value, std::string_view word) {
  if (!value) return false;
  if (value->is_string()) return value->get_ref<const std::string&>() == word;
  return value->is_array() && std::ranges::any_of(*value, [&](const Json& one) {
           return one.is_string() && one.get_ref<const std::string&>() == word;
         });
}

Hook hook_called(std::string_view name) {
  if (name == "prerouting") return Hook::kPrerouting;
  if (name == "input") return Hook::kInput;
  if (name == "forward") return Hook::kForward;
  if (name == "output") return Hook::kOutput;
  return name == "postrouting" ? Hook::kPostrouting : Hook::kNone;
}

// {"meta": {"key": "mark"}} or {"ct": {"key": "mark"}}.
bool is_mark(const Json& expression) {
  for (const char* kind : {"meta", "ct"}) {
    const Json* of = member(expression, kind);
    if (of && text_of(*of, "key") == "mark") return true;
  }
  return false;
}

// {"&": [mark, mask]}: its mask; a mark alone: all bits.
std::optional<uint32_t> mark_mask(const Json& expression) {
  if (is_mark(expression)) return 0xffffffff;
  const Json* both = member(expression, "&");
  if (!both || !both->is_array() || both->size() != 2 || !is_mark((*both)[0])) return std::nullopt;
  return static_cast<uint32_t>(number_of((*both)[1]));
}

void read_queue(const Json& statement, FirewallRule* rule) {
  QueueTarget& queue = rule->queue.emplace();
  queue.bypass = names(member(statement, "flags"), "bypass");
  queue.fanout = names(member(statement, "flags"), "fanout");
  const Json* number = member(statement, "num");
  if (!number) return;
  const Json* range = member(*number, "range");
  if (range && range->is_array() && range->size() == 2) {
    queue.first = static_cast<uint32_t>(number_of((*range)[0]));
    queue.last = static_cast<uint32_t>(number_of((*range)[1]));
  } else if (number->is_object()) {
    rule->computed_queue = true;
    queue.last = 0xffff;
    for (const char* hash : {"symhash", "jhash", "numgen"}) {
      const Json* of = member(*number, hash);
      const uint64_t modulus = of ? number_of(*of, "mod") : 0;
      if (modulus == 0) continue;
      queue.first = static_cast<uint32_t>(number_of(*of, "offset"));
      queue.last = queue.first + static_cast<uint32_t>(modulus) - 1;
    }
  } else {
    queue.first = queue.last = static_cast<uint32_t>(number_of(*number));
  }
  queue.last = std::max(queue.first, queue.last);
}

void read_match(const Json& statement, FirewallRule* rule) {
  const Json* left = member(statement, "left");
  const Json* right = member(statement, "right");
  if (!left || !right) return;
  if (const auto mask = mark_mask(*left)) {
    rule->marks.push_back({.value = static_cast<uint32_t>(number_of(*right)), .mask = *mask});
  }
  const Json* ct = member(*left, "ct");
  const Json* meta = member(*left, "meta");
  const Json* payload = member(*left, "payload");
  const bool same = text_of(statement, "op") != "!=";
  const std::string word = right->is_string() ? right->get<std::string>() : "";
  if (ct && text_of(*ct, "key") == "state" && same && names(right, "established")) {
    rule->established = true;
  }
  if (!same || word.empty()) {
    if (payload && same && rule->protocol.empty()) rule->protocol = text_of(*payload, "protocol");
    return;
  }
  const std::string key = meta ? text_of(*meta, "key") : "";
  if (key == "iifname" || key == "iif") rule->in = word;
  if (key == "oifname" || key == "oif") rule->out = word;
  if (key == "l4proto" || (payload && text_of(*payload, "field") == "protocol")) {
    rule->protocol = word;
  }
}

// {"mangle": {"key": mark, "value": …}}
void read_mangle(const Json& statement, FirewallRule* rule) {
  const Json* key = member(statement, "key");
  const Json* value = member(statement, "value");
  if (!key || !value) return;
  if (const Json* ct = member(*key, "ct");
      ct && text_of(*ct, "key").find("zone") != std::string::npos) {
    rule->attaches = true;
  }
  if (!is_mark(*key)) return;
  MarkUse use{.sets = true};
  const Json* both = member(*value, "|");
  const Json* first = both && both->is_array() && both->size() == 2 ? &(*both)[0] : value;
  const auto mask = mark_mask(*first);
  use.moves = mask.has_value() && !both;
  if (value->is_number()) {
    use.value = static_cast<uint32_t>(number_of(*value));
  } else if (both && mask) {
    use.value = static_cast<uint32_t>(number_of((*both)[1]));
    use.mask = ~*mask | use.value;  // the bits that are kept are not its own
  } else if (mask) {
    use.mask = *mask;
  }
  rule->marks.push_back(use);
}

// {"vmap": {"key": …, "data": {"set": [["established", {"accept": null}], …]}}}. Of a named map,
// which is another object, nothing is known.
void read_verdict_map(const Json& statement, FirewallRule* rule) {
  const Json* key = member(statement, "key");
  const Json* data = member(statement, "data");
  const Json* set = data ? member(*data, "set") : nullptr;
  if (!key || !set || !set->is_array()) return;
  const Json* ct = member(*key, "ct");
  const bool states = ct && text_of(*ct, "key") == "state";
  for (const Json& element : *set) {
    if (!element.is_array() || element.size() != 2) continue;
    for (const char* jump : {"jump", "goto"}) {
      if (const Json* to = member(element[1], jump)) rule->jumps.push_back(text_of(*to, "target"));
    }
    if (const auto mask = mark_mask(*key)) {
      rule->marks.push_back({.value = static_cast<uint32_t>(number_of(element[0])), .mask = *mask});
    }
    if (states && names(&element[0], "established") && member(element[1], "accept")) {
      rule->established = rule->accepts = true;
    }
  }
}

bool mentions(const Json& expression, const char* name, size_t depth = 0) {
  if (depth > kDeepest || !expression.is_structured()) return false;
  if (expression.is_object() && expression.contains(name)) return true;
  return std::ranges::any_of(expression,
                             [&](const Json& one) { return mentions(one, name, depth + 1); });
}

void read_statement(const Json& statement, FirewallRule* rule) {
  if (const Json* queue = member(statement, "queue")) read_queue(*queue, rule);
  if (const Json* match = member(statement, "match")) read_match(*match, rule);
  // One that stands before a match has met more packets than the rule's end.
  if (!member(statement, "queue")) rule->packets.reset();
  if (const Json* counter = member(statement, "counter"); counter && counter->is_object()) {
    rule->packets = number_of(*counter, "packets");
  }
  if (const Json* mangle = member(statement, "mangle")) read_mangle(*mangle, rule);
  if (const Json* map = member(statement, "vmap")) read_verdict_map(*map, rule);
  if (member(statement, "accept")) rule->accepts = true;
  if (member(statement, "flow")) rule->offloads = rule->tracks = true;
  for (const char* nat : {"snat", "dnat", "masquerade", "redirect"}) {
    if (member(statement, nat)) rule->translates = rule->tracks = true;
  }
  for (const char* object : {"ct helper", "ct timeout"}) {
    if (member(statement, object)) rule->attaches = true;
  }
  for (const char* jump : {"jump", "goto"}) {
    if (const Json* to = member(statement, jump)) rule->jumps.push_back(text_of(*to, "target"));
  }
  if (mentions(statement, "ct") || rule->attaches) rule->tracks = true;
}

struct Reader {
  Firewall* firewall;
  std::map<std::string, std::string> texts{};           // rules, by place()
  std::map<std::string, size_t, std::less<>> counts{};  // rules of each chain

  static std::string place(const Json& object, const char* chain) {
    return fmt::format("{} {} {}", text_of(object, "family"), text_of(object, "table"),
                       text_of(object, chain));
  }

  // A table that iptables-nft made has been read through its own tool.
  bool foreign(const Json& object) const {
    return std::ranges::any_of(firewall->chains, [&](const FirewallChain& chain) {
      return (chain.tool == "iptables" || chain.tool == "ip6tables") &&
             chain.family == text_of(object, "family") && chain.table == text_of(object, "table");
    });
  }

  void read_chain(const Json& chain) const {
    if (text_of(chain, "hook").empty()) return;
    const Json* priority = member(chain, "prio");
    firewall->chains.push_back(
        {.tool = "nft",
         .family = text_of(chain, "family"),
         .table = text_of(chain, "table"),
         .name = text_of(chain, "name"),
         .hook = hook_called(text_of(chain, "hook")),
         .priority = priority ? static_cast<int>(static_cast<int64_t>(number_of(*priority))) : 0});
  }

  void read_rule(const Json& object) {
    FirewallRule rule;
    rule.tool = "nft";
    rule.family = text_of(object, "family");
    rule.table = text_of(object, "table");
    rule.chain = text_of(object, "chain");
    rule.handle = number_of(object, "handle");
    const std::string chain = place(object, "chain");
    rule.number = ++counts[chain];
    const auto text = texts.find(fmt::format("{} {}", chain, rule.handle));
    if (text != texts.end()) rule.text = text->second;
    if (const Json* statements = member(object, "expr"); statements && statements->is_array()) {
      for (const Json& statement : *statements) read_statement(statement, &rule);
    }
    firewall->rules.push_back(std::move(rule));
  }

  void read(const Json& item) {
    const Json* table = member(item, "flowtable");
    if (table) {
      firewall->flowtables.push_back({.family = text_of(*table, "family"),
                                      .table = text_of(*table, "table"),
                                      .name = text_of(*table, "name"),
                                      .hardware = names(member(*table, "flags"), "offload")});
    }
    if (const Json* chain = member(item, "chain"); chain && !foreign(*chain)) {
      read_chain(*chain);
    }
    if (const Json* rule = member(item, "rule"); rule && !foreign(*rule)) read_rule(*rule);
  }
};

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  line.remove_prefix(begin);
  return line.substr(0, line.find_last_not_of(" \t") + 1);
}

// "table inet fw { # handle 1", "chain forward { # handle 2", "tcp dport 80 accept # handle 7".
std::map<std::string, std::string> texts_of(std::string_view listing) {
  std::map<std::string, std::string> out;
  std::string table;
  std::string chain;
  while (!listing.empty()) {
    const size_t end = std::min(listing.find('\n'), listing.size());
    const std::string_view line = trimmed(listing.substr(0, end));
    listing.remove_prefix(std::min(end + 1, listing.size()));
    const size_t handle = line.rfind(" # handle ");
    if (handle == std::string_view::npos) continue;
    const std::string_view text = line.substr(0, handle);
    const size_t brace = text.rfind(" {");
    if (text.starts_with("table ") && brace != std::string_view::npos) {
      table = text.substr(6, brace - 6);
    } else if (text.starts_with("chain ") && brace != std::string_view::npos) {
      chain = text.substr(6, brace - 6);
    } else {
      out[fmt::format("{} {} {}", table, chain, line.substr(handle + 10))] = text;
    }
  }
  return out;
}

}  // namespace

bool read_nft(std::string_view json, std::string_view text, Firewall* firewall) {
  const Json parsed = Json::parse(json, nullptr, false);
  const Json* items = member(parsed, "nftables");
  if (!items || !items->is_array()) return false;
  Reader reader{.firewall = firewall, .texts = texts_of(text)};
  for (const Json& item : *items) reader.read(item);
  for (FirewallRule& rule : firewall->rules) {
    if (!rule.offloads || !rule.is_nft()) continue;
    rule.hardware = std::ranges::any_of(firewall->flowtables, [&](const Flowtable& table) {
      return table.family == rule.family && table.table == rule.table && table.hardware;
    });
  }
  return true;
}

}  // namespace fettle
