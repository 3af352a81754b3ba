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
#include <span>

#include <fmt/format.h>

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

bool fill(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(file, text.data(), text.size());
    if (put <= 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return lseek(file, 0, SEEK_SET) == 0;
}

std::string text_of(int file) {
  const off_t end = lseek(file, 0, SEEK_END);
  std::string out(std::min(static_cast<size_t>(std::max<off_t>(end, 0)), kMostToolOutput), '\0');
  size_t have = 0;
  while (have < out.size()) {
    const ssize_t got = pread(file, out.data() + have, out.size() - have, static_cast<off_t>(have));
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  out.resize(have);
  return out;
}

// A wait status; it is killed when patience ends.
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
  return ended == pid ? status : SIGKILL;
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
          std::span<const int> standard) {
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
  for (size_t i = 0; i < standard.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, standard[i], static_cast<int>(i));
  }
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

std::optional<RunningTool> RunningTool::start(const std::vector<std::string>& words,
                                              std::string_view input) {
  const auto path = find_tool(words.front());
  if (!path) return std::nullopt;
  RunningTool tool;
  // What the program says may be longer than a pipe holds.
  for (Descriptor* file : {&tool.in_, &tool.out_, &tool.err_}) {
    *file = Descriptor(memfd_create("fettle-tool", MFD_CLOEXEC));
  }
  if (!tool.in_ || !tool.out_ || !tool.err_ || !fill(tool.in_.get(), input)) {
    tool.failure_ =
        fmt::format("no memory for what {} says: {}", words.front(), std::strerror(errno));
    return tool;
  }
  const int standard[] = {tool.in_.get(), tool.out_.get(), tool.err_.get()};
  if (const int error = spawn(&tool.pid_, *path, words, standard)) {
    tool.pid_ = -1;
    tool.failure_ = fmt::format("cannot start {}: {}", *path, std::strerror(error));
  }
  return tool;
}

ToolOutput RunningTool::finish(int wait_status) const {
  if (pid_ < 0) return {.status = -1, .out = {}, .err = failure_};
  return {.status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
          .out = text_of(out_.get()),
          .err = text_of(err_.get())};
}

std::optional<ToolOutput> run_tool(const std::vector<std::string>& words, std::string_view input,
                                   std::chrono::milliseconds patience) {
  const auto tool = RunningTool::start(words, input);
  if (!tool) return std::nullopt;
  return tool->finish(tool->pid() < 0 ? 0 : await_exit(tool->pid(), patience));
}

}  // namespace fettle
