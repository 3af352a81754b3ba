#include "workers/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/control_peer.h"
#include "workers/printable.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kLongestAnswer = 256 << 20;  // a million rules are half of it

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// False: not until then.
bool await(int fd, short events, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    pollfd polled{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&polled, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

std::unexpected<Error> late(const ControlFlags& flags) {
  return fail(ErrorCode::kUnavailable,
              fmt::format("{}: no whole answer within {} s; does fettle stand still? (--timeout)",
                          flags.path, flags.seconds));
}

// glibc 2.36 declares its pidfd_open() for C alone.
int open_process(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// To the end of the stream. A connection that was reset ends it, too: the server does so where it
// did not read all that it was sent.
Result<std::string> receive_all(int fd, const ControlFlags& flags, Clock::time_point until) {
  std::string out;
  char buffer[1 << 16];
  while (await(fd, POLLIN, until)) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 || (got < 0 && errno == ECONNRESET)) {
      if (!out.empty()) return out;
      return fail(ErrorCode::kUnavailable,
                  fmt::format("{}: fettle ended, or cut off, before it answered", flags.path));
    }
    if (got < 0) {
      return fail(ErrorCode::kIo, fmt::format("{}: {}", flags.path, std::strerror(errno)));
    }
    out.append(buffer, static_cast<size_t>(got));
    if (out.size() > kLongestAnswer) {
      return fail(ErrorCode::kProtocol,
                  fmt::format("{}: found an answer of more than {} bytes, expected less",
                              flags.path, kLongestAnswer));
    }
  }
  return late(flags);
}

Result<ControlAnswer> ask_on(int fd, ControlCommand command, const ControlFlags& flags,
                             Clock::time_point until) {
  const std::string line = fmt::format("{}\n", control_command_name(command));
  // Fails where the server has answered already, and closed: it may not do what is asked.
  (void)send(fd, line.data(), line.size(), MSG_NOSIGNAL);
  const auto text = receive_all(fd, flags, until);
  if (!text) return std::unexpected(text.error());
  auto answer = parse_control_answer(*text);
  if (answer) return answer;
  return fail(answer.error().code, fmt::format("{}: {}", flags.path, answer.error().message));
}

Result<ControlAnswer> ask(ControlCommand command, const ControlFlags& flags, bool await_end) {
  const auto until = Clock::now() + std::chrono::seconds(flags.seconds);
  const auto connected = connect_control(flags.path, std::chrono::seconds(flags.seconds));
  if (!connected) return std::unexpected(connected.error());
  const File connection(*connected);
  const auto listener = peer_of(connection.fd());
  const File process(await_end && listener && listener->pid > 0 ? open_process(listener->pid) : -1);
  auto answer = ask_on(connection.fd(), command, flags, until);
  if (answer && answer->exit == 0 && process.fd() >= 0 && !await(process.fd(), POLLIN, until)) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: fettle has answered, and process {} has not ended within {} s",
                            flags.path, listener->pid, flags.seconds));
  }
  return answer;
}

}  // namespace

void add_socket_flags(CLI::App& command, ControlFlags* flags) {
  command.add_option("--control", flags->path, "The socket of the fettle run that is meant")
      ->option_text(fmt::format("PATH ({})", kControlPath));
  command.add_option("--timeout", flags->seconds, "Seconds that the answer may take")
      ->option_text(fmt::format("1-3600 ({})", flags->seconds))
      ->check(CLI::Range(1u, 3600u));
}

void add_control_flags(CLI::App& command, ControlFlags* flags) {
  add_socket_flags(command, flags);
  command.add_flag("--json", flags->json, "JSON, for scripts");
}

Result<ControlAnswer> ask(ControlCommand command, const ControlFlags& flags) {
  return ask(command, flags, false);
}

Result<ControlAnswer> ask_status(const ControlFlags& flags) {
  auto answer = ask(ControlCommand::kStatus, flags);
  if (!answer) return answer;
  if (answer->exit != 0) {
    return fail(static_cast<ErrorCode>(answer->exit), printable_lines(answer->message));
  }
  if (!answer->status) {
    return fail(ErrorCode::kProtocol,
                fmt::format("{}: found an answer without \"status\", expected one", flags.path));
  }
  return answer;
}

Result<ControlAnswer> ask_and_await_end(ControlCommand command, const ControlFlags& flags) {
  return ask(command, flags, true);
}

}  // namespace fettle
