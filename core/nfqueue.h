// The queue's netlink socket: opens, configures, moves datagrams. Knows no packet.
//
// The kernel ties a queue to the socket that bound it, not to a process: whoever inherits the
// descriptor reads on and gives verdicts (net/netfilter/nfnetlink_queue.c: nfqnl_rcv_nl_event). The
// sender of every verdict needs CAP_NET_ADMIN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/nfqueue_codec.h"
#include "core/result.h"

namespace fettle {

// One row of /proc/net/netfilter/nfnetlink_queue: what is in force, and what was lost.
struct QueueStatus {
  uint16_t queue = 0;
  uint32_t port_id = 0;
  uint32_t waiting = 0;    // packets in the kernel, those read and not yet answered included
  uint32_t copy_mode = 0;  // 1: metadata, 2: packets
  uint32_t copy_range = 0;
  uint64_t queue_dropped = 0;  // the queue was full (not counted where fail-open let them pass)
  uint64_t user_dropped = 0;   // the socket's buffer was full
  uint32_t id_sequence = 0;    // id of the last packet
};
// Nothing where no such queue is bound in this network namespace.
std::vector<QueueStatus> read_queue_status();

// The same from a descriptor, which goes on to show the network namespace that it was opened in, to
// whatever namespace or user the process changes later. -1: errno says why there is none.
int open_queue_status() noexcept;
std::optional<QueueStatus> read_queue_status(int status_fd, uint16_t queue) noexcept;

// Sends new settings for a queue that this socket has bound; the acknowledgement, numbered
// `sequence`, comes in the stream of packets: those before it were queued under the old settings.
Result<void> send_settings(int queue_fd, const QueueSettings& settings, uint32_t sequence);

// After the kernel has refused settings with this errno: makes them such as are worth another try.
// False: there are none.
bool relax(QueueSettings& settings, int error);

// Bytes that lie unread in the socket's receive buffer, as the kernel counts them (SO_MEMINFO): a
// queued packet is kSmallestTrueSize of them or more. One system call.
uint64_t receive_backlog(int queue_fd) noexcept;
inline constexpr uint64_t kSmallestTrueSize = 832;

class QueueSocket {
 public:
  // A socket with NETLINK_NO_ENOBUFS and NETLINK_CAP_ACK set and its buffers enlarged.
  // `receive_buffer` is in bytes as getsockopt(SO_RCVBUF) reads them back, that is, skb true sizes.
  static Result<QueueSocket> open(size_t receive_buffer);
  // One that has bound this queue, wherever that was; takes the descriptor over, also where it
  // fails: what it is given is no such socket.
  static Result<QueueSocket> adopt(int fd, uint16_t queue);
  QueueSocket() = default;  // closed
  QueueSocket(QueueSocket&& other) noexcept;
  QueueSocket& operator=(QueueSocket&& other) noexcept;
  ~QueueSocket();

  // Binds and configures in one message and waits for the kernel's answer, then reads the
  // copy mode back. An error says which errno and what it means here. The settings in force are
  // relax()ed ones where the kernel wants it so.
  Result<QueueSettings> bind(QueueSettings settings);
  int fd() const { return fd_; }
  uint32_t port_id() const { return port_id_; }
  size_t receive_buffer() const { return receive_buffer_; }  // read back
  size_t send_buffer() const { return send_buffer_; }
  // Packets that came between the bind and its acknowledgement; the first worker takes them.
  std::vector<std::vector<std::byte>> take_early_datagrams();
  // Errno of the last bind() that failed; 0 otherwise.
  int bind_error() const { return bind_error_; }

 private:
  Result<int> try_to_bind(const QueueSettings& settings);
  Result<int> await_acknowledgement(uint32_t sequence);
  Result<void> read_back(const QueueSettings& settings) const;

  int fd_ = -1;
  int bind_error_ = 0;
  uint32_t port_id_ = 0;
  size_t receive_buffer_ = 0;
  size_t send_buffer_ = 0;
  std::vector<std::vector<std::byte>> early_;
};

}  // namespace fettle
