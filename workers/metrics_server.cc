#include "workers/metrics_server.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

#include "workers/child_end.h"
#include "workers/http_server.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBetweenChildren{1000};
constexpr milliseconds kBetweenPages{50};
constexpr int kShare = 10;  // of its time that the supervisor makes pages for: one in so many

using Length = uint32_t;  // before each page

}  // namespace

MetricsServer::MetricsServer(Descriptor listening, std::function<std::string()> make,
                             std::function<void()> shed, const Sandbox& sandbox)
    : listening_(std::move(listening)),
      make_(std::move(make)),
      shed_(std::move(shed)),
      sandbox_(sandbox) {}

MetricsServer::~MetricsServer() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void MetricsServer::forget() {
  listening_ = {};
  channel_ = {};
  pid_ = -1;
}

void MetricsServer::start_due(Clock::time_point now) {
  if (pid_ > 0 || now < start_at_) return;
  start_at_ = now + kBetweenChildren;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    spdlog::error("metrics: cannot make a socket pair: {}", std::strerror(errno));
    return;
  }
  channel_ = Descriptor(pair[0]);
  Descriptor other(pair[1]);
  asked_ = false;
  text_.clear();
  sent_ = 0;
  pid_ = fork();
  if (pid_ < 0) spdlog::error("metrics: cannot fork: {}", std::strerror(errno));
  if (pid_ != 0) return;
  channel_ = {};
  shed_();
  prctl(PR_SET_NAME, "fettle-metrics");
  if (auto entered = sandbox_.enter_server(listening_.get(), other.get()); !entered) {
    spdlog::error("metrics: {}", entered.error().message);
    _exit(static_cast<int>(entered.error().code));
  }
  _exit(serve_metrics(listening_.get(), other.get()));
}

void MetricsServer::add_polls(std::vector<pollfd>& out) const {
  const short events = !text_.empty() ? POLLOUT : asked_ ? 0 : POLLIN;
  out.push_back({.fd = channel_.get(), .events = events, .revents = 0});
}

std::optional<MetricsServer::Clock::time_point> MetricsServer::deadline() const {
  if (pid_ <= 0) return start_at_;
  return asked_ && text_.empty() ? std::optional(not_before_) : std::nullopt;
}

void MetricsServer::serve(std::span<const pollfd> polled) {
  if (!polled.empty() && polled[0].revents != 0 && channel_) {
    char asked[64];
    const ssize_t got = asked_ ? 0 : recv(channel_.get(), asked, sizeof asked, 0);
    asked_ |= got > 0;
    // Its end is told by reap(), too; what is closed is not to be polled for meanwhile.
    const bool gone = (polled[0].revents & (POLLHUP | POLLERR)) != 0;
    if (gone && pid_ > 0) kill(pid_, SIGKILL);
    if (gone) channel_ = {};
    if (!gone && !text_.empty()) send_rest();
  }
  const auto now = Clock::now();
  if (channel_ && asked_ && text_.empty() && now >= not_before_) answer(now);
  start_due(now);
}

void MetricsServer::answer(Clock::time_point now) {
  const std::string page = make_();
  const auto length = static_cast<Length>(page.size());
  text_.assign(sizeof length, '\0');
  std::memcpy(text_.data(), &length, sizeof length);
  text_ += page;
  sent_ = 0;
  const auto end = Clock::now();
  not_before_ = end + std::max<Clock::duration>(kBetweenPages, (end - now) * (kShare - 1));
  send_rest();
}

void MetricsServer::send_rest() {
  while (sent_ < text_.size()) {
    const ssize_t sent =
        send(channel_.get(), text_.data() + sent_, text_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) break;  // poll(2) tells of its end
    sent_ += static_cast<size_t>(sent);
  }
  text_ = {};
  asked_ = false;
}

bool MetricsServer::on_exit(pid_t pid, int wait_status) {
  if (pid != pid_) return false;
  pid_ = -1;
  channel_ = {};
  start_at_ = Clock::now() + kBetweenChildren;
  spdlog::error("metrics: process {}, which serves them, {}; another one follows", pid,
                describe_end(pid, wait_status));
  return true;
}

// ---- The child ----

namespace {

// The supervisor's end of the channel: pages, each behind its length.
class Pages {
 public:
  explicit Pages(int channel) : channel_(channel) {}
  void ask() const { (void)send(channel_, "?", 1, MSG_NOSIGNAL); }
  // False: the supervisor is gone. A page that has come whole goes to `take`.
  bool read(const std::function<void(std::string)>& take) {
    char buffer[1 << 16];
    const ssize_t got = recv(channel_, buffer, sizeof buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    received_.append(buffer, static_cast<size_t>(got));
    Length length = 0;
    if (received_.size() < sizeof length) return got > 0;
    std::memcpy(&length, received_.data(), sizeof length);
    if (received_.size() - sizeof length < length) return got > 0;
    take(received_.substr(sizeof length, length));
    received_ = {};
    return got > 0;
  }

 private:
  int channel_;
  std::string received_;
};

}  // namespace

int serve_metrics(int listening, int channel) {
  Pages pages(channel);
  HttpServer server(listening, {}, [&pages] { pages.ask(); });
  std::vector<pollfd> fds;
  for (;;) {
    fds.assign(1, {.fd = channel, .events = POLLIN, .revents = 0});
    server.add_polls(fds);
    int64_t wait = -1;
    if (const auto until = server.deadline()) {
      wait = std::chrono::ceil<milliseconds>(*until - HttpServer::Clock::now()).count();
      wait = std::clamp<int64_t>(wait, 0, 10'000);
    }
    poll(fds.data(), fds.size(), static_cast<int>(wait));
    server.serve(std::span(fds).subspan(1));
    if (fds[0].revents == 0) continue;
    if (!pages.read([&server](std::string page) { server.take(std::move(page)); })) return EX_OK;
  }
}

}  // namespace fettle
