// The message with which the kernel hands over a packet, as net/netfilter/nfnetlink_queue.c builds
// it: the packet's header first, its payload last.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "core/bytes.h"

namespace fettle::bench {

inline void put_attribute(std::vector<std::byte>* out, uint16_t type,
                          std::span<const std::byte> value) {
  const size_t at = out->size();
  out->resize(at + ((4 + value.size() + 3) & ~size_t{3}));
  store<uint16_t>(out->data() + at, static_cast<uint16_t>(4 + value.size()));
  store<uint16_t>(out->data() + at + 2, type);
  std::memcpy(out->data() + at + 4, value.data(), value.size());
}

inline void put_number(std::vector<std::byte>* out, uint16_t type, uint32_t number) {
  std::byte value[4];
  store_be32(value, number);
  put_attribute(out, type, value);
}

// In FORWARD, from interface 2 to 3, with the packet's id 1.
inline std::vector<std::byte> netlink_message(std::span<const std::byte> packet) {
  std::vector<std::byte> out(sizeof(nlmsghdr) + sizeof(nfgenmsg));
  nfqnl_msg_packet_hdr header{};
  header.packet_id = big_endian(uint32_t{1});
  header.hw_protocol = big_endian(uint16_t{0x0800});
  header.hook = 2;
  put_attribute(&out, NFQA_PACKET_HDR, std::as_bytes(std::span(&header, 1)).first(7));
  put_number(&out, NFQA_IFINDEX_INDEV, 2);
  put_number(&out, NFQA_IFINDEX_OUTDEV, 3);
  nfqnl_msg_packet_hw hardware{};
  hardware.hw_addrlen = big_endian(uint16_t{6});
  put_attribute(&out, NFQA_HWADDR, std::as_bytes(std::span(&hardware, 1)));
  put_attribute(&out, NFQA_PAYLOAD, packet);
  const nlmsghdr head{.nlmsg_len = static_cast<uint32_t>(out.size()),
                      .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET,
                      .nlmsg_flags = 0,
                      .nlmsg_seq = 0,
                      .nlmsg_pid = 0};
  store(out.data(), head);
  store(out.data() + sizeof head, nfgenmsg{.nfgen_family = AF_INET, .version = 0, .res_id = 0});
  return out;
}

}  // namespace fettle::bench
