#include "rules/steering.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "rules/check.h"
#include "rules/steering_match.h"
#include "rules/vocabulary.h"

namespace fettle {
namespace {

using Hooks = uint8_t;  // bit: Hook
constexpr uint32_t kHooks = 5;
constexpr Hooks kAllHooks = (1u << kHooks) - 1;
constexpr Hooks bit(Hook hook) { return static_cast<Hooks>(1u << static_cast<uint32_t>(hook)); }

// Those that a rule's match allows; `named`: it says so itself.
Hooks hooks_of(const Match& match, bool* named) {
  Hooks out = kAllHooks;
  for (const Condition& condition : match.all_of) {
    if (condition.key != Key::kHook) continue;
    Hooks these = 0;
    for (const Operand& operand : condition.any_of) {
      const auto& range = std::get<Range>(operand);
      for (uint32_t h = range.low; h <= range.high && h < kHooks; ++h)
        these |= bit(Hook{static_cast<uint8_t>(h)});
    }
    out &= these;
    *named = true;
  }
  return out;
}

// ---- What steps do ----------------------------------------------------------------------------

bool does_something(const Step& step) {
  const auto* verdict = std::get_if<VerdictStep>(&step.what);
  return !verdict || verdict->verdict != Verdict::kAccept;
}

bool keeps_flow(const Step& step) {
  return std::holds_alternative<DelayStep>(step.what) ||
         std::holds_alternative<ReorderStep>(step.what) ||
         std::holds_alternative<RateStep>(step.what);
}

// Bytes of the IP header that a step writes.
struct Written {
  bool source = false, destination = false;
};

void add_bytes(Origin from, uint32_t at, size_t size, Written* out) {
  if (from != Origin::kNetwork) return;
  const auto meets = [&](uint32_t first, uint32_t end) { return at < end && at + size > first; };
  out->source |= meets(12, 16) || meets(8, 24);
  out->destination |= meets(16, 20) || meets(24, 40);
}

// IPv4's and IPv6's addresses lie over each other: of an address in its place one is meant.
void add_translation(const TranslateStep& step, Written* out) {
  if (step.anywhere || step.from != Origin::kNetwork) return;
  if (step.at == 12 || step.at == 8) {
    out->source = true;
  } else if (step.at == 16 || step.at == 24) {
    out->destination = true;
  } else {
    add_bytes(step.from, step.at, 4, out);
  }
}

Written written_by(const Rule& rule) {
  Written out;
  for (const Step& step : rule.steps) {
    if (const auto* set = std::get_if<SetStep>(&step.what)) {
      for (const SetStep::Assignment& part : set->assignments) {
        out.source |= part.field == Field::kSrc;
        out.destination |= part.field == Field::kDst;
      }
    }
    if (const auto* translate = std::get_if<TranslateStep>(&step.what))
      add_translation(*translate, &out);
    if (const auto* write = std::get_if<WriteStep>(&step.what))
      add_bytes(write->from, write->at, write->bytes.size(), &out);
  }
  return out;
}

// ---- The plan ---------------------------------------------------------------------------------

class Planner {
 public:
  Planner(const RuleSet& set, const SteeringWish& wish) : set_(set), wish_(wish) {}

  Result<SteeringPlan> plan() {
    plan_.bypass_mark = set_.defaults.bypass_mark;
    plan_.drops_unseen = set_.defaults.overload == Verdict::kDrop;
    for (const Rule& rule : set_.rules) look_at(rule);
    if (const auto error = choose_place()) return fail(ErrorCode::kData, *error);
    plan_.points.reserve(2 * kHooks);
    if (wish_.push_down) push_down();
    for (uint32_t i = 0; i < set_.rules.size(); ++i)
      if (!is_pushed(i)) place(set_.rules[i]);
    place_everything();
    if (wish_.push_down) drop_empty_points();
    for (SteeringPoint& point : plan_.points) {
      merge(&point.filters);
      add_unwalked(&point.filters);
      // Of two that match, the first one says whether the packet may pass unread.
      std::ranges::stable_partition(point.filters, std::identity(), &SteeringFilter::must_change);
    }
    warn();
    return std::move(plan_);
  }

 private:
  static bool matters(const Rule& rule) { return std::ranges::any_of(rule.steps, does_something); }

  void look_at(const Rule& rule) {
    if (!matters(rule)) {
      plan_.idle.push_back(rule.name);
      return;
    }
    plan_.streams |= edits_streams(rule);
    plan_.keeps_flow |= std::ranges::any_of(rule.steps, keeps_flow);
    bool named = false;
    hooks_of(rule.match, &named);
    if (named) return;
    unplaced_ = true;
    const Written written = written_by(rule);
    if (written.source && !source_) source_ = &rule;
    if (written.destination && !destination_) destination_ = &rule;
  }

  // Of the rules that name no hook. A packet that met two hooks would be changed twice.
  std::optional<std::string> choose_place() {
    if (wish_.hook || !wish_.around.empty()) {
      place_ = wish_.hook.value_or(Hook::kForward);
      return std::nullopt;
    }
    if (source_ && destination_) {
      return fmt::format(
          "\"{}\" changes destination addresses, which has to be before routing, and \"{}\" "
          "changes sources, "
          "which has to be behind it, and each packet is to meet the rules once: expected hook = "
          "\"prerouting\" in the match of the one and hook = \"postrouting\" in that of the other "
          "(or --hook "
          "for all)",
          destination_->name, source_->name);
    }
    if (destination_) place_ = Hook::kPrerouting;
    if (source_) place_ = Hook::kPostrouting;
    return std::nullopt;
  }

  SteeringPoint& point(Hook hook, bool early, const std::string& device = "") {
    const auto found = std::ranges::find_if(plan_.points, [&](const SteeringPoint& at) {
      return at.hook == hook && at.early == early && at.device == device;
    });
    if (found != plan_.points.end()) return *found;
    plan_.points.push_back({hook, early, device, {}, {}});
    return plan_.points.back();
  }

  std::vector<SteeringPoint*> points_of(const Rule& rule) {
    bool named = false;
    const Hooks hooks = hooks_of(rule.match, &named);
    if (!named && !wish_.around.empty()) {
      point(Hook::kPrerouting, true, wish_.around);
      point(Hook::kPostrouting, false, wish_.around);
      return {&point(Hook::kPrerouting, true, wish_.around),
              &point(Hook::kPostrouting, false, wish_.around)};
    }
    std::vector<SteeringPoint*> out;
    for (uint8_t h = 0; h < kHooks; ++h) {
      const Hook hook{h};
      if (named ? (hooks & bit(hook)) != 0 : hook == place_)
        out.push_back(&point(hook, hook == Hook::kPrerouting));
    }
    return out;
  }

  bool is_pushed(uint32_t rule) const {
    return rule < plan_.hindrances.size() && plan_.hindrances[rule].empty();
  }

  // Verdicts count here, too: one that lets a packet pass keeps it from the rules behind.
  void push_down() {
    const PushOrder order(set_);
    std::vector<uint32_t> queued;
    for (uint32_t i = 0; i < set_.rules.size(); ++i) {
      Texts written;
      std::string hindrance = write(i, &written);
      if (hindrance.empty()) hindrance = conflict(order, queued, i);
      if (!hindrance.empty()) queued.push_back(i);
      if (hindrance.empty())
        for (auto& [at, text] : written) at->pushed.push_back(std::move(text));
      plan_.hindrances.push_back(std::move(hindrance));
    }
  }

  using Texts = std::vector<std::pair<SteeringPoint*, PushedRule>>;
  std::string write(uint32_t rule, Texts* out) {
    for (SteeringPoint* at : points_of(set_.rules[rule])) {
      auto text = wish_.push_down(set_, rule, *at);
      if (!text) return std::move(text.error());
      out->emplace_back(at, std::move(*text));
    }
    return "";
  }

  // `queued`: the rules before it that are not pushed.
  std::string conflict(const PushOrder& order, const std::vector<uint32_t>& queued,
                       uint32_t rule) const {
    constexpr size_t kMostQueued = 1000;
    if (set_.defaults.malformed == Verdict::kDrop)
      return "[defaults] malformed = \"drop\": fettle looks at each packet";
    if (queued.size() > kMostQueued)
      return fmt::format("more than {} rules before it stay with the queue", kMostQueued);
    for (const uint32_t before : queued) {
      std::string out = order.conflict(before, rule);
      if (!out.empty()) return out;
    }
    return "";
  }

  void place(const Rule& rule) {
    if (!matters(rule)) return;
    for (SteeringPoint* at : points_of(rule)) {
      std::vector<SteeringFilter>& out = at->filters;
      const bool streams = edits_streams(rule);
      if (!streams || !is_tcp_alone(rule.match)) add(loosened(rule.match, at->hook), rule, &out);
      if (!streams) continue;
      const auto stream = stream_match(rule.match);
      if (!stream) continue;
      add(stream, rule, &out);
      add(mirrored(*stream), rule, &out);
    }
  }

  static void add(std::optional<Match> match, const Rule& rule, std::vector<SteeringFilter>* out) {
    if (match) out->push_back({std::move(*match), {rule.name}, rule.must_change});
  }

  // Where a packet that no rule matches is dropped, or one that is malformed, all of them have to
  // come.
  void place_everything() {
    const bool all = set_.defaults.verdict == Verdict::kDrop;
    if (!all && set_.defaults.malformed != Verdict::kDrop) return;
    const std::string_view word = all ? "verdict" : "malformed";
    plan_.notes.push_back(fmt::format(
        "[defaults] {} = \"drop\": every packet is queued, since no firewall's rule can "
        "tell which ones that drops",
        word));
    if (plan_.points.empty()) point(place_, place_ == Hook::kPrerouting);
    for (SteeringPoint& at : plan_.points)
      at.filters = {{{}, {fmt::format("[defaults] {}", word)}, false}};
  }

  // Made for a rule that was not written after all, or does nothing.
  void drop_empty_points() {
    std::erase_if(plan_.points,
                  [](const SteeringPoint& at) { return at.filters.empty() && at.pushed.empty(); });
  }

  void warn() {
    if (plan_.streams && wish_.around.empty() && unplaced_) {
      plan_.notes.push_back(
          "rules edit TCP streams: where the kernel tracks connections, --around DEVICE queues "
          "around that, or "
          "net.netfilter.nf_conntrack_tcp_be_liberal has to be 1");
    }
    if (unplaced_ && plan_.points.size() > 1 && wish_.around.empty()) {
      plan_.notes.push_back(
          "some rules name a hook and others none: a packet that passes two of these points meets "
          "the latter twice");
    }
  }

  const RuleSet& set_;
  const SteeringWish& wish_;
  SteeringPlan plan_;
  Hook place_ = Hook::kForward;
  bool unplaced_ = false;
  const Rule* source_ = nullptr;
  const Rule* destination_ = nullptr;
};

}  // namespace

Result<SteeringPlan> plan_steering(const RuleSet& set, const SteeringWish& wish) {
  return Planner(set, wish).plan();
}

RuleSet without_pushed(RuleSet set, const SteeringPlan& plan) {
  std::vector<Rule> rest;
  for (size_t i = 0; i < set.rules.size(); ++i)
    if (i >= plan.hindrances.size() || !plan.hindrances[i].empty())
      rest.push_back(std::move(set.rules[i]));
  set.rules = std::move(rest);
  return set;
}

std::string_view hook_name(Hook hook) { return word_of(WordGroup::kHook, static_cast<int>(hook)); }

}  // namespace fettle
