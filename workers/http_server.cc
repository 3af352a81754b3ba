#include "workers/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "workers/http_request.h"

namespace fettle {
namespace {

constexpr auto kBreath = std::chrono::milliseconds(500);  // where no descriptor is left

}  // namespace

HttpServer::HttpServer(int listening, Limits limits, std::function<void()> ask)
    : listening_(listening), limits_(limits), ask_(std::move(ask)) {
  clients_.reserve(limits_.clients);
}

HttpServer::~HttpServer() {
  for (Client& client : clients_) close_client(client);
}

void HttpServer::add_polls(std::vector<pollfd>& out) const {
  const bool stuck =
      clients_.size() >= limits_.clients && std::ranges::all_of(clients_, [](const Client& client) {
        return client.state == State::kWaiting;
      });
  const bool room = !stuck && Clock::now() >= accept_again_;
  out.push_back({.fd = room ? listening_ : -1, .events = POLLIN, .revents = 0});
  for (const Client& client : clients_) {
    const short events = client.state == State::kReading     ? POLLIN
                         : client.state == State::kAnswering ? POLLOUT
                                                             : 0;  // the end alone
    out.push_back({.fd = client.fd, .events = events, .revents = 0});
  }
}

HttpServer::Clock::time_point HttpServer::deadline_of(const Client& client) const {
  switch (client.state) {
    case State::kReading:
      return client.since + limits_.request;
    case State::kWaiting:
      return client.since + limits_.page;
    default:
      return client.since + limits_.answer;
  }
}

std::optional<HttpServer::Clock::time_point> HttpServer::deadline() const {
  std::optional<Clock::time_point> first;
  for (const Client& client : clients_) {
    first = std::min(first.value_or(deadline_of(client)), deadline_of(client));
  }
  if (accept_again_ > Clock::now()) first = std::min(first.value_or(accept_again_), accept_again_);
  return first;
}

void HttpServer::serve(std::span<const pollfd> polled) {
  const auto now = Clock::now();
  for (size_t i = 1; i < polled.size() && i <= clients_.size(); ++i) {
    attend(clients_[i - 1], polled[i].revents, now);
  }
  end_overdue(now);
  sweep();
  if (!polled.empty() && polled[0].revents != 0) accept_clients(now);
}

void HttpServer::attend(Client& client, short events, Clock::time_point now) {
  if (events == 0) return;
  if (client.state == State::kReading) {
    read_request(client, now);
  } else if (client.state == State::kAnswering) {
    send_rest(client);
  } else if ((events & (POLLHUP | POLLERR)) != 0) {
    close_client(client);
  }
}

void HttpServer::end_overdue(Clock::time_point now) {
  for (Client& client : clients_) {
    if (client.state == State::kClosed || now < deadline_of(client)) continue;
    if (client.state == State::kWaiting) {
      refuse(client, 503, now);
    } else {
      close_client(client);
    }
  }
}

// A turn takes as many as there are places, so that a storm of clients does not keep the rest
// waiting.
void HttpServer::accept_clients(Clock::time_point now) {
  for (size_t taken = 0; taken < limits_.clients; ++taken) {
    if (clients_.size() >= limits_.clients && !make_room()) return;
    const int fd = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      clients_.push_back({.fd = fd, .since = now, .text = {}});
      // What asked at once is served at once, and cannot be pushed out.
      read_request(clients_.back(), now);
      sweep();
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      accept_again_ = now + kBreath;
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

bool HttpServer::make_room() {
  const auto patience = [](const Client& client) {
    return std::pair(client.state != State::kReading, client.since);
  };
  const auto first = std::ranges::min_element(clients_, {}, [&](const Client& client) {
    return std::pair(client.state == State::kWaiting, patience(client));
  });
  if (first == clients_.end() || first->state == State::kWaiting) return false;
  close_client(*first);
  sweep();
  return true;
}

void HttpServer::read_request(Client& client, Clock::time_point now) {
  char buffer[2048];
  const ssize_t got = recv(client.fd, buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_client(client);
  client.text.append(buffer, static_cast<size_t>(got));
  const HttpRequest request = judge_http_request(client.text);
  if (request.status == 0) return;
  client.text = {};
  client.head = request.head;
  if (request.status != 200) return refuse(client, request.status, now);
  if (page_ && now - page_at_ < limits_.fresh) {
    return start_answer(client, client.head ? bare_page_ : page_, now);
  }
  client.state = State::kWaiting;
  client.since = now;
  if (!std::exchange(asked_, true)) ask_();
}

void HttpServer::take(std::string page) {
  const auto now = Clock::now();
  asked_ = false;
  page_ = bare_page_ = nullptr;
  if (!page.empty()) {
    page_ = std::make_shared<const std::string>(http_answer(200, page, false));
    bare_page_ = std::make_shared<const std::string>(http_answer(200, page, true));
    page_at_ = now;
  }
  for (Client& client : clients_) {
    if (client.state != State::kWaiting) continue;
    if (page_) {
      start_answer(client, client.head ? bare_page_ : page_, now);
    } else {
      refuse(client, 503, now);
    }
  }
  sweep();
}

void HttpServer::refuse(Client& client, int status, Clock::time_point now) {
  start_answer(client, std::make_shared<const std::string>(http_answer(status, {}, client.head)),
               now);
}

void HttpServer::start_answer(Client& client, std::shared_ptr<const std::string> answer,
                              Clock::time_point now) {
  client.state = State::kAnswering;
  client.since = now;
  client.answer = std::move(answer);
  client.sent = 0;
  send_rest(client);
}

void HttpServer::send_rest(Client& client) {
  const std::string& text = *client.answer;
  while (client.sent < text.size()) {
    const ssize_t sent =
        send(client.fd, text.data() + client.sent, text.size() - client.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) break;
    client.sent += static_cast<size_t>(sent);
  }
  close_client(client);
}

void HttpServer::close_client(Client& client) {
  client.state = State::kClosed;
  client.answer = nullptr;
  if (client.fd >= 0) close(std::exchange(client.fd, -1));
}

void HttpServer::sweep() {
  std::erase_if(clients_, [](const Client& client) { return client.state == State::kClosed; });
}

}  // namespace fettle
