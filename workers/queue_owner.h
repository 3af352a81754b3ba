// Who holds a queue: from the port id that the kernel names to the process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// The row of /proc/net/netlink (text) whose netfilter socket has this port id.
struct NetlinkSocket {
  uint64_t drops = 0;  // messages that did not fit its buffer
  uint64_t inode = 0;
};
std::optional<NetlinkSocket> find_netlink_socket(std::string_view proc_net_netlink,
                                                 uint32_t port_id);
std::optional<NetlinkSocket> find_netlink_socket(uint32_t port_id);

// Processes that hold the socket; their descriptors can be seen by root, or by their own user.
std::vector<int> socket_holders(uint64_t inode);
std::string process_name(int pid);  // "" where there is none
int parent_of(int pid);             // 0 where there is none

// "suricata (process 1234)", or what is known where the process is hidden; "" where nobody has
// bound it.
std::string queue_owner(uint16_t queue);

}  // namespace fettle
