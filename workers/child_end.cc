#include "workers/child_end.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstring>

#include <fmt/format.h>

namespace fettle {

std::string describe_end(int status) {
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
