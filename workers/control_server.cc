#include "workers/control_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "workers/json.h"

namespace fettle {
namespace {

constexpr auto kBreath = std::chrono::milliseconds(500);  // where no descriptor is left

}  // namespace

std::string control_error(const Error& error) {
  return JsonObject()
      .add("exit", static_cast<int>(error.code))
      .add("message", error.message)
      .text();
}

ControlServer::ControlServer(ControlSocket socket, Limits limits, Handler handler)
    : socket_(std::move(socket)), limits_(limits), handler_(std::move(handler)) {
  clients_.reserve(limits_.clients);  // no client moves while it is attended to
}

ControlServer::~ControlServer() {
  for (Client& client : clients_) close_client(client);
}

void ControlServer::add_polls(std::vector<pollfd>& out) const {
  const bool room = clients_.size() < limits_.clients && Clock::now() >= accept_again_;
  out.push_back({.fd = room ? socket_.fd() : -1, .events = POLLIN, .revents = 0});
  for (const Client& client : clients_) {
    const short events = client.state == State::kReading     ? POLLIN
                         : client.state == State::kAnswering ? POLLOUT
                                                             : 0;  // the end alone
    out.push_back({.fd = client.fd, .events = events, .revents = 0});
  }
}

std::optional<ControlServer::Clock::time_point> ControlServer::deadline() const {
  std::optional<Clock::time_point> first;
  for (const Client& client : clients_) {
    if (const auto own = deadline_of(client)) first = std::min(first.value_or(*own), *own);
  }
  if (accept_again_ > Clock::now()) first = std::min(first.value_or(accept_again_), accept_again_);
  return first;
}

std::optional<ControlServer::Clock::time_point> ControlServer::deadline_of(
    const Client& client) const {
  const int part = clients_.size() < limits_.clients ? 1 : 4;
  if (client.state == State::kReading) return client.since + limits_.request / part;
  if (client.state == State::kAnswering) return client.since + limits_.answer / part;
  return std::nullopt;
}

void ControlServer::serve(std::span<const pollfd> polled) {
  for (size_t i = 1; i < polled.size() && i <= clients_.size(); ++i) {
    attend(i - 1, polled[i].revents);
  }
  // Only now: the owner may have been busy with something else for longer than a client's time.
  const auto now = Clock::now();
  for (Client& client : clients_) {
    const auto own = deadline_of(client);
    if (!own || now < *own) continue;
    ++counts_.cut_off;
    close_client(client);
  }
  sweep();
  if (!polled.empty() && polled[0].revents != 0) accept_clients();
}

void ControlServer::attend(size_t place, short events) {
  Client& client = clients_[place];
  if (events == 0) return;
  if (client.state == State::kReading) {
    read_request(place);
  } else if (client.state == State::kAnswering) {
    send_rest(client);
  } else if ((events & (POLLHUP | POLLERR)) != 0) {
    close_client(client);
  }
}

void ControlServer::accept_clients() {
  while (clients_.size() < limits_.clients) {
    const int fd = accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      accept_again_ = Clock::now() + kBreath;
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void ControlServer::admit(int fd) {
  auto peer = peer_of(fd);
  clients_.push_back({.id = ++last_id_,
                      .fd = fd,
                      .state = State::kReading,
                      .peer = {},
                      .since = Clock::now(),
                      .text = {},
                      .sent = 0});
  Client& client = clients_.back();
  if (peer && may_control(*peer, geteuid(), socket_.group())) {
    client.peer = std::move(*peer);
    return;
  }
  ++counts_.refused;
  refuse(client, peer ? Error{ErrorCode::kNoPermission,
                              "control socket: found user " + std::to_string(peer->uid) +
                                  ", expected root, the user that fettle runs as, or a member of "
                                  "group " +
                                  std::to_string(socket_.group())}
                      : peer.error());
}

void ControlServer::read_request(size_t place) {
  Client& client = clients_[place];
  char buffer[kLongestRequest + 2];  // one more than the longest line with its end
  const ssize_t got = recv(client.fd, buffer, sizeof buffer - client.text.size(), 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) close_client(client);
    return;
  }
  client.text.append(buffer, static_cast<size_t>(got));
  const size_t end = client.text.find('\n');
  if (end != std::string::npos || client.text.size() > kLongestRequest) {
    take_line(place, std::string(client.text, 0, end));
  } else if (got == 0 && client.text.empty()) {
    close_client(client);
  } else if (got == 0) {
    take_line(place, std::string(client.text));
  }
}

void ControlServer::take_line(size_t place, std::string_view line) {
  Client& client = clients_[place];
  const auto command = parse_control_request(line);
  if (!command) {
    ++counts_.malformed;
    return refuse(client, command.error());
  }
  ++counts_.requests;
  client.state = State::kWaiting;
  handler_(client.id, *command, client.peer);
}

void ControlServer::refuse(Client& client, const Error& error) {
  start_answer(client, control_error(error));
}

void ControlServer::start_answer(Client& client, std::string text) {
  client.state = State::kAnswering;
  client.since = Clock::now();
  client.text = std::move(text);
  client.text += '\n';
  client.sent = 0;
  send_rest(client);
}

void ControlServer::answer(ClientId id, std::string text) {
  for (Client& client : clients_) {
    if (client.id == id && client.state == State::kWaiting) {
      start_answer(client, std::move(text));
    }
  }
}

void ControlServer::send_rest(Client& client) {
  while (client.sent < client.text.size()) {
    const ssize_t sent = send(client.fd, client.text.data() + client.sent,
                              client.text.size() - client.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return close_client(client);
    client.sent += static_cast<size_t>(sent);
  }
  if (!finishing_) return close_client(client);
  client.state = State::kAnswered;
}

int ControlServer::give_away(ClientId id) {
  for (Client& client : clients_) {
    if (client.id != id || client.state == State::kClosed) continue;
    client.state = State::kClosed;
    return std::exchange(client.fd, -1);
  }
  return -1;
}

void ControlServer::close_client(Client& client) {
  client.state = State::kClosed;
  if (client.fd >= 0) close(std::exchange(client.fd, -1));
}

void ControlServer::sweep() {
  std::erase_if(clients_, [](const Client& client) { return client.state == State::kClosed; });
}

void ControlServer::finish(std::span<const ClientId> clients, const std::string& text,
                           Clock::time_point until) {
  finishing_ = true;
  for (const ClientId client : clients) answer(client, text);
  for (;;) {
    std::vector<pollfd> fds;
    for (Client& client : clients_) {
      if (client.state == State::kAnswering) {
        fds.push_back({.fd = client.fd, .events = POLLOUT, .revents = 0});
      }
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (fds.empty() || left <= 0) return;
    poll(fds.data(), fds.size(), static_cast<int>(left));
    for (Client& client : clients_) {
      if (client.state == State::kAnswering) send_rest(client);
    }
  }
}

void ControlServer::forget() {
  for (Client& client : clients_) close_client(client);
  clients_.clear();
  socket_.forget();
}

}  // namespace fettle
