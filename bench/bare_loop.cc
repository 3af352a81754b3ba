// The least that a consumer of NFQUEUE can do: recvmmsg, verdicts, one send. No rules, no parsing
// of packets, no counters. What fettle costs beside it is fettle's own.
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/system.h"
#include "core/bytes.h"
#include "core/checksum.h"
#include "core/nfqueue.h"
#include "core/offload.h"
#include "core/shared_memory.h"

namespace {

using namespace fettle;
using fettle::bench::run_on;

// A packet of 64 KiB and its attributes, and in front of it room for the reply's headers.
constexpr size_t kSlot = 0x11000;
constexpr size_t kMessageHead = 20;  // nlmsghdr, nfgenmsg
constexpr size_t kReplyHead = kVerdictHeaderSize;
constexpr uint16_t kPacketHeader = 1, kPayload = 10, kSkbInfo = 14;  // NFQA_*

volatile sig_atomic_t g_stop = 0;

enum class Mode { kAccept, kBatch, kReturn, kDscp };

struct Options {
  std::string mode = "accept";
  uint16_t queue = 0;
  uint32_t batch = 64;
  uint32_t length = 1024;
  int cpu = -1;
  uint8_t dscp = 46;
  bool poll = false;
  bool fail_open = false;
  bool no_gso = false;
};

// Where things lie in one message of the kernel's.
struct Found {
  std::byte* id = nullptr;  // big endian
  std::byte* payload_attribute = nullptr;
  size_t payload_size = 0;
  uint32_t skb_info = 0;
};

// The packet's header is the first attribute and the payload the last
// (net/netfilter/nfnetlink_queue.c: nfqnl_build_packet_message); who only accepts reads the former.
Found find(std::byte* message, size_t size, bool all) {
  Found found;
  size_t at = kMessageHead;
  while (at + 4 <= size) {
    const auto length = load<uint16_t>(message + at);
    const uint16_t type = load<uint16_t>(message + at + 2) & 0x3fff;
    if (length < 4 || at + length > size) break;
    if (type == kPacketHeader) found.id = message + at + 4;
    if (!all) break;
    if (type == kSkbInfo) found.skb_info = load_be32(message + at + 4);
    if (type == kPayload) {
      found.payload_attribute = message + at;
      found.payload_size = length - 4u;
    }
    at += (length + 3u) & ~3u;
  }
  return found;
}

// IPv4 or IPv6. The transport checksum of a super-packet is the stack's business; one that was left
// to hardware is finished here, because the kernel takes the payload as complete.
void set_dscp(std::byte* ip, size_t size, uint32_t skb_info, uint8_t dscp) {
  const bool ipv4 = load_u8(ip) >> 4 == 4;
  if (ipv4) {
    const uint16_t before = load<uint16_t>(ip);
    store_u8(ip + 1, static_cast<uint8_t>((load_u8(ip + 1) & 3) | dscp << 2));
    const uint64_t sum = static_cast<uint16_t>(~load<uint16_t>(ip + 10)) +
                         uint64_t{static_cast<uint16_t>(~before)} + load<uint16_t>(ip);
    store<uint16_t>(ip + 10, static_cast<uint16_t>(~fold(sum)));
  } else {
    store_be16(ip, static_cast<uint16_t>((load_be16(ip) & 0xf03f) | dscp << 6));
  }
  if ((skb_info & kSkbGso) || !(skb_info & kSkbCsumNotReady)) return;
  const size_t header = ipv4 ? (load_u8(ip) & 15u) * 4u : 40;
  const uint8_t protocol = load_u8(ip + (ipv4 ? 9 : 6));
  const size_t field = header + (protocol == 6 ? 16u : 6u);
  if ((protocol != 6 && protocol != 17) || field + 2 > size) return;
  auto sum_is = static_cast<uint16_t>(~fold(sum({ip + header, size - header})));
  if (sum_is == 0 && protocol == 17) sum_is = 0xffff;
  store<uint16_t>(ip + field, sum_is);
}

class Loop {
 public:
  Loop(int fd, const Options& options, Mode mode, std::byte* slots)
      : fd_(fd),
        mode_(mode),
        options_(options),
        slots_(slots),
        slot_vectors_(options.batch),
        headers_(options.batch),
        replies_(options.batch * kReplyHead),
        reply_vectors_(options.batch) {
    for (size_t i = 0; i < headers_.size(); ++i) {
      slot_vectors_[i] = {.iov_base = slots_ + i * kSlot, .iov_len = kSlot};
      headers_[i].msg_hdr.msg_iov = &slot_vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
      encode_verdict(replies_.data() + i * kReplyHead, options.queue,
                     {.id = 0, .verdict = kNfAccept, .batch = mode == Mode::kBatch});
    }
  }

  // 0, or an errno.
  int turn() {
    const int got = recvmmsg(fd_, headers_.data(), static_cast<unsigned>(headers_.size()),
                             options_.poll ? MSG_DONTWAIT : MSG_WAITFORONE, nullptr);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : errno;
    return mode_ == Mode::kAccept || mode_ == Mode::kBatch ? accept(got) : give_back(got);
  }

 private:
  // Replies lie ready; only the ids are written.
  int accept(int got) {
    size_t count = 0;
    for (int i = 0; i < got; ++i) {
      const Found found = find(slots_ + i * kSlot, headers_[i].msg_len, false);
      if (!found.id) continue;
      const size_t at = mode_ == Mode::kBatch ? 0 : count * kReplyHead;
      std::memcpy(replies_.data() + at + kReplyHead - 4, found.id, 4);
      count = mode_ == Mode::kBatch ? 1 : count + 1;
    }
    if (count == 0) return 0;
    return send(fd_, replies_.data(), count * kReplyHead, 0) < 0 ? errno : 0;
  }

  // The payload's attribute is the same in both directions: the reply's head is written in front of
  // it, over attributes that nobody reads any more, and nothing is copied.
  int give_back(int got) {
    size_t count = 0;
    for (int i = 0; i < got; ++i) {
      const Found found = find(slots_ + i * kSlot, headers_[i].msg_len, true);
      if (!found.id || !found.payload_attribute) continue;
      const uint32_t id = load_be32(found.id);
      if (mode_ == Mode::kDscp) {
        set_dscp(found.payload_attribute + 4, found.payload_size, found.skb_info, options_.dscp);
      }
      std::byte* head = found.payload_attribute - kReplyHead;
      std::memcpy(head, replies_.data(), kReplyHead);
      store<uint32_t>(head, static_cast<uint32_t>(kReplyHead + 4 + found.payload_size));
      store_be32(head + kReplyHead - 4, id);
      const size_t size = kReplyHead + 4 + found.payload_size;
      reply_vectors_[count++] = {.iov_base = head, .iov_len = (size + 3) & ~size_t{3}};
    }
    if (count == 0) return 0;
    msghdr reply{};
    reply.msg_iov = reply_vectors_.data();
    reply.msg_iovlen = count;
    return sendmsg(fd_, &reply, 0) < 0 ? errno : 0;
  }

  int fd_;
  Mode mode_;
  const Options& options_;
  std::byte* slots_;
  std::vector<iovec> slot_vectors_;
  std::vector<mmsghdr> headers_;
  std::vector<std::byte> replies_;
  std::vector<iovec> reply_vectors_;
};

int report_failure(const Error& error) {
  std::fprintf(stderr, "bare_loop: %s\n", error.message.c_str());
  return static_cast<int>(error.code);
}

int serve(const Options& options, Mode mode) {
  auto slots = SharedMemory::create(kSlot * options.batch);
  if (!slots) return report_failure(slots.error());
  slots->lock();
  auto socket = QueueSocket::open(64 << 20);
  if (!socket) return report_failure(socket.error());
  const auto bound = socket->bind({.queue = options.queue,
                                   .length = options.length,
                                   .fail_open = options.fail_open,
                                   .gso = !options.no_gso});
  if (!bound) return report_failure(bound.error());
  const timeval forever{};
  setsockopt(socket->fd(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  Loop loop(socket->fd(), options, mode, slots->data());
  while (!g_stop) {
    if (const int error = loop.turn()) {
      std::fprintf(stderr, "bare_loop: the socket fails: %s\n", std::strerror(error));
      return EX_IOERR;
    }
  }
  return EX_OK;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "The least that a consumer of a netfilter queue can do; fettle is measured beside it.\n"
      "Example: bare_loop --queue 0 --mode return --cpu 0\n\n"
      "  accept   a verdict for each packet\n"
      "  batch    one verdict for the whole batch\n"
      "  return   a verdict and the payload, as it came\n"
      "  dscp     the payload with another DSCP, checksums as the kernel wants them"};
  app.add_option("--queue", options.queue, "Number of the queue")->capture_default_str();
  app.add_option("--mode", options.mode, "What is done with each packet")
      ->check(CLI::IsMember({"accept", "batch", "return", "dscp"}))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Packets per recvmmsg and per send")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  app.add_option("--queue-length", options.length, "Packets that may wait")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  app.add_option("--cpu", options.cpu, "CPU to run on (default: any)");
  app.add_option("--dscp", options.dscp, "Of mode dscp")
      ->check(CLI::Range(0, 63))
      ->capture_default_str();
  app.add_flag("--poll", options.poll, "Never sleep (MSG_DONTWAIT)");
  app.add_flag("--fail-open", options.fail_open, "Queue full: packets pass");
  app.add_flag("--no-gso", options.no_gso, "Have the kernel cut super-packets first");
  CLI11_PARSE(app, argc, argv);

  if (!run_on(options.cpu)) {
    std::fprintf(stderr, "bare_loop: CPU %d: %s\n", options.cpu, std::strerror(errno));
    return EX_OSERR;
  }
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &stop, nullptr);
  sigaction(SIGINT, &stop, nullptr);
  const Mode mode = options.mode == "accept"   ? Mode::kAccept
                    : options.mode == "batch"  ? Mode::kBatch
                    : options.mode == "return" ? Mode::kReturn
                                               : Mode::kDscp;
  return serve(options, mode);
}
