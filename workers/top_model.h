// What `fettle top` shows, worked out of one RunStatus after the other: rates, what they were like
// in the last minute, losses by place, rules in an order. Pure: the time is passed in.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workers/run_status.h"

namespace fettle {

// The latest values of something, one for each interval.
class History {
 public:
  static constexpr size_t kLength = 60;
  void add(double value);
  // Nothing where there are not so many. 0: the latest.
  std::optional<double> ago(size_t intervals) const;
  double peak() const;

 private:
  std::array<float, kLength> ring_{};
  uint8_t next_ = 0;
  uint8_t size_ = 0;
};

struct TopQueue {
  QueueReport report;
  // Since the sample before. What went backwards, since it began anew meanwhile, has increased by
  // nothing; so has `waiting`, which is no count.
  QueueCounters increase;
  History packets;  // per second
  History waiting;
  History lost;  // per second
};

// Packets of a queue that were lost, or passed without having met the rules.
uint64_t lost_packets(const QueueCounters& counters);

struct TopRule {
  std::string name;  // as it was sent: not to be shown as it is
  uint64_t hits = 0;
  uint64_t misses = 0;
  double hits_per_second = 0;
  double misses_per_second = 0;
  History history;  // hits per second
};

// Of all queues together.
struct TopLoss {
  std::string_view place;
  uint64_t total = 0;
  uint64_t increase = 0;
};

enum class RuleOrder : uint8_t { kRate, kHits, kMisses, kName };
std::string_view rule_order_name(RuleOrder order);

class TopModel {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  void add(RunStatus status, Moment at);
  // An interval without an answer, and why: what was known stays, histories go on with nothing.
  void add_silence(std::string why);

  // Null before the first answer.
  const RunStatus* status() const { return status_ ? &*status_ : nullptr; }
  // Why the last interval had no answer; empty: it had one.
  const std::string& silence() const { return silence_; }
  // Between the two last samples; 0: there is but one, and no rate is known.
  double seconds() const { return seconds_; }
  // A count of the last interval, per second.
  double rate(uint64_t increase) const;

  const std::vector<TopQueue>& queues() const { return queues_; }
  const std::vector<TopLoss>& losses() const { return losses_; }  // the fastest first
  const std::vector<TopRule>& rules() const { return rules_; }    // as in the file
  // Indices of rules(), by order(); among equals as in the file.
  const std::vector<size_t>& ranking() const { return ranking_; }

  RuleOrder order() const { return order_; }
  void set_order(RuleOrder order);
  void next_order();
  // The rule that somebody looks at: an index of rules(). It stays the same one, by its name,
  // through other orders and reloads, as long as it is there.
  std::optional<size_t> picked() const { return picked_; }
  size_t picked_rank() const;       // its place in ranking(); 0 without one
  std::string picked_name() const;  // as it was sent; empty without one
  void pick_none() { picked_.reset(); }
  void pick_named(std::string_view name);  // none where there is no such rule
  // So many ranks down or up (negative), as far as there are rules; from above the first one where
  // none is picked.
  void move_pick(ptrdiff_t ranks);

 private:
  void take_queues(const RunStatus& status);
  void take_losses(const RunStatus& status);
  void take_rules(const RunStatus& status);
  void rank();

  std::optional<RunStatus> status_;
  std::string silence_;
  Moment at_{};
  double seconds_ = 0;
  std::vector<TopQueue> queues_;
  std::vector<TopLoss> losses_;
  std::vector<TopRule> rules_;
  std::vector<size_t> ranking_;
  RuleOrder order_ = RuleOrder::kRate;
  std::optional<size_t> picked_;
};

}  // namespace fettle
