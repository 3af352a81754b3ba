#include "rules/check.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>

#include "rules/vocabulary.h"

namespace fettle {
namespace {

bool edits_streams(const Step& step) {
  const auto* translate = std::get_if<TranslateStep>(&step.what);
  return (translate && translate->anywhere) || std::holds_alternative<ReplaceStep>(step.what) ||
         std::holds_alternative<ContentLengthStep>(step.what) ||
         std::holds_alternative<DnsStep>(step.what) || std::holds_alternative<SipStep>(step.what);
}

class RuleChecker {
 public:
  // editor: the first rule of the set that edits TCP streams, if there is one.
  RuleChecker(const Rule& rule, const Rule* editor, std::vector<Diagnostic>* diagnostics)
      : rule_(rule), editor_(editor), scope_(scope_of(rule.match)), diagnostics_(diagnostics) {}

  void check() {
    if (!scope_.ipv4 && !scope_.ipv6) {
      say(Severity::kWarning, rule_.where, "no packet can match: its keys leave no family of IP");
    } else if (std::ranges::find(scope_.protocols, true) == scope_.protocols.end()) {
      say(Severity::kWarning, rule_.where,
          "no packet can match: its keys leave no protocol, since one of them needs another one");
    } else {
      check_steps();
    }
  }

  bool ends_every_packet() const {
    return rule_.match.all_of.empty() && rule_.match.none_of.empty() &&
           std::ranges::any_of(rule_.steps, [](const Step& step) {
             return std::holds_alternative<VerdictStep>(step.what);
           });
  }

 private:
  void check_steps() {
    bool ended = false;
    bool marked = false;
    for (const Step& step : rule_.steps) {
      if (std::exchange(ended, false)) {
        say(Severity::kWarning, step.where,
            "this step is never run: the one before it is a verdict");
      }
      const auto* verdict = std::get_if<VerdictStep>(&step.what);
      ended = verdict != nullptr;
      marked |= std::holds_alternative<MarkStep>(step.what) ||
                std::holds_alternative<BypassStep>(step.what);
      if (verdict && verdict->verdict == Verdict::kRepeat && !marked) {
        say(Severity::kWarning, step.where,
            "\"repeat\" without a mark before it: the packet comes back for ever unless the "
            "firewall can "
            "tell that it was here");
      }
      if (const auto* set = std::get_if<SetStep>(&step.what)) check_set(*set);
      if (std::holds_alternative<BypassStep>(step.what)) check_bypass(step.where);
      check_protocol(step);
      if (const auto* strip = std::get_if<StripStep>(&step.what)) check_strip(*strip, step.where);
      if (const auto* field = std::get_if<LengthFieldStep>(&step.what)) {
        check_place("length-field", field->at, field->size, step.where);
      }
      if (const auto* write = std::get_if<WriteStep>(&step.what)) {
        check_place("write", write->at, write->bytes.size(), step.where);
      }
      if (const auto* translate = std::get_if<TranslateStep>(&step.what)) {
        check_form(*translate, step.where);
      }
      if (const auto* insert = std::get_if<InsertStep>(&step.what)) {
        check_place("insert", insert->at, insert->bytes.size(), step.where);
      }
      if (const auto* removal = std::get_if<DeleteStep>(&step.what)) {
        check_place("delete", removal->at, removal->count, step.where);
      }
    }
  }

  void check_bypass(Location where) {
    if (!editor_ || !scope_.protocols[static_cast<uint8_t>(Protocol::kTcp)]) return;
    say(Severity::kWarning, where,
        fmt::format(
            "bypass: the rule matches TCP, too, whose streams \"{}\" edits; a connection "
            "that is edited must not pass the queue by, expected a match that leaves it out",
            editor_->name));
  }

  void check_protocol(const Step& step) {
    if (std::holds_alternative<ClampMssStep>(step.what)) {
      need({Protocol::kTcp}, "clamp-mss", step.where);
    }
    if (std::holds_alternative<DnsStep>(step.what))
      need({Protocol::kUdp, Protocol::kTcp}, "dns", step.where);
    if (const auto* sip = std::get_if<SipStep>(&step.what)) {
      need({Protocol::kUdp, Protocol::kTcp}, sip->sdp_only ? "sdp" : "sip", step.where);
    }
  }

  void check_strip(const StripStep& strip, Location where) {
    if (strip.what == StripStep::What::kTcpTimestamps) need({Protocol::kTcp}, "strip", where);
    if (strip.what != StripStep::What::kIpOptions || scope_.ipv4) return;
    say(Severity::kError, where,
        "ip-options can never be stripped: the rule matches IPv6 alone, expected a match that "
        "leaves "
        "IPv4");
  }

  void check_place(std::string_view step, uint32_t at, size_t count, Location where) {
    if (at + count <= 65535) return;
    say(Severity::kError, where,
        fmt::format("{}: found {} bytes at {}, expected them to end within 65535, the longest "
                    "packet",
                    step, count, at));
  }

  void check_form(const TranslateStep& translate, Location where) {
    if (translate.form != AddressForm::kComma || scope_.ipv4) return;
    say(Severity::kError, where,
        "translate: found as = \"comma\" in a rule that matches IPv6 alone, expected \"text\": "
        "commas stand in IPv4's addresses only");
  }

  void check_set(const SetStep& set) {
    for (const SetStep::Assignment& part : set.assignments) {
      switch (part.field) {
        case Field::kSrc:
        case Field::kDst:
          if (part.address.family == Family::kIpv4 ? !scope_.ipv4 : !scope_.ipv6) {
            say(Severity::kError, part.where,
                fmt::format(
                    "set: found {}, expected an address of the family that the rule matches",
                    part.address.to_string()));
          }
          break;
        case Field::kSrcPort:
        case Field::kDstPort:
          need({Protocol::kTcp, Protocol::kUdp, Protocol::kUdpLite, Protocol::kSctp}, "a port",
               part.where);
          break;
        case Field::kFlowLabel:
          if (!scope_.ipv6) {
            say(Severity::kError, part.where,
                "flow-label can never be set: the rule matches IPv4 alone, expected a match that "
                "leaves IPv6");
          }
          break;
        case Field::kWindow:
          need({Protocol::kTcp}, "window", part.where);
          break;
        default:
          break;
      }
    }
  }

  void need(std::initializer_list<Protocol> protocols, std::string_view what, Location where) {
    std::string names;
    for (const Protocol protocol : protocols) {
      const auto number = static_cast<uint8_t>(protocol);
      if (scope_.protocols[number]) return;
      names +=
          fmt::format("{}\"{}\"", names.empty() ? "" : ", ", word_of(WordGroup::kProtocol, number));
    }
    say(Severity::kError, where,
        fmt::format("{} can never be set: the rule matches no protocol that has it, "
                    "expected one of {}",
                    what, names));
  }

  void say(Severity severity, Location where, std::string message) {
    diagnostics_->push_back({.severity = severity,
                             .where = where,
                             .width = 1,
                             .message = fmt::format("\"{}\": {}", rule_.name, message)});
  }

  const Rule& rule_;
  const Rule* editor_;
  Scope scope_;
  std::vector<Diagnostic>* diagnostics_;
};

void keep_protocols(Scope* scope, std::initializer_list<Protocol> kept) {
  std::vector<bool> out(256, false);
  for (const Protocol protocol : kept) {
    const auto number = static_cast<uint8_t>(protocol);
    out[number] = scope->protocols[number];
  }
  scope->protocols = out;
}

void narrow_families(Scope* scope, bool ipv4, bool ipv6) {
  scope->ipv4 &= ipv4;
  scope->ipv6 &= ipv6;
}

bool any_family(const Condition& condition, Family family) {
  return std::ranges::any_of(condition.any_of, [&](const Operand& operand) {
    if (const auto* prefix = std::get_if<Prefix>(&operand)) return prefix->address.family == family;
    const auto* named = std::get_if<Family>(&operand);
    return named && *named == family;
  });
}

}  // namespace

bool edits_streams(const Rule& rule) {
  return scope_of(rule.match).protocols[static_cast<uint8_t>(Protocol::kTcp)] &&
         std::ranges::any_of(rule.steps, [](const Step& step) { return edits_streams(step); });
}

Scope scope_of(const Match& match) {
  Scope out;
  for (const Condition& condition : match.all_of) {
    switch (condition.key) {
      case Key::kFamily:
      case Key::kSrc:
      case Key::kDst:
        narrow_families(&out, any_family(condition, Family::kIpv4),
                        any_family(condition, Family::kIpv6));
        break;
      case Key::kProtocol:
        for (uint32_t number = 0; number < 256; ++number) {
          if (std::ranges::none_of(condition.any_of, [&](const Operand& operand) {
                const auto& range = std::get<Range>(operand);
                return number >= range.low && number <= range.high;
              })) {
            out.protocols[number] = false;
          }
        }
        break;
      case Key::kSrcPort:
      case Key::kDstPort:
      case Key::kPort:
        keep_protocols(&out, {Protocol::kTcp, Protocol::kUdp, Protocol::kUdpLite, Protocol::kSctp});
        break;
      case Key::kTcpFlags:
        keep_protocols(&out, {Protocol::kTcp});
        break;
      case Key::kIcmpType:
        keep_protocols(&out, {Protocol::kIcmp, Protocol::kIcmpv6});
        break;
      default:
        break;
    }
  }
  return out;
}

void check_rules(const RuleSet& set, std::vector<Diagnostic>* diagnostics) {
  const auto editor =
      std::ranges::find_if(set.rules, [](const Rule& rule) { return edits_streams(rule); });
  const Rule* end = nullptr;
  for (const Rule& rule : set.rules) {
    RuleChecker checker(rule, editor == set.rules.end() ? nullptr : &*editor, diagnostics);
    if (end) {
      diagnostics->push_back(
          {.severity = Severity::kWarning,
           .where = rule.where,
           .width = 1,
           .message = fmt::format("\"{}\" is never reached: \"{}\" gives every packet its "
                                  "verdict",
                                  rule.name, end->name)});
      end = nullptr;
    }
    checker.check();
    if (checker.ends_every_packet()) end = &rule;
  }
}

}  // namespace fettle
