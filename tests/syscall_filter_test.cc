#include "workers/syscall_filter.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include <gtest/gtest.h>

namespace fettle {
namespace {

// How a process ends that does this behind the filter: 0, or a signal's number.
int end_of(const std::function<void()>& act, bool threads = false) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (!enter_syscall_filter({.threads = threads})) _exit(1);
    act();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

void map(int protection) { mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

class SyscallFilter : public testing::Test {
 protected:
  void SetUp() override {
#if defined(FETTLE_SANITIZE_ADDRESS) || defined(FETTLE_SANITIZE_THREAD)
    GTEST_SKIP() << "the sanitizer's own calls are not among those that are allowed";
#endif
  }
};

TEST_F(SyscallFilter, LetsThroughWhatAWorkerDoes) {
  EXPECT_EQ(end_of([] { map(PROT_READ | PROT_WRITE); }), 0);
  EXPECT_EQ(end_of([] { [[maybe_unused]] auto put = write(STDERR_FILENO, "", 0); }), 0);
  EXPECT_EQ(end_of([] { std::string(1 << 20, 'x').append(1 << 22, 'y'); }), 0);
}

TEST_F(SyscallFilter, EndsTheProcessAtAnyOtherCall) {
  EXPECT_EQ(end_of([] { getppid(); }), SIGSYS);
  EXPECT_EQ(end_of([] { fork(); }), SIGSYS);
  EXPECT_EQ(end_of([] { fork(); }, true), SIGSYS);
}

TEST_F(SyscallFilter, LooksAtArguments) {
  EXPECT_EQ(end_of([] { map(PROT_READ | PROT_EXEC); }), SIGSYS);
  EXPECT_EQ(end_of([] { kill(getpid(), 0); }), SIGSYS);
  char byte = 0;
  EXPECT_EQ(end_of([&] { [[maybe_unused]] auto got = pread(STDIN_FILENO, &byte, 1, 0); }), SIGSYS);
}

TEST_F(SyscallFilter, LeavesAbortItsSignal) {
  EXPECT_EQ(end_of([] { abort(); }), SIGABRT);
}

constexpr const char* kLog =
    "6,340,1000,-;veth0: renamed from eth0\n"
    "5,341,2000,-;audit: type=1326 audit(1.1:99): auid=4294967295 uid=65534 gid=65534 ses=1 "
    "pid=514 "
    "comm=\"fettle-q0\" exe=\"/usr/sbin/fettle\" sig=31 arch=c000003e syscall=32 compat=0 "
    "ip=0x7f code=0x80000000\n"
    "5,342,3000,-;audit: type=1326 audit(1.2:100): auid=4294967295 uid=65534 gid=65534 ses=1 "
    "pid=5141 comm=\"fettle-q1\" sig=31 arch=c000003e syscall=99999 compat=0\n"
    "5,343,3000,-;audit: type=1400 audit(1.2:100): pid=77 syscall=1\n";

TEST(ForbiddenCall, IsFoundByTheProcess) {
#ifdef __x86_64__
  EXPECT_EQ(forbidden_call(kLog, 514), "dup");
#endif
  EXPECT_EQ(forbidden_call(kLog, 5141), "number 99999");
}

TEST(ForbiddenCall, IsNotMadeUp) {
  EXPECT_FALSE(forbidden_call(kLog, 51));
  EXPECT_FALSE(forbidden_call(kLog, 77));  // another kind of record
  EXPECT_FALSE(forbidden_call("", 514));
  EXPECT_FALSE(forbidden_call("type=1326 pid=514 syscall=", 514));
}

}  // namespace
}  // namespace fettle
