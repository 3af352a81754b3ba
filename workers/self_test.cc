#include "workers/self_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "core/mangle.h"
#include "core/nfqueue.h"
#include "core/offload.h"
#include "workers/run_tool.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint16_t kFirstPort = 1024;  // the queue at place i is fed by port kFirstPort + i
constexpr size_t kMostQueues = 4096;   // rules that are entered
constexpr std::string_view kSent = "fettle self-test: sent";
constexpr std::string_view kChanged = "fettle self-test: bent";
constexpr milliseconds kPatience{700};  // for a packet: kernel threads of a busy machine are late

struct Trial {
  std::vector<QueueSettings> queues;
  size_t receive_buffer;
  bool changes;  // packets, where they come whole
  bool changes_those_of(const QueueSettings& queue) const {
    return changes && queue.copy_range == kMaxReturnedPayload;
  }
};

struct Failure {
  SelfTest::Outcome outcome;
  std::string text;
};
using Step = std::optional<Failure>;

Failure failed(std::string text) { return {SelfTest::Outcome::kFailed, std::move(text)}; }
Failure impossible(std::string text) { return {SelfTest::Outcome::kImpossible, std::move(text)}; }

bool write_file(const char* path, std::string_view text) {
  const Descriptor file{open(path, O_WRONLY | O_CLOEXEC)};
  return file.get() >= 0 &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Without CAP_SYS_ADMIN a user namespace around it may do.
Step enter_namespace(bool* of_a_user) {
  *of_a_user = false;
  if (unshare(CLONE_NEWNET) == 0) return std::nullopt;
  const int error = errno;
  const std::string uid = fmt::format("0 {} 1", geteuid());
  const std::string gid = fmt::format("0 {} 1", getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 || !write_file("/proc/self/setgroups", "deny") ||
      !write_file("/proc/self/uid_map", uid) || !write_file("/proc/self/gid_map", gid)) {
    return impossible(fmt::format("a network namespace of its own is refused (unshare: {})",
                                  std::strerror(error)));
  }
  *of_a_user = true;
  return std::nullopt;
}

Step raise_loopback() {
  const Descriptor any{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (any.get() >= 0 && ioctl(any.get(), SIOCSIFFLAGS, &request) == 0) return std::nullopt;
  return impossible(fmt::format("no loopback in the new namespace: {}", std::strerror(errno)));
}

std::string restore_text(const std::vector<QueueSettings>& queues) {
  std::string text = "*filter\n";
  for (size_t i = 0; i < queues.size(); ++i) {
    text += fmt::format("-A OUTPUT -p udp --dport {} -j NFQUEUE --queue-num {}\n", kFirstPort + i,
                        queues[i].queue);
  }
  return text + "COMMIT\n";
}

std::string nft_text(const std::vector<QueueSettings>& queues) {
  std::string text = "table ip fettle { chain out { type filter hook output priority 0;\n";
  for (size_t i = 0; i < queues.size(); ++i) {
    text += fmt::format("udp dport {} queue num {}\n", kFirstPort + i, queues[i].queue);
  }
  return text + "} }\n";
}

Step enter_rules(const std::vector<QueueSettings>& queues) {
  std::string complaints;
  for (const char* tool : {"iptables-restore", "iptables-legacy-restore", "nft"}) {
    const bool nft = std::string_view(tool) == "nft";
    const auto output = nft ? run_tool({tool, "-f", "-"}, nft_text(queues))
                            : run_tool({tool}, restore_text(queues));
    if (!output) continue;
    if (output->good()) return std::nullopt;
    complaints +=
        fmt::format("{}{}: {}", complaints.empty() ? "" : "; ", tool, output->complaint());
  }
  return impossible(complaints.empty()
                        ? "neither iptables nor nft is installed"
                        : fmt::format("no rule for a queue can be entered ({})", complaints));
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Bytes that came; 0: none in time. -1: an error, in errno.
ssize_t receive(int fd, std::span<std::byte> buffer) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  const int ready = poll(&wait, 1, static_cast<int>(kPatience.count()));
  return ready <= 0 ? ready : recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
}

// Writes kChanged over the datagram and finishes its checksum, as rules do.
Step change(QueuedPacket& queued, bool* changed) {
  Packet packet = parse(queued.payload);
  packet.plan = checksum_plan(packet, queued.hook, queued.skb_info, queued.whole);
  *changed = write(packet, packet.payload, std::as_bytes(std::span(kChanged))) == Edit::kDone;
  finish(packet);
  if (*changed) return std::nullopt;
  return failed(
      fmt::format("it hands over {} bytes that are not the datagram sent", queued.payload.size()));
}

Step answer(int fd, uint16_t queue, const QueuedPacket& packet, bool changed) {
  const std::span<std::byte> payload = changed ? packet.payload : std::span<std::byte>();
  std::array<std::byte, kMaxVerdictHead> head{};
  const size_t size =
      encode_verdict(head.data(), queue, {.id = packet.id, .payload_size = payload.size()});
  std::array<std::byte, 4> padding{};
  iovec parts[] = {{head.data(), size},
                   {payload.data(), payload.size()},
                   {padding.data(), payload.empty() ? 0 : padding_of(payload.size())}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  if (sendmsg(fd, &message, 0) >= 0) return std::nullopt;
  return failed(fmt::format("the kernel refuses the verdict: {}", std::strerror(errno)));
}

// The packet that is in the queue now, changed where that is wanted, and its verdict.
Step pass_packet(int fd, const QueueSettings& settings, bool changes) {
  std::vector<std::byte> buffer(0x11000);
  const ssize_t got = receive(fd, buffer);
  if (got <= 0) {
    return failed(got == 0 ? "no packet comes to it"
                           : fmt::format("it cannot be read: {}", std::strerror(errno)));
  }
  std::span<std::byte> datagram(buffer.data(), static_cast<size_t>(got));
  Message message = decode(datagram);
  if (message.kind != MessageKind::kPacket) {
    return failed(fmt::format(
        "it answers {} instead of a packet",
        message.kind == MessageKind::kError ? std::strerror(message.error) : "another message"));
  }
  bool changed = false;
  if (changes) {
    if (auto step = change(message.packet, &changed)) return step;
  }
  return answer(fd, settings.queue, message.packet, changed);
}

Step check_arrival(int fd, int queue_fd, std::string_view wanted) {
  std::array<std::byte, 128> buffer{};
  const ssize_t got = receive(fd, buffer);
  const std::string_view found(reinterpret_cast<const char*>(buffer.data()),
                               got > 0 ? static_cast<size_t>(got) : 0);
  if (found == wanted) return std::nullopt;
  if (got > 0) return failed(fmt::format("\"{}\" arrives, expected \"{}\"", found, wanted));
  std::vector<std::byte> said(0x11000);
  const ssize_t size = recv(queue_fd, said.data(), said.size(), MSG_DONTWAIT);
  std::span<std::byte> datagram(said.data(), size > 0 ? static_cast<size_t>(size) : 0);
  const int error = datagram.empty() ? 0 : decode(datagram).error;
  return failed(error != 0 ? fmt::format("the kernel refuses the verdict: {}", std::strerror(error))
                           : "the packet does not arrive after its verdict");
}

Step test_queue(const Trial& trial, QueueSettings settings, uint16_t port) {
  auto queue = QueueSocket::open(trial.receive_buffer);
  if (!queue) return failed(queue.error().message);
  const auto bound = queue->bind(settings);
  if (!bound) return failed(bound.error().message);
  const sockaddr_in address = loopback(port);
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  const Descriptor receiver{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  const Descriptor sender{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (bind(receiver.get(), target, sizeof address) != 0 ||
      sendto(sender.get(), kSent.data(), kSent.size(), 0, target, sizeof address) < 0) {
    return impossible(fmt::format("no datagram over loopback: {}", std::strerror(errno)));
  }
  const bool changed = trial.changes_those_of(*bound);
  Step step = pass_packet(queue->fd(), *bound, changed);
  if (!step) step = check_arrival(receiver.get(), queue->fd(), changed ? kChanged : kSent);
  if (step) step->text = fmt::format("queue {}: {}", settings.queue, step->text);
  return step;
}

Failure test_all(Trial trial) {
  std::vector<QueueSettings>& queues = trial.queues;
  const auto deadline = Clock::now() + kLongestSelfTest / 2;
  const size_t asked = queues.size();
  if (queues.size() > kMostQueues) queues.resize(kMostQueues);
  bool of_a_user = false;
  if (auto step = enter_namespace(&of_a_user)) return *step;
  if (auto step = raise_loopback()) return *step;
  if (auto step = enter_rules(queues)) return *step;
  size_t tested = 0;
  for (; tested < queues.size() && (tested == 0 || Clock::now() < deadline); ++tested) {
    const QueueSettings& settings = queues[tested];
    auto step = test_queue(trial, settings, static_cast<uint16_t>(kFirstPort + tested));
    if (!step) continue;
    // A user's namespace may be refused what the machine's own is not.
    if (of_a_user) return impossible(fmt::format("in a user namespace, {}", step->text));
    return *step;
  }
  const bool changed = trial.changes_those_of(queues[0]);
  return {SelfTest::Outcome::kPassed,
          fmt::format("a packet went through {}{}",
                      tested == 1       ? "the queue"
                      : tested == asked ? fmt::format("each of {} queues", tested)
                                        : fmt::format("{} of {} queues", tested, asked),
                      changed          ? " and came out changed"
                      : !trial.changes ? " and came out as it went in"
                                       : "")};
}

[[noreturn]] void become_tester(int report_fd, const Trial& trial) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpgid(0, 0);
  const Failure result = test_all(trial);
  const std::string text = static_cast<char>('0' + static_cast<int>(result.outcome)) + result.text;
  (void)!::write(report_fd, text.data(), text.size());
  _exit(0);
}

SelfTest read_report(int fd, Clock::time_point deadline) {
  std::array<char, 2048> buffer{};
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  const int ready = poll(&wait, 1, static_cast<int>(left));
  const ssize_t got = ready > 0 ? read(fd, buffer.data(), buffer.size()) : 0;
  if (got < 1) {
    return {.text = ready > 0 ? "the testing process died"
                              : fmt::format("not done within {} ms", kLongestSelfTest.count())};
  }
  return {.outcome = static_cast<SelfTest::Outcome>(buffer[0] - '0'),
          .text = std::string(buffer.data() + 1, static_cast<size_t>(got) - 1)};
}

}  // namespace

SelfTest run_self_test(const std::vector<QueueSettings>& queues, size_t receive_buffer,
                       bool changes) {
  const auto began = Clock::now();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return {.text = fmt::format("no pipe: {}", std::strerror(errno))};
  }
  const Descriptor reader(ends[0]);
  pid_t pid = -1;
  {
    const Descriptor writer(ends[1]);
    pid = fork();
    if (pid == 0) become_tester(writer.get(), {queues, receive_buffer, changes});
  }
  if (pid < 0) return {.text = fmt::format("no process: {}", std::strerror(errno))};
  SelfTest result = read_report(reader.get(), began + kLongestSelfTest);
  // The child, and a firewall tool that it may have started.
  if (kill(-pid, SIGKILL) != 0) kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  result.took = std::chrono::round<milliseconds>(Clock::now() - began);
  return result;
}

}  // namespace fettle
