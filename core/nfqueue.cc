#include "core/nfqueue.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr const char* kStatusPath = "/proc/self/net/netfilter/nfnetlink_queue";
constexpr uint32_t kBindSequence = 1;
// A batch of replies with payloads is cut to this, and the kernel refuses what the buffer cannot
// hold.
constexpr size_t kSendBuffer = 4 << 20;
constexpr size_t kLargestDatagram = 0x11000;  // a 64 KiB packet and its attributes

// 0 or errno.
int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno;
}

// Without CAP_NET_ADMIN the forcing option answers EPERM and the plain one stops at rmem_max.
void enlarge(int fd, int forcing, int plain, size_t bytes) {
  const int half = static_cast<int>(bytes / 2);  // the kernel doubles what it is asked for
  if (set_option(fd, SOL_SOCKET, forcing, half) != 0) set_option(fd, SOL_SOCKET, plain, half);
}

size_t read_buffer_size(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return 0;
  return static_cast<size_t>(value);
}

std::string explain_bind(uint16_t queue, int error) {
  const char* text = std::strerror(error);
  switch (error) {
    case EPERM:
      return fmt::format(
          "cannot bind queue {}: {}; another socket has bound it, or this process "
          "lacks CAP_NET_ADMIN",
          queue, text);
    case EOPNOTSUPP:
      return fmt::format(
          "cannot configure queue {}: {}; this kernel knows no GSO or fail-open flag "
          "(Linux 3.10 or later expected)",
          queue, text);
    case EINVAL:
      return fmt::format(
          "cannot bind queue {}: {}; the kernel has no nfnetlink_queue: try "
          "'modprobe nfnetlink_queue'",
          queue, text);
    default:
      return fmt::format("cannot bind queue {}: {}", queue, text);
  }
}

bool parse_row(const char* line, QueueStatus* row) {
  return std::sscanf(line,
                     "%" SCNu16 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu64
                     " %" SCNu64 " %" SCNu32,
                     &row->queue, &row->port_id, &row->waiting, &row->copy_mode, &row->copy_range,
                     &row->queue_dropped, &row->user_dropped, &row->id_sequence) == 8;
}

// Until `take` says that it has enough. A read brings whole lines, a page of them at most.
template <typename Take>
void each_row(int fd, const Take& take) {
  char text[4097];
  off_t offset = 0;
  for (;;) {
    const ssize_t got = pread(fd, text, sizeof text - 1, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    text[got] = '\0';
    char* line = text;
    while (char* end = std::strchr(line, '\n')) {
      *end = '\0';
      QueueStatus row;
      if (parse_row(line, &row) && !take(row)) return;
      line = end + 1;
    }
    if (line == text) return;
    offset += line - text;
  }
}

}  // namespace

int open_queue_status() noexcept { return ::open(kStatusPath, O_RDONLY | O_CLOEXEC); }

std::vector<QueueStatus> read_queue_status() {
  std::vector<QueueStatus> out;
  const int fd = open_queue_status();
  if (fd < 0) return out;
  each_row(fd, [&out](const QueueStatus& row) {
    out.push_back(row);
    return true;
  });
  close(fd);
  return out;
}

std::optional<QueueStatus> read_queue_status(int status_fd, uint16_t queue) noexcept {
  std::optional<QueueStatus> out;
  each_row(status_fd, [&out, queue](const QueueStatus& row) {
    if (row.queue == queue) out = row;
    return !out;
  });
  return out;
}

Result<QueueSocket> QueueSocket::open(size_t receive_buffer) {
  QueueSocket out;
  out.fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (out.fd_ < 0) {
    return fail(errno == EPROTONOSUPPORT ? ErrorCode::kUnavailable : ErrorCode::kOs,
                fmt::format("cannot open a netfilter socket: {}{}", std::strerror(errno),
                            errno == EPROTONOSUPPORT ? "; try 'modprobe nfnetlink'" : ""));
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  socklen_t size = sizeof address;
  if (::bind(out.fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(out.fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail(ErrorCode::kOs,
                fmt::format("cannot bind a netlink socket: {}", std::strerror(errno)));
  }
  out.port_id_ = address.nl_pid;
  // A socket that overran reports nothing and drops nothing more than what did not fit.
  for (const int option : {NETLINK_NO_ENOBUFS, NETLINK_CAP_ACK}) {
    if (const int error = set_option(out.fd_, SOL_NETLINK, option, 1)) {
      return fail(ErrorCode::kUnavailable, fmt::format("the kernel refuses netlink option {}: {}",
                                                       option, std::strerror(error)));
    }
  }
  enlarge(out.fd_, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer);
  enlarge(out.fd_, SO_SNDBUFFORCE, SO_SNDBUF, kSendBuffer);
  out.receive_buffer_ = read_buffer_size(out.fd_, SO_RCVBUF);
  out.send_buffer_ = read_buffer_size(out.fd_, SO_SNDBUF);
  return out;
}

Result<QueueSocket> QueueSocket::adopt(int fd, uint16_t queue) {
  QueueSocket out;
  out.fd_ = fd;
  int protocol = 0;
  socklen_t size = sizeof protocol;
  sockaddr_nl address{};
  socklen_t address_size = sizeof address;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &address_size) != 0 ||
      address.nl_family != AF_NETLINK || protocol != NETLINK_NETFILTER) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("queue {}: what was handed over is no netfilter socket", queue));
  }
  out.port_id_ = address.nl_pid;
  out.receive_buffer_ = read_buffer_size(fd, SO_RCVBUF);
  out.send_buffer_ = read_buffer_size(fd, SO_SNDBUF);
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue == queue && row.port_id == out.port_id_) return out;
  }
  return fail(ErrorCode::kUnavailable,
              fmt::format("queue {}: the socket that was handed over has not bound it in this "
                          "network namespace",
                          queue));
}

QueueSocket::QueueSocket(QueueSocket&& other) noexcept { *this = std::move(other); }

QueueSocket& QueueSocket::operator=(QueueSocket&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  bind_error_ = other.bind_error_;
  port_id_ = other.port_id_;
  receive_buffer_ = other.receive_buffer_;
  send_buffer_ = other.send_buffer_;
  early_ = std::move(other.early_);
  return *this;
}

QueueSocket::~QueueSocket() {
  if (fd_ >= 0) close(fd_);
}

Result<int> QueueSocket::try_to_bind(const QueueSettings& settings) {
  ConfigBuffer message;
  const size_t size = encode_config(message, settings, true, kBindSequence);
  if (send(fd_, message.data(), size, 0) != static_cast<ssize_t>(size)) {
    bind_error_ = errno;
    return fail(ErrorCode::kOs, fmt::format("cannot talk to the kernel's netfilter: {}",
                                            std::strerror(bind_error_)));
  }
  return await_acknowledgement(kBindSequence);
}

Result<QueueSettings> QueueSocket::bind(QueueSettings settings) {
  bind_error_ = 0;
  Result<int> answer = try_to_bind(settings);
  while (answer && *answer != 0 && relax(settings, *answer)) answer = try_to_bind(settings);
  if (!answer) return std::unexpected(answer.error());
  if (*answer != 0) {
    bind_error_ = *answer;
    const ErrorCode code = *answer == EPERM ? ErrorCode::kNoPermission : ErrorCode::kUnavailable;
    return fail(code, explain_bind(settings.queue, *answer));
  }
  if (auto read = read_back(settings); !read) return std::unexpected(read.error());
  return settings;
}

Result<void> QueueSocket::read_back(const QueueSettings& settings) const {
  const int status_fd = open_queue_status();
  if (status_fd < 0) {
    return fail(ErrorCode::kNoPermission,
                fmt::format("cannot read {}: {}; run as root, or with CAP_DAC_READ_SEARCH beside "
                            "CAP_NET_ADMIN",
                            kStatusPath, std::strerror(errno)));
  }
  const auto row = read_queue_status(status_fd, settings.queue);
  close(status_fd);
  if (row && row->port_id == port_id_) {
    const bool packets = settings.copy_range > 0;
    if (row->copy_mode == (packets ? 2u : 1u) &&
        (!packets || row->copy_range == settings.copy_range)) {
      return {};
    }
    return fail(ErrorCode::kOs, fmt::format("queue {} reads back copy mode {}, range {}; asked for "
                                            "{}, {}",
                                            settings.queue, row->copy_mode, row->copy_range,
                                            packets ? 2 : 1, settings.copy_range));
  }
  return fail(ErrorCode::kOs,
              fmt::format("queue {} was acknowledged but is not in "
                          "/proc/net/netfilter/nfnetlink_queue; is /proc that of this namespace?",
                          settings.queue));
}

Result<int> QueueSocket::await_acknowledgement(uint32_t sequence) {
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::vector<std::byte> buffer(kLargestDatagram);
  for (;;) {
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return fail(ErrorCode::kOs, fmt::format("no answer from the kernel's nfnetlink_queue: {}",
                                              got < 0 ? std::strerror(errno) : "end of file"));
    }
    std::span<std::byte> datagram(buffer.data(), static_cast<size_t>(got));
    const std::span<std::byte> whole = datagram;
    const Message message = decode(datagram);
    if (message.kind == MessageKind::kPacket) {
      early_.emplace_back(whole.begin(), whole.end());
    } else if ((message.kind == MessageKind::kAck || message.kind == MessageKind::kError) &&
               message.sequence == sequence) {
      return message.error;
    }
  }
}

Result<void> send_settings(int queue_fd, const QueueSettings& settings, uint32_t sequence) {
  ConfigBuffer message;
  const size_t size = encode_config(message, settings, false, sequence);
  if (send(queue_fd, message.data(), size, 0) == static_cast<ssize_t>(size)) return {};
  return fail(ErrorCode::kOs,
              fmt::format("cannot configure queue {}: {}", settings.queue, std::strerror(errno)));
}

bool relax(QueueSettings& settings, int error) {
  if (!settings.conntrack || (error != EOPNOTSUPP && error != EAGAIN)) return false;
  settings.conntrack = error == EAGAIN;
  return true;
}

uint64_t receive_backlog(int queue_fd) noexcept {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof memory;
  if (getsockopt(queue_fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0) return 0;
  return memory[SK_MEMINFO_RMEM_ALLOC];
}

std::vector<std::vector<std::byte>> QueueSocket::take_early_datagrams() {
  return std::exchange(early_, {});
}

}  // namespace fettle
