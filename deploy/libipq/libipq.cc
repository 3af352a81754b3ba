// The ten functions. What they promise stands in their manual pages and, where it differs, in
// README.md.
#include "deploy/libipq/libipq.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <time.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "deploy/libipq/devices.h"
#include "deploy/libipq/errors.h"
#include "deploy/libipq/old_message.h"
#include "deploy/libipq/queue_message.h"
#include "deploy/libipq/queue_socket.h"
#include "deploy/libipq/settings.h"

using libipq::Error;
using libipq::fail;
using libipq::KernelMessage;
using libipq::Request;

namespace {

constexpr size_t kMostPayload = 0xffff - sizeof(nlattr);

// What the caller has is its first member. Comes from calloc, so that all of it begins as zero.
struct Handle {
  ipq_handle shown;
  uint8_t family;
  bool bound;
  libipq::Settings settings;
  libipq::QueueSocket socket;
  libipq::Devices devices;
};

// The interface says const of what it changes.
Handle* whole(const ipq_handle* handle) {
  return static_cast<Handle*>(static_cast<void*>(const_cast<ipq_handle*>(handle)));
}

void discard(Handle* handle) {
  const int error = errno;
  if (handle->devices.socket >= 0) close(handle->devices.socket);
  handle->socket.close();
  std::free(handle);
  errno = error;
}

// ip_queue had the kernel look at the clock for each packet that comes from a network; so does a
// socket that wants to know.
void want_arrival_times(int socket) {
  const int one = 1;
  setsockopt(socket, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one));
}

bool open_handle(Handle* handle) {
  Request request;
  libipq::write_family_bind(request, handle->family);
  handle->devices.socket = -1;
  if (handle->socket.open(handle->settings.length) != 0) {
    fail(Error::kSocket);
    return false;
  }
  handle->devices.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle->devices.socket < 0)
    handle->devices.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle->devices.socket < 0 || handle->socket.ask(request) != 0) {
    fail(handle->devices.socket < 0 ? Error::kSocket : Error::kBind);
    return false;
  }
  want_arrival_times(handle->devices.socket);
  handle->shown.fd = handle->socket.fd;
  return true;
}

// Another's queue and a capability that is missing look alike to him who asks for a queue. ip_queue
// told them apart.
void tell_taken_from_forbidden(Handle* handle) {
  Request request;
  libipq::write_family_bind(request, handle->family);
  if (errno == EPERM && handle->socket.ask(request) == 0) errno = EBUSY;
}

int64_t now_us(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void drop(const Handle* handle, uint32_t id) {
  Request request;
  libipq::write_verdict(request, handle->settings.queue, id, NF_DROP, 0);
  handle->socket.send(request, {});
}

// The message's length in `buffer`; 0: it is none of the caller's.
ssize_t hand_over(Handle* handle, const KernelMessage& message, std::span<unsigned char> buffer) {
  size_t length = 0;
  if (message.kind == KernelMessage::Kind::kPacket) {
    const libipq::QueuedPacket& packet = message.packet;
    // ip_queue and ip6_queue were two; the caller takes any packet's bytes for its own family's.
    if (packet.family != handle->family) {
      drop(handle, packet.id);
      return 0;
    }
    length = libipq::write_packet(packet, handle->devices.find(packet.in_index),
                                  handle->devices.find(packet.out_index), now_us(CLOCK_REALTIME),
                                  buffer);
    // The caller does not learn its id: it would keep a place in the queue for ever.
    if (length > buffer.size()) drop(handle, packet.id);
  } else if (message.kind == KernelMessage::Kind::kAnswer && message.sequence == 0 &&
             message.error != 0) {
    length = libipq::write_refusal(message.error, buffer);
  }
  if (length > buffer.size()) return fail(Error::kReceivedCut, EMSGSIZE);
  return static_cast<ssize_t>(length);
}

// Whether the kernel may be asked for it: what it would refuse leaves a packet waiting.
bool is_verdict(unsigned int verdict) {
  const unsigned int kind = verdict & NF_VERDICT_MASK;
  return kind == NF_ACCEPT || kind == NF_DROP || kind == NF_QUEUE || kind == NF_REPEAT ||
         kind == NF_STOP;
}

// ip_queue left a packet as it was for bytes that are no IP packet.
size_t least_payload(const Handle* handle) { return handle->family == AF_INET ? 20 : 40; }

// As a timeout of ipq_read's.
int left_until(int64_t end) {
  const int64_t left = end - now_us(CLOCK_MONOTONIC);
  return left > 0 ? static_cast<int>(left) : -1;
}

}  // namespace

ipq_handle* ipq_create_handle(u_int32_t, u_int32_t protocol) {
  if (protocol != PF_INET && protocol != PF_INET6) {
    fail(Error::kProtocol, EPROTONOSUPPORT);
    return nullptr;
  }
  auto* const handle = static_cast<Handle*>(std::calloc(1, sizeof(Handle)));
  if (handle == nullptr) {
    fail(Error::kHandle);
    return nullptr;
  }
  handle->family = static_cast<uint8_t>(protocol);
  handle->settings = libipq::Settings();
  handle->devices.socket = -1;
  handle->socket.fd = -1;
  if (!libipq::read_settings(protocol == PF_INET6, handle->settings)) {
    fail(Error::kHandle, EINVAL);
  } else if (open_handle(handle)) {
    return &handle->shown;
  }
  discard(handle);
  return nullptr;
}

int ipq_destroy_handle(ipq_handle* h) {
  if (h != nullptr) discard(whole(h));
  return 0;
}

int ipq_set_mode(const ipq_handle* h, u_int8_t mode, size_t len) {
  if (h == nullptr) return fail(Error::kHandle, EBADF);
  if (mode > IPQ_COPY_MAX) return fail(Error::kNotSupported, EINVAL);
  Handle* const handle = whole(h);
  Request request;
  const size_t range = len < 0xffff ? len : 0xffff;
  libipq::write_mode(request, handle->settings, !handle->bound, mode, static_cast<uint32_t>(range));
  if (handle->socket.ask(request) != 0) {
    tell_taken_from_forbidden(handle);
    return fail(Error::kRefused);
  }
  handle->bound = true;
  return static_cast<int>(request.header()->nlmsg_len);
}

ssize_t ipq_read(const ipq_handle* h, unsigned char* buf, size_t len, int timeout) {
  if (h == nullptr) return fail(Error::kHandle, EBADF);
  if (buf == nullptr || len < NLMSG_LENGTH(sizeof(nlmsgerr)))
    return fail(Error::kReceiveBuffer, EINVAL);
  Handle* const handle = whole(h);
  if (!handle->bound) return fail(Error::kNotSupported, ENOTCONN);
  const int64_t end = timeout > 0 ? now_us(CLOCK_MONOTONIC) + timeout : 0;
  for (;;) {
    std::span<const std::byte> datagram;
    const ssize_t got = handle->socket.read(timeout, datagram);
    if (got < 0) return fail(Error::kReceive);
    if (got == 0) return 0;
    const ssize_t length = hand_over(handle, libipq::read_message(datagram), {buf, len});
    if (length != 0) return length;
    if (timeout > 0) timeout = left_until(end);
  }
}

int ipq_message_type(const unsigned char* buf) {
  nlmsghdr header = {};
  if (buf != nullptr) std::memcpy(&header, buf, sizeof(header));
  return header.nlmsg_type;
}

ipq_packet_msg_t* ipq_get_packet(const unsigned char* buf) {
  if (ipq_message_type(buf) != IPQM_PACKET) return nullptr;
  return static_cast<ipq_packet_msg_t*>(
      static_cast<void*>(const_cast<unsigned char*>(buf) + NLMSG_HDRLEN));
}

int ipq_get_msgerr(const unsigned char* buf) {
  if (ipq_message_type(buf) != NLMSG_ERROR) return 0;
  nlmsgerr refusal = {};
  std::memcpy(&refusal, buf + NLMSG_HDRLEN, sizeof(refusal));
  return -refusal.error;
}

int ipq_set_verdict(const ipq_handle* h, ipq_id_t id, unsigned int verdict, size_t data_len,
                    unsigned char* buf) {
  if (h == nullptr) return fail(Error::kHandle, EBADF);
  const Handle* const handle = whole(h);
  if (!handle->bound) return fail(Error::kNotSupported, ENOTCONN);
  if (!is_verdict(verdict)) return fail(Error::kNotSupported, EINVAL);
  if (id > UINT32_MAX) return fail(Error::kSend, ENOENT);
  if (data_len > kMostPayload) return fail(Error::kSend, EMSGSIZE);
  if (data_len > 0 && buf == nullptr) return fail(Error::kSend, EFAULT);
  if (data_len < least_payload(handle)) data_len = 0;
  // Back to the caller's own queue, where no other is named.
  if (verdict == NF_QUEUE) verdict = NF_QUEUE_NR(handle->settings.queue);
  Request request;
  libipq::write_verdict(request, handle->settings.queue, static_cast<uint32_t>(id), verdict,
                        static_cast<uint16_t>(data_len));
  const ssize_t sent =
      handle->socket.send(request, {reinterpret_cast<const std::byte*>(buf), data_len});
  return sent < 0 ? fail(Error::kSend) : static_cast<int>(sent);
}

char* ipq_errstr(void) { return const_cast<char*>(libipq::text(libipq::last_error())); }

void ipq_perror(const char* s) {
  const int error = errno;
  std::fputs(s == nullptr ? "ERROR" : s, stderr);
  if (libipq::last_error() != Error::kNone) std::fprintf(stderr, ": %s", ipq_errstr());
  if (error != 0) std::fprintf(stderr, ": %s", std::strerror(error));
  std::fputc('\n', stderr);
}
