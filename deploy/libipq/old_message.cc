#include "deploy/libipq/old_message.h"

#include <linux/netlink.h>

#include <cstring>

#include "deploy/libipq/libipq.h"

namespace libipq {

size_t write_packet(const QueuedPacket& packet, const Device& in, const Device& out, int64_t now_us,
                    std::span<unsigned char> to) {
  nlmsghdr header = {};
  header.nlmsg_type = IPQM_PACKET;
  header.nlmsg_len =
      static_cast<uint32_t>(NLMSG_LENGTH(sizeof(ipq_packet_msg_t)) + packet.payload.size());
  if (header.nlmsg_len > to.size()) return header.nlmsg_len;
  const bool timed = packet.seconds != 0;
  ipq_packet_msg_t old;
  std::memset(&old, 0, sizeof(old));
  old.packet_id = packet.id;
  old.mark = packet.mark;
  old.timestamp_sec =
      timed ? static_cast<long>(packet.seconds) : static_cast<long>(now_us / 1'000'000);
  old.timestamp_usec =
      timed ? static_cast<long>(packet.microseconds) : static_cast<long>(now_us % 1'000'000);
  old.hook = packet.hook;
  std::memcpy(old.indev_name, in.name, sizeof(old.indev_name));
  std::memcpy(old.outdev_name, out.name, sizeof(old.outdev_name));
  old.hw_protocol = packet.hw_protocol;
  old.hw_type = in.kind;
  old.hw_addrlen = packet.hw_addrlen;
  std::memcpy(old.hw_addr, packet.hw_addr, sizeof(old.hw_addr));
  old.data_len = packet.payload.size();
  unsigned char* const at = to.data();
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + NLMSG_HDRLEN, &old, sizeof(old));
  if (!packet.payload.empty()) {
    std::memcpy(at + NLMSG_HDRLEN + sizeof(old), packet.payload.data(), packet.payload.size());
  }
  return header.nlmsg_len;
}

size_t write_refusal(int error, std::span<unsigned char> to) {
  nlmsghdr header = {};
  header.nlmsg_type = NLMSG_ERROR;
  header.nlmsg_len = NLMSG_LENGTH(sizeof(nlmsgerr));
  if (header.nlmsg_len > to.size()) return header.nlmsg_len;
  nlmsgerr refusal = {};
  refusal.error = -error;
  refusal.msg.nlmsg_type = IPQM_VERDICT;
  std::memcpy(to.data(), &header, sizeof(header));
  std::memcpy(to.data() + NLMSG_HDRLEN, &refusal, sizeof(refusal));
  return header.nlmsg_len;
}

}  // namespace libipq
