// Sources: iptables-save(8), iptables-extensions(8).
#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "workers/firewall.h"
#include "workers/shell_words.h"

namespace fettle {
namespace {

using Words = std::vector<std::string>;

// ip_tables: enum nf_ip_hook_priorities.
int priority_of(std::string_view table, Hook hook) {
  if (table == "raw") return -300;
  if (table == "mangle") return -150;
  if (table == "nat") return hook == Hook::kPrerouting || hook == Hook::kOutput ? -100 : 100;
  return table == "security" ? 50 : 0;
}

std::optional<Hook> hook_called(std::string_view chain) {
  constexpr std::array<std::pair<std::string_view, Hook>, 5> kChains{{
      {"PREROUTING", Hook::kPrerouting},
      {"INPUT", Hook::kInput},
      {"FORWARD", Hook::kForward},
      {"OUTPUT", Hook::kOutput},
      {"POSTROUTING", Hook::kPostrouting},
  }};
  for (const auto& [name, hook] : kChains) {
    if (name == chain) return hook;
  }
  return std::nullopt;
}

bool parse_unsigned(std::string_view text, uint32_t* number) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return error == std::errc{} && end == text.data() + text.size();
}

// "0x1/0xff", or a value alone.
std::optional<MarkUse> parse_mark(std::string_view text) {
  MarkUse use;
  const size_t slash = text.find('/');
  if (!parse_unsigned(text.substr(0, slash), &use.value)) return std::nullopt;
  if (slash != std::string_view::npos && !parse_unsigned(text.substr(slash + 1), &use.mask)) {
    return std::nullopt;
  }
  return use;
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, word) != list.end();
}

// What follows words[i], or "".
std::string_view argument(const Words& words, size_t i) {
  return i + 1 < words.size() ? std::string_view(words[i + 1]) : std::string_view();
}

void read_target(const Words& words, size_t i, FirewallRule* rule) {
  const std::string_view target = argument(words, i);
  if (target == "NFQUEUE") {
    if (!rule->queue) rule->queue.emplace();
  } else if (target == "ACCEPT") {
    rule->accepts = true;
  } else if (is_one_of(target, {"SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP"})) {
    rule->translates = rule->tracks = true;
  } else if (is_one_of(target, {"CONNMARK", "SYNPROXY"})) {
    rule->tracks = true;
  } else if (target == "FLOWOFFLOAD") {
    rule->offloads = rule->tracks = true;
  } else {
    rule->jumps.emplace_back(target);
  }
}

void read_queue(const Words& words, size_t i, FirewallRule* rule) {
  if (!rule->queue) rule->queue.emplace();
  QueueTarget& queue = *rule->queue;
  const std::string_view value = argument(words, i);
  if (words[i] == "--queue-num") {
    if (parse_unsigned(value, &queue.first)) queue.last = queue.first;
  } else if (words[i] == "--queue-balance") {
    const size_t colon = value.find(':');
    if (colon != std::string_view::npos) {
      parse_unsigned(value.substr(0, colon), &queue.first);
      parse_unsigned(value.substr(colon + 1), &queue.last);
    }
  } else if (words[i] == "--queue-bypass") {
    queue.bypass = true;
  } else {
    queue.fanout = true;
  }
  queue.last = std::max(queue.first, queue.last);
}

// -m mark, -m connmark, -j MARK, -j CONNMARK.
void read_mark(const Words& words, size_t i, FirewallRule* rule) {
  const std::string& word = words[i];
  if (is_one_of(word, {"--save-mark", "--restore-mark"})) {
    MarkUse use{.sets = true, .moves = true};
    const bool save = word == "--save-mark";
    for (size_t k = i + 1; k + 1 < words.size(); ++k) {
      const bool mask = words[k] == "--mask" || words[k] == (save ? "--ctmask" : "--nfmask");
      if (mask) parse_unsigned(words[k + 1], &use.mask);
    }
    rule->marks.push_back(use);
    return;
  }
  auto use = parse_mark(argument(words, i));
  if (!use) return;
  use->sets = word != "--mark";
  if (word == "--or-mark") use->mask = use->value;
  if (word == "--and-mark") *use = {.value = 0, .mask = ~use->value, .sets = true};
  rule->marks.push_back(*use);
}

void read_match(const Words& words, size_t i, FirewallRule* rule) {
  const std::string_view match = argument(words, i);
  if (is_one_of(match, {"conntrack", "state", "connmark", "connbytes", "connlabel", "connlimit",
                        "helper", "cluster"})) {
    rule->tracks = true;
  }
  if (match == "physdev") rule->bridge_port = true;
}

void read_state(const Words& words, size_t i, FirewallRule* rule) {
  const bool negated = i > 0 && words[i - 1] == "!";
  const bool named = argument(words, i).find("ESTABLISHED") != std::string_view::npos;
  if (named != negated) rule->established = true;
}

void read_word(const Words& words, size_t i, FirewallRule* rule) {
  const std::string& word = words[i];
  const bool negated = i > 0 && words[i - 1] == "!";
  if (is_one_of(word, {"-j", "-g", "--jump", "--goto"})) read_target(words, i, rule);
  if (word.starts_with("--queue-")) read_queue(words, i, rule);
  if (word == "-m") read_match(words, i, rule);
  if (word == "-i" && !negated) rule->in = argument(words, i);
  if (word == "-o" && !negated) rule->out = argument(words, i);
  if (word == "-p" && !negated) rule->protocol = argument(words, i);
  if (is_one_of(word, {"--ctstate", "--state"})) read_state(words, i, rule);
  if (is_one_of(word, {"--mark", "--set-mark", "--set-xmark", "--or-mark", "--and-mark",
                       "--xor-mark", "--save-mark", "--restore-mark"})) {
    read_mark(words, i, rule);
  }
  if (is_one_of(word, {"--helper", "--timeout", "--zone", "--zone-orig", "--zone-reply"})) {
    rule->attaches = true;
  }
  if (word == "--hw") rule->hardware = true;
}

FirewallRule read_rule(Words words) {
  FirewallRule rule;
  for (size_t i = 0; i < words.size(); ++i) {
    // The words of a comment, a log's prefix or a string that is looked for mean nothing.
    if (is_one_of(words[i],
                  {"--comment", "--log-prefix", "--nflog-prefix", "--string", "--hex-string"})) {
      ++i;
      continue;
    }
    read_word(words, i, &rule);
  }
  rule.attaches = rule.attaches && std::ranges::find(words, "CT") != words.end();
  rule.words = std::move(words);
  return rule;
}

// "[12:3456] -A ...": packets and bytes, as -c prints them.
std::optional<uint64_t> take_counters(std::string_view* line) {
  if (!line->starts_with('[')) return std::nullopt;
  const std::string_view counters = line->substr(1, line->find(' '));
  line->remove_prefix(std::min(line->find(' '), line->size() - 1) + 1);
  uint64_t packets = 0;
  const auto [end, error] =
      std::from_chars(counters.data(), counters.data() + counters.size(), packets);
  if (error != std::errc{} || end == counters.data() + counters.size() || *end != ':') {
    return std::nullopt;
  }
  return packets;
}

struct Reader {
  std::string_view tool;
  Firewall* firewall;
  std::string table{};
  std::map<std::string, size_t, std::less<>> counts{};  // rules of each chain

  std::string family() const { return tool.starts_with("ip6") ? "ip6" : "ip"; }

  void read_chain(std::string_view line) {
    const std::string_view name = line.substr(1, line.find(' ') - 1);
    const auto hook = hook_called(name);
    if (!hook) return;
    firewall->chains.push_back({.tool = std::string(tool),
                                .family = family(),
                                .table = table,
                                .name = std::string(name),
                                .hook = *hook,
                                .priority = priority_of(table, *hook)});
  }

  void read_line(std::string_view line) {
    if (line.starts_with('*')) {
      table = line.substr(1);
      counts.clear();
    } else if (line.starts_with(':')) {
      read_chain(line);
    } else {
      const std::optional<uint64_t> packets = take_counters(&line);
      Words words = split_words(line);
      if (words.size() < 2 || words[0] != "-A") return;
      const std::string chain = words[1];
      words.erase(words.begin(), words.begin() + 2);
      FirewallRule rule = read_rule(std::move(words));
      rule.packets = packets;
      rule.tool = tool;
      rule.family = family();
      rule.table = table;
      rule.chain = chain;
      rule.number = ++counts[chain];
      firewall->rules.push_back(std::move(rule));
    }
  }
};

}  // namespace

void read_iptables(std::string_view text, std::string_view tool, Firewall* firewall) {
  Reader reader{.tool = tool, .firewall = firewall};
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) reader.read_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace fettle
