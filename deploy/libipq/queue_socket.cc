#include "deploy/libipq/queue_socket.h"

#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace libipq {
namespace {

// What a message with a packet of usual size takes of a socket's buffer; the kernel doubles what it
// is asked for.
constexpr uint32_t kMessageMemory = 2304;
constexpr uint32_t kMostMemory = 1U << 30;
constexpr int kTries = 8;

int64_t now_us() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

// A program of 2001 ends at the first ENOBUFS. Where the kernel says none, it counts
// (nfnetlink_queue in /proc).
void make_room(int fd, uint32_t queue_length) {
  const int one = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
  const uint64_t wanted = uint64_t{std::max(queue_length, 64U)} * kMessageMemory / 2;
  const int bytes = static_cast<int>(std::min<uint64_t>(wanted, kMostMemory));
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  }
}

bool is_transient(int error) { return error == ENOBUFS || error == EINTR; }

}  // namespace

int QueueSocket::open(uint32_t queue_length) {
  fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return -1;
  sockaddr_nl own = {};
  own.nl_family = AF_NETLINK;
  room = static_cast<std::byte*>(std::malloc(kRoom));
  if (room == nullptr || bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) {
    close();
    return -1;
  }
  make_room(fd, queue_length);
  return 0;
}

void QueueSocket::close() {
  const int error = errno;
  if (fd >= 0) ::close(fd);
  fd = -1;
  while (Held* held = first) {
    first = held->next;
    std::free(held);
  }
  std::free(room);
  room = nullptr;
  errno = error;
}

// Only the kernel is believed; others of root's may write to this socket, too.
ssize_t QueueSocket::receive(int flags) {
  sockaddr_nl from = {};
  socklen_t size = sizeof(from);
  const ssize_t got = recvfrom(fd, room, kRoom, flags, reinterpret_cast<sockaddr*>(&from), &size);
  if (got >= 0 && (size != sizeof(from) || from.nl_pid != 0)) {
    errno = ENOBUFS;
    return -1;
  }
  return got;
}

bool QueueSocket::hold(size_t size) {
  auto* const held = static_cast<Held*>(std::malloc(sizeof(Held) + size));
  if (held == nullptr) return false;
  held->next = nullptr;
  held->size = size;
  std::memcpy(held + 1, room, size);
  (first == nullptr ? first : last->next) = held;
  last = held;
  return true;
}

int QueueSocket::find_answer(int& error) {
  for (;;) {
    const ssize_t got = receive(MSG_DONTWAIT);
    if (got < 0 && is_transient(errno)) continue;
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    const KernelMessage message = read_message({room, static_cast<size_t>(got)});
    if (message.kind == KernelMessage::Kind::kAnswer && message.sequence == sequence) {
      error = message.error;
      return 1;
    }
    if (message.kind != KernelMessage::Kind::kOther && !hold(static_cast<size_t>(got))) return -1;
  }
}

// The kernel has answered before sendmsg() returns. No answer means that the buffer was full of
// packets, which it no longer is; what is asked twice is no more than a setting.
int QueueSocket::ask(Request& request) {
  request.header()->nlmsg_flags |= NLM_F_ACK;
  for (int tries = 0; tries < kTries; ++tries) {
    sequence = std::max(sequence + 1, 1U);  // 0 is the verdicts'
    request.header()->nlmsg_seq = sequence;
    if (send(request, {}) < 0) return -1;
    int error = 0;
    const int found = find_answer(error);
    if (found < 0) return -1;
    errno = error;
    if (found == 1) return error == 0 ? 0 : -1;
  }
  errno = ENOBUFS;
  return -1;
}

ssize_t QueueSocket::take_held(std::span<const std::byte>& datagram) {
  Held* const held = first;
  std::memcpy(room, held + 1, held->size);
  const size_t size = held->size;
  first = held->next;
  std::free(held);
  datagram = {room, size};
  return static_cast<ssize_t>(size);
}

ssize_t QueueSocket::read(int timeout, std::span<const std::byte>& datagram) {
  if (first != nullptr) return take_held(datagram);
  const int64_t end = timeout > 0 ? now_us() + timeout : 0;
  for (;;) {
    if (timeout != 0) {
      const int64_t left = timeout > 0 ? std::max<int64_t>(end - now_us(), 0) : 0;
      const timespec wait = {left / 1'000'000, left % 1'000'000 * 1000};
      pollfd ready = {fd, POLLIN, 0};
      errno = 0;
      const int count = ppoll(&ready, 1, &wait, nullptr);
      if (count == 0 || (count < 0 && errno == EINTR)) return 0;
      if (count < 0) return -1;
    }
    const ssize_t got = receive(timeout == 0 ? 0 : MSG_DONTWAIT);
    if (got > 0) {
      datagram = {room, static_cast<size_t>(got)};
      return got;
    }
    if (got < 0 && errno != ENOBUFS && !(timeout != 0 && errno == EAGAIN)) return -1;
  }
}

ssize_t QueueSocket::send(Request& request, std::span<const std::byte> payload) const {
  static constexpr std::byte kPadding[NLMSG_ALIGNTO] = {};
  nlmsghdr* const header = request.header();
  const size_t padding = NLMSG_ALIGN(payload.size()) - payload.size();
  iovec parts[] = {{header, header->nlmsg_len - payload.size() - padding},
                   {const_cast<std::byte*>(payload.data()), payload.size()},
                   {const_cast<std::byte*>(kPadding), padding}};
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  msghdr message = {};
  message.msg_name = &kernel;
  message.msg_namelen = sizeof(kernel);
  message.msg_iov = parts;
  message.msg_iovlen = payload.empty() ? 1 : 3;
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, 0);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace libipq
