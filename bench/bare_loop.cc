// The least that a consumer of NFQUEUE can do: recvmmsg, verdicts, one send. No rules, no parsing,
// no counters. What fettle costs beside it is fettle's own.
//
//   bare_loop QUEUE accept|batch|return [BATCH [QUEUE-LENGTH [CPU]]]
//
// accept: a verdict for each packet. batch: one batch verdict. return: each with its payload,
// unchanged.
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/nfqueue.h"
#include "core/shared_memory.h"

namespace {

using namespace fettle;

constexpr size_t kSlot = 0x11000;
volatile sig_atomic_t g_stop = 0;

size_t answer(std::byte* out, uint16_t queue, const QueuedPacket& packet, bool with_payload) {
  const size_t payload = with_payload ? packet.payload.size() : 0;
  const size_t head =
      encode_verdict(out, queue, {.id = packet.id, .verdict = kNfAccept, .payload_size = payload});
  if (payload > 0) std::memcpy(out + head, packet.payload.data(), payload);
  return head + payload + (payload > 0 ? padding_of(payload) : 0);
}

int serve(int fd, uint16_t queue, std::string_view mode, size_t batch) {
  auto slots = SharedMemory::create(kSlot * batch);
  auto replies = SharedMemory::create(kSlot * batch);
  if (!slots || !replies) return EX_OSERR;
  std::vector<iovec> vectors(batch);
  std::vector<mmsghdr> headers(batch);
  while (!g_stop) {
    for (size_t i = 0; i < batch; ++i) {
      vectors[i] = {.iov_base = slots->data() + i * kSlot, .iov_len = kSlot};
      headers[i].msg_hdr.msg_iov = &vectors[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    const int got =
        recvmmsg(fd, headers.data(), static_cast<unsigned>(batch), MSG_WAITFORONE, nullptr);
    if (got < 0 && errno != EINTR) return EX_IOERR;
    size_t used = 0;
    uint32_t last = 0;
    bool any = false;
    for (int i = 0; i < got; ++i) {
      std::span<std::byte> datagram(slots->data() + static_cast<size_t>(i) * kSlot,
                                    headers[i].msg_len);
      const Message message = decode(datagram);
      if (message.kind != MessageKind::kPacket) continue;
      last = message.packet.id;
      any = true;
      if (mode != "batch")
        used += answer(replies->data() + used, queue, message.packet, mode == "return");
    }
    if (any && mode == "batch") {
      used =
          encode_verdict(replies->data(), queue, {.id = last, .verdict = kNfAccept, .batch = true});
    }
    if (used > 0) send(fd, replies->data(), used, 0);
  }
  return EX_OK;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "usage: bare_loop QUEUE accept|batch|return [BATCH [QUEUE-LENGTH [CPU]]]\n");
    return EX_USAGE;
  }
  const auto queue = static_cast<uint16_t>(std::atoi(argv[1]));
  const size_t batch = argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 16;
  const auto length = static_cast<uint32_t>(argc > 4 ? std::atoi(argv[4]) : 1024);
  if (argc > 5) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<size_t>(std::atoi(argv[5])), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) return EX_OSERR;
  }
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &stop, nullptr);
  auto socket = QueueSocket::open(64 << 20);
  if (!socket) {
    std::fprintf(stderr, "bare_loop: %s\n", socket.error().message.c_str());
    return static_cast<int>(socket.error().code);
  }
  const auto bound = socket->bind({.queue = queue, .length = length, .fail_open = false});
  if (!bound) {
    std::fprintf(stderr, "bare_loop: %s\n", bound.error().message.c_str());
    return static_cast<int>(bound.error().code);
  }
  const timeval forever{};
  setsockopt(socket->fd(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  return serve(socket->fd(), queue, argv[2], batch);
}
