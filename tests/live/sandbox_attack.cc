// What an attacker who has taken a worker over would try, from inside the sandbox that workers
// enter, beside another worker that is confined alike. One line an attempt: how it was refused, or
// that it was ALLOWED. Root, in a network namespace of its own; see sandbox_test.sh.
//
//   sandbox_attack            as `fettle run` has it
//   sandbox_attack layers     without the filter of system calls: what lies behind it
//   sandbox_attack none       without a sandbox: shows that the attempts are real
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "core/nfqueue.h"
#include "core/shared_memory.h"
#include "workers/sandbox.h"

namespace fettle {
namespace {

constexpr uint16_t kOwnQueue = 7, kOtherQueue = 8, kFreeQueue = 9;

struct Cell {
  Sandbox sandbox;
  QueueSocket own, other;
  SharedMemory others_memory;
  std::byte* others_page = nullptr;  // where it is, or was
  pid_t supervisor = 0, other_worker = 0;
  int other_fd = -1;
  uint32_t other_port = 0;
  int report_fd = -1;
};

long outcome(long result) { return result < 0 ? -errno : result; }

// ---- files and programs -----------------------------------------------------------------------

long open_file(const Cell&) { return outcome(open("/etc/passwd", O_RDONLY)); }
long open_by_root(const Cell&) { return outcome(open("/proc/self/root/etc/passwd", O_RDONLY)); }
long create_file(const Cell&) {
  const char* path = "/tmp/fettle-sandbox-attack";
  const long created = outcome(open(path, O_CREAT | O_RDWR, 0600));
  unlink(path);
  return created;
}
long open_again(const Cell&) {
  open_how how{.flags = O_RDONLY, .mode = 0, .resolve = 0};
  return outcome(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how));
}
long open_memory(const Cell& cell) {
  const std::string path = "/proc/" + std::to_string(cell.other_worker) + "/mem";
  return outcome(open(path.c_str(), O_RDWR));
}
long make_memfd(const Cell&) { return outcome(memfd_create("x", 0)); }
long run_program(const Cell&) {
  char name[] = "/bin/true";
  char* arguments[] = {name, nullptr};
  return outcome(execve(name, arguments, nullptr));
}
long duplicate(const Cell&) { return outcome(dup(STDERR_FILENO)); }

// ---- network ----------------------------------------------------------------------------------

long open_inet(const Cell&) { return outcome(socket(AF_INET, SOCK_DGRAM, 0)); }
long open_unix(const Cell&) { return outcome(socket(AF_UNIX, SOCK_STREAM, 0)); }
long open_netlink(const Cell&) { return outcome(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)); }
sockaddr_nl to_port(uint32_t port) {
  sockaddr_nl out{};
  out.nl_family = AF_NETLINK;
  out.nl_pid = port;
  return out;
}
long connect_to_other(const Cell& cell) {
  const sockaddr_nl to = to_port(cell.other_port);
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  return outcome(connect(cell.own.fd(), address, sizeof to));
}
// A forged packet into the other worker's socket.
long send_to_other(const Cell& cell) {
  const sockaddr_nl to = to_port(cell.other_port);
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  const nlmsghdr forged{.nlmsg_len = sizeof forged,
                        .nlmsg_type = NFNL_SUBSYS_QUEUE << 8,
                        .nlmsg_flags = 0,
                        .nlmsg_seq = 0,
                        .nlmsg_pid = 0};
  return outcome(sendto(cell.own.fd(), &forged, sizeof forged, MSG_DONTWAIT, address, sizeof to));
}
long send_message_to_other(const Cell& cell) {
  sockaddr_nl to = to_port(cell.other_port);
  nlmsghdr forged{.nlmsg_len = sizeof forged,
                  .nlmsg_type = NFNL_SUBSYS_QUEUE << 8,
                  .nlmsg_flags = 0,
                  .nlmsg_seq = 0,
                  .nlmsg_pid = 0};
  iovec piece{.iov_base = &forged, .iov_len = sizeof forged};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return outcome(sendmsg(cell.own.fd(), &message, MSG_DONTWAIT));
}
long change_interface(const Cell& cell) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (ioctl(cell.own.fd(), SIOCSIFMTU, &request) == 0) return 0;
  return errno == EINVAL ? 0 : -errno;  // let through, and found too small
}
long list_interfaces(const Cell& cell) {
  ifconf list{};
  return outcome(ioctl(cell.own.fd(), SIOCGIFCONF, &list));
}
long set_socket(const Cell& cell) {
  const int bytes = 1 << 20;
  return outcome(setsockopt(cell.own.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes));
}
long use_others_socket(const Cell& cell) {
  const auto sent = send_settings(cell.other_fd, {.queue = kOtherQueue}, 1);
  return sent ? 0 : -errno;
}

// ---- processes --------------------------------------------------------------------------------

long fork_process(const Cell&) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  return outcome(pid);
}
long kill_supervisor(const Cell& cell) { return outcome(kill(cell.supervisor, 0)); }
long kill_other(const Cell& cell) { return outcome(kill(cell.other_worker, 0)); }
long kill_others_thread(const Cell& cell) {
  return outcome(syscall(SYS_tgkill, cell.other_worker, cell.other_worker, 0));
}
long trace_other(const Cell& cell) {
  return outcome(ptrace(PTRACE_SEIZE, cell.other_worker, nullptr, nullptr));
}
long write_other(const Cell& cell) {
  char byte = 0;
  const iovec here{.iov_base = &byte, .iov_len = 1};
  const iovec there{.iov_base = cell.others_page, .iov_len = 1};
  return outcome(process_vm_writev(cell.other_worker, &here, 1, &there, 1, 0));
}
long read_other(const Cell& cell) {
  char byte = 0;
  const iovec here{.iov_base = &byte, .iov_len = 1};
  const iovec there{.iov_base = cell.others_page, .iov_len = 1};
  return outcome(process_vm_readv(cell.other_worker, &here, 1, &there, 1, 0));
}
// Where it was mapped before the worker was forked.
long write_others_page(const Cell& cell) {
  *static_cast<volatile std::byte*>(cell.others_page) = std::byte{1};
  return 0;
}
long open_pidfd(const Cell& cell) { return outcome(syscall(SYS_pidfd_open, cell.other_worker, 0)); }
long take_descriptor(const Cell& cell) {
  const long pidfd = syscall(SYS_pidfd_open, cell.other_worker, 0);
  return outcome(pidfd < 0 ? pidfd : syscall(SYS_pidfd_getfd, pidfd, cell.other_fd, 0));
}

// ---- privileges -------------------------------------------------------------------------------

long become_root(const Cell&) { return outcome(setresuid(0, 0, 0)); }
long change_groups(const Cell&) { return outcome(setgroups(0, nullptr)); }
long gain_capability(const Cell&) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0].effective = data[0].permitted = 1u << CAP_NET_ADMIN | 1u << CAP_SYS_ADMIN;
  return outcome(syscall(SYS_capset, &header, data.data()));
}
long be_dumpable(const Cell&) { return outcome(prctl(PR_SET_DUMPABLE, 1)); }
long enter_user_namespace(const Cell&) { return outcome(unshare(CLONE_NEWUSER)); }
long leave_namespace(const Cell& cell) {
  const long pidfd = syscall(SYS_pidfd_open, cell.supervisor, 0);
  return outcome(pidfd < 0 ? pidfd : setns(static_cast<int>(pidfd), CLONE_NEWNET));
}
long mount_something(const Cell&) { return outcome(mount("x", "/mnt", "tmpfs", 0, nullptr)); }
long change_root(const Cell&) { return outcome(chroot("/")); }
long use_bpf(const Cell&) {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}
long use_ring(const Cell&) {
  std::array<uint32_t, 30> parameters{};  // struct io_uring_params
  return outcome(syscall(SYS_io_uring_setup, 4, parameters.data()));
}
long use_perf(const Cell&) {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  return outcome(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}
long use_keys(const Cell&) {
  return outcome(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}
long use_faults(const Cell&) { return outcome(syscall(SYS_userfaultfd, O_CLOEXEC)); }

// ---- memory and limits ------------------------------------------------------------------------

long map(int protection, int flags, size_t size = 4096) {
  void* at = mmap(nullptr, size, protection, flags, -1, 0);
  return at == MAP_FAILED ? -errno : 0;
}
long map_code(const Cell&) {
  return map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS);
}
long make_code(const Cell&) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
long imply_code(const Cell&) { return outcome(personality(READ_IMPLIES_EXEC)); }
long map_too_much(const Cell&) {
  return map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, 8ul << 30);
}
long raise_limit(rlimit64 limit, int resource) {
  return outcome(syscall(SYS_prlimit64, 0, resource, &limit, nullptr));
}
long raise_descriptors(const Cell&) { return raise_limit({1024, 1024}, RLIMIT_NOFILE); }
long raise_core(const Cell&) { return raise_limit({1 << 20, 1 << 20}, RLIMIT_CORE); }

// ---- what CAP_NET_ADMIN allows on the queue's own socket ----------------------------------------

using Request = std::array<std::byte, 256>;

// Puts a request of this type and family, with `body` behind its header, there; its length.
size_t put(std::byte* at, int type, uint8_t family, uint16_t id, std::string_view body = {}) {
  auto* header = static_cast<nlmsghdr*>(static_cast<void*>(at));
  auto* netfilter = reinterpret_cast<nfgenmsg*>(header + 1);
  header->nlmsg_len = static_cast<uint32_t>(sizeof *header + sizeof *netfilter + body.size());
  header->nlmsg_type = static_cast<uint16_t>(type);
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  netfilter->nfgen_family = family;
  netfilter->res_id = htons(id);
  std::memcpy(netfilter + 1, body.data(), body.size());
  return header->nlmsg_len;
}

// The kernel's answer: the last that comes.
long exchange(const Cell& cell, const Request& request, size_t size) {
  alignas(8) std::array<std::byte, 4096> answer{};
  while (recv(cell.own.fd(), answer.data(), answer.size(), MSG_DONTWAIT) > 0) continue;
  if (send(cell.own.fd(), request.data(), size, 0) < 0) return -errno;
  long out = -EBADMSG;
  while (recv(cell.own.fd(), answer.data(), answer.size(), MSG_DONTWAIT) > 0) {
    const auto* said = static_cast<const nlmsghdr*>(static_cast<void*>(answer.data()));
    const auto* error = reinterpret_cast<const nlmsgerr*>(said + 1);
    out = said->nlmsg_type == NLMSG_ERROR ? error->error : 0;
  }
  return out;
}

long ask(const Cell& cell, int type, uint8_t family, uint16_t id, std::string_view body = {}) {
  alignas(8) Request request{};
  return exchange(cell, request, put(request.data(), type, family, id, body));
}

long command(const Cell& cell, uint16_t queue, uint8_t what) {
  const char body[] = {8, 0, NFQA_CFG_CMD, 0, static_cast<char>(what), 0, 0, 0};
  return ask(cell, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG, AF_UNSPEC, queue,
             {body, sizeof body});
}
long change_other_queue(const Cell& cell) {
  const char body[] = {8, 0, NFQA_CFG_QUEUE_MAXLEN, 0, 0, 0, 0, 0};
  return ask(cell, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG, AF_UNSPEC, kOtherQueue,
             {body, sizeof body});
}
long bind_other_queue(const Cell& cell) { return command(cell, kOtherQueue, NFQNL_CFG_CMD_BIND); }
long unbind_other_queue(const Cell& cell) {
  return command(cell, kOtherQueue, NFQNL_CFG_CMD_UNBIND);
}
long bind_free_queue(const Cell& cell) { return command(cell, kFreeQueue, NFQNL_CFG_CMD_BIND); }
long flush_conntrack(const Cell& cell) {
  return ask(cell, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, AF_INET, 0);
}
long read_rules(const Cell& cell) {
  return ask(cell, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, AF_UNSPEC, 0);
}
long change_rules(const Cell& cell) {
  alignas(8) Request request{};
  const char name[] = {6, 0, NFTA_TABLE_NAME, 0, 'x', 0, 0, 0};
  std::byte* at = request.data();
  at += put(at, NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  at += put(at, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, AF_INET, 0, {name, sizeof name});
  at += put(at, NFNL_MSG_BATCH_END, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  return exchange(cell, request, static_cast<size_t>(at - request.data()));
}
long release_own(const Cell& cell) {
  const char body[] = {12, 0, NFQA_VERDICT_HDR, 0, 0, 0, 0, 1, 0, 0, 0, 1};
  const long answer = ask(cell, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT, AF_UNSPEC, kOwnQueue,
                          {body, sizeof body});
  return answer == -ENOENT ? 0 : answer;  // let in, and there is no such packet
}

struct Attack {
  const char* name;
  long (*attempt)(const Cell&);
};

constexpr Attack kAttacks[] = {
    {"open a file", open_file},
    {"openat2", open_again},
    {"open by /proc/self/root", open_by_root},
    {"create a file", create_file},
    {"open another worker's memory", open_memory},
    {"memfd_create", make_memfd},
    {"execve", run_program},
    {"dup", duplicate},
    {"internet socket", open_inet},
    {"unix socket", open_unix},
    {"netlink socket", open_netlink},
    {"connect to another worker's socket", connect_to_other},
    {"sendto another worker's socket", send_to_other},
    {"sendmsg to another worker's socket", send_message_to_other},
    {"change an interface of the router", change_interface},
    {"list the router's interfaces", list_interfaces},
    {"setsockopt", set_socket},
    {"another queue's descriptor", use_others_socket},
    {"fork", fork_process},
    {"kill the supervisor", kill_supervisor},
    {"kill another worker", kill_other},
    {"tgkill another worker", kill_others_thread},
    {"ptrace another worker", trace_other},
    {"process_vm_writev", write_other},
    {"process_vm_readv", read_other},
    {"write another worker's page", write_others_page},
    {"pidfd_open", open_pidfd},
    {"pidfd_getfd", take_descriptor},
    {"setresuid 0", become_root},
    {"setgroups", change_groups},
    {"capset", gain_capability},
    {"prctl PR_SET_DUMPABLE", be_dumpable},
    {"user namespace", enter_user_namespace},
    {"setns", leave_namespace},
    {"mount", mount_something},
    {"chroot", change_root},
    {"bpf", use_bpf},
    {"io_uring_setup", use_ring},
    {"perf_event_open", use_perf},
    {"keyctl", use_keys},
    {"userfaultfd", use_faults},
    {"mmap of code", map_code},
    {"mprotect to code", make_code},
    {"personality", imply_code},
    {"mmap of 8 GiB", map_too_much},
    {"more descriptors", raise_descriptors},
    {"core dumps", raise_core},
    {"settings of another worker's queue", change_other_queue},
    {"bind another worker's queue", bind_other_queue},
    {"unbind another worker's queue", unbind_other_queue},
    {"bind a further queue", bind_free_queue},
    {"flush connection tracking", flush_conntrack},
    {"read nftables", read_rules},
    {"change nftables", change_rules},
    {"verdict for its own queue", release_own},
};

void become_worker(Cell& cell) {
  cell.other_fd = cell.other.fd();
  const SharedMemory gone = std::move(cell.others_memory);
  cell.other = {};
  const auto entered = cell.sandbox.enter(
      {.queue_fd = cell.own.fd(), .status_fd = open_queue_status(), .others = {cell.report_fd}});
  if (entered) return;
  std::fprintf(stderr, "%s\n", entered.error().message.c_str());
  _exit(2);
}

// Forks a worker that tries it; what it says of itself, or how it ended.
std::string tried(Cell& cell, const Attack& attack, bool confined) {
  int report[2];
  if (pipe(report) != 0) return "no pipe";
  cell.report_fd = report[1];
  const pid_t pid = fork();
  if (pid == 0) {
    if (confined) become_worker(cell);
    const long result = attack.attempt(cell);
    if (write(report[1], &result, sizeof result) < 0) _exit(3);
    _exit(1);
  }
  close(report[1]);
  long result = 0;
  const bool reported = read(report[0], &result, sizeof result) == sizeof result;
  close(report[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (reported) return result >= 0 ? "ALLOWED" : strerrorname_np(static_cast<int>(-result));
  if (WIFSIGNALED(status)) return std::string("SIG") + sigabbrev_np(WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? "ALLOWED" : "ended with " + std::to_string(WEXITSTATUS(status));
}

// Sleeps in the sandbox until it is killed.
pid_t start_other_worker(const Sandbox& sandbox, int queue_fd) {
  int entered[2];
  if (pipe(entered) != 0) return -1;
  const pid_t pid = fork();
  if (pid == 0) {
    if (!sandbox.enter({.queue_fd = queue_fd, .others = {entered[1]}})) _exit(2);
    [[maybe_unused]] const ssize_t written = write(entered[1], "", 1);
    for (;;) poll(nullptr, 0, -1);
  }
  close(entered[1]);
  char byte = 0;
  const bool ready = read(entered[0], &byte, 1) == 1;
  close(entered[0]);
  return ready ? pid : -1;
}

int run(std::string_view mode) {
  Cell cell;
  auto sandbox = Sandbox::prepare("");
  auto own = QueueSocket::open(1 << 20);
  auto other = QueueSocket::open(1 << 20);
  auto memory = SharedMemory::create(4096);
  if (!sandbox || !own || !other || !memory || !own->bind({.queue = kOwnQueue}) ||
      !other->bind({.queue = kOtherQueue}) ||
      (mode != "none" && !sandbox->lock(own->fd(), kOwnQueue))) {
    std::fprintf(stderr, "cannot prepare%s\n", sandbox ? "" : sandbox.error().message.c_str());
    return 2;
  }
  std::printf("sandbox: %s\nleft out: %s\n", sandbox->described().c_str(),
              sandbox->left_out().c_str());
  if (mode == "layers") sandbox->leave_out_syscall_filter();
  cell.other_worker = start_other_worker(*sandbox, other->fd());
  if (cell.other_worker < 0) return 2;
  cell.supervisor = getpid();
  cell.sandbox = std::move(*sandbox);
  cell.own = std::move(*own);
  cell.other = std::move(*other);
  cell.other_fd = cell.other.fd();
  cell.other_port = cell.other.port_id();
  cell.others_memory = std::move(*memory);
  cell.others_page = cell.others_memory.data();
  for (const Attack& attack : kAttacks) {
    const sockaddr_nl kernel = to_port(0);  // whatever the attempt before it was connected to
    connect(cell.own.fd(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
    std::printf("%s: %s\n", attack.name, tried(cell, attack, mode != "none").c_str());
    std::fflush(stdout);
  }
  kill(cell.other_worker, SIGKILL);
  waitpid(cell.other_worker, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace fettle

int main(int argc, char** argv) { return fettle::run(argc > 1 ? argv[1] : ""); }
