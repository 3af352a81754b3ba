// Rules as iptables and ip6tables carry them out.
#include <algorithm>

#include <fmt/format.h>

#include "rules/check.h"
#include "rules/match_tests.h"
#include "rules/steering_match.h"
#include "workers/iptables_words.h"
#include "workers/push_down.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

class Writer {
 public:
  Writer(const std::string& name, const RuleSet& set, uint32_t number, const SteeringPoint& point)
      : rule_(set.rules[number]),
        scope_(scope_of(rule_.match)),
        point_(point),
        chain_(iptables_chain(point, name)),
        // iptables takes 28 characters.
        base_(fmt::format("{}-r{}{}{}", name, number + 1, static_cast<int>(point.hook),
                          point.device.empty() ? "" : "d")) {}

  std::expected<PushedRule, std::string> write() {
    PushedRule out{rule_.name, {}};
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      if (family == Family::kIpv4 ? !scope_.ipv4 : !scope_.ipv6) continue;
      text_ = {};
      write_match(family);
      for (const Step& step : rule_.steps) add_step(step, family);
      out.by_family[family == Family::kIpv4 ? 0 : 1] = std::move(text_);
    }
    if (!why_.empty()) return std::unexpected(std::move(why_));
    return out;
  }

 private:
  void refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
  }

  void add_rule(const std::string& chain, const std::string& asked, const std::string& target) {
    text_.rules += fmt::format("-A {} {}{}{}\n", chain, asked, asked.empty() ? "" : " ", target);
  }

  std::string device_words() const {
    if (point_.device.empty()) return "";
    return fmt::format("{} {} ", point_.hook == Hook::kPrerouting ? "-i" : "-o", point_.device);
  }

  bool has(Key key) const {
    return std::ranges::find(rule_.match.all_of, key, &Condition::key) != rule_.match.all_of.end();
  }

  // ---- What it matches ----

  void check_place(const Match& match) {
    const bool before = point_.hook == Hook::kPrerouting || point_.hook == Hook::kInput;
    const bool behind = point_.hook == Hook::kOutput || point_.hook == Hook::kPostrouting;
    if (before && has(Key::kOut)) refuse("out: not known at this hook");
    if (behind && has(Key::kIn)) refuse("in: not asked for at this hook");
    if (excludes_by_transport(match) && !std::ranges::any_of(match.all_of, reads_transport))
      refuse("not: later fragments");
  }

  void write_match(Family family) {
    const auto match = spelled_out(rule_.match);
    if (!match) return refuse("it matches no packet");
    if (std::string strange = strange_key(*match); !strange.empty()) return refuse(strange);
    check_place(*match);
    const auto ways = iptables_exactly(*match, family);
    if (!ways) return refuse("match: more than iptables can ask");
    const std::string asking = base_ + "m";
    text_.chains = fmt::format(":{} - [0:0]\n", base_);
    const std::string named = fmt::format("-m comment --comment \"{}\" ",
                                          steering_comment({{}, {rule_.name}, false}, 200));
    const bool at_once = match->none_of.empty() && ways->size() == 1;
    text_.jumps =
        fmt::format("-A {} {}{}{}{}-j {}\n", chain_, device_words(), at_once ? ways->front() : "",
                    at_once && !ways->front().empty() ? " " : "", named, at_once ? base_ : asking);
    if (at_once) return;
    text_.chains += fmt::format(":{} - [0:0]\n", asking);
    for (const Match& none : match->none_of) {
      const auto its = iptables_exactly(none, family);
      if (!its) return refuse("not: more than iptables can ask");
      for (const std::string& way : *its) add_rule(asking, way, "-j RETURN");
    }
    for (const std::string& way : *ways) add_rule(asking, way, "-g " + base_);
  }

  // ---- What it does ----

  void add_step(const Step& step, Family family) {
    if (const auto* verdict = std::get_if<VerdictStep>(&step.what)) {
      if (verdict->verdict != Verdict::kAccept && verdict->verdict != Verdict::kDrop)
        return refuse("a verdict that the queue alone has");
      add_rule(base_, "", verdict->verdict == Verdict::kDrop ? "-j DROP" : "-j ACCEPT");
    } else if (const auto* set = std::get_if<SetStep>(&step.what)) {
      for (const SetStep::Assignment& part : set->assignments) add_assignment(part, family);
    } else if (const auto* mark = std::get_if<MarkStep>(&step.what)) {
      // (mark & ~mask) ^ value
      add_rule(base_, "", fmt::format("-j MARK --set-xmark {:#x}/{:#x}", mark->value, mark->mask));
    } else if (const auto* clamp = std::get_if<ClampMssStep>(&step.what)) {
      add_clamp(clamp->mss);
    } else {
      refuse(strange_step(step));
    }
  }

  void add_assignment(const SetStep::Assignment& part, Family family) {
    if (point_.early) return refuse("set: not in the table raw");
    if (part.field == Field::kTtl) {
      add_rule(base_, "",
               fmt::format("-j {}-set {}", family == Family::kIpv4 ? "TTL --ttl" : "HL --hl",
                           part.number));
    } else if (part.field == Field::kDscp) {
      add_rule(base_, "", fmt::format("-j DSCP --set-dscp {}", part.number));
    } else {
      refuse("set: a field that iptables does not set");
    }
  }

  // xt_TCPMSS would add the option to a SYN without it.
  void add_clamp(uint16_t mss) {
    const auto tcp = static_cast<size_t>(Protocol::kTcp);
    if (!scope_.protocols[tcp] || std::ranges::count(scope_.protocols, true) != 1)
      return refuse("clamp-mss: of a match without protocol = \"tcp\"");
    if (rule_.on_miss) return refuse("clamp-mss: with on-miss");
    if (mss == 65'535) return;
    add_rule(base_, fmt::format("-p tcp --tcp-flags SYN SYN -m tcpmss --mss {}:65535", mss + 1),
             fmt::format("-j TCPMSS --set-mss {}", mss));
  }

  const Rule& rule_;
  const Scope scope_;
  const SteeringPoint& point_;
  const std::string chain_, base_;
  PushedRule::Text text_;
  std::string why_;
};

}  // namespace

RuleWriter iptables_rule_writer(std::string name) {
  return [name = std::move(name)](const RuleSet& set, uint32_t rule, const SteeringPoint& point) {
    return Writer(name, set, rule, point).write();
  };
}

}  // namespace fettle
