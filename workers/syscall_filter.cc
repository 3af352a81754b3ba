#include "workers/syscall_filter.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>

#include <fmt/format.h>

#ifdef __clang__  // libseccomp's macros are C
#pragma clang diagnostic ignored "-Wc99-extensions"
#pragma clang diagnostic ignored "-Wmissing-field-initializers"
#endif

namespace fettle {
namespace {

// The packet loop's, whatever their arguments; writev is sendmsg without an address
// (core/nfqueue.h).
constexpr int kPacketLoop[] = {SCMP_SYS(recvmmsg), SCMP_SYS(writev)};

// Whatever their arguments. They move what descriptors the process has, its memory and its time.
constexpr int kAlways[] = {
    SCMP_SYS(recvfrom), SCMP_SYS(ppoll), SCMP_SYS(poll),
    // the log, capture files, the eventfd
    SCMP_SYS(write), SCMP_SYS(close),
    // memory; what is mapped is looked at below
    SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(brk),
    // time, where the kernel has no clock that can be read without a call
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    // signals of its own, waits, the end
    SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction), SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(getrandom),
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group)};

// What a thread does as it begins, and oneTBB to place it.
constexpr int kWithThreads[] = {SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
                                SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity)};

// pthread_create's (glibc, sysdeps/unix/sysv/linux/createthread.c): a thread and no process.
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM |
                                  CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |
                                  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

constexpr int kLooks = 6;  // into the kernel's log
constexpr useconds_t kBetweenLooks = 10'000;

constexpr uint64_t kInt = 0xffffffff;  // what the kernel looks at of an argument that is an int

scmp_arg_cmp is(unsigned argument, int value) {
  return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, kInt, static_cast<uint32_t>(value));
}
scmp_arg_cmp has_not(unsigned argument, uint64_t bits) {
  return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, bits, 0);
}

using Filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

// Errors are collected: the first one stays.
class Rules {
 public:
  explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}
  void set(scmp_filter_attr attribute, uint32_t value) {
    note(seccomp_attr_set(filter_, attribute, value));
  }
  void allow(int call, std::initializer_list<scmp_arg_cmp> arguments = {}) {
    note(seccomp_rule_add_array(filter_, SCMP_ACT_ALLOW, call,
                                static_cast<unsigned>(arguments.size()), arguments.begin()));
  }
  void refuse(int call, int error) {
    note(seccomp_rule_add(filter_, SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), call, 0));
  }
  void note(int result) {
    if (error_ == 0 && result != 0) error_ = -result;
  }
  int error() const { return error_; }

 private:
  scmp_filter_ctx filter_;
  int error_ = 0;
};

void allow_by_arguments(Rules& rules, const AllowedCalls& allowed) {
  rules.allow(SCMP_SYS(read), {is(0, allowed.start_fd)});
  rules.allow(SCMP_SYS(pread64), {is(0, allowed.status_fd)});
  // Without an address: the kernel, and no other program's netlink socket.
  rules.allow(SCMP_SYS(sendto), {is(0, allowed.queue_fd), SCMP_CMP64(4, SCMP_CMP_EQ, 0)});
  rules.allow(SCMP_SYS(getsockopt),
              {is(0, allowed.queue_fd), is(1, SOL_SOCKET), is(2, SO_MEMINFO)});
  for (const int request : {SIOCGIFNAME, SIOCGIFMTU}) {
    rules.allow(SCMP_SYS(ioctl), {is(0, allowed.queue_fd), is(1, request)});
  }
}

void allow_memory_and_abort(Rules& rules) {
  // Memory of no file, not to be executed.
  rules.allow(SCMP_SYS(mmap), {has_not(2, PROT_EXEC), is(4, -1)});
  rules.allow(SCMP_SYS(mprotect), {has_not(2, PROT_EXEC)});
  rules.allow(SCMP_SYS(tgkill), {is(0, getpid()), is(2, SIGABRT)});  // abort()
}

void allow_threads(Rules& rules) {
  for (const int call : kWithThreads) rules.allow(call);
  rules.allow(SCMP_SYS(clone), {SCMP_CMP64(0, SCMP_CMP_EQ, kThreadFlags)});
  // Its flags lie in memory, where a filter cannot look; the C library then takes clone.
  rules.refuse(SCMP_SYS(clone3), ENOSYS);
  // The size of a stack; no limit is set with it.
  rules.allow(SCMP_SYS(prlimit64), {is(0, 0), SCMP_CMP64(2, SCMP_CMP_EQ, 0)});
}

// What every process may, and what `add` adds.
Result<void> enter_filter(const std::function<void(Rules&)>& add) {
  const Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release);
  if (!filter) return fail(ErrorCode::kOs, "seccomp: cannot make a filter");
  Rules rules(filter.get());
  rules.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // Before Linux 5.16 a filter slows every load down (speculative store bypass), to keep secrets of
  // one program from another part of it. A worker has no such parts.
  rules.set(SCMP_FLTATR_CTL_SSB, 1);
  for (const int call : kAlways) rules.allow(call);
  allow_memory_and_abort(rules);
  add(rules);
  if (rules.error() == 0) rules.note(seccomp_load(filter.get()));
  if (rules.error() == 0) return {};
  return fail(ErrorCode::kOs, fmt::format("seccomp: cannot put the filter in force: {}",
                                          std::strerror(rules.error())));
}

std::optional<long> number_behind(std::string_view record, std::string_view key) {
  const size_t at = record.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const char* begin = record.data() + at + key.size();
  long value = 0;
  if (std::from_chars(begin, record.data() + record.size(), value).ec != std::errc{}) {
    return std::nullopt;
  }
  return value;
}

std::string kernel_log() {
  std::string out;
  const int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return out;
  char record[8192];  // a read brings one
  for (;;) {
    const ssize_t got = read(fd, record, sizeof record);
    if (got < 0 && errno == EPIPE) continue;  // overwritten meanwhile; goes on with the next
    if (got <= 0) break;
    out.append(record, static_cast<size_t>(got));
  }
  close(fd);
  return out;
}

}  // namespace

Result<void> enter_syscall_filter(const AllowedCalls& allowed) {
  return enter_filter([&allowed](Rules& rules) {
    for (const int call : kPacketLoop) rules.allow(call);
    allow_by_arguments(rules, allowed);
    if (allowed.threads) allow_threads(rules);
  });
}

Result<void> enter_server_syscall_filter(int listening) {
  return enter_filter([listening](Rules& rules) {
    rules.allow(SCMP_SYS(accept4), {is(0, listening)});
    rules.allow(SCMP_SYS(sendto), {SCMP_CMP64(4, SCMP_CMP_EQ, 0)});  // without an address
  });
}

std::optional<std::string> forbidden_call(pid_t pid) {
  // The kernel writes it from a thread of its own.
  for (int attempt = 0; attempt < kLooks; ++attempt) {
    if (attempt > 0) usleep(kBetweenLooks);
    const std::string records = kernel_log();
    if (records.empty()) return std::nullopt;
    if (auto call = forbidden_call(records, pid)) return call;
  }
  return std::nullopt;
}

std::optional<std::string> forbidden_call(std::string_view records, pid_t pid) {
  std::optional<std::string> out;
  while (!records.empty()) {
    const size_t end = std::min(records.find('\n'), records.size() - 1);
    const std::string_view record = records.substr(0, end + 1);
    records.remove_prefix(end + 1);
    if (record.find("type=1326 ") == std::string_view::npos) continue;
    if (number_behind(record, " pid=") != pid) continue;
    const auto call = number_behind(record, " syscall=");
    if (!call) continue;
    const std::unique_ptr<char, void (*)(void*)> name(
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, static_cast<int>(*call)), std::free);
    out = name ? std::string(name.get()) : fmt::format("number {}", *call);
  }
  return out;
}

}  // namespace fettle
