#include "workers/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include <cap-ng.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/landlock.h"
#include "workers/syscall_filter.h"

namespace fettle {
namespace {

// The sanitizers' own memory and system calls are beyond any limit of ours.
#if defined(FETTLE_SANITIZE_ADDRESS) || defined(FETTLE_SANITIZE_THREAD)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What a worker may map beyond what it has: log lines, a thread's stack and arena.
constexpr rlim_t kAllowance = 256 << 20;
constexpr rlim_t kThreadAllowance = 192 << 20;
constexpr rlim_t kServerDescriptors = 512;

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::kOs, fmt::format("sandbox: cannot {}: {}", what, std::strerror(errno)));
}

bool has(unsigned capability) { return capng_have_capability(CAPNG_EFFECTIVE, capability) == 1; }

bool set_limit(__rlimit_resource resource, rlim_t value) {
  const rlimit both{.rlim_cur = value, .rlim_max = value};
  return setrlimit(resource, &both) == 0;
}

Result<void> keep_only(std::vector<int> kept) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
    return failed("open /dev/null");
  }
  std::erase(kept, -1);
  kept.insert(kept.end(), {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
  std::ranges::sort(kept);
  unsigned first = 0;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first && close_range(first, number - 1, 0) != 0)
      return failed("close descriptors");
    first = number + 1;
  }
  if (close_range(first, ~0u, 0) != 0) return failed("close descriptors");
  return {};
}

bool has_one_thread() {
  struct stat tasks {};
  return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
}

// Bytes of address space that are in use; 0 where /proc does not say.
rlim_t mapped_bytes() {
  unsigned long pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%lu", &pages) != 1) pages = 0;
  std::fclose(file);
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Result<Sandbox> Sandbox::prepare(const std::string& user) {
  Sandbox out;
  out.wanted_ = true;
  if (auto chosen = out.choose_user(user); !chosen) return std::unexpected(chosen.error());
  if (auto made = out.make_namespace(); !made) return std::unexpected(made.error());
  out.empties_bounding_set_ = has(CAP_SETPCAP);
  if (!out.empties_bounding_set_)
    out.left_out_.emplace_back("an empty bounding set (no CAP_SETPCAP)");
  out.landlock_ = landlock_version();
  if (out.landlock_ == 0)
    out.left_out_.emplace_back("Landlock (this kernel has it not, or not on)");
  if (auto guard = SocketGuard::create()) {
    out.guard_ = std::move(*guard);
  } else {
    out.left_out_.push_back(fmt::format(
        "the lock on the queues' sockets, so that CAP_NET_ADMIN allows all of netfilter "
        "there ({})",
        guard.error().message));
  }
  out.filters_calls_ = out.limits_memory_ = !kSanitized;
  if (kSanitized)
    out.left_out_.emplace_back("seccomp and the limit of memory (a sanitizer's build)");
  return out;
}

// The supervisor goes on to wake and to end workers, for which it needs CAP_KILL then.
Result<void> Sandbox::choose_user(const std::string& name) {
  const passwd* found = getpwnam(name.empty() ? kOwnUser : name.c_str());
  if (found == nullptr && name.empty()) found = getpwnam(kAnyUser);
  if (found == nullptr) {
    return fail(ErrorCode::kUsage,
                fmt::format("--user: found \"{}\", expected a user of this machine{}",
                            name.empty() ? kAnyUser : name,
                            name.empty() ? ", as its own user fettle is not there" : ""));
  }
  if (found->pw_uid == 0) {
    return fail(
        ErrorCode::kUsage,
        fmt::format("--user: found \"{}\", which is root; expected an unprivileged user, or "
                    "--no-sandbox",
                    name));
  }
  user_ = found->pw_name;
  uid_ = found->pw_uid;
  gid_ = found->pw_gid;
  changes_user_ = has(CAP_SETUID) && has(CAP_SETGID) && has(CAP_KILL);
  if (changes_user_ || (getuid() == uid_ && getgid() == gid_)) return {};
  left_out_.push_back(fmt::format("user {} (no CAP_SETUID, CAP_SETGID and CAP_KILL): it stays {}",
                                  user_, getuid()));
  user_ = fmt::format("{}", getuid());
  return {};
}

// One for all workers: to make one takes a third of a millisecond, which each restart would wait.
Result<void> Sandbox::make_namespace() {
  if (!has(CAP_SYS_ADMIN)) {
    left_out_.emplace_back("an empty network namespace (no CAP_SYS_ADMIN)");
    return {};
  }
  const int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return failed("open /proc/self/ns/net");
  const bool made = unshare(CLONE_NEWNET) == 0;
  const int error = errno;
  if (made) namespace_fd_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const bool back = setns(own, CLONE_NEWNET) == 0;
  close(own);
  if (!back) return failed("come back to the network namespace");
  if (namespace_fd_ < 0) {
    left_out_.push_back(fmt::format("an empty network namespace ({})", std::strerror(error)));
  }
  return {};
}

Result<void> Sandbox::enter(const Belongings& belongings) const {
  if (!wanted_) return {};
  // ThreadSanitizer has one of its own.
  if (!kSanitized && !has_one_thread()) {
    return fail(ErrorCode::kSoftware, "sandbox: entered with several threads");
  }
  tzset();  // the log's times want a file, once
  const rlim_t mapped = mapped_bytes();
  std::vector<int> kept = belongings.others;
  kept.insert(kept.end(),
              {belongings.queue_fd, belongings.status_fd, belongings.start_fd, guard_.fd()});
  if (auto left = leave_for_good(std::move(kept), true); !left) return left;
  if (auto limited = limit(belongings); !limited) return limited;
  const rlim_t threads = belongings.threads;
  if (limits_memory_ && mapped > 0 &&
      !set_limit(RLIMIT_AS, mapped + kAllowance + threads * kThreadAllowance)) {
    return failed("limit its memory");
  }
  if (!filters_calls_) return {};
  return enter_syscall_filter({.queue_fd = belongings.queue_fd,
                               .status_fd = belongings.status_fd,
                               .start_fd = belongings.start_fd,
                               .threads = belongings.threads > 1});
}

Result<void> Sandbox::enter_server(int listening, int channel) const {
  if (!wanted_) return keep_only({listening, channel});
  if (!has_one_thread()) return fail(ErrorCode::kSoftware, "sandbox: entered with several threads");
  tzset();
  const rlim_t mapped = mapped_bytes();
  if (auto left = leave_for_good({listening, channel}, false); !left) return left;
  if (!set_limit(RLIMIT_CORE, 0) || !set_limit(RLIMIT_NOFILE, kServerDescriptors) ||
      !set_limit(RLIMIT_NPROC, 0)) {
    return failed("limit core dumps, descriptors and processes");
  }
  if (limits_memory_ && mapped > 0 && !set_limit(RLIMIT_AS, mapped + kAllowance)) {
    return failed("limit its memory");
  }
  return filters_calls_ ? enter_server_syscall_filter(listening) : Result<void>{};
}

// But for limits and system calls, all of it.
Result<void> Sandbox::leave_for_good(std::vector<int> kept, bool with_capability) const {
  if (namespace_fd_ >= 0 && setns(namespace_fd_, CLONE_NEWNET) != 0) {
    return failed("enter the empty network namespace");
  }
  if (auto only = keep_only(std::move(kept)); !only) return only;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("give up new privileges");
  if (landlock_ > 0) {
    if (auto entered = enter_landlock(landlock_); !entered) return entered;
  }
  return drop_privileges(with_capability);
}

Result<void> Sandbox::lock(int queue_fd, uint16_t queue) const {
  return guard_.fd() < 0 ? Result<void>{} : guard_.lock(queue_fd, queue);
}

Result<void> Sandbox::drop_privileges(bool with_capability) const {
  capng_clear(CAPNG_SELECT_ALL);
  if (with_capability) {
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                 CAP_NET_ADMIN);
  }
  int done = 0;
  if (changes_user_) {
    const int flags = CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_AMBIENT |
                      (empties_bounding_set_ ? CAPNG_CLEAR_BOUNDING : 0);
    done = capng_change_id(static_cast<int>(uid_), static_cast<int>(gid_),
                           static_cast<capng_flags_t>(flags));
  } else {
    if (empties_bounding_set_) done = capng_apply(CAPNG_SELECT_BOUNDS);
    if (done == 0) done = capng_apply(CAPNG_SELECT_CAPS);
    if (done == 0) done = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  }
  if (done != 0) {
    return fail(ErrorCode::kOs,
                fmt::format("sandbox: cannot become user {} with {}: {} (libcap-ng: {})", user_,
                            with_capability ? "CAP_NET_ADMIN alone" : "no capability",
                            std::strerror(errno), done));
  }
  // Root, which may trace what is not its own, can still take the queue's socket over.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("forbid core dumps");
  return {};
}

// A descriptor's number is below the limit, and 0 is taken. poll() wants a limit of as many as it
// looks at.
Result<void> Sandbox::limit(const Belongings& belongings) const {
  if (!set_limit(RLIMIT_CORE, 0) || !set_limit(RLIMIT_NOFILE, 1)) {
    return failed("limit core dumps and descriptors");
  }
  // Counts all processes of the user, so that only none can be had.
  if (belongings.threads == 1 && !set_limit(RLIMIT_NPROC, 0)) return failed("forbid new processes");
  return {};
}

std::string Sandbox::described() const {
  std::vector<std::string> parts{fmt::format("user {}", user_), "capability CAP_NET_ADMIN alone",
                                 "no new privileges"};
  if (namespace_fd_ >= 0) parts.emplace_back("empty network namespace");
  if (landlock_ > 0) parts.push_back(fmt::format("Landlock {}", landlock_));
  if (guard_.fd() >= 0) parts.emplace_back("queue's socket locked");
  if (limits_memory_) parts.emplace_back("limit of memory");
  if (filters_calls_) parts.emplace_back("seccomp");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string Sandbox::left_out() const { return fmt::format("{}", fmt::join(left_out_, "; ")); }

}  // namespace fettle
