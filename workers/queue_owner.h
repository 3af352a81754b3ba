// Who holds a queue: from the port id that the kernel names to the process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fettle {

// The row of /proc/net/netlink (text) whose netfilter socket has this port id.
struct NetlinkSocket {
  uint64_t drops = 0;  // messages that did not fit its buffer
  uint64_t inode = 0;
};
std::optional<NetlinkSocket> find_netlink_socket(std::string_view proc_net_netlink,
                                                 uint32_t port_id);
std::optional<NetlinkSocket> find_netlink_socket(uint32_t port_id);

// "suricata (process 1234)", or what is known where the process is hidden; "" where nobody has
// bound it.
std::string queue_owner(uint16_t queue);

}  // namespace fettle
