#include "workers/child_end.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstring>

#include <fmt/format.h>

#include "workers/syscall_filter.h"

namespace fettle {

std::string describe_end(pid_t pid, int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    const auto call = forbidden_call(pid);
    return fmt::format(
        "tried a system call that the sandbox forbids ({}) and was killed: it is under attack, or "
        "fettle has an error",
        call ? *call : "which one is in the kernel's log or auditd's, type=1326");
  }
  if (WIFSIGNALED(status)) {
    return fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  }
  return fmt::format("exited with status {}", WEXITSTATUS(status));
}

bool is_fault(int status) {
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status) != 0;
  switch (WTERMSIG(status)) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGSYS:
    case SIGTRAP:
      return true;
    default:
      return false;
  }
}

}  // namespace fettle
