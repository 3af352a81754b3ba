#include "workers/run_tool.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

// A file in memory: what the program says may be longer than a pipe holds.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fettle-tool", MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (fd_ >= 0) close(fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }

  bool fill(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t put = write(fd_, text.data(), text.size());
      if (put <= 0) return false;
      text.remove_prefix(static_cast<size_t>(put));
    }
    return lseek(fd_, 0, SEEK_SET) == 0;
  }

  std::string text() const {
    const off_t end = lseek(fd_, 0, SEEK_END);
    std::string out(std::min(static_cast<size_t>(std::max<off_t>(end, 0)), kMostToolOutput), '\0');
    size_t have = 0;
    while (have < out.size()) {
      const ssize_t got =
          pread(fd_, out.data() + have, out.size() - have, static_cast<off_t>(have));
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    out.resize(have);
    return out;
  }

 private:
  int fd_;
};

// -1 where it had to be killed, or ended by a signal.
int await_exit(pid_t pid, std::chrono::milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  const int watch = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      kill(pid, SIGKILL);
      ended = waitpid(pid, &status, 0);
      break;
    }
    pollfd wait{.fd = watch, .events = POLLIN, .revents = 0};
    poll(&wait, 1, static_cast<int>(watch >= 0 ? left : std::min<int64_t>(left, 2)));
  }
  if (watch >= 0) close(watch);
  return ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The signals as a program expects them, whatever the caller blocks or ignores.
void reset_signals(posix_spawnattr_t* attributes) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes, &none);
  posix_spawnattr_setsigdefault(attributes, &all);
  posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

int spawn(pid_t* pid, const std::string& path, const std::vector<std::string>& words,
          const MemoryFile& in, const MemoryFile& out, const MemoryFile& err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  char locale[] = "LC_ALL=C";
  char search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {locale, search, nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);
  reset_signals(&attributes);
  const int error =
      posix_spawn(pid, path.c_str(), &actions, &attributes, arguments.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

std::string ToolOutput::complaint() const {
  const std::string first = err.substr(0, err.find('\n'));
  if (!first.empty()) return first;
  return status < 0 ? "it did not end in time" : fmt::format("exit status {}", status);
}

std::optional<std::string> find_tool(std::string_view name) {
  for (const std::string_view folder : {"/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

std::optional<ToolOutput> run_tool(const std::vector<std::string>& words, std::string_view input,
                                   std::chrono::milliseconds patience) {
  const auto path = find_tool(words.front());
  if (!path) return std::nullopt;
  const MemoryFile in;
  const MemoryFile out;
  const MemoryFile err;
  ToolOutput result;
  if (in.fd() < 0 || out.fd() < 0 || err.fd() < 0 || !in.fill(input)) {
    result.err = fmt::format("no memory for what {} says: {}", words.front(), std::strerror(errno));
    return result;
  }
  pid_t pid = -1;
  if (const int error = spawn(&pid, *path, words, in, out, err)) {
    result.err = fmt::format("cannot start {}: {}", *path, std::strerror(error));
    return result;
  }
  result.status = await_exit(pid, patience);
  result.out = out.text();
  result.err = err.text();
  return result;
}

}  // namespace fettle
