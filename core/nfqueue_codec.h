// NFQUEUE's netlink messages, bytes only: what the kernel sends to packets and acknowledgements,
// and verdicts to bytes. Pure; the socket is nfqueue.h's.
//
//   nlmsghdr | nfgenmsg (family, version, queue) | attributes: nlattr (len, type) value pad4 ...
//
// Sources: linux/netlink.h, linux/netfilter/nfnetlink_queue.h, net/netfilter/nfnetlink_queue.c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/packet.h"
#include "core/sequence_shift.h"

namespace fettle {

// One packet as the kernel queued it. `payload` points into the message and may be changed there.
struct QueuedPacket {
  uint32_t id = 0;  // +1 a packet, wraps through 0: compare as signed differences
  Hook hook = Hook::kNone;
  Family family = Family::kNone;
  uint32_t mark = 0;
  uint32_t in_index = 0;  // 0: none
  uint32_t out_index = 0;
  uint32_t skb_info = 0;         // kSkb* of offload.h
  bool whole = true;             // false: the payload was cut by the copy range (NFQA_CAP_LEN)
  bool has_id = false;           // also of a malformed message, so that it can still be answered
  std::span<std::byte> payload;  // empty in metadata mode
  uint32_t before = 0;           // bytes of the message that lie in front of the payload
  SequenceShift shift;           // in the packet's acknowledgements (QueueSettings::conntrack)
};

enum class MessageKind : uint8_t {
  kPacket,
  kAck,        // of the request numbered `sequence`
  kError,      // the kernel refused a request: `error` is an errno
  kOther,      // a message that is none of NFQUEUE's packets; ignored
  kMalformed,  // cut short, or lengths contradict each other; what follows cannot be read
};

struct Message {
  MessageKind kind = MessageKind::kMalformed;
  uint32_t sequence = 0;
  int error = 0;
  uint16_t queue = 0;
  QueuedPacket packet;
};

// Takes the first message off the datagram. Requires a datagram that is not empty.
Message decode(std::span<std::byte>& datagram) noexcept;

// ---- Verdicts ---------------------------------------------------------------------------------

// NF_DROP, NF_ACCEPT, NF_REPEAT, or queue_verdict().
inline constexpr uint32_t kNfDrop = 0;
inline constexpr uint32_t kNfAccept = 1;
inline constexpr uint32_t kNfRepeat = 4;
// To another queue; the bypass flag accepts the packet where nobody listens there.
constexpr uint32_t queue_verdict(uint16_t queue, bool bypass) {
  return uint32_t{queue} << 16 | (bypass ? 0x8000u : 0u) | 3u;
}

inline constexpr size_t kVerdictHeaderSize = 16 + 4 + 12;  // nlmsghdr, nfgenmsg, verdict
inline constexpr size_t kVerdictMarkSize = 8;
inline constexpr size_t kMaxVerdictHead = kVerdictHeaderSize + kVerdictMarkSize + 4;
// The longest payload that a 16-bit attribute length can carry, in either direction.
inline constexpr size_t kMaxReturnedPayload = 0xffff - 4;

struct VerdictRequest {
  uint32_t id = 0;
  uint32_t verdict = kNfAccept;
  uint32_t mark = 0;
  bool set_mark = false;
  bool batch = false;       // every packet at or below id (NFQNL_MSG_VERDICT_BATCH)
  size_t payload_size = 0;  // > 0: the payload follows in the gather list
};

// Bytes of the message up to where its payload begins: a multiple of 4, <= kMaxVerdictHead.
constexpr size_t verdict_head_size(const VerdictRequest& request) {
  return kVerdictHeaderSize + (request.set_mark ? kVerdictMarkSize : 0) +
         (request.payload_size > 0 ? 4 : 0);
}
// Writes those; returns how many they are. The payload must follow, and padding_of(payload_size)
// zero bytes after it.
size_t encode_verdict(std::byte* out, uint16_t queue, const VerdictRequest& request) noexcept;
constexpr size_t padding_of(size_t payload_size) { return (4 - payload_size % 4) % 4; }

// a is newer than b.
constexpr bool id_after(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

// ---- Configuration ----------------------------------------------------------------------------

struct QueueSettings {
  uint16_t queue = 0;
  uint32_t length = 1024;  // packets that may wait (NFQA_CFG_QUEUE_MAXLEN)
  // Bytes of each packet, up to kMaxReturnedPayload; 0: metadata only (NFQNL_COPY_META).
  uint32_t copy_range = kMaxReturnedPayload;
  bool fail_open = true;  // NFQA_CFG_F_FAIL_OPEN
  bool gso = true;        // NFQA_CFG_F_GSO
  // NFQA_CFG_F_CONNTRACK. EOPNOTSUPP where connection tracking tells no queue of its connections
  // (CONFIG_NETFILTER_NETLINK_GLUE_CT), EAGAIN where its module had to be loaded first.
  bool conntrack = false;

  bool operator==(const QueueSettings&) const = default;
};

struct alignas(8) ConfigBuffer : std::array<std::byte, 256> {};

// One message that sets everything, asks for an acknowledgement numbered `sequence`, and with
// `bind` creates the queue. Returns its length.
size_t encode_config(ConfigBuffer& out, const QueueSettings& settings, bool bind,
                     uint32_t sequence);

}  // namespace fettle
