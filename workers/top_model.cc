#include "workers/top_model.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

namespace fettle {
namespace {

// A count that went backwards began anew, or was read while it changed: how much came since cannot
// be told, and to take all of it for the increase would show a rate that never was.
uint64_t increase_of(uint64_t before, uint64_t now) { return now > before ? now - before : 0; }

QueueCounters increase_of(const QueueCounters& before, const QueueCounters& now) {
  QueueCounters out;
  for (const QueueCounter& counter : queue_counters()) {
    if (counter.value == &QueueCounters::waiting) continue;
    out.*counter.value = increase_of(before.*counter.value, now.*counter.value);
  }
  return out;
}

// The supervisor's own clock says when it counted; what the answer took on its way is not in it.
double seconds_between(const RunStatus& before, const RunStatus& now,
                       std::chrono::duration<double> waited) {
  if (before.pid == now.pid && now.up_ms > before.up_ms) {
    return static_cast<double>(now.up_ms - before.up_ms) / 1000;
  }
  return std::max(waited.count(), 0.001);
}

bool same_names(const std::vector<TopRule>& known, const std::vector<RuleReport>& reported) {
  return std::ranges::equal(known, reported, {}, &TopRule::name, &RuleReport::name);
}

// The rules that are reported, with what is known of those that had the same name.
std::vector<TopRule> renewed(const std::vector<TopRule>& known,
                             const std::vector<RuleReport>& reported) {
  std::unordered_map<std::string_view, const TopRule*> by_name;
  for (const TopRule& rule : known) by_name.try_emplace(rule.name, &rule);
  std::vector<TopRule> out;
  out.reserve(reported.size());
  for (const RuleReport& report : reported) {
    const auto found = by_name.find(report.name);
    TopRule rule;
    if (found != by_name.end()) {
      rule = *found->second;
    } else {
      // It may have counted long before it came here: its first rate is that of the next interval.
      rule = {.name = report.name, .hits = report.hits, .misses = report.misses, .history = {}};
    }
    out.push_back(std::move(rule));
  }
  return out;
}

std::vector<TopLoss> losses_of(const RunStatus& status) {
  std::vector<TopLoss> out;
  for (const QueueCounter& counter : queue_counters()) {
    if (counter.group != CounterGroup::kLoss) continue;
    uint64_t total = 0;
    for (const QueueReport& queue : status.queues) total += queue.counters.*counter.value;
    out.push_back({.place = counter.prose, .total = total});
  }
  const FeedReport feed = status.feed.value_or(FeedReport{});
  out.push_back({.place = "firewall: came to no queue, it was full; at least so many",
                 .total = feed.unqueued});
  out.push_back({.place = "firewall: came while fettle did not run; at least so many",
                 .total = feed.bypassed});
  return out;
}

}  // namespace

void History::add(double value) {
  ring_[next_] = static_cast<float>(value);
  next_ = static_cast<uint8_t>((next_ + 1) % kLength);
  if (size_ < kLength) ++size_;
}

std::optional<double> History::ago(size_t intervals) const {
  if (intervals >= size_) return std::nullopt;
  return ring_[(next_ + kLength - 1 - intervals) % kLength];
}

double History::peak() const {
  return size_ == 0 ? 0 : *std::max_element(ring_.begin(), ring_.begin() + size_);
}

uint64_t lost_packets(const QueueCounters& counters) {
  return counters.queue_full + counters.socket_full + counters.given_up + counters.unreadable +
         counters.left;
}

std::string_view rule_order_name(RuleOrder order) {
  constexpr std::string_view kNames[] = {"hits/s", "hits", "misses", "name"};
  return kNames[static_cast<size_t>(order)];
}

double TopModel::rate(uint64_t increase) const {
  return seconds_ > 0 ? static_cast<double>(increase) / seconds_ : 0;
}

void TopModel::add(RunStatus status, Moment at) {
  seconds_ = status_ ? seconds_between(*status_, status, at - at_) : 0;
  take_queues(status);
  take_losses(status);
  take_rules(status);
  status_ = std::move(status);
  at_ = at;
  silence_.clear();
  rank();
}

void TopModel::add_silence(std::string why) {
  silence_ = std::move(why);
  seconds_ = 0;
  for (TopQueue& queue : queues_) {
    queue.increase = {};
    queue.packets.add(0);
    queue.waiting.add(0);
    queue.lost.add(0);
  }
  for (TopLoss& loss : losses_) loss.increase = 0;
  for (TopRule& rule : rules_) {
    rule.hits_per_second = rule.misses_per_second = 0;
    rule.history.add(0);
  }
}

void TopModel::take_queues(const RunStatus& status) {
  std::vector<TopQueue> next;
  next.reserve(status.queues.size());
  for (const QueueReport& report : status.queues) {
    const auto known = std::ranges::find_if(
        queues_, [&](const TopQueue& queue) { return queue.report.queue == report.queue; });
    TopQueue queue = known == queues_.end() ? TopQueue{} : std::move(*known);
    if (known != queues_.end()) {
      queue.increase = increase_of(queue.report.counters, report.counters);
      queue.packets.add(rate(queue.increase.packets));
      queue.lost.add(rate(lost_packets(queue.increase)));
    }
    queue.waiting.add(static_cast<double>(report.counters.waiting));
    queue.report = report;
    next.push_back(std::move(queue));
  }
  queues_ = std::move(next);
}

void TopModel::take_losses(const RunStatus& status) {
  std::vector<TopLoss> next = losses_of(status);
  if (status_) {
    const std::vector<TopLoss> before = losses_of(*status_);
    for (size_t i = 0; i < next.size(); ++i) {
      next[i].increase = increase_of(before[i].total, next[i].total);
    }
  }
  std::erase_if(next, [](const TopLoss& loss) { return loss.total == 0; });
  std::ranges::stable_sort(next, [](const TopLoss& a, const TopLoss& b) {
    return std::pair(a.increase, a.total) > std::pair(b.increase, b.total);
  });
  losses_ = std::move(next);
}

void TopModel::take_rules(const RunStatus& status) {
  if (!same_names(rules_, status.rules)) {
    std::vector<TopRule> next = renewed(rules_, status.rules);
    const bool any = picked_.has_value();
    const std::string name = picked_name();
    rules_ = std::move(next);
    if (any) pick_named(name);
  }
  for (size_t i = 0; i < rules_.size(); ++i) {
    TopRule& rule = rules_[i];
    const RuleReport& report = status.rules[i];
    rule.hits_per_second = rate(increase_of(rule.hits, report.hits));
    rule.misses_per_second = rate(increase_of(rule.misses, report.misses));
    if (seconds_ > 0) rule.history.add(rule.hits_per_second);
    rule.hits = report.hits;
    rule.misses = report.misses;
  }
}

void TopModel::rank() {
  ranking_.resize(rules_.size());
  std::iota(ranking_.begin(), ranking_.end(), size_t{0});
  const auto most_first = [&](auto member) {
    std::ranges::stable_sort(
        ranking_, [&](size_t a, size_t b) { return rules_[a].*member > rules_[b].*member; });
  };
  switch (order_) {
    case RuleOrder::kRate:
      // Where nothing comes just now, what came before tells the busy ones.
      most_first(&TopRule::hits);
      return most_first(&TopRule::hits_per_second);
    case RuleOrder::kHits:
      return most_first(&TopRule::hits);
    case RuleOrder::kMisses:
      return most_first(&TopRule::misses);
    case RuleOrder::kName:
      std::ranges::stable_sort(ranking_,
                               [&](size_t a, size_t b) { return rules_[a].name < rules_[b].name; });
  }
}

void TopModel::set_order(RuleOrder order) {
  order_ = order;
  rank();
}

void TopModel::next_order() {
  constexpr size_t kOrders = static_cast<size_t>(RuleOrder::kName) + 1;
  set_order(static_cast<RuleOrder>((static_cast<size_t>(order_) + 1) % kOrders));
}

size_t TopModel::picked_rank() const {
  if (!picked_) return 0;
  return static_cast<size_t>(std::ranges::find(ranking_, *picked_) - ranking_.begin());
}

std::string TopModel::picked_name() const { return picked_ ? rules_[*picked_].name : ""; }

void TopModel::pick_named(std::string_view name) {
  const auto same = std::ranges::find(rules_, name, &TopRule::name);
  picked_.reset();
  if (same != rules_.end()) picked_ = static_cast<size_t>(same - rules_.begin());
}

void TopModel::move_pick(ptrdiff_t ranks) {
  if (ranking_.empty()) return;
  const auto last = static_cast<ptrdiff_t>(ranking_.size()) - 1;
  // From none, the first step down leads to the first.
  const ptrdiff_t from = picked_ ? static_cast<ptrdiff_t>(picked_rank()) : -1;
  const ptrdiff_t rank = std::clamp(from + ranks, ptrdiff_t{0}, last);
  picked_ = ranking_[static_cast<size_t>(rank)];
}

}  // namespace fettle
