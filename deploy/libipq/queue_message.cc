#include "deploy/libipq/queue_message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace libipq {
namespace {

constexpr uint16_t kPacketType = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET;

// Attributes by their numbers, of those that are as long as they have to be.
using Attributes = const nlattr * [NFQA_MAX + 1];

// The least that an attribute has to hold, or 0 for what nobody looks at.
size_t least_size(uint16_t attribute) {
  switch (attribute) {
    case NFQA_PACKET_HDR:
      return sizeof(nfqnl_msg_packet_hdr);
    case NFQA_MARK:
    case NFQA_IFINDEX_INDEV:
    case NFQA_IFINDEX_OUTDEV:
      return sizeof(uint32_t);
    case NFQA_TIMESTAMP:
      return sizeof(nfqnl_msg_packet_timestamp);
    case NFQA_HWADDR:
      return sizeof(nfqnl_msg_packet_hw);
    default:
      return 0;
  }
}

void gather(const nlmsghdr* header, Attributes& attributes) {
  // mnl_attr_for_each, which is C alone, and ends behind the padding that a last attribute need not
  // have.
  const auto* const end = reinterpret_cast<const char*>(header) + header->nlmsg_len;
  const auto* attribute =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type > NFQA_MAX || mnl_attr_get_payload_len(attribute) < least_size(type)) continue;
    attributes[type] = attribute;
  }
}

// Attributes are aligned to four bytes, their values may want eight.
template <typename Value>
Value value_of(const nlattr* attribute) {
  Value value{};
  if (attribute != nullptr) std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(value));
  return value;
}

void read_hw_address(const nlattr* attribute, QueuedPacket& packet) {
  const auto hw = value_of<nfqnl_msg_packet_hw>(attribute);
  const size_t length = std::min<size_t>(ntohs(hw.hw_addrlen), sizeof(packet.hw_addr));
  packet.hw_addrlen = static_cast<uint8_t>(length);
  std::memcpy(packet.hw_addr, hw.hw_addr, length);
}

bool read_packet(const nlmsghdr* header, QueuedPacket& packet) {
  if (mnl_nlmsg_get_payload_len(header) < sizeof(nfgenmsg)) return false;
  Attributes attributes = {};
  gather(header, attributes);
  if (attributes[NFQA_PACKET_HDR] == nullptr) return false;
  const auto general = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
  const auto head = value_of<nfqnl_msg_packet_hdr>(attributes[NFQA_PACKET_HDR]);
  const auto time = value_of<nfqnl_msg_packet_timestamp>(attributes[NFQA_TIMESTAMP]);
  packet.family = general->nfgen_family;
  packet.id = ntohl(head.packet_id);
  packet.hook = head.hook;
  packet.hw_protocol = head.hw_protocol;
  packet.mark = ntohl(value_of<uint32_t>(attributes[NFQA_MARK]));
  packet.in_index = ntohl(value_of<uint32_t>(attributes[NFQA_IFINDEX_INDEV]));
  packet.out_index = ntohl(value_of<uint32_t>(attributes[NFQA_IFINDEX_OUTDEV]));
  packet.seconds = be64toh(time.sec);
  packet.microseconds = be64toh(time.usec);
  read_hw_address(attributes[NFQA_HWADDR], packet);
  if (const nlattr* payload = attributes[NFQA_PAYLOAD]) {
    packet.payload = {static_cast<const std::byte*>(mnl_attr_get_payload(payload)),
                      mnl_attr_get_payload_len(payload)};
  }
  return true;
}

nlmsghdr* begin(Request& request, uint8_t type, uint8_t family, uint16_t queue) {
  nlmsghdr* const header = mnl_nlmsg_put_header(request.bytes);
  header->nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_QUEUE << 8) | type);
  header->nlmsg_flags = NLM_F_REQUEST;
  auto* const general =
      static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  general->nfgen_family = family;
  general->version = NFNETLINK_V0;
  general->res_id = htons(queue);
  return header;
}

void put_command(nlmsghdr* header, uint8_t command, uint8_t family) {
  nfqnl_msg_config_cmd value = {};
  value.command = command;
  value.pf = htons(family);
  mnl_attr_put(header, NFQA_CFG_CMD, sizeof(value), &value);
}

}  // namespace

KernelMessage read_message(std::span<const std::byte> datagram) {
  KernelMessage message;
  const auto* const header =
      static_cast<const nlmsghdr*>(static_cast<const void*>(datagram.data()));
  // mnl_nlmsg_ok takes a length beyond 2^31 for a negative one, and so for one that fits.
  if (!mnl_nlmsg_ok(header, static_cast<int>(datagram.size())) ||
      header->nlmsg_len > datagram.size()) {
    return message;
  }
  if (header->nlmsg_type == NLMSG_ERROR) {
    if (mnl_nlmsg_get_payload_len(header) < sizeof(nlmsgerr)) return message;
    const auto* const answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
    message.kind = KernelMessage::Kind::kAnswer;
    message.sequence = answer->msg.nlmsg_seq;
    message.error = answer->error > 0 || answer->error < -4095 ? EPROTO : -answer->error;
  } else if (header->nlmsg_type == kPacketType && read_packet(header, message.packet)) {
    message.kind = KernelMessage::Kind::kPacket;
  }
  return message;
}

void write_family_bind(Request& request, uint8_t family) {
  put_command(begin(request, NFQNL_MSG_CONFIG, family, 0), NFQNL_CFG_CMD_PF_BIND, family);
}

void write_mode(Request& request, const Settings& settings, bool bind, uint8_t mode,
                uint32_t range) {
  nlmsghdr* const header = begin(request, NFQNL_MSG_CONFIG, AF_UNSPEC, settings.queue);
  if (bind) put_command(header, NFQNL_CFG_CMD_BIND, AF_UNSPEC);
  nfqnl_msg_config_params params = {};
  params.copy_mode = mode;
  params.copy_range = htonl(range);
  mnl_attr_put(header, NFQA_CFG_PARAMS, sizeof(params), &params);
  if (!bind) return;
  if (settings.length_given)
    mnl_attr_put_u32(header, NFQA_CFG_QUEUE_MAXLEN, htonl(settings.length));
  if (settings.fail_open) {
    mnl_attr_put_u32(header, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_FAIL_OPEN));
    mnl_attr_put_u32(header, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN));
  }
}

void write_verdict(Request& request, uint16_t queue, uint32_t id, uint32_t verdict,
                   uint16_t payload) {
  nlmsghdr* const header = begin(request, NFQNL_MSG_VERDICT, AF_UNSPEC, queue);
  const nfqnl_msg_verdict_hdr value = {htonl(verdict), htonl(id)};
  mnl_attr_put(header, NFQA_VERDICT_HDR, sizeof(value), &value);
  if (payload == 0) return;
  auto* const attribute = static_cast<nlattr*>(mnl_nlmsg_get_payload_tail(header));
  attribute->nla_type = NFQA_PAYLOAD;
  attribute->nla_len = static_cast<uint16_t>(sizeof(nlattr) + payload);
  header->nlmsg_len += static_cast<uint32_t>(sizeof(nlattr) + NLMSG_ALIGN(payload));
}

}  // namespace libipq
