#include "workers/top_answers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace fettle {

using Clock = std::chrono::steady_clock;

// The thread has its share in it: it may outlive the other end.
struct TopAnswers::Shared {
  Shared() : event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    if (event >= 0) close(event);
  }

  void ask_until_stopped(const ControlFlags& flags, std::chrono::milliseconds interval) {
    for (auto next = Clock::now();;) {
      TopAnswer answer = ask_once(flags);
      std::unique_lock lock(mutex);
      latest = std::move(answer);
      const uint64_t one = 1;
      (void)!write(event, &one, sizeof one);
      // An answer that was late is no reason to ask faster afterwards.
      next = std::max(next + interval, Clock::now());
      if (stopped.wait_until(lock, next, [this] { return stop; })) return;
    }
  }

  const int event;
  std::mutex mutex;
  std::condition_variable stopped;
  bool stop = false;
  std::optional<TopAnswer> latest;
};

TopAnswer ask_once(const ControlFlags& flags) {
  auto answer = ask_status(flags);
  const auto at = Clock::now();
  if (!answer) return {.status = std::unexpected(answer.error()), .at = at};
  return {.status = std::move(*answer->status), .at = at};
}

Result<TopAnswers> TopAnswers::start(const ControlFlags& flags,
                                     std::chrono::milliseconds interval) {
  auto shared = std::make_shared<Shared>();
  if (shared->event < 0) {
    return fail(ErrorCode::kOs, fmt::format("top: no eventfd: {}", std::strerror(errno)));
  }
  try {
    std::thread([shared, flags, interval] { shared->ask_until_stopped(flags, interval); }).detach();
  } catch (const std::system_error& error) {
    return fail(ErrorCode::kOs, fmt::format("top: cannot start a thread: {}", error.what()));
  }
  return TopAnswers(std::move(shared));
}

TopAnswers::~TopAnswers() {
  if (!shared_) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->stop = true;
  shared_->stopped.notify_all();
}

int TopAnswers::fd() const { return shared_->event; }

std::optional<TopAnswer> TopAnswers::take() {
  const std::lock_guard lock(shared_->mutex);
  uint64_t count = 0;
  (void)!read(shared_->event, &count, sizeof count);
  return std::exchange(shared_->latest, std::nullopt);
}

}  // namespace fettle
