// Rules as nft carries them out.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rules/check.h"
#include "rules/match_tests.h"
#include "rules/steering_match.h"
#include "workers/nft_steps.h"
#include "workers/nft_words.h"
#include "workers/push_down.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

using Ways = NftWords;  // to do a step: all are tried, and one at most applies to a packet

class Writer {
 public:
  Writer(const std::string& table, const RuleSet& set, uint32_t number, const SteeringPoint& point)
      : table_(table),
        set_(set),
        rule_(set.rules[number]),
        scope_(scope_of(rule_.match)),
        point_(point),
        base_(fmt::format("{}{}_r{}", nft_chain(point), point.device.empty() ? "" : "_dev",
                          number + 1)) {}

  std::expected<PushedRule, std::string> write() {
    try_match();
    if (why_.empty()) try_steps();
    if (!why_.empty()) return std::unexpected(std::move(why_));
    return PushedRule{rule_.name, {std::move(text_), {}}};
  }

 private:
  void refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
  }

  void add_chain(const std::string& chain) {
    text_.chains +=
        fmt::format("add chain inet {0} {1}\nflush chain inet {0} {1}\n", table_, chain);
  }
  void add_rule(const std::string& chain, std::string_view words) {
    text_.rules += fmt::format("add rule inet {} {} {}\n", table_, chain, words);
  }
  void add_jump(std::string_view words) {
    std::string device;
    if (!point_.device.empty()) {
      device = fmt::format("{} \"{}\" ", point_.hook == Hook::kPrerouting ? "iifname" : "oifname",
                           point_.device);
    }
    text_.jumps +=
        fmt::format("add rule inet {} {} {}{}\n", table_, nft_chain(point_), device, words);
  }

  // ---- What it matches ----

  void try_match() {
    if (point_.hook == Hook::kPrerouting || point_.hook == Hook::kInput) {
      if (std::ranges::find(rule_.match.all_of, Key::kOut, &Condition::key) !=
          rule_.match.all_of.end()) {
        return refuse("out: not known at this hook");
      }
    }
    const auto match = spelled_out(rule_.match);
    if (!match) return refuse("it matches no packet");
    if (std::string strange = strange_key(*match); !strange.empty()) return refuse(strange);
    for (const Match* any : all_of(*match))
      if (!check_bytes(*any)) return;
    const Ways ways = nft_rules_of(*match);
    add_chain(base_);
    add_guard(*match);
    if (match->none_of.empty() && ways.size() == 1) {
      add_jump(fmt::format("{}jump {}", ways.front(), base_));
      return;
    }
    const std::string asking = base_ + "_match";
    add_chain(asking);
    for (const Match& none : match->none_of)
      for (const std::string& way : nft_rules_of(none)) add_rule(asking, way + "return");
    for (const std::string& way : ways) add_rule(asking, fmt::format("{}goto {}", way, base_));
    add_jump(fmt::format("jump {}", asking));
  }

  // Where the kernel reads a port it does not look whether a later fragment has one
  // (nft_payload_fast_eval()).
  void add_guard(const Match& match) {
    if (!excludes_by_transport(match) && std::ranges::none_of(match.all_of, reads_transport))
      return;
    if (scope_.ipv4) add_rule(base_, "ip frag-off & 0x1fff != 0 return");
    if (scope_.ipv6) add_rule(base_, "frag frag-off != 0 return");
  }

  static std::vector<const Match*> all_of(const Match& match) {
    std::vector<const Match*> out{&match};
    for (const Match& none : match.none_of) out.push_back(&none);
    return out;
  }

  bool check_bytes(const Match& match) {
    for (const Condition& condition : match.all_of) {
      for (const Operand& operand : condition.any_of) {
        const auto* bytes = std::get_if<BytesMatch>(&operand);
        if (!bytes) continue;
        if (bytes->from == Origin::kPayload && !is_tcp_or_udp(rule_.match))
          refuse("payloads of other protocols than TCP and UDP");
        if (!nft_reaches(bytes->from, bytes->at, bytes->value.size()))
          refuse("bytes: too many, or too far");
      }
    }
    return why_.empty();
  }

  // ---- What it does ----

  void try_steps() {
    chain_ = base_;
    add_rule(chain_, fmt::format("counter comment \"{}\"",
                                 steering_comment({{}, {rule_.name}, false}, 100)));
    for (const Step& step : rule_.steps) {
      if (!why_.empty()) return;
      add_step(step);
    }
  }

  void add_step(const Step& step) {
    if (const auto* verdict = std::get_if<VerdictStep>(&step.what)) {
      add_verdict(*verdict);
    } else if (const auto* set = std::get_if<SetStep>(&step.what)) {
      add_set(*set);
    } else if (const auto* mark = std::get_if<MarkStep>(&step.what)) {
      if (!routes_again()) return;
      add_rule(chain_,
               fmt::format("meta mark set meta mark & {:#x} | {:#x}", ~mark->mask, mark->value));
    } else if (const auto* clamp = std::get_if<ClampMssStep>(&step.what)) {
      add_ways({fmt::format("tcp flags & syn == syn tcp option maxseg size set {}", clamp->mss)},
               true);
    } else if (const auto* write = std::get_if<WriteStep>(&step.what)) {
      add_write(*write);
    } else if (const auto* translate = std::get_if<TranslateStep>(&step.what)) {
      add_translation(*translate);
    } else {
      refuse(strange_step(step));
    }
  }

  void add_verdict(const VerdictStep& step) {
    if (step.verdict != Verdict::kAccept && step.verdict != Verdict::kDrop)
      return refuse("a verdict that the queue alone has");
    add_rule(chain_, step.verdict == Verdict::kDrop ? "drop" : "accept");
  }

  // Where the kernel routed before the chain, and would not do it again.
  bool routes_again() {
    if (point_.hook != Hook::kOutput) return true;
    refuse("packets of this machine would have to be routed anew");
    return false;
  }

  // A step that may miss and whose miss is a verdict goes on in a chain of its own.
  void add_ways(const Ways& ways, bool may_miss) {
    const bool decides = may_miss && rule_.on_miss;
    const std::string next = decides ? fmt::format("{}_{}", base_, ++steps_) : "";
    if (decides) add_chain(next);
    for (const std::string& way : ways)
      add_rule(chain_, decides ? fmt::format("{} goto {}", way, next) : way);
    if (!decides) return;
    add_rule(chain_, *rule_.on_miss == Verdict::kDrop ? "drop" : "accept");
    chain_ = next;
  }

  void add_set(const SetStep& step) {
    size_t missing = 0;
    std::vector<std::pair<Ways, bool>> all;
    for (const SetStep::Assignment& part : step.assignments) {
      bool may_miss = false;
      const Ways ways = ways_to_set(part, &may_miss);
      missing += may_miss ? 1 : 0;
      all.emplace_back(ways, may_miss);
    }
    if (rule_.on_miss && missing > 1)
      return refuse("on-miss of a set step with several fields that a packet may not have");
    // A miss comes last: the other fields are set all the same.
    std::ranges::stable_partition(all, [](const auto& part) { return !part.second; });
    if (!why_.empty()) return;
    for (const auto& [ways, may_miss] : all) add_ways(ways, may_miss);
  }

  Ways by_family(std::string_view ipv4, std::string_view ipv6, uint32_t number) const {
    Ways out;
    if (scope_.ipv4) out.push_back(fmt::format("ip {} set {}", ipv4, number));
    if (scope_.ipv6) out.push_back(fmt::format("ip6 {} set {}", ipv6, number));
    return out;
  }

  Ways ways_to_set(const SetStep::Assignment& part, bool* may_miss) {
    switch (part.field) {
      case Field::kTtl:
        return by_family("ttl", "hoplimit", part.number);
      case Field::kDscp:
        if (!routes_again()) return {};
        return by_family("dscp", "dscp", part.number);
      case Field::kEcn:
        return by_family("ecn", "ecn", part.number);
      case Field::kSrc:
      case Field::kDst:
        return ways_to_set_address(part, may_miss);
      case Field::kSrcPort:
      case Field::kDstPort:
        *may_miss = true;
        return ways_to_set_port(part);
      case Field::kWindow:
        *may_miss = true;
        return {fmt::format("tcp window set {}", part.number)};
      case Field::kFlowLabel:
        *may_miss = scope_.ipv4;
        return {fmt::format("ip6 flowlabel set {}", part.number)};
    }
    return {};
  }

  Ways ways_to_set_address(const SetStep::Assignment& part, bool* may_miss) {
    const bool wide = part.address.family == Family::kIpv6;
    *may_miss = wide ? scope_.ipv4 : scope_.ipv6;
    if (!routes_again()) return {};
    return {fmt::format("{} {} set {}", wide ? "ip6" : "ip",
                        part.field == Field::kSrc ? "saddr" : "daddr", part.address.to_string())};
  }

  // nft would make a sum of what UDP has none of.
  Ways ways_to_set_port(const SetStep::Assignment& part) {
    if (!is_tcp_or_udp(rule_.match)) refuse("ports of other protocols than TCP and UDP");
    const bool source = part.field == Field::kSrcPort;
    const std::string_view port = source ? "sport" : "dport";
    return {fmt::format("tcp {} set {}", port, part.number),
            fmt::format("udp checksum 0 @th,{},16 set {}", source ? 0 : 16, part.number),
            fmt::format("udp checksum != 0 udp {} set {}", port, part.number)};
  }

  // ---- Bytes of the payload, and addresses ----

  Ways with_payload(uint32_t end) {
    if (!is_tcp_or_udp(rule_.match)) refuse("payloads of other protocols than TCP and UDP");
    Ways out;
    if (scope_.protocols[static_cast<size_t>(Protocol::kTcp)]) out.emplace_back(kNftTcpPayload);
    if (scope_.protocols[static_cast<size_t>(Protocol::kUdp)]) out.push_back(nft_udp_payload(end));
    return out;
  }

  void add_write(const WriteStep& step) {
    const auto end = static_cast<uint32_t>(step.at + step.bytes.size());
    if (step.from != Origin::kPayload) return refuse("write: into headers");
    if (!nft_reaches(step.from, end, 1)) return refuse("write: too far");
    // nft writes whole words, and the last byte of a packet may stand alone.
    if (end % 2 != 0) return refuse("write: ends at an odd place");
    Ways ways = with_payload(end);
    for (std::string& way : ways) way += nft_write(step);
    add_ways(ways, true);
  }

  void add_translation(const TranslateStep& step) {
    const NftTranslation done = nft_translation(set_, step, scope_);
    if (!done.refused.empty()) return refuse(done.refused);
    if (step.from == Origin::kNetwork && !routes_again()) return;
    Ways guards{""};
    if (step.from == Origin::kPayload) guards = with_payload(step.at + done.size);
    const std::string table = fmt::format("{}_{}", base_, ++steps_), next = table + "_on";
    add_chain(table);
    for (const std::string& guard : guards)
      add_rule(chain_, fmt::format("{}{} {}", guard, rule_.on_miss ? "goto" : "jump", table));
    for (const std::string& way : done.ways)
      add_rule(table, fmt::format("{} {}", way, rule_.on_miss ? "goto " + next : "return"));
    if (!rule_.on_miss) return;
    const std::string_view verdict = *rule_.on_miss == Verdict::kDrop ? "drop" : "accept";
    add_rule(chain_, verdict);
    add_rule(table, verdict);
    add_chain(next);
    chain_ = next;
  }

  const std::string& table_;
  const RuleSet& set_;
  const Rule& rule_;
  const Scope scope_;
  const SteeringPoint& point_;
  const std::string base_;
  std::string chain_;  // where the next step goes
  PushedRule::Text text_;
  std::string why_;
  uint32_t steps_ = 0;
};

}  // namespace

RuleWriter nft_rule_writer(std::string table) {
  return [table = std::move(table)](const RuleSet& set, uint32_t rule, const SteeringPoint& point) {
    return Writer(table, set, rule, point).write();
  };
}

}  // namespace fettle
