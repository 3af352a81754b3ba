// What the programs of bench/ ask of the system, each in the same way.
#pragma once

#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <string>

namespace fettle::bench {

// < 0: any CPU. False: errno says why it cannot be.
inline bool run_on(int cpu) {
  if (cpu < 0) return true;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(cpu), &cpus);
  return sched_setaffinity(0, sizeof cpus, &cpus) == 0;
}

// A packet socket that sends through the interface, past its queueing discipline. -1: errno.
inline int open_interface(const std::string& name) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  if (fd < 0 || address.sll_ifindex == 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return -1;
  }
  const int one = 1, buffer = 8 << 20;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  return fd;
}

}  // namespace fettle::bench
