#include "core/nfqueue_codec.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <algorithm>

#include "core/bytes.h"

namespace fettle {
namespace {

constexpr size_t kHeader = sizeof(nlmsghdr);
constexpr uint16_t kPacketType = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
constexpr uint16_t kAttributeType = 0x3fff;  // NLA_TYPE_MASK

static_assert(sizeof(nlmsghdr) == 16 && sizeof(nfgenmsg) == 4 && sizeof(nlattr) == 4);
static_assert(sizeof(nfqnl_msg_packet_hdr) == 7 && sizeof(nfqnl_msg_verdict_hdr) == 8);
static_assert(kVerdictHeaderSize == 16 + 4 + sizeof(nlattr) + sizeof(nfqnl_msg_verdict_hdr));

Family family_of(uint8_t netlink_family) {
  if (netlink_family == AF_INET) return Family::kIpv4;
  if (netlink_family == AF_INET6) return Family::kIpv6;
  return Family::kNone;
}

// Takes the first attribute off the list. False: its length contradicts the list's.
bool next_attribute(std::span<std::byte>& list, uint16_t* type, std::span<std::byte>* value) {
  const size_t length = load<uint16_t>(list.data());
  *type = load<uint16_t>(list.data() + 2) & kAttributeType;
  if (length < sizeof(nlattr) || length > list.size()) return false;
  *value = list.subspan(sizeof(nlattr), length - sizeof(nlattr));
  list = list.subspan(std::min(list.size(), (length + 3) & ~size_t{3}));
  return true;
}

// What means something beside other attributes only.
struct Aside {
  uint32_t original = 0;           // NFQA_CAP_LEN
  std::span<std::byte> conntrack;  // NFQA_CT
  uint32_t conntrack_info = 0;     // NFQA_CT_INFO
};

// Empty: none of this type.
std::span<std::byte> find_attribute(std::span<std::byte> list, uint16_t wanted) {
  uint16_t type = 0;
  std::span<std::byte> value;
  while (list.size() >= sizeof(nlattr) && next_attribute(list, &type, &value)) {
    if (type == wanted) return value;
  }
  return {};
}

uint32_t number_in(std::span<std::byte> list, uint16_t type) {
  const std::span<std::byte> value = find_attribute(list, type);
  return value.size() < 4 ? 0 : load_be32(value.data());
}

// Of the other direction's stream, which the packet acknowledges.
SequenceShift shift_of(const Aside& aside) {
  const bool reply = aside.conntrack_info >= IP_CT_IS_REPLY;
  const std::span<std::byte> list =
      find_attribute(aside.conntrack, reply ? CTA_SEQ_ADJ_ORIG : CTA_SEQ_ADJ_REPLY);
  return {.position = number_in(list, CTA_SEQADJ_CORRECTION_POS),
          .before = number_in(list, CTA_SEQADJ_OFFSET_BEFORE),
          .after = number_in(list, CTA_SEQADJ_OFFSET_AFTER)};
}

// False: the attribute is too short for its type.
bool take_attribute(uint16_t type, std::span<std::byte> value, QueuedPacket* packet, Aside* aside) {
  const std::byte* at = value.data();
  if (type == NFQA_PAYLOAD) {
    packet->payload = value;
    return true;
  }
  if (type == NFQA_PACKET_HDR) {
    if (value.size() < sizeof(nfqnl_msg_packet_hdr)) return false;
    packet->id = load_be32(at);
    const uint8_t hook = load_u8(at + 6);
    packet->hook = hook <= static_cast<uint8_t>(Hook::kPostrouting) ? Hook{hook} : Hook::kNone;
    return true;
  }
  if (type == NFQA_CT) {
    aside->conntrack = value;
    return true;
  }
  if (type != NFQA_MARK && type != NFQA_IFINDEX_INDEV && type != NFQA_IFINDEX_OUTDEV &&
      type != NFQA_SKB_INFO && type != NFQA_CAP_LEN && type != NFQA_CT_INFO) {
    return true;
  }
  if (value.size() < 4) return false;
  const uint32_t number = load_be32(at);
  switch (type) {
    case NFQA_MARK:
      packet->mark = number;
      break;
    case NFQA_IFINDEX_INDEV:
      packet->in_index = number;
      break;
    case NFQA_IFINDEX_OUTDEV:
      packet->out_index = number;
      break;
    case NFQA_SKB_INFO:
      packet->skb_info = number;
      break;
    case NFQA_CT_INFO:
      aside->conntrack_info = number;
      break;
    default:
      aside->original = number;
      break;
  }
  return true;
}

bool decode_packet(std::span<std::byte> body, Message* message) {
  if (body.size() < sizeof(nfgenmsg)) return false;
  const std::byte* const begin = body.data();
  QueuedPacket& packet = message->packet;
  packet.family = family_of(load_u8(body.data()));
  message->queue = load_be16(body.data() + 2);
  body = body.subspan(sizeof(nfgenmsg));
  Aside aside;
  uint16_t type = 0;
  std::span<std::byte> value;
  while (body.size() >= sizeof(nlattr)) {
    if (!next_attribute(body, &type, &value)) return false;
    if (!take_attribute(type, value, &packet, &aside)) return false;
    packet.has_id |= type == NFQA_PACKET_HDR;
  }
  packet.whole = aside.original <= packet.payload.size();
  if (!aside.conntrack.empty()) packet.shift = shift_of(aside);
  if (!packet.payload.empty()) {
    packet.before = static_cast<uint32_t>(kHeader + (packet.payload.data() - begin));
  }
  return packet.has_id;
}

// NLMSG_ERROR carries an errno, negative, then the header of the message it answers.
MessageKind decode_error(std::span<const std::byte> body, Message* message) {
  if (body.size() < 4 + kHeader) return MessageKind::kMalformed;
  message->error = static_cast<int>(0u - load<uint32_t>(body.data()));
  message->sequence = load<uint32_t>(body.data() + 4 + 8);
  return message->error == 0 ? MessageKind::kAck : MessageKind::kError;
}

nlmsghdr* put_config(ConfigBuffer& out, uint16_t queue, uint32_t sequence) {
  out.fill(std::byte{0});  // libmnl leaves padding as it is
  nlmsghdr* header = nfq_nlmsg_put(reinterpret_cast<char*>(out.data()), NFQNL_MSG_CONFIG, queue);
  header->nlmsg_flags |= NLM_F_ACK;
  header->nlmsg_seq = sequence;
  return header;
}

}  // namespace

Message decode(std::span<std::byte>& datagram) noexcept {
  Message message;
  const std::span<std::byte> bytes = datagram;
  datagram = {};
  if (bytes.size() < kHeader) return message;
  const size_t length = load<uint32_t>(bytes.data());
  const uint16_t type = load<uint16_t>(bytes.data() + 4);
  message.sequence = load<uint32_t>(bytes.data() + 8);
  if (length < kHeader || length > bytes.size()) {
    if (type == kPacketType) decode_packet(bytes.subspan(kHeader), &message);
    return message;
  }
  datagram = bytes.subspan(std::min(bytes.size(), (length + 3) & ~size_t{3}));

  const std::span<std::byte> body = bytes.subspan(kHeader, length - kHeader);
  if (type == kPacketType) {
    message.kind = decode_packet(body, &message) ? MessageKind::kPacket : MessageKind::kMalformed;
  } else if (type == NLMSG_ERROR) {
    message.kind = decode_error(body, &message);
  } else {
    message.kind = MessageKind::kOther;
  }
  return message;
}

size_t encode_verdict(std::byte* out, uint16_t queue, const VerdictRequest& request) noexcept {
  const bool has_payload = request.payload_size > 0;
  const size_t head = verdict_head_size(request);
  const size_t total = head + request.payload_size + padding_of(request.payload_size);
  const uint16_t type = static_cast<uint16_t>(
      NFNL_SUBSYS_QUEUE << 8 | (request.batch ? NFQNL_MSG_VERDICT_BATCH : NFQNL_MSG_VERDICT));

  store<uint32_t>(out, static_cast<uint32_t>(total));
  store<uint16_t>(out + 4, type);
  store<uint16_t>(out + 6, NLM_F_REQUEST);
  store<uint64_t>(out + 8,
                  0);  // sequence 0 is never a configuration's; port id: the kernel fills it
  store<uint16_t>(out + 16, AF_UNSPEC | NFNETLINK_V0 << 8);
  store_be16(out + 18, queue);
  store<uint16_t>(out + 20, sizeof(nlattr) + sizeof(nfqnl_msg_verdict_hdr));
  store<uint16_t>(out + 22, NFQA_VERDICT_HDR);
  store_be32(out + 24, request.verdict);
  store_be32(out + 28, request.id);
  std::byte* at = out + kVerdictHeaderSize;
  if (request.set_mark) {
    store<uint16_t>(at, kVerdictMarkSize);
    store<uint16_t>(at + 2, NFQA_MARK);
    store_be32(at + 4, request.mark);
    at += kVerdictMarkSize;
  }
  if (has_payload) {
    store<uint16_t>(at, static_cast<uint16_t>(sizeof(nlattr) + request.payload_size));
    store<uint16_t>(at + 2, NFQA_PAYLOAD);
  }
  return head;
}

size_t encode_config(ConfigBuffer& out, const QueueSettings& settings, bool bind,
                     uint32_t sequence) {
  nlmsghdr* header = put_config(out, settings.queue, sequence);
  if (bind) nfq_nlmsg_cfg_put_cmd(header, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  const bool packets = settings.copy_range > 0;
  nfq_nlmsg_cfg_put_params(header, packets ? NFQNL_COPY_PACKET : NFQNL_COPY_META,
                           static_cast<int>(settings.copy_range));
  nfq_nlmsg_cfg_put_qmaxlen(header, settings.length);
  const uint32_t flags = (settings.fail_open ? uint32_t{NFQA_CFG_F_FAIL_OPEN} : 0) |
                         (settings.gso ? uint32_t{NFQA_CFG_F_GSO} : 0) |
                         (settings.conntrack ? uint32_t{NFQA_CFG_F_CONNTRACK} : 0);
  mnl_attr_put_u32(header, NFQA_CFG_FLAGS, htonl(flags));
  mnl_attr_put_u32(header, NFQA_CFG_MASK,
                   htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO | NFQA_CFG_F_CONNTRACK));
  return header->nlmsg_len;
}

}  // namespace fettle
