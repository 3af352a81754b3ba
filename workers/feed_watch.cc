#include "workers/feed_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr std::chrono::seconds kPatience{3};  // with each tool
constexpr std::chrono::seconds kFresh{1};

std::optional<FeedRecord> read_record(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return parse_feed_record(text.str());
}

}  // namespace

FeedWatch::FeedWatch(uint16_t first_queue, uint16_t last_queue)
    : first_queue_(first_queue), last_queue_(last_queue) {}

FeedWatch::~FeedWatch() { stop_tool(); }

void FeedWatch::begin(std::string path, Before before, std::span<const QueueStatus> queues) {
  path_ = std::move(path);
  const auto record = path_.empty() ? std::nullopt : read_record(path_);
  const bool bound = before == Before::kBound;
  const bool known = record && before != Before::kMixed && record->ended != bound &&
                     record->queues == fmt::format("{}:{}", first_queue_, last_queue_) &&
                     (!bound || std::ranges::all_of(queues, [&](const QueueStatus& row) {
                       return record->intake.contains(row.queue);
                     }));
  for (const QueueStatus& row : queues) {
    const QueueIntake now(row.id_sequence, static_cast<uint32_t>(row.queue_dropped));
    intake_[row.queue] = !known ? now : bound ? record->intake.at(row.queue) : QueueIntake();
  }
  if (known) account_ = FeedAccount(record->rules, record->figures, bound);
}

bool FeedWatch::is_fresh(Clock::time_point now) const {
  return settled_ && now - *settled_ < kFresh;
}

void FeedWatch::ask(std::span<const QueueStatus> queues) {
  if (tool_ || read_) return;
  look(queues);
  begin_reading();
  start_next();
}

void FeedWatch::begin_reading() {
  before_ = taken_;
  sources_ = firewall_sources();
  firewall_ = {};
  error_.clear();
}

void FeedWatch::stop_tool() {
  if (tool_ && tool_->pid() >= 0) {
    kill(tool_->pid(), SIGKILL);
    waitpid(tool_->pid(), nullptr, 0);
  }
  tool_.reset();
}

void FeedWatch::start_next() {
  tool_.reset();
  while (!sources_.empty()) {
    tool_ = RunningTool::start(sources_.front().words);
    if (tool_ && tool_->pid() >= 0) {
      overdue_ = Clock::now() + kPatience;
      return;
    }
    take(tool_ ? tool_->finish(0) : ToolOutput{});
    tool_.reset();
  }
  read_ = true;
}

void FeedWatch::take(const ToolOutput& said) {
  auto read = read_firewall(sources_.front(), said, "", &firewall_);
  if (!read) error_ = read.error().message;
  sources_.erase(sources_.begin());
}

bool FeedWatch::on_exit(pid_t pid, int wait_status) {
  if (!tool_ || tool_->pid() != pid) return false;
  take(tool_->finish(wait_status));
  start_next();
  return true;
}

std::optional<FeedWatch::Clock::time_point> FeedWatch::deadline() const {
  return tool_ ? std::optional(overdue_) : std::nullopt;
}

void FeedWatch::kill_overdue(Clock::time_point now) {
  if (!tool_ || now < overdue_) return;
  kill(tool_->pid(), SIGKILL);
  overdue_ = now + kPatience;
}

void FeedWatch::look(std::span<const QueueStatus> queues) {
  for (const QueueStatus& row : queues) {
    const auto known = intake_.find(row.queue);
    if (known != intake_.end()) taken_ += known->second.look(row);
  }
}

FeedFound FeedWatch::settle(std::span<const QueueStatus> queues) {
  read_ = false;
  settled_ = Clock::now();
  last_error_ = error_;
  look(queues);
  // Half of the rules would look as if the others had gone.
  if (!error_.empty()) return {};
  const uint64_t taken = std::exchange(taken_, 0);
  const FeedFound found =
      account_.look(feed_of(firewall_, first_queue_, last_queue_), taken, taken - before_);
  write_record(account_.last(), false);
  return found;
}

void FeedWatch::end() {
  stop_tool();
  begin_reading();
  while (!sources_.empty()) {
    take(run_tool(sources_.front().words, {}, kPatience).value_or(ToolOutput{}));
  }
  if (error_.empty()) write_record(feed_of(firewall_, first_queue_, last_queue_), true);
}

void FeedWatch::write_record(const Feed& feed, bool ended) const {
  if (path_.empty()) return;
  const std::string text = to_json({.queues = fmt::format("{}:{}", first_queue_, last_queue_),
                                    .ended = ended,
                                    .figures = account_.figures(),
                                    .rules = feed.rules,
                                    .intake = intake_}) +
                           '\n';
  const std::string next = path_ + ".new";
  const Descriptor file(
      open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const auto written = write(file.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) rename(next.c_str(), path_.c_str());
}

std::optional<FeedReport> FeedWatch::report() const {
  if (!settled_) return std::nullopt;
  const Feed& feed = account_.last();
  const auto age = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - *settled_);
  return FeedReport{.rules = static_cast<uint32_t>(feed.rules.size()),
                    .uncounted = feed.uncounted,
                    .beyond = feed.beyond,
                    .bypass = feed.bypass,
                    .sent = account_.figures().sent,
                    .unqueued = account_.figures().unqueued,
                    .bypassed = account_.figures().bypassed,
                    .age_ms = static_cast<uint64_t>(age.count()),
                    .error = last_error_};
}

}  // namespace fettle
