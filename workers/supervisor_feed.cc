// What the firewall's rules sent to the queues beside what came (feed.h), as the supervisor keeps,
// tells and leaves it.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "workers/json.h"
#include "workers/supervisor.h"

namespace fettle {
namespace {

constexpr auto kQuiet = std::chrono::seconds(10);  // between two looks, and between two lines

std::string packets(uint64_t number) {
  return fmt::format("{} packet{}", number, number == 1 ? "" : "s");
}

}  // namespace

std::vector<QueueStatus> Supervisor::own_rows() const {
  std::vector<QueueStatus> out;
  for (const QueueStatus& row : read_queue_status()) {
    const bool own = std::ranges::any_of(queues_, [&](const Queue& queue) {
      return queue.settings.queue == row.queue && queue.socket.port_id() == row.port_id;
    });
    if (own) out.push_back(row);
  }
  return out;
}

void Supervisor::begin_feed() {
  const auto adopted = std::ranges::count_if(queues_, &Queue::adopted);
  const auto before = adopted == 0                                     ? FeedWatch::Before::kClosed
                      : static_cast<size_t>(adopted) == queues_.size() ? FeedWatch::Before::kBound
                                                                       : FeedWatch::Before::kMixed;
  const std::vector<QueueStatus> rows = own_rows();
  feed_.begin(control_ ? control_->path() + ".feed" : "", before, rows);
  feed_.ask(rows);
}

void Supervisor::ask_for_feed(Clock::time_point now) {
  if (phase_ != Phase::kRunning || now - feed_asked_ < kQuiet) return;
  feed_asked_ = now;
  feed_.ask(own_rows());
}

void Supervisor::settle_feed() {
  const FeedFound found = feed_.settle(own_rows());
  if (found.bypassed > 0) {
    spdlog::info("{}: at least {} came while fettle did not run, and {}", queue_range(),
                 packets(found.bypassed),
                 feed_.report()->bypass
                     ? "passed unchanged (bypass)"
                     : "were dropped, or passed unchanged where a rule has bypass");
  }
  unqueued_ += found.unqueued;
  answer_statuses();
  const auto now = Clock::now();
  if (unqueued_ == 0 || now - feed_told_ < kQuiet) return;
  feed_told_ = now;
  spdlog::warn(
      "{}: at least {} came to no queue{}; raise --queue-length (now {}) or spread over "
      "more queues",
      queue_range(), packets(std::exchange(unqueued_, 0)),
      queues_.front().settings.fail_open ? ", since it was full, and passed unchanged" : "",
      options_.queue_length);
}

void Supervisor::answer_statuses() {
  if (status_clients_.empty()) return;
  const std::string answer =
      JsonObject().add("exit", EX_OK).add_json("status", status_json(status())).text();
  for (const auto client : std::exchange(status_clients_, {})) control_->answer(client, answer);
}

// Queues that are kept are somebody's to go on with: then nothing has ended.
void Supervisor::end_feed() {
  if (!feed_.report() || keeps_queues_) return;
  queues_.clear();
  feed_.end();
}

}  // namespace fettle
