// UDP traffic with sequence numbers, for the live tests: a paced sender and a receiver that says
// what became of each datagram.
//
//   traffic send    to=ADDRESS port=N [from=ADDRESS,...] [rate=PPS] [count=N] [size=BYTES]
//                   [segments=N] [report=MS]
//   traffic receive at=ADDRESS port=N [expect=N] [idle=MS] [report=MS]
//
// A datagram: | first slot 4 | second slot 4 | flow 4 | sequence 8 | pattern ... |. Slots are sent
// as "SENT"; rules under test write "FTL1" into the first and "FTL2" into the second. One flow per
// `from` address. segments=N sends N datagrams in one call (UDP_SEGMENT). Sends until `count`
// or SIGTERM. Receives until `expect` datagrams came and 200 ms passed, or nothing came for `idle`
// ms, or SIGTERM and 200 ms of silence.
//
// The last line printed is the report: key=value pairs. report=MS prints it every so often, too.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/bytes.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kFirstSlot = 0;
constexpr size_t kSecondSlot = 4;
constexpr size_t kFlowAt = 8;
constexpr size_t kSequenceAt = 12;
constexpr size_t kPatternAt = 20;
constexpr size_t kBurst = 64;
constexpr milliseconds kSilence{200};

volatile sig_atomic_t g_stop = 0;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "traffic: %s\n", what.c_str());
  std::exit(1);
}

[[noreturn]] void die_errno(const std::string& what) { die(what + ": " + std::strerror(errno)); }

// ---- Arguments --------------------------------------------------------------------------------

using Arguments = std::map<std::string, std::string, std::less<>>;

Arguments read_arguments(int argc, char** argv) {
  Arguments out;
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == argument.npos) die("expected key=value, found " + std::string(argument));
    out[std::string(argument.substr(0, equals))] = argument.substr(equals + 1);
  }
  return out;
}

uint64_t number(const Arguments& arguments, std::string_view key, uint64_t otherwise) {
  const auto found = arguments.find(key);
  if (found == arguments.end()) return otherwise;
  const std::string& text = found->second;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    die("expected a number for " + found->first + ", found " + text);
  }
  return value;
}

std::string text(const Arguments& arguments, std::string_view key, std::string otherwise = {}) {
  const auto found = arguments.find(key);
  return found == arguments.end() ? otherwise : found->second;
}

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Endpoint endpoint(const std::string& address, const std::string& port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(address.c_str(), port.c_str(), &hints, &list);
  if (error != 0) die(address + " port " + port + ": " + gai_strerror(error));
  Endpoint out;
  std::memcpy(&out.storage, list->ai_addr, list->ai_addrlen);
  out.size = list->ai_addrlen;
  freeaddrinfo(list);
  return out;
}

// Says when it is time to tell how things stand.
class Reporter {
 public:
  explicit Reporter(uint64_t every) : every_(every) {}
  bool due(Clock::time_point now) {
    if (every_ == milliseconds(0) || now < next_) return false;
    next_ = now + every_;
    return true;
  }

 private:
  milliseconds every_;
  Clock::time_point next_{};
};

// ---- Datagrams --------------------------------------------------------------------------------

struct Datagram {
  uint32_t flow = 0;
  uint64_t sequence = 0;
};

std::byte pattern(const Datagram& datagram, size_t at) {
  return static_cast<std::byte>(datagram.flow * 31 + datagram.sequence + at);
}

void fill(std::byte* out, size_t size, const Datagram& datagram) {
  std::memcpy(out + kFirstSlot, "SENT", 4);
  std::memcpy(out + kSecondSlot, "SENT", 4);
  fettle::store_be32(out + kFlowAt, datagram.flow);
  fettle::store_be64(out + kSequenceAt, datagram.sequence);
  for (size_t at = kPatternAt; at < size; ++at) out[at] = pattern(datagram, at);
}

// ---- Sender -----------------------------------------------------------------------------------

struct Flow {
  int fd = -1;
  uint64_t next = 0;
};

std::vector<Flow> open_flows(const Arguments& arguments, size_t size, size_t segments) {
  const Endpoint to = endpoint(text(arguments, "to"), text(arguments, "port"));
  const bool six = to.storage.ss_family == AF_INET6;
  std::string list = text(arguments, "from", six ? "::" : "0.0.0.0") + ",";
  std::vector<Flow> flows;
  for (size_t comma = 0; (comma = list.find(',')) != list.npos; list.erase(0, comma + 1)) {
    const Endpoint from = endpoint(list.substr(0, comma), "0");
    const int fd = socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, from.address(), from.size) < 0) die_errno("bind");
    if (connect(fd, to.address(), to.size) < 0) die_errno("connect");
    const int segment = static_cast<int>(size);
    if (segments > 1 && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0) {
      die_errno("UDP_SEGMENT");
    }
    const int buffer = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    flows.push_back({.fd = fd});
  }
  return flows;
}

void print_sent(uint64_t sent, uint64_t refused, Clock::time_point began) {
  std::printf("sent=%lu refused=%lu ms=%ld\n", sent, refused,
              std::chrono::duration_cast<milliseconds>(Clock::now() - began).count());
  std::fflush(stdout);
}

int send_all(const Arguments& arguments) {
  const size_t size = number(arguments, "size", 64);
  const size_t segments = number(arguments, "segments", 1);
  const uint64_t rate = number(arguments, "rate", 20'000);
  const uint64_t count = number(arguments, "count", UINT64_MAX);
  if (size < kPatternAt || size * segments > 65'000) die("size out of range");
  if (rate == 0 || segments == 0 || count % segments != 0) die("count or rate out of range");
  std::vector<Flow> flows = open_flows(arguments, size, segments);
  std::vector<std::byte> bytes(kBurst * size * segments);
  std::array<iovec, kBurst> vectors{};
  std::array<mmsghdr, kBurst> messages{};
  for (size_t i = 0; i < kBurst; ++i) {
    vectors[i] = {.iov_base = bytes.data() + i * size * segments, .iov_len = size * segments};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t sent = 0;
  uint64_t refused = 0;
  const auto began = Clock::now();
  Reporter reporter(number(arguments, "report", 0));
  for (size_t turn = 0; sent < count && !g_stop; ++turn) {
    if (reporter.due(Clock::now())) print_sent(sent, refused, began);
    const std::chrono::duration<double> passed = Clock::now() - began;
    const auto due = std::min<uint64_t>(
        count, static_cast<uint64_t>(passed.count() * static_cast<double>(rate)) + segments);
    const size_t burst = std::min<uint64_t>(kBurst, (std::max(due, sent) - sent) / segments);
    if (burst == 0) {
      std::this_thread::sleep_for(milliseconds(1));
      continue;
    }
    Flow& flow = flows[turn % flows.size()];
    const auto index = static_cast<uint32_t>(turn % flows.size());
    for (size_t i = 0; i < burst * segments; ++i) {
      fill(bytes.data() + i * size, size, {.flow = index, .sequence = flow.next + i});
    }
    const int done = sendmmsg(flow.fd, messages.data(), static_cast<unsigned>(burst), 0);
    if (done < 0) {
      // EPERM: a firewall dropped it. ECONNREFUSED: an earlier one was answered by ICMP.
      if (errno != EPERM && errno != ECONNREFUSED && errno != ENOBUFS && errno != EINTR) {
        die_errno("send");
      }
      ++refused;
      continue;
    }
    flow.next += static_cast<uint64_t>(done) * segments;
    sent += static_cast<uint64_t>(done) * segments;
  }
  print_sent(sent, refused, began);
  return 0;
}

// ---- Receiver ---------------------------------------------------------------------------------

struct Report {
  uint64_t received = 0;
  uint64_t distinct = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;  // behind a later one of their flow
  uint64_t none = 0;       // neither slot was written
  uint64_t first = 0;      // the first alone
  uint64_t second = 0;     // the second alone
  uint64_t both = 0;
  uint64_t corrupt = 0;         // anything else differs from what was sent
  milliseconds longest_gap{0};  // of a flow, between two of its datagrams
};

struct Seen {
  std::vector<bool> sequences;
  uint64_t highest = 0;
  Clock::time_point last{};  // when its newest came
};

class Receiver {
 public:
  void take(const std::byte* bytes, size_t size, Clock::time_point now) {
    ++report.received;
    if (size < kPatternAt) {
      ++report.corrupt;
      return;
    }
    const Datagram datagram = {.flow = fettle::load_be32(bytes + kFlowAt),
                               .sequence = fettle::load_be64(bytes + kSequenceAt)};
    const bool first = std::memcmp(bytes + kFirstSlot, "FTL1", 4) == 0;
    const bool second = std::memcmp(bytes + kSecondSlot, "FTL2", 4) == 0;
    bool intact = (first || std::memcmp(bytes + kFirstSlot, "SENT", 4) == 0) &&
                  (second || std::memcmp(bytes + kSecondSlot, "SENT", 4) == 0) &&
                  datagram.flow < kMaxFlows && datagram.sequence < kMaxSequence;
    for (size_t at = kPatternAt; at < size && intact; ++at) {
      intact = bytes[at] == pattern(datagram, at);
    }
    if (!intact) {
      ++report.corrupt;
      return;
    }
    ++(first && second ? report.both : first ? report.first : second ? report.second : report.none);
    note(datagram, now);
  }

  Report report;

 private:
  static constexpr uint32_t kMaxFlows = 1024;
  static constexpr uint64_t kMaxSequence = 100'000'000;

  void note(const Datagram& datagram, Clock::time_point now) {
    if (flows_.size() <= datagram.flow) flows_.resize(datagram.flow + 1);
    Seen& seen = flows_[datagram.flow];
    const auto before = std::exchange(seen.last, now);
    if (before != Clock::time_point{}) {
      report.longest_gap =
          std::max(report.longest_gap, std::chrono::duration_cast<milliseconds>(now - before));
    }
    if (seen.sequences.size() <= datagram.sequence) seen.sequences.resize(datagram.sequence + 4096);
    if (seen.sequences[datagram.sequence]) {
      ++report.duplicated;
      return;
    }
    seen.sequences[datagram.sequence] = true;
    ++report.distinct;
    if (datagram.sequence < seen.highest) ++report.reordered;
    seen.highest = std::max(seen.highest, datagram.sequence);
  }

  std::vector<Seen> flows_;
};

int open_receiver(const Arguments& arguments) {
  const Endpoint at = endpoint(text(arguments, "at"), text(arguments, "port"));
  const int fd = socket(at.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, at.address(), at.size) < 0) die_errno("bind");
  const int buffer = 128 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0) {
    die_errno("SO_RCVBUFFORCE");
  }
  const timeval wait{.tv_sec = 0, .tv_usec = 20'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  return fd;
}

void print_report(const Report& r) {
  std::printf(
      "received=%lu distinct=%lu duplicated=%lu reordered=%lu none=%lu first=%lu second=%lu "
      "both=%lu corrupt=%lu longest_gap_ms=%ld\n",
      r.received, r.distinct, r.duplicated, r.reordered, r.none, r.first, r.second, r.both,
      r.corrupt, r.longest_gap.count());
  std::fflush(stdout);
}

int receive_all(const Arguments& arguments) {
  const uint64_t expect = number(arguments, "expect", UINT64_MAX);
  const milliseconds idle(number(arguments, "idle", 3'600'000));
  const int fd = open_receiver(arguments);
  constexpr size_t kSlot = 2048;
  std::vector<std::byte> bytes(kBurst * kSlot);
  std::array<iovec, kBurst> vectors{};
  std::array<mmsghdr, kBurst> messages{};
  for (size_t i = 0; i < kBurst; ++i) {
    vectors[i] = {.iov_base = bytes.data() + i * kSlot, .iov_len = kSlot};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::puts("listening");
  std::fflush(stdout);
  Receiver receiver;
  Reporter reporter(number(arguments, "report", 0));
  auto last = Clock::now();
  for (;;) {
    const int got = recvmmsg(fd, messages.data(), kBurst, MSG_WAITFORONE, nullptr);
    const auto now = Clock::now();
    const auto silence = std::chrono::duration_cast<milliseconds>(now - last);
    if (reporter.due(now)) print_report(receiver.report);
    if (got <= 0) {
      const bool done = g_stop != 0 || receiver.report.received >= expect;
      if (silence >= idle || (done && silence >= kSilence)) break;
      continue;
    }
    last = now;
    for (int i = 0; i < got; ++i) {
      receiver.take(bytes.data() + static_cast<size_t>(i) * kSlot, messages[i].msg_len, now);
    }
  }
  print_report(receiver.report);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "send") return send_all(read_arguments(argc, argv));
  if (mode == "receive") return receive_all(read_arguments(argc, argv));
  die("expected send or receive, found \"" + std::string(mode) + "\"");
}
